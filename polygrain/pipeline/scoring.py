"""The score stage: predictions of all folds and seeds → one z-score per date, symbol, model and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.pipeline.market import Market
from polygrain.pipeline.training import coarse_to_fine
from polygrain.samples.labels import standardise
from polygrain.store.commit import commit
from polygrain.store.panel import Array
from polygrain.training.walk_forward import TrainTask, read_predictions

NAIVE = "naive"
SEGMENTS = ("valid", "test")
Key = tuple[str, int]


@dataclass
class Scores:
    """Per (model, label_days) and segment z-scores float32 [days with bars, symbols] over U_t, NaN elsewhere."""

    valid: dict[Key, Array] = field(default_factory=dict)
    test: dict[Key, Array] = field(default_factory=dict)

    def segment(self, name: str) -> dict[Key, Array]:
        return self.valid if name == "valid" else self.test


def by_seed(tasks: Sequence[TrainTask], shape: tuple[int, int]) -> dict[int, Scores]:
    """Per seed the scores of every model: test blocks tile the test span; a validation date is its first fold's."""
    seeds: dict[int, Scores] = {}
    for task in sorted(tasks, key=lambda t: t.fold.number):
        predicted = read_predictions(task.predictions_file)
        scores = seeds.setdefault(task.seed, Scores())
        z = standardise(predicted.scores.astype(np.float64)).astype(np.float32)
        for segment, wanted in (("valid", False), ("test", True)):
            panel = scores.segment(segment).setdefault(
                (task.model, task.label_days), np.full(shape, np.nan, np.float32)
            )
            for row, (day, test) in enumerate(zip(predicted.days, predicted.test)):
                if test == wanted and np.isnan(panel[day]).all():
                    panel[day] = z[row]
    return seeds


def average(panels: Iterable[Array]) -> Array:
    """The mean of z-scores, z-scored again per date."""
    total, count = np.zeros(()), 0
    for panel in panels:
        total, count = total + panel.astype(np.float64), count + 1
    return np.asarray(standardise(total / count), dtype=np.float32)


def all_scores(market: Market, seeds: Mapping[int, Scores]) -> Scores:
    """Seeds averaged, then the ensembles of every network that can have them and label, then the naive composite."""
    result = Scores()
    names = [g.name for g in coarse_to_fine(market)]
    first = next(iter(seeds.values()))
    for segment in SEGMENTS:
        scores = result.segment(segment)
        for key in first.segment(segment):
            scores[key] = average(seed.segment(segment)[key] for seed in seeds.values())
        for network in market.experiment.network.values():
            alone = network.alone(names)
            for stem, ensemble in market.experiment.ensemble.items() if alone else ():
                for horizon in market.experiment.label.days:
                    singles = {name: scores[alone[name], horizon].astype(np.float64) for name in names}
                    combined = standardise(ensemble.combine(singles))
                    scores[network.named(stem), horizon] = combined.astype(np.float32)
    covered = np.isfinite(next(iter(result.test.values()))).any(axis=1)
    naive = standardise(market.naive.values)[market.bar_rows].astype(np.float32)
    naive[~covered] = np.nan
    result.test[NAIVE, 0] = naive
    return result


def table(market: Market, scores: Scores) -> pl.DataFrame:
    """scores.parquet: segment, model, label_days, date, symbol, score; one row per stock of U_t."""
    return pl.concat(
        [
            _long(market, panel).select(
                pl.lit(segment).alias("segment"),
                pl.lit(model).alias("model"),
                pl.lit(horizon, pl.Int32).alias("label_days"),
                "date",
                "symbol",
                "score",
            )
            for segment in SEGMENTS
            for (model, horizon), panel in scores.segment(segment).items()
        ]
    )


def seed_table(market: Market, seeds: Mapping[int, Scores]) -> pl.DataFrame:
    """seed_scores.parquet: the same rows with a seed."""
    return pl.concat(
        [
            table(market, scores).with_columns(pl.lit(seed, pl.Int32).alias("seed"))
            for seed, scores in sorted(seeds.items())
        ]
    )


def _long(market: Market, panel: Array) -> pl.DataFrame:
    row, column = np.nonzero(np.isfinite(panel))
    days = pl.Series("date", market.store.bar_days, dtype=pl.Date)
    symbols = pl.Series("symbol", market.store.symbols)
    return pl.DataFrame({"date": days.gather(row), "symbol": symbols.gather(column), "score": panel[row, column]})


def read_scores(path: Path, market: Market) -> dict[Key, Array]:
    """The test scores of scores.parquet as panels float32 [days with bars, symbols]."""
    frame = pl.read_parquet(path).filter(pl.col("segment") == "test")
    days = np.array(market.store.bar_days, dtype="datetime64[D]")
    number = {symbol: i for i, symbol in enumerate(market.store.symbols)}
    panels: dict[Key, Array] = {}
    for (model, horizon), part in frame.partition_by("model", "label_days", as_dict=True, include_key=False).items():
        panel = np.full((len(days), len(number)), np.nan, np.float32)
        row = np.searchsorted(days, part["date"].to_numpy())
        column = part["symbol"].replace_strict(number, return_dtype=pl.Int32).to_numpy()
        panel[row, column] = part["score"].to_numpy()
        panels[str(model), int(horizon)] = panel
    return panels


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Commit a frame as Parquet; equal frames are equal bytes."""
    commit(path, lambda temporary: frame.write_parquet(temporary, compression="zstd", statistics=False))
