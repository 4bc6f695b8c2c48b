"""Searches: what may be searched, trials that a kill does not change, no date that is scored, and their count."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from polygrain import pipeline
from polygrain.config import Family, load, load_family, setting
from polygrain.errors import ConfigError, DataError, Diverged
from polygrain.pipeline import training, tuning
from polygrain.pipeline.manifest import Trials
from polygrain.progress import Lines
from polygrain.report.answers import threshold
from polygrain.report.facts import read_facts
from polygrain.search import JOURNAL, Study, Trial, Tune, Value, best

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = EXAMPLES.parent / "docs" / "how-to" / "tune.md"
FIELDS = """
[tune]
trials = 5
seed = 3
[tune.field]
"network.gru.encoder.hidden" = { choices = [2, 4] }
"protocol.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"""
# One granularity, two folds, one process.
SMALLER = ("workers=1", "granularity=[{name='day', bar='day'}]", "protocol.refit=30", "protocol.every=3")


def quiet() -> Lines:
    return Lines(io.StringIO())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text((EXAMPLES / "tiny.toml").read_text() + FIELDS, encoding="utf-8")
    return path


def family(config: Path, *changes: str) -> Family:
    return load_family(config, [*SMALLER, *changes])


# ---- what may be searched


def test_the_page_s_example_is_a_search(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text((EXAMPLES / "tiny.toml").read_text() + text, encoding="utf-8")
    tune = load(path).tune
    assert tune is not None
    assert tune.trials == 30
    for key, field in tune.field.items():
        for edge in field.edges:
            load_family(path).member({key: edge})
    layers, dropout = (tune.field[f"network.gru.encoder.{name}"] for name in ("layers", "dropout"))
    assert [type(layers.low), type(dropout.low)] == [int, float]


REFUSED = [
    ("'label.days'={choices=[5]}", r"tune\.field\.label\.days: decides what the validation loss measures, .*"),
    ("'protocol.loss'={choices=['ic']}", r"tune\.field\.protocol\.loss: is what trials are compared by; .*"),
    ("'protocol.valid'={low=5, high=10}", r"tune\.field\.protocol\.valid: moves the dates .*"),
    ("'protocol.lookback'={low=5, high=10}", r"tune\.field\.protocol\.lookback: moves the dates .*"),
    ("'protocol.seeds'={choices=[1]}", r"tune\.field\.protocol\.seeds: is luck .*"),
    ("'source.seed'={low=1, high=2}", r"tune\.field\.source\.seed: is the data itself; .*"),
    ("'granularity.day.features'={choices=['all']}", r"tune\.field\.granularity\.day\.features: changes the feat.*"),
    ("workers={low=1, high=2}", r"tune\.field\.workers: is nothing to search for; choose keys below network, or .*"),
    ("network={choices=[1]}", r"tune\.field\.network: is nothing to search for; .*"),
    ("'network.a'={}", r"tune\.field\.network\.a: must have either choices, or low and high"),
    ("'network.a'={choices=[1], low=1}", r"tune\.field\.network\.a: must have either choices, or low and high"),
    ("'network.a'={low=1}", r"tune\.field\.network\.a: must have a low and a high, and low below high"),
    ("'network.a'={low=2, high=2}", r"tune\.field\.network\.a: must have a low and a high, and low below high"),
    ("'network.a'={low=0, high=2, log=true}", r"tune\.field\.network\.a\.low: must be above 0 for log = true, not 0"),
    ("'network.a'={choices=[1], log=true}", r"tune\.field\.network\.a\.log: goes with low and high; leave it out"),
    ("'network.a'={choices=[1, 1]}", r"tune\.field\.network\.a\.choices: must be different values, at least one"),
    ("'network.a'={chioces=[1]}", r"tune\.field\.network\.a\.chioces: unknown key; did you mean 'choices'\? .*"),
    ("", r"tune\.field: dictionary should have at least 1 item .*"),
]


@pytest.mark.parametrize(("field", "message"), REFUSED, ids=[field for field, _ in REFUSED])
def test_refused_fields(config: Path, field: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        family(config, f"tune.field={{{field}}}")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "'network.gru.encoder.hiden'={low=1, high=2}",
            r"network\.gru\.encoder\.hiden: unknown key; did you mean 'hidden'\? choose from direction, .*",
        ),
        ("'network.biagru.suffix'={choices=['a']}", r"network\.biagru: kind is missing; say which kind it is"),
        (
            "'protocol.patience'={low=1.0, high=2.0}",
            r"protocol\.patience: input should be a valid integer .*",
        ),
        (
            "'network.gru.encoder.pooling'={choices=['last', 'first']}",
            r"network\.gru\.encoder\.pooling: input should be 'last' or 'attention' \(given: 'first'\)",
        ),
    ],
)
def test_values_that_the_config_could_not_have(config: Path, tmp_path: Path, field: str, message: str) -> None:
    searched = family(config, f"tune.field={{{field}}}")
    with pytest.raises(ConfigError, match=f"^{message}$"):
        tuning.tune(searched, folder=tmp_path / "run", base=config.parent, progress=quiet())
    assert list(tmp_path.iterdir()) == []


