"""Scores of several seeds and folds against plain loops, block by block."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
import training_data

from polygrain.config import load
from polygrain.ensembles.attention import Attention
from polygrain.ensembles.ensemble import Known, Rule
from polygrain.errors import DataError
from polygrain.market.session import Session
from polygrain.pipeline.market import Market
from polygrain.pipeline.parquet import write_blocks
from polygrain.pipeline.score_files import SCHEMA, SEED_SCHEMA, read_panel, rows, score_keys, seed_keys, seed_rows
from polygrain.store.panel import Axes
from polygrain.training.checkpoint import save_tensors
from polygrain.training.folds import Fold
from polygrain.training.walk_forward import TrainTask, read_predictions

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
DAYS = [date(2025, 1, 6) + timedelta(i) for i in range(6)]
SYMBOLS = ["000001.SZ", "600000.SH", "600001.SH", "688001.SH"]
SEEDS = (1, 2, 3)
# The second fold's validation date is the first one's test date.
FOLDS = (Fold(number=0, train=(0,), valid=(1,), test=(2, 3)), Fold(number=1, train=(0, 1), valid=(3,), test=(4, 5)))
Scored = dict[tuple[str, str, int, int | None], dict[tuple[date, str], float]]


@pytest.fixture
def run(tmp_path: Path) -> tuple[Market, list[TrainTask]]:
    """Predictions of two models, two labels, two folds and three seeds; a stock is in U_t on some of the days."""
    changes = ["label.days=[5, 10]", "protocol.seeds=[1, 2, 3]"]
    experiment, rng = load(TINY, changes), np.random.default_rng(4)
    members = rng.random((len(DAYS), len(SYMBOLS))) < 0.8
    task, tasks = training_data.write(tmp_path), []
    for horizon in (5, 10):
        for model in ("day", "60min"):
            for fold in FOLDS:
                for seed in SEEDS:
                    changed = {"model": model, "label_days": horizon, "fold": fold, "seed": seed}
                    tasks.append(task.model_copy(update=changed | {"network": "the same"}))
                    days = (*fold.valid, *fold.test)
                    scores = np.where(members[list(days)], rng.normal(3, 2, (len(days), len(SYMBOLS))), np.nan)
                    tensors = {
                        "scores": torch.from_numpy(scores.astype(np.float32)),
                        "days": torch.tensor(days),
                        "test": torch.tensor([False, True, True]),
                    }
                    save_tensors(tasks[-1].predictions_file, tensors, "key")
    market = SimpleNamespace(
        experiment=experiment,
        session=Session(),
        store=SimpleNamespace(bar_days=DAYS, symbols=SYMBOLS),
        naive=SimpleNamespace(values=rng.standard_normal((8, 4))),
        bar_rows=np.arange(2, 8),
        score_days=DAYS,
    )
    return cast(Market, market), tasks


def z(values: dict[str, float]) -> dict[str, float]:
    mean = sum(values.values()) / len(values)
    std = (sum((v - mean) ** 2 for v in values.values()) / len(values)) ** 0.5
    return {name: (v - mean) / std if std else 0.0 for name, v in values.items()}


def mean_z(parts: list[dict[str, float]]) -> dict[str, float]:
    return z({name: sum(part[name] for part in parts) / len(parts) for name in parts[0]})


def slowly(tasks: list[TrainTask]) -> Scored:
    """Every score by loops: (segment, model, label, seed or None for the mean) → (date, symbol) → score."""
    by_date: dict[tuple[Any, ...], dict[str, float]] = {}
    for task in sorted(tasks, key=lambda t: t.fold.number):
        found = read_predictions(task.predictions_file)
        for day, test, line in zip(found.days, found.test, found.scores.tolist()):
            key = ("test" if test else "valid", task.model, task.label_days, task.seed, DAYS[day])
            by_date.setdefault(key, z({s: v for s, v in zip(SYMBOLS, line) if v == v}))
    for segment, _, horizon, seed, day in list(by_date):
        singles = [by_date[segment, model, horizon, seed, day] for model in ("day", "60min")]
        by_date[segment, "ensemble", horizon, seed, day] = mean_z(singles)
    for segment, model, horizon, _, day in list(by_date):
        if model != "ensemble":
            seeds = [by_date[segment, model, horizon, seed, day] for seed in SEEDS]
            by_date[segment, model, horizon, None, day] = mean_z(seeds)
    for segment, _, horizon, _, day in list(by_date):
        singles = [by_date[segment, model, horizon, None, day] for model in ("day", "60min")]
        by_date[segment, "ensemble", horizon, None, day] = mean_z(singles)
    scored: Scored = {}
    for (segment, model, horizon, seed, day), line in by_date.items():
        part = scored.setdefault((segment, model, horizon, seed), {})
        part.update({(day, symbol): value for symbol, value in line.items()})
    return scored


def told(frame: pl.DataFrame) -> Scored:
    scored: Scored = {}
    for line in frame.to_dicts():
        key = (line["segment"], line["model"], line["label_days"], line.get("seed"))
        scored.setdefault(key, {})[line["date"], line["symbol"]] = line["score"]
    return scored


def equal(made: Scored, expected: Scored) -> None:
    assert made.keys() == expected.keys()
    for key, part in expected.items():
        assert made[key] == pytest.approx(part, abs=2e-6), key


def test_scores_equal_plain_loops(run: tuple[Market, list[TrainTask]]) -> None:
    market, tasks = run
    expected = slowly(tasks)
    made = told(pl.concat(rows(market, tasks)))
    naive = made.pop(("test", "naive", 0, None))
    equal(made, {key: part for key, part in expected.items() if key[3] is None})
    equal(told(pl.concat(seed_rows(market, tasks))), {key: part for key, part in expected.items() if key[3]})
    # On the test dates alone, for all four stocks.
    lines = [z(dict(zip(SYMBOLS, line))) for line in market.naive.values[4:].tolist()]
    by_hand = {(day, symbol): value for day, line in zip(DAYS[2:], lines) for symbol, value in line.items()}
    assert naive == pytest.approx(by_hand, abs=2e-6)


def test_what_is_written_is_read_back(run: tuple[Market, list[TrainTask]], tmp_path: Path) -> None:
    market, tasks = run
    write_blocks(rows(market, tasks), SCHEMA, tmp_path / "scores.parquet")
    write_blocks(seed_rows(market, tasks), SEED_SCHEMA, tmp_path / "seed_scores.parquet")
    expected = slowly(tasks)
    keys = [(*key, None) for key in score_keys(tmp_path / "scores.parquet")]
    assert keys.pop() == ("naive", 0, None)
    keys += seed_keys(tmp_path / "seed_scores.parquet")
    assert len(keys) == 3 * 2 * (1 + len(SEEDS))
    for model, horizon, seed in keys:
        file = tmp_path / ("scores.parquet" if seed is None else "seed_scores.parquet")
        part = expected["test", model, horizon, seed]
        plain = [[part.get((day, symbol), np.nan) for symbol in SYMBOLS] for day in DAYS]
        panel = read_panel(file, Axes(tuple(DAYS), tuple(SYMBOLS)), model, horizon, seed)
        np.testing.assert_allclose(panel, plain, atol=2e-6)


def test_an_ensemble_learns_from_its_folds_validation_dates(
    run: tuple[Market, list[TrainTask]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And from its own fold's scores of them: the second fold's validation date is the first one's test date."""
    market, tasks = run
    tasks = [task for task in tasks if task.label_days == 5 and task.seed == 1]
    targets = np.random.default_rng(2).normal(size=(len(DAYS), len(SYMBOLS)))
    np.save(tasks[0].targets, targets)
    experiment = load(TINY, ["ensemble={ learnt = { kind = 'attention' } }"])
    market = cast(Market, SimpleNamespace(**{**vars(market), "experiment": experiment}))
    seen: list[Known] = []

    def rule(self: Attention, known: Known) -> Rule:
        seen.append(known)
        return lambda members: members.score_MDS[0]

    monkeypatch.setattr(Attention, "rule", rule)
    made = told(pl.concat(seed_rows(market, tasks)))
    for known, fold in zip(seen, FOLDS, strict=True):
        np.testing.assert_array_equal(known.target_DS, targets[list(fold.valid)])
        for model, z_DS in zip(("day", "60min"), known.members.score_MDS, strict=True):
            (task,) = (t for t in tasks if (t.model, t.fold) == (model, fold))
            line = read_predictions(task.predictions_file).scores[0].tolist()
            by_hand = z({symbol: value for symbol, value in zip(SYMBOLS, line) if value == value})
            there = {symbol: value for symbol, value in zip(SYMBOLS, z_DS[0]) if value == value}
            assert there == pytest.approx(by_hand, abs=2e-6)
    # No scores on the dates that it learnt from.
    assert ("valid", "learnt", 5, 1) not in made
    assert {day for day, _ in made["test", "learnt", 5, 1]} == {day for day, _ in made["test", "day", 5, 1]}


