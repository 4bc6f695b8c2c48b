"""A run that is killed, interrupted or run in another way ends with the same bytes as one that is left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import training_data
from forks import Forks, Moment, Running, forking, gone

from polygrain import cli
from polygrain.models.network import decode
from polygrain.pipeline import STAGES
from polygrain.store.commit import locked
from polygrain.training import fit as fit_module
from polygrain.training.checkpoint import Checkpoint, load_tensors, save_tensors
from polygrain.training.fit import FitOptions, Fitted, fit
from polygrain.training.walk_forward import TrainTask

# The runs that all others are compared with take half a minute: one test process makes them.
pytestmark = pytest.mark.xdist_group("resume")

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
# One fold of some epochs, so that kills find a training under way.
LONGER = ("protocol.refit=60", "protocol.max_epochs=6", "protocol.patience=6")
# What says how long it took, when it was made, where, or by how many workers.
TOLD = {"manifest.json", "report_facts.json", "report.html", "config.toml", "trials.json"}


def command(run: Path, workers: int) -> list[str]:
    settings = (*LONGER, f"workers={workers}")
    return ["run", str(TINY), "--out", str(run), *(word for each in settings for word in ("--set", each))]


def new_log(run: Path) -> Path:
    """A file of its own for each command: what is left of a killed one may still write to the one before."""
    return run.parent / f"{len(list(run.parent.glob('*.log')))}.log"


def spawn(run: Path, workers: int) -> Running:
    """`python -m polygrain run`, a new interpreter."""
    log = new_log(run)
    with log.open("w") as out:
        words = [sys.executable, "-m", "polygrain", *command(run, workers)]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=out, start_new_session=True)
    return Running(process.pid, log, process.wait)


def stage(running: Running) -> str:
    """The stage that the command was in."""
    finished = {line.split(":")[0] for line in running.said()}
    return next((name for name in STAGES if name not in finished), "none")


def workers(running: Running) -> list[int]:
    """Process ids of the workers."""
    found = []
    for pid in running.session():
        with suppress(OSError):  # it has ended meanwhile
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


def moments(seed: int) -> Iterator[Moment]:
    """Random moments of every stage that takes long; many more in training are in test_training_kills."""
    draw = random.Random(seed)
    yield Moment(f"2021-0{draw.randint(3, 5)}", draw.uniform(0, 0.03))
    yield Moment("ingest:", draw.uniform(0, 0.15))
    yield Moment("features:", draw.uniform(0, 0.4))
    yield Moment("checkpoints", draw.uniform(0, 0.2))
    yield Moment("models", draw.uniform(0, 0.05))
    yield Moment("enhance 2 portfolios: 50%", draw.uniform(0, 0.15))


def whole(run: Path) -> dict[str, bytes]:
    """Every file of a run and its store by name, but for those that tell of the run; of them, only the names."""
    paths = sorted(path for path in run.parent.rglob("*") if path.is_file() and path.suffix != ".log")
    told = {path for path in paths if path.name in TOLD and (path.parent == run or path.name == "trials.json")}
    return {str(path.relative_to(run.parent)): b"" if path in told else path.read_bytes() for path in paths}


def differing(run: Path, control: dict[str, bytes]) -> list[str]:
    found = whole(run)
    return sorted(name for name in {*found, *control} if found.get(name) != control.get(name))


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The command line, loaded once."""
    with forking("fork_cli.py") as loaded:
        yield loaded


def fork(forks: Forks, run: Path, workers: int = 1) -> Running:
    return forks.spawn(new_log(run), *command(run, workers))


