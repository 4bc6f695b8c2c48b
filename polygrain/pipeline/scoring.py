"""The score stage: predictions of all folds and seeds → one z-score per date, symbol, model and label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from polygrain.pipeline.market import Market
from polygrain.pipeline.training import coarse_to_fine
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array, Axes, from_table
from polygrain.training.walk_forward import TrainTask, read_predictions

NAIVE = "naive"
SEGMENTS = ("valid", "test")
SCHEMA = pl.Schema(
    {
        "segment": pl.String,
        "model": pl.String,
        "label_days": pl.Int32,
        "date": pl.Date,
        "symbol": pl.String,
        "score": pl.Float32,
    }
)
SEED_SCHEMA = pl.Schema(SCHEMA | {"seed": pl.Int32})
Key = tuple[str, int]


@dataclass
class Scores:
    """Per (model, label_days) and segment z-scores float32 [days with bars, symbols] over U_t, NaN elsewhere."""

    valid: dict[Key, Array] = field(default_factory=dict)
    test: dict[Key, Array] = field(default_factory=dict)

    def segment(self, name: str) -> dict[Key, Array]:
        return self.valid if name == "valid" else self.test


def predicted(tasks: Sequence[TrainTask], shape: tuple[int, int]) -> Scores:
    """The scores of one seed's models: test blocks tile the test span; a validation date is its first fold's."""
    scores = Scores()
    for task in sorted(tasks, key=lambda t: t.fold.number):
        found = read_predictions(task.predictions_file)
        z = standardise(found.scores.astype(np.float64)).astype(np.float32)
        for segment, wanted in (("valid", False), ("test", True)):
            panel = scores.segment(segment).setdefault(
                (task.model, task.label_days), np.full(shape, np.nan, np.float32)
            )
            for row, (day, test) in enumerate(zip(found.days, found.test)):
                if test == wanted and np.isnan(panel[day]).all():
                    panel[day] = z[row]
    return scores


def averaged(seeds: Iterable[Scores]) -> Scores:
    """The mean over seeds of z-scores, z-scored again per date; holds one seed at a time."""
    totals: dict[str, dict[Key, Array]] = {segment: {} for segment in SEGMENTS}
    count = 0
    for scores in seeds:
        count += 1
        for segment, total in totals.items():
            for key, panel in scores.segment(segment).items():
                total[key] = total.get(key, np.zeros(())) + panel.astype(np.float64)
    return Scores(
        *(
            {key: standardise(panel / count).astype(np.float32) for key, panel in totals[segment].items()}
            for segment in SEGMENTS
        )
    )


def with_ensembles(market: Market, scores: Scores) -> Scores:
    """The scores, and behind them the ensembles of every network and label whose models are among them."""
    names = [g.name for g in coarse_to_fine(market)]
    result = Scores(dict(scores.valid), dict(scores.test))
    for segment in SEGMENTS:
        found = result.segment(segment)
        for network in market.experiment.network.values():
            alone = network.alone(names)
            for stem, ensemble in market.experiment.ensemble.items() if alone else ():
                for horizon in market.experiment.label.days:
                    if (alone[names[0]], horizon) in found:
                        singles = {name: found[alone[name], horizon].astype(np.float64) for name in names}
                        combined = standardise(ensemble.combine(singles))
                        found[network.named(stem), horizon] = combined.astype(np.float32)
    return result


def naive_scores(market: Market, covered: Array) -> Array:
    """The naive composite's z-scores float32 [days with bars, symbols] on the days `covered`."""
    naive: Array = standardise(market.naive.values)[market.bar_rows].astype(np.float32)
    naive[~covered] = np.nan
    return naive


def scored_days(scores: Scores) -> Array:
    """Which days have test scores, bool [days with bars]: the same ones for every model."""
    return np.asarray(np.isfinite(next(iter(scores.test.values()))).any(axis=1))


def rows(market: Market, tasks: Sequence[TrainTask]) -> Iterator[pl.DataFrame]:
    """scores.parquet, a block per segment, model and label: seeds averaged, the ensembles, then the naive composite.

    At any time the models of one network and label are in memory, however many of both and of seeds there are.
    """
    covered = np.zeros(len(market.store.bar_days), bool)
    for seeds in _by_network(tasks):
        scores = with_ensembles(market, averaged(predicted(part, _shape(market)) for part in seeds.values()))
        covered = scored_days(scores)
        yield from _blocks(market, scores)
    yield from _blocks(market, Scores(test={(NAIVE, 0): naive_scores(market, covered)}))


def seed_rows(market: Market, tasks: Sequence[TrainTask]) -> Iterator[pl.DataFrame]:
    """seed_scores.parquet in the same way, a block per seed too: every seed's models and the ensembles of them."""
    for seeds in _by_network(tasks):
        for seed, part in seeds.items():
            for block in _blocks(market, with_ensembles(market, predicted(part, _shape(market)))):
                yield block.with_columns(pl.lit(seed, pl.Int32).alias("seed"))


def _by_network(tasks: Sequence[TrainTask]) -> list[dict[int, list[TrainTask]]]:
    """Per label and network its tasks by seed, in the order of the tasks."""
    groups: dict[tuple[int, str], dict[int, list[TrainTask]]] = {}
    for task in tasks:
        groups.setdefault((task.label_days, task.network), {}).setdefault(task.seed, []).append(task)
    return list(groups.values())


def _shape(market: Market) -> tuple[int, int]:
    return len(market.store.bar_days), len(market.store.symbols)


def _blocks(market: Market, scores: Scores) -> Iterator[pl.DataFrame]:
    """One row per stock of U_t, a block per segment and key."""
    days = pl.Series("date", market.store.bar_days, dtype=pl.Date)
    symbols = pl.Series("symbol", market.store.symbols)
    for segment in SEGMENTS:
        for (model, horizon), panel in scores.segment(segment).items():
            row, column = np.nonzero(np.isfinite(panel))
            yield pl.select(
                segment=pl.lit(segment),
                model=pl.lit(model),
                label_days=pl.lit(horizon, pl.Int32),
                date=days.gather(row),
                symbol=symbols.gather(column),
                score=pl.Series(panel[row, column], dtype=pl.Float32),
            )


def read_scores(path: Path, market: Market) -> dict[Key, Array]:
    """The test scores of scores.parquet as panels float32 [days with bars, symbols]."""
    return {(model, horizon): panel for (model, horizon), panel in _panels(path, market, ("model", "label_days"))}


def read_seed_scores(path: Path, market: Market) -> Iterator[tuple[int, Key, Array]]:
    """The test scores of seed_scores.parquet (seed, (model, label_days), panel), one panel at a time."""
    for (model, horizon, seed), panel in _panels(path, market, ("model", "label_days", "seed")):
        yield seed, (model, horizon), panel


def _panels(path: Path, market: Market, key: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], Array]]:
    axes = Axes(tuple(market.store.bar_days), tuple(market.store.symbols))
    test = pl.scan_parquet(path).filter(pl.col("segment") == "test")
    for values in test.select(key).unique(maintain_order=True).collect(engine="streaming").iter_rows():
        wanted = [pl.col(name) == value for name, value in zip(key, values)]
        part = test.filter(*wanted).select("date", "symbol", "score").collect()
        yield values, from_table(part, "score", axes).astype(np.float32)