def test_a_config_without_a_search_and_a_machine_without_optuna(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"^tune: is missing: add a \[tune\] section with trials and fields"):
        tuning.tune(load_family(EXAMPLES / "tiny.toml"), folder=tmp_path, base=tmp_path, progress=quiet())
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"^tune: needs Optuna; pip install 'polygrain\[tune\]'$"):
        tuning.tune(family(config), folder=tmp_path, base=tmp_path, progress=quiet())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [True, 3, 3.0, 1e-05, "last", "true", '模 "x"'])
def test_settings_are_read_back_as_they_are(value: Value) -> None:
    key, _, text = setting("note", value).partition("=")
    read = tomllib.loads(f"value = {text}")["value"]
    assert (key, read, type(read)) == ("note", value, type(value))


# ---- the trials

TUNE = Tune.model_validate_json(
    '{"trials": 25, "seed": 5, "field": {"network.a": {"low": -1.0, "high": 1.0}, '
    '"network.b": {"choices": ["x", "y"]}, "network.c": {"low": 1, "high": 64, "log": true}}}'
)
STEPS = 4


class Killed(BaseException):
    pass


def parabola(number: int, values: Mapping[str, Value]) -> Iterator[float]:
    """A loss of which the first step says as much as the last; it is not finite in a corner."""
    a, c = values["network.a"], values["network.c"]
    assert isinstance(a, float)
    assert isinstance(c, int)
    for step in range(STEPS):
        if a > 0.9:
            raise Diverged("fold", "the loss is inf")
        yield a**2 + (values["network.b"] == "x") + c / 64 + step


def searched(folder: Path, tune: Tune = TUNE, key: str = "key") -> list[Trial]:
    study = Study(tune, key, folder)
    study.run(STEPS, parabola, lambda _: None)
    return study.trials


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return searched(tmp_path_factory.mktemp("search"))


def test_what_a_search_is(undisturbed: list[Trial]) -> None:
    assert [trial.number for trial in undisturbed] == list(range(25))
    states = [trial.state for trial in undisturbed]
    assert set(states) == {"finished", "pruned", "diverged"}
    for trial in undisturbed:
        assert (trial.state == "diverged") == (trial.value is None)
        assert trial.state == "diverged" or (trial.steps == STEPS) == (trial.state == "finished")
        assert isinstance(trial.values["network.c"], int)
    # Pruned: worse than the median of those that finished before, at the same step.
    for trial in (trial for trial in undisturbed if trial.state == "pruned"):
        finished = [
            t.value - STEPS for t in undisturbed[: trial.number] if t.state == "finished" and t.value is not None
        ]
        assert len(finished) >= 5
        assert trial.value is not None
        assert trial.value - trial.steps > np.median(finished)
    found = best(undisturbed)
    assert found is not None
    assert found.value == min(t.value for t in undisturbed if t.state == "finished" and t.value is not None)
    assert best([trial for trial in undisturbed if trial.state != "finished"]) is None


