"""The command line: exit codes, one-line refusals, a whole run's folder, and a second call that changes nothing."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from polygrain import __version__, pipeline, progress
from polygrain.cli import main
from polygrain.config import load
from polygrain.errors import CheckError, ConfigError, DataError
from polygrain.pipeline import STAGES
from polygrain.progress import Bars, Lines
from polygrain.sources.synthetic import Synthetic
from polygrain.store.commit import file_fingerprint

# One test process makes what its tests share.
pytestmark = pytest.mark.xdist_group("cli")

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
VERBS = ["demo", "run", *STAGES, "scores", "prove", "tune", "compare"]


class Called:
    """What a call of the command line left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Command:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: str) -> Called:
        self._monkeypatch.setattr(sys, "argv", ["polygrain", *words])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        out, err = self._capsys.readouterr()
        return Called(code, out, err)


@pytest.fixture
def polygrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_version_and_help(polygrain: Command) -> None:
    called = polygrain("--version")
    assert (called.code, called.out, called.err) == (0, f"{__version__}\n", "")
    called = polygrain("--help")
    assert called.code == 0
    assert called.err == ""
    listed = [line.split()[0] for line in called.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == VERBS
    # Without a verb nothing was done: the same help, but not a success.
    called = polygrain()
    assert (called.code, called.out) == (2, "")
    assert "Commands:" in called.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(polygrain: Command, verb: str) -> None:
    called = polygrain(verb, "--help")
    assert called.code == 0
    assert f"Example: polygrain {verb} " in " ".join(called.out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none.toml"], "error: none.toml: no such file; give the path of a TOML configuration"),
        (
            ["train", str(TINY), "--set", "protocol.every=x"],
            "error: protocol.every: input should be a valid integer (given: 'x')",
        ),
        (
            ["prove", str(TINY), "--set", "nothing"],
            "error: --set: 'nothing' must read KEY=VALUE, for example protocol.every=2",
        ),
        (
            ["run", str(TINY), "--out", "/dev/null/run"],
            "error: --out: /dev/null/run cannot be made: Not a directory; choose another folder",
        ),
    ],
)
def test_refusals_are_one_line_and_exit_code_2(polygrain: Command, words: list[str], message: str) -> None:
    called = polygrain(*words)
    assert (called.code, called.out, called.err) == (2, "", f"{message}\n")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--bogus"], "--bogus"),
        (["bogus"], "'bogus'"),
        (["run"], "'config'"),
        (["run", str(TINY), "--sett", "a=b"], "--sett"),
        (["run", str(TINY), "--set"], "'--set'"),
        (["run", str(TINY), "more"], "(more)"),
        (["demo", "more"], "(more)"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(polygrain: Command, words: list[str], named: str) -> None:
    called = polygrain(*words)
    assert (called.code, called.out) == (2, "")
    assert called.err.startswith("error: ")
    assert called.err.endswith("; see polygrain --help\n")
    assert called.err.count("\n") == 1
    assert named in called.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CheckError("a check failed"), 1, "error: a check failed"),
        (ConfigError("label", "is refused"), 2, "error: label: is refused"),
        (KeyboardInterrupt(), 3, "error: interrupted; the same command resumes"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "evaluate", "prove", "demo"])
def test_exit_codes(
    polygrain: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    verb: str,
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "run", fail)
    monkeypatch.setattr("polygrain.prove.causality.prove", fail)
    words = ["--out", str(tmp_path / "out")] if verb == "demo" else [str(TINY)]
    called = polygrain(verb, *words)
    assert (called.code, called.err) == (code, f"{line}\n")


def test_as_a_program() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "polygrain", "run", "none.toml"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == "error: none.toml: no such file; give the path of a TOML configuration\n"


# A network of a member that has no data: named in the report, not evaluated.
CHANGES = ["workers=1", "evaluation.universes.csi300=csi300"]
OPTIONS = [word for change in CHANGES for word in ("--set", change)]
TIMED = {"manifest.json", "report_facts.json", "report.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny example's run; up to its scores nothing may ask for the oracle."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Synthetic, "oracle", None)
        pipeline.run(load(TINY, CHANGES), folder=folder, base=TINY.parent, last="score", progress=Lines(out))
    report = pipeline.run(load(TINY, CHANGES), folder=folder, base=TINY.parent, last="report", progress=Lines(out))
    assert report == folder / "report.html"
    said = [line.partition(": ")[0] for line in out.getvalue().splitlines()]
    assert [name for name in dict.fromkeys(said) if name in STAGES] == list(STAGES)
    return folder