def test_nothing_to_learn_from_is_said(run: tuple[Market, list[TrainTask]]) -> None:
    market, tasks = run
    tasks = [task for task in tasks if task.label_days == 5 and task.seed == 1]
    np.save(tasks[0].targets, np.full((len(DAYS), len(SYMBOLS)), np.nan))
    experiment = load(TINY, ["ensemble={ learnt = { kind = 'attention' } }"])
    market = cast(Market, SimpleNamespace(**{**vars(market), "experiment": experiment}))
    with pytest.raises(DataError, match=r"^ensemble attention: day, 60min have no validation date .*protocol.valid"):
        list(seed_rows(market, tasks))


def test_an_ensemble_over_labels_is_the_mean_of_their_models(run: tuple[Market, list[TrainTask]]) -> None:
    market, tasks = run
    experiment = load(TINY, ["label.days=[5, 10]", "ensemble={ both = { kind = 'mean', labels = [5, 10] } }"])
    market = cast(Market, SimpleNamespace(**{**vars(market), "experiment": experiment}))
    made = told(pl.concat(rows(market, tasks)))
    expected = slowly(tasks)
    for day in DAYS[2:]:
        members = [
            {symbol: value for (date_, symbol), value in expected["test", model, days, None].items() if date_ == day}
            for days in (5, 10)
            for model in ("day", "60min")
        ]
        found = {symbol: value for (date_, symbol), value in made["test", "both", 0, None].items() if date_ == day}
        assert found == pytest.approx(mean_z(members), abs=2e-6)


def test_one_network_and_label_at_a_time(run: tuple[Market, list[TrainTask]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is there before the next group's predictions are read."""
    market, tasks = run
    read: list[Path] = []
    monkeypatch.setattr(
        "polygrain.pipeline.scoring.read_predictions", lambda path: (read.append(path), read_predictions(path))[1]
    )
    blocks = seed_rows(market, tasks)
    next(blocks)
    # Two models and two folds of the first seed at the first label.
    assert len(read) == 4
    assert {path.name.split("-")[1] for path in read} == {"5d"}