@pytest.fixture(scope="module")
def runs(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that nobody disturbs, with 1 and with 2 workers, in two folders with separate stores."""
    folders = [tmp_path_factory.mktemp(f"workers{n}") / "run" for n in (1, 2)]
    for running in (fork(forks, folders[0]), spawn(folders[1], 2)):
        assert running.wait() == 0, running.said()[-1:]
    return folders


def test_a_second_run_and_other_workers_give_the_same_bytes(runs: list[Path]) -> None:
    control = whole(runs[0])
    names = [name.removeprefix("run/") for name in control if name.startswith("run/")]
    for wanted in ("scores.parquet", "seed_scores.parquet", "rank_ic.parquet", "nav.parquet", "explain.parquet"):
        assert wanted in names
    assert "portfolios/weights.parquet" in names
    assert sum(name.startswith("models/") and name.endswith(".safetensors") for name in names) == 2
    assert sum(name.startswith("tables/") and name.endswith(".csv") for name in names) >= 1
    assert differing(runs[1], control) == []


def kills(seed: int, forks: Forks, run: Path) -> list[str]:
    """Kill one run again and again, each time at another moment, then let it end; the stages that were hit."""
    hit = []
    run.parent.mkdir()
    for moment in moments(seed):
        running = fork(forks, run)
        if moment.await_it(running, run):
            running.kill()
        if running.wait() == -signal.SIGKILL:
            hit.append(stage(running))
    assert fork(forks, run).wait() == 0
    return hit


def test_kills_at_random_moments_leave_no_trace(forks: Forks, runs: list[Path], tmp_path: Path) -> None:
    control, hit = whole(runs[0]), list[str]()
    for seed in (1, 2):
        run = tmp_path / str(seed) / "run"
        hit += kills(seed, forks, run)
        assert differing(run, control) == []
    assert len(hit) >= 7, hit
    assert {"ingest", "features", "train", "enhance"} <= set(hit), hit


def test_workers_end_with_their_run(forks: Forks, runs: list[Path], tmp_path: Path) -> None:
    control, run = whole(runs[0]), tmp_path / "run"
    running = fork(forks, run, 2)
    assert Moment("features of", 0.02).await_it(running, run)
    working = workers(running)
    os.kill(running.pid, signal.SIGKILL)  # the run alone: its workers get no signal from here
    assert running.wait() == -signal.SIGKILL
    assert len(working) == 2
    assert gone(working, 10)

    running = fork(forks, run, 2)
    assert Moment("checkpoints", 0.1).await_it(running, run)
    working = workers(running)
    os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does; what it finds in its workers' hands it kills
    start = time.monotonic()
    assert running.wait() == 3
    assert time.monotonic() - start < 5
    assert gone(working, 5)
    said = [line for line in running.said() if not line.startswith(("ingest:", "features", "train 2 models:"))]
    assert said == ["error: interrupted; the same command resumes"]

    assert fork(forks, run).wait() == 0
    assert differing(run, control) == []


def called(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """The exit code of the command line in this process."""
    monkeypatch.setattr(sys, "argv", ["polygrain", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_what_is_up_to_date_is_not_done_again(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs[1].rglob("*.*") if path.name not in TOLD}
    assert not called(command(runs[1], 2), monkeypatch)
    said = capsys.readouterr().err.splitlines()
    skipped = [line.split(":")[0] for line in said if line.endswith("s (up to date)")]
    assert skipped == ["train", "score", "evaluate", "enhance", "explain"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


MANIFEST = {"version": 1, "name": "tiny", "polygrain": "0", "stages": {}, "facts": {"name": "tiny"}}
DAMAGED = "is damaged or not a run's; remove the run folder and run again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", DAMAGED),
        (json.dumps(MANIFEST).encode()[:-9], DAMAGED),
        (b"\xff\xfe\x00", DAMAGED),
        (b"[1, 2]", DAMAGED),
        (json.dumps({"version": 1, "parts": {}}).encode(), DAMAGED),  # that of a folder of features
        (json.dumps(MANIFEST | {"version": 2}).encode(), DAMAGED),
        (json.dumps(MANIFEST | {"stages": [["train", {}]]}).encode(), DAMAGED),
        (json.dumps(MANIFEST | {"stages": {"train": {"inputs": "a"}}}).encode(), DAMAGED),
        (json.dumps(MANIFEST | {"facts": {"name": "tiny", "missing": 3}}).encode(), DAMAGED),
        (None, DAMAGED),  # a folder of that name
        (json.dumps(MANIFEST | {"facts": {"name": "other"}}).encode(), "holds the run 'other'; choose another folder"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_named_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    reason: str,
) -> None:
    run, place = tmp_path / "run", tmp_path / "run" / "manifest.json"
    if content is None:
        place.mkdir(parents=True)
    else:
        run.mkdir()
        place.write_bytes(content)
    assert called(command(run, 2), monkeypatch) == 2
    where = f"--out: {run}" if "other" in reason else f"{place}:"
    assert capsys.readouterr() == ("", f"error: {where} {reason}\n")
    assert list(tmp_path.rglob("*")) == [run, place]


def test_two_processes_do_not_write_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with locked(run):
        assert called(command(run, 1), monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {run}: another process is writing here; wait for it or end it\n"


class Killed(BaseException):
    """Ends a fit in this process; the kills of a whole process are above."""


@dataclass
class Left:
    """A fit left alone, and the checkpoint that the same fit has in its third epoch's middle."""

    task: TrainTask
    alone: Fitted
    tensors: dict[str, torch.Tensor]
    facts: str

    def goes_on_as_alone(self, place: Path, tensors: dict[str, torch.Tensor], facts: str) -> bool:
        """Whether a fit that finds these things in its checkpoint ends with the same bits."""
        save_tensors(place / "state.safetensors", tensors, facts)
        other = fitted(self.task, Checkpoint(place / "state.safetensors", "key"))
        a, b = self.alone.module.state_dict(), other.module.state_dict()
        return self.alone.history == other.history and all(torch.equal(a[name], b[name]) for name in a)


def fitted(task: TrainTask, checkpoint: Checkpoint | None = None) -> Fitted:
    options = FitOptions(max_epochs=4, learning_rate=0.05)
    return fit(decode(task.network), task.open(), task.fold, options, seed=1, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("left")
    task = training_data.write(folder)
    save, saved, path = Checkpoint.save, iter(range(1000)), folder / "state.safetensors"

    def save_or_end(self: Checkpoint, *state: Any) -> None:
        save(self, *state)
        if next(saved) == 2 * (len(task.fold.train) + 1) + 5:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        patch.setattr(Checkpoint, "save", save_or_end)
        with pytest.raises(Killed):
            fitted(task, Checkpoint(path, "key"))
    return Left(task, fitted(task), *load_tensors(path))


def test_a_checkpoint_says_all(left: Left, tmp_path: Path) -> None:
    assert left.goes_on_as_alone(tmp_path, left.tensors, left.facts)


@pytest.mark.parametrize("lost", ["module/", "best/", "optimizer/mean/", "optimizer/square/", "optimizer/step/"])
def test_a_fit_goes_on_otherwise_without_its_tensors(left: Left, tmp_path: Path, lost: str) -> None:
    assert any(name.startswith(lost) and value.any() for name, value in left.tensors.items())
    kept = {n: torch.zeros_like(value) if n.startswith(lost) else value for n, value in left.tensors.items()}
    assert not left.goes_on_as_alone(tmp_path, kept, left.facts)


@pytest.mark.parametrize(("lost", "nothing"), [("epoch", 0), ("step", 0), ("sums", {}), ("history", [])])
def test_a_fit_goes_on_otherwise_without_its_facts(left: Left, tmp_path: Path, lost: str, nothing: object) -> None:
    known = json.loads(left.facts)
    assert known[lost] != nothing
    assert not left.goes_on_as_alone(tmp_path, left.tensors, json.dumps(known | {lost: nothing}))