def test_the_run_folder(folder: Path) -> None:
    assert load(folder / "config.toml") == load(TINY, CHANGES)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(STAGES) == sorted(manifest["stages"], key=list(STAGES).index)
    assert manifest["polygrain"] == __version__
    for stage in manifest["stages"].values():
        for name, sha in stage["outputs"].items():
            assert file_fingerprint(folder / name) == sha
    models = {path.name for path in (folder / "models").glob("*.safetensors")}
    assert models
    assert {name.replace(".safetensors", ".json") for name in models} <= {p.name for p in (folder / "models").iterdir()}
    assert sorted(p.name for p in folder.glob("*.parquet")) == [
        "decay.parquet",
        "explain.parquet",
        "exposure.parquet",
        "nav.parquet",
        "rank_ic.parquet",
        "scores.parquet",
        "seed_rank_ic.parquet",
        "seed_scores.parquet",
    ]
    assert "table1_single_granularity.csv" in {path.name for path in (folder / "tables").glob("*.csv")}
    for figure in (folder / "figures").glob("*.json"):
        assert json.loads(figure.read_text())["data"]
    assert (folder / "figures" / "rank_ic_by_model_5d.json").is_file()
    assert (folder / "report.html").read_text().lower().startswith("<!doctype html")


KEY = {"model": pl.String, "label_days": pl.Int32, "rebalance": pl.Int32, "fill": pl.String, "universe": pl.String}
SCORES = {
    "segment": pl.String,
    "model": pl.String,
    "label_days": pl.Int32,
    "date": pl.Date,
    "symbol": pl.String,
    "score": pl.Float32,
}
SCHEMAS = {
    "scores": SCORES,
    "seed_scores": SCORES | {"seed": pl.Int32},
    "rank_ic": KEY | {"date": pl.Date, "rank_ic": pl.Float64, "rank_ic_all": pl.Float64, "n": pl.Int32},
    "seed_rank_ic": KEY | {"seed": pl.Int32, "date": pl.Date, "rank_ic": pl.Float64},
    "nav": KEY
    | {"selection": pl.String, "track": pl.Int32, "date": pl.Date}
    | dict.fromkeys(("gross", "net", "benchmark", "turnover", "participation"), pl.Float64),
    "decay": {"model": pl.String, "label_days": pl.Int32, "days": pl.Int32, "date": pl.Date}
    | dict.fromkeys(("rank_ic", "autocorrelation"), pl.Float64),
    "exposure": {
        "model": pl.String,
        "label_days": pl.Int32,
        "measure": pl.String,
        "of": pl.String,
        "date": pl.Date,
        "value": pl.Float64,
    },
    "explain": {
        "model": pl.String,
        "label_days": pl.Int32,
        "granularity": pl.String,
        "feature": pl.String,
        "days_back": pl.Int32,
        "share": pl.Float64,
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_tables_of_the_run_folder(folder: Path, name: str) -> None:
    frame = pl.read_parquet(folder / f"{name}.parquet")
    assert dict(frame.schema) == SCHEMAS[name]
    assert frame.height
    key = [column for column in frame.columns if column in KEY or column in ("segment", "seed", "date", "symbol")]
    more = ("selection", "track", "granularity", "feature", "days_back", "days", "measure", "of")
    key += [column for column in more if column in frame.columns]
    assert not frame.select(key).is_duplicated().any()


def test_the_number_of_processes_changes_no_bit_of_an_evaluation(folder: Path, tmp_path: Path) -> None:
    names = ("rank_ic", "nav", "seed_rank_ic", "decay", "exposure")
    shutil.copytree(folder.parent, tmp_path / "runs")
    again = tmp_path / "runs" / folder.name
    for name in names:
        (again / f"{name}.parquet").unlink()
    experiment = load(TINY, [*CHANGES, "workers=2"])
    pipeline.run(experiment, folder=again, base=TINY.parent, last="evaluate", progress=Lines(io.StringIO()))
    for name in names:
        assert (again / f"{name}.parquet").read_bytes() == (folder / f"{name}.parquet").read_bytes()
    assert not (again / "evaluation").exists()


def test_an_evaluation_without_room_for_its_files_says_where(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder.parent, tmp_path / "runs")
    again = tmp_path / "runs" / folder.name
    (again / "rank_ic.parquet").unlink()
    (again / "evaluation").write_text("no folder")
    before = (again / "nav.parquet").read_bytes()
    with pytest.raises(DataError, match=r"/evaluation: cannot be used: File exists; free space there"):
        pipeline.run(
            load(TINY, CHANGES), folder=again, base=TINY.parent, last="evaluate", progress=Lines(io.StringIO())
        )
    assert (again / "nav.parquet").read_bytes() == before


def test_decay_meets_the_rank_ic(folder: Path) -> None:
    """Over as many days as the label's fill and R say, it is the Rank IC of every R-th date."""
    shown = pl.read_parquet(folder / "rank_ic.parquet").filter(pl.col("universe") == "all")
    decay = pl.read_parquet(folder / "decay.parquet").filter(pl.col("days") == shown["rebalance"][0])
    both = decay.join(shown, on=["model", "label_days", "date"], suffix="_there")
    assert both.height == decay.height > 0
    assert both.select((pl.col("rank_ic") == pl.col("rank_ic_there")).all()).item()
    assert decay["autocorrelation"].drop_nulls().is_between(-1, 1).all()


def test_exposure_meets_the_rank_ic(folder: Path) -> None:
    """Neutralised to nothing, it is the Rank IC of every R-th date; what it is without styles stands beside it."""
    shown = pl.read_parquet(folder / "rank_ic.parquet").filter(pl.col("universe") == "all")
    exposure = pl.read_parquet(folder / "exposure.parquet")
    raw = exposure.filter(measure="rank_ic", of="raw")
    both = raw.join(shown, on=["model", "label_days", "date"])
    assert both.height == raw.height > 0
    assert both.select((pl.col("value") == pl.col("rank_ic")).all()).item()
    assert set(exposure.filter(measure="rank_ic")["of"]) == {
        "raw",
        "size+industry",
        "size+reversal+volatility+turnover+industry",
    }
    missing = [said["en"] for said in json.loads((folder / "report_facts.json").read_text())["missing"]]
    assert "Exposure to profitability is left out: the data has no net_profit." in missing
    assert {"exposure.csv", "exposure_by_industry.csv"} < {path.name for path in (folder / "tables").glob("*.csv")}


def test_scores_are_z_by_date(folder: Path) -> None:
    frame = pl.read_parquet(folder / "scores.parquet")
    assert set(frame["model"]) == {"day", "60min", "ensemble", "naive"}
    assert set(frame["segment"]) == {"valid", "test"}
    by_date = frame.group_by("segment", "model", "label_days", "date").agg(
        mean=pl.col("score").cast(pl.Float64).mean(), std=pl.col("score").cast(pl.Float64).std(ddof=0)
    )
    assert by_date["mean"].abs().max() < 1e-5
    assert (by_date["std"] - 1).abs().max() < 1e-5


def test_seeds_are_judged_like_their_mean(folder: Path) -> None:
    """Of one seed the mean is the seed; the Rank IC is that of the first fill, period and universe."""
    shown = pl.read_parquet(folder / "rank_ic.parquet").filter(
        pl.col("universe") == "all", ~pl.col("model").is_in(["naive", "oracle"])
    )
    seeds = pl.read_parquet(folder / "seed_rank_ic.parquet")
    assert set(seeds["seed"]) == {1}
    joined = shown.join(seeds, on=["model", "label_days", "rebalance", "fill", "universe", "date"], suffix="_seed")
    assert joined.height == shown.height == seeds.height
    # Scores are standardised once more over seeds, which may part ties by a rounding.
    assert (joined["rank_ic"] - joined["rank_ic_seed"]).abs().max() < 1e-3


def test_the_oracle_is_judged_and_not_scored(folder: Path) -> None:
    """No model is as good, and it is on the page; scores.parquet, which portfolios are made from, has none."""
    judged = pl.read_parquet(folder / "rank_ic.parquet").filter(pl.col("universe") == "all")
    means = dict(judged.group_by("model").agg(pl.col("rank_ic").mean()).iter_rows())
    assert means["oracle"] == max(means.values()) > 0.15
    assert set(judged.filter(pl.col("model") == "oracle")["label_days"]) == {5}
    table = pl.read_csv(folder / "tables" / "table1_single_granularity.csv")
    assert table["model"].to_list() == ["day", "60min", "oracle", "naive"]
    shares = dict(zip(table["model"], table["oracle_share"]))
    assert (shares["oracle"], shares["naive"]) == (None, None)
    assert f"<td>{shares['day']:.0%}</td>".replace("-", "−") in (folder / "report.html").read_text()


def test_a_universe_without_data_is_named_and_left_out(folder: Path) -> None:
    facts = json.loads((folder / "report_facts.json").read_text())
    said = {
        "en": "Universe csi300 is left out: the data has no csi300.",
        "zh": "选股范围 csi300 略去：数据中没有 csi300。",
    }
    assert said in facts["missing"]
    # Whatever a run says itself it says in both languages.
    assert [text for key in ("conventions", "missing", "notes") for text in facts[key] if not text["zh"]] == []
    assert facts["universes"] == ["all", "large"]
    assert set(pl.read_parquet(folder / "rank_ic.parquet", columns=["universe"])["universe"]) == {"all", "large"}
    assert "Universe csi300 is left out" in (folder / "report.html").read_text()


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_call_skips_and_changes_no_bytes(folder: Path, polygrain: Command) -> None:
    before = contents(folder.parent)
    called = polygrain("run", str(TINY), "--out", str(folder), *OPTIONS)
    assert called.code == 0
    assert called.out == f"Report: {folder.resolve() / 'report.html'}\n"
    lines = called.err.splitlines()
    assert {line.partition(":")[0] for line in lines if line.endswith("(up to date)")} >= {
        "score",
        "evaluate",
        "explain",
    }
    assert not any(line.startswith(("features of", "evaluate: 1")) for line in lines)
    after = contents(folder.parent)
    timed = {f"{folder.name}/{name}" for name in TIMED}
    assert {name: sha for name, sha in after.items() if name not in timed} == {
        name: sha for name, sha in before.items() if name not in timed
    }
    # One stage, also from the configuration that the run kept, prints where its result lies.
    called = polygrain("ingest", str(folder / "config.toml"), "--out", str(folder))
    assert called.code == 0
    assert Path(called.out.strip()).parent == folder.parent / "store"


def test_another_experiment_s_folder_is_refused(folder: Path, polygrain: Command) -> None:
    called = polygrain("run", str(TINY), "--out", str(folder), "--set", "name=other")
    assert called.code == 2
    assert called.err == f"error: --out: {folder.resolve()} holds the run 'tiny'; choose another folder\n"


def told(total: float, amounts: list[float]) -> list[str]:
    out = io.StringIO()
    with Lines(out).step("work", total) as step:
        for amount in amounts:
            step.advance(amount)
    return out.getvalue().splitlines()


def test_lines_tell_each_tenth_once_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    # Half of it after one second leaves one second.
    assert told(2, [1, 1]) == ["work: 50%, 1 s spent, about 1 s left", "work: 100%, 2 s spent, about 0 s left"]
    # .1 ten times is .9999999999999999.
    assert [line.split()[1] for line in told(1.0, [0.1] * 10)] == [f"{i}0%," for i in range(1, 11)]
    assert len(told(1000, [1.0] * 1000)) == 10
    # More than was announced, or nothing to do, is the end.
    assert [line.split()[1] for line in told(2, [1, 1, 1])] == ["50%,", "100%,"]
    assert [line.split()[1] for line in told(0, [0.0, 1.0])] == ["100%,"]


def test_a_bar_on_a_terminal() -> None:
    out = io.StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=100))
    with bars.step("train", 4.0) as step:
        step.advance(3.0)
        bars.say("a line [not markup]")
        step.advance()
    assert "a line [not markup]" in out.getvalue()
    assert "train" in out.getvalue()
    assert "4/4" in out.getvalue()