def test_a_search_that_is_stopped_at_any_step_ends_the_same(undisturbed: list[Trial], tmp_path: Path) -> None:
    steps = iter(range(10_000))

    def dying(number: int, values: Mapping[str, Value]) -> Iterator[float]:
        for mean in parabola(number, values):
            if next(steps) % 7 == 6:
                raise Killed
            yield mean

    for _ in range(100):
        try:
            Study(TUNE, "key", tmp_path).run(STEPS, dying, lambda _: None)
            break
        except Killed:
            # What a kill in the middle of a write would leave.
            with (tmp_path / JOURNAL).open("ab") as file:
                file.write(b'{"op_code":4,"work')
            (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    assert searched(tmp_path) == undisturbed


def test_more_trials_go_on_and_another_key_starts_anew(undisturbed: list[Trial], tmp_path: Path) -> None:
    fewer = searched(tmp_path, TUNE.model_copy(update={"trials": 7}))
    assert fewer == undisturbed[:7]
    other = TUNE.model_copy(update={"seed": 6, "trials": 3})
    assert searched(tmp_path, other, "other") != undisturbed[:3]
    assert searched(tmp_path) == undisturbed


# ---- a search over a run


def tune(config: Path, folder: Path, *changes: str) -> tuning.Tuned:
    return tuning.tune(family(config, *changes), folder=folder, base=config.parent, progress=quiet())


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "tune" / "trials.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def runs(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search that nobody disturbs in `whole`."""
    folder = tmp_path_factory.mktemp("runs")
    tune(config, folder / "whole")
    return folder


def test_what_it_leaves_behind(config: Path, runs: Path) -> None:
    found = rows(runs / "whole")
    assert [row["number"] for row in found] == list("01234")
    assert list(found[0]) == ["number", "state", "value", "folds", *family(config).experiment.tune.field]
    least = min(found, key=lambda row: float(row["value"]))
    chosen = load(runs / "whole" / "tune" / "best.toml")
    assert chosen.protocol.learning_rate == float(least["protocol.learning_rate"])
    assert chosen.network["gru"].encoder.hidden == int(least["network.gru.encoder.hidden"])
    assert chosen.tune is None
    expected = family(config).member(
        {
            "network.gru.encoder.hidden": chosen.network["gru"].encoder.hidden,
            "protocol.learning_rate": chosen.protocol.learning_rate,
        }
    )
    assert chosen == expected
    assert sorted(path.name for path in (runs / "whole" / "tune").iterdir()) == ["best.toml", JOURNAL, "trials.csv"]
    # No date was scored, and the trials' models are gone.
    assert not [
        path for path in runs.rglob("*") if path.suffix in (".safetensors", ".parquet") and "store" not in str(path)
    ]


def test_a_value_is_the_mean_of_the_best_validation_losses(runs: Path) -> None:
    """As a run of the best trial's config finds them; it then counts as scored on test dates, and the page says so."""
    experiment = load(runs / "whole" / "tune" / "best.toml")
    (store,) = (runs / "store").iterdir()
    before = Trials(store).read()
    assert [trial["scored"] for trial in before] == ["validation"] * 5
    assert str(before[3]["note"]).startswith("tiny: day; tune trial 3: network.gru.encoder.hidden=")
    pipeline.run(experiment, folder=runs / "run", base=runs, last="report", progress=quiet())
    losses = [json.loads(path.read_text())["best"]["valid_loss"] for path in (runs / "run" / "models").glob("*.json")]
    assert len(losses) == 2
    least = min(float(row["value"]) for row in rows(runs / "whole"))
    # The sum is taken in another order.
    assert np.mean(losses) == pytest.approx(least, rel=1e-12)
    after = Trials(store).read()
    assert sorted(str(trial["scored"]) for trial in after) == ["test"] + ["validation"] * 4
    assert [trial["fingerprint"] for trial in after] == [trial["fingerprint"] for trial in before]
    page = (runs / "run" / "report.html").read_text()
    assert "1 configuration tried on these dates and 4 more on validation dates alone." in page
    assert f"needs {threshold(5):.2f} errors" in page
    assert len(read_facts(runs / "run").configurations) == 5


def test_a_search_killed_after_two_trials_ends_the_same(config: Path, runs: Path) -> None:
    words = [word for change in SMALLER for word in ("--set", change)]
    command = [sys.executable, "-m", "polygrain", "tune", str(config), "--out", str(runs / "killed"), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        models = runs / "killed" / "tune" / "fits" / "2" / "models"
        # After the first of its two fits.
        while process.poll() is None and not list(models.glob("*.json")):
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(rows(runs / "killed")) == 2
    kept = {path: path.stat().st_mtime_ns for path in models.glob("*.safetensors")}
    assert len(kept) in (1, 2)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("trials.csv", "best.toml"):
        assert (runs / "killed" / "tune" / name).read_bytes() == (runs / "whole" / "tune" / name).read_bytes()
    least = min(rows(runs / "whole"), key=lambda row: float(row["value"]))
    assert again.stdout.splitlines() == [
        f"Best of 5 trials: {least['number']}, mean validation loss {float(least['value']):.6g}",
        f"--set network.gru.encoder.hidden={least['network.gru.encoder.hidden']} "
        f"--set protocol.learning_rate={least['protocol.learning_rate']}",
        f"Config: {(runs / 'killed' / 'tune' / 'best.toml').resolve()}",
    ]
    assert "tune 3 trials: 100%" in again.stderr


@pytest.mark.parametrize(("later", "same"), [(1, True), (0, False)])
def test_nothing_after_the_validation_dates_is_seen(
    config: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, later: int, same: bool
) -> None:
    """Spoil targets and features of every later day: the losses are the same bits; of one day more: they differ."""
    share = training.share

    def spoilt(market: training.Market, panels: Mapping[str, Path], folder: Path) -> training.Shared:
        found = share(market, panels, folder)
        first = max(fold.valid[-1] for fold in training.folds(market, 5)) + later
        copy = folder / panels["day"].name
        shutil.copy(panels["day"].with_suffix(".json"), copy.with_suffix(".json"))
        for old, new in ((found.targets[5], found.targets[5]), (panels["day"], copy)):
            values = np.load(old)
            assert first < len(values)
            values[first:] = 1e6
            np.save(new, values)
        return training.Shared(found.members, found.targets, {"day": copy})

    monkeypatch.setattr(training, "share", spoilt)
    folder = runs / f"spoilt{later}"
    tune(config, folder, "tune.trials=2")
    assert (rows(folder) == rows(runs / "whole")[:2]) == same


def test_another_field_is_another_search_and_more_trials_are_not(config: Path, runs: Path) -> None:
    shutil.copytree(runs / "whole", runs / "more")
    assert tune(config, runs / "more", "tune.trials=6").trials == 6
    assert rows(runs / "more")[:5] == rows(runs / "whole")
    assert tune(config, runs / "more", "tune.trials=1", "protocol.max_epochs=1").trials == 1
    assert tune(config, runs / "more", "tune.trials=5").trials == 6


def test_a_trial_that_diverges_does_not_end_the_search(config: Path, runs: Path) -> None:
    with pytest.raises(DataError, match=r"^tune: none of 2 trials finished: every loss diverged; lower the ranges$"):
        tune(config, runs / "wild", "tune.trials=2", "tune.field={'protocol.learning_rate'={choices=[1e30]}}")
    assert [(row["state"], row["value"], row["folds"]) for row in rows(runs / "wild")] == [("diverged", "", "0")] * 2


def test_a_search_sees_nothing_behind_the_lock_even_where_it_is_open(config: Path, runs: Path) -> None:
    locked = ("protocol.lock_after=2021-07-14", "tune.trials=1")
    tune(config, runs / "locked", *locked)
    experiment = family(config, *locked).experiment
    pipeline.run(experiment, folder=runs / "opened", base=runs, last="features", progress=quiet(), open_lock=True)
    tune(config, runs / "opened", *locked)
    assert rows(runs / "opened") == rows(runs / "locked")
    assert len(np.load(runs / "opened" / "samples" / "targets-5d.npy")) == len(
        np.load(runs / "locked" / "samples" / "targets-5d.npy")
    )


def test_a_list_of_configurations_from_before_searches_is_read(tmp_path: Path) -> None:
    old = {"fingerprint": "a", "first_run": "2026-01-04", "note": "tiny: day", "opened": "2026-01-05", "plugins": {}}
    (tmp_path / "trials.json").write_text(json.dumps([old]))
    trials = Trials(tmp_path)
    trials.add("b", {"first_run": "2026-02-01", "note": "trial 0"}, "validation")
    # One that was scored on test dates stays so, and one of a search that is scored there moves up in its place.
    trials.add("a", {"first_run": "2026-02-01", "note": "trial 1"}, "validation")
    trials.add("c", {"first_run": "2026-02-02", "note": "other"})
    trials.add("b", {"first_run": "2026-02-03", "note": "chosen"})
    found = [(each["fingerprint"], each["scored"], each["first_run"], each["note"]) for each in trials.read()]
    assert found == [
        ("a", "test", "2026-01-04", "tiny: day"),
        ("b", "test", "2026-02-01", "chosen"),
        ("c", "test", "2026-02-02", "other"),
    ]
    assert trials.is_opened("a")
