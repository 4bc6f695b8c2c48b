"""Score files: scores.parquet and seed_scores.parquet, written block by block and read back as panels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from polygrain.pipeline.market import Market
from polygrain.pipeline.scoring import (
    NAIVE,
    SEGMENTS,
    FoldScores,
    Key,
    Scores,
    averaged,
    label_members,
    naive_scores,
    over_labels,
    predicted,
    scored_days,
    tiled,
    with_ensembles,
)
from polygrain.store.panel import Array, Axes, from_table
from polygrain.training.walk_forward import TrainTask

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


def rows(market: Market, tasks: Sequence[TrainTask]) -> Iterator[pl.DataFrame]:
    """scores.parquet, a block per segment, model and label: seeds averaged, the ensembles, then the naive composite.

    At any time the models of one network and label are in memory, however many of both and of seeds there are; and
    those of its other labels where an ensemble is over labels.
    """
    covered = np.zeros(len(market.store.bar_days), bool)
    for labels in _by_network(tasks):
        folds = ((days, averaged(map(predicted, seeds.values()))) for days, seeds in labels.items())
        for scores in _scored(market, folds, labels):
            covered = scored_days(scores)
            yield from _blocks(market, scores)
    yield from _blocks(market, Scores(test={(NAIVE, 0): naive_scores(market, covered)}))


def seed_rows(market: Market, tasks: Sequence[TrainTask]) -> Iterator[pl.DataFrame]:
    """seed_scores.parquet in the same way, a block per seed too: every seed's models and the ensembles of them."""
    for labels in _by_network(tasks):
        for seed in next(iter(labels.values())):
            folds = ((days, predicted(seeds[seed])) for days, seeds in labels.items())
            for scores in _scored(market, folds, labels):
                for block in _blocks(market, scores):
                    yield block.with_columns(pl.lit(seed, pl.Int32).alias("seed"))


_Labels = dict[int, dict[int, list[TrainTask]]]


def _by_network(tasks: Sequence[TrainTask]) -> list[_Labels]:
    """Per network its tasks by label and seed, in the order of the tasks."""
    groups: dict[str, _Labels] = {}
    for task in tasks:
        labels = groups.setdefault(task.network, {})
        labels.setdefault(task.label_days, {}).setdefault(task.seed, []).append(task)
    return list(groups.values())


def _scored(market: Market, found: Iterable[tuple[int, list[FoldScores]]], labels: _Labels) -> Iterator[Scores]:
    """One network's scores, label by label with the ensembles of each, then the ensembles over labels."""
    wanted = {key for keys in label_members(market).values() for key in keys}
    kept = Scores()
    for label_days, folds in found:
        (task, *_), *_ = labels[label_days].values()
        targets = np.load(task.targets, mmap_mode="r", allow_pickle=False)
        shape = len(market.store.bar_days), len(market.store.symbols)
        scores = tiled(with_ensembles(market, folds, targets), label_days, shape)
        yield scores
        for segment in SEGMENTS:
            panels = scores.segment(segment)
            kept.segment(segment).update({key: panels[key] for key in wanted & set(panels)})
    over = over_labels(market, kept)
    if over.test:
        yield over


def _blocks(market: Market, scores: Scores) -> Iterator[pl.DataFrame]:
    """A block per segment and key."""
    for segment in SEGMENTS:
        for (model, horizon), panel in scores.segment(segment).items():
            yield block(market, segment, model, horizon, panel)


def block(market: Market, segment: str, model: str, horizon: int, panel: Array) -> pl.DataFrame:
    """One score's rows, one per day and stock of U_t, in the panel's precision."""
    row, column = np.nonzero(np.isfinite(panel))
    return pl.select(
        segment=pl.lit(segment),
        model=pl.lit(model),
        label_days=pl.lit(horizon, pl.Int32),
        date=pl.Series("date", market.score_days, dtype=pl.Date).gather(row),
        symbol=pl.Series("symbol", market.store.symbols).gather(column),
        score=pl.Series(panel[row, column]),
    )


def score_keys(path: Path) -> list[Key]:
    """(model, label_days) of the test scores of scores.parquet."""
    return list(_keys(path, "model", "label_days"))


def seed_keys(path: Path) -> list[tuple[str, int, int]]:
    """(model, label_days, seed) of the test scores of seed_scores.parquet."""
    return list(_keys(path, "model", "label_days", "seed"))


def _keys(path: Path, *names: str) -> Iterator[tuple[Any, ...]]:
    return _test(path).select(names).unique(maintain_order=True).collect(engine="streaming").iter_rows()


def score_dates(path: Path, model: str, label_days: int) -> list[date]:
    """The dates of one test score of scores.parquet, in order."""
    rows = _test(path).filter(pl.col("model") == model, pl.col("label_days") == label_days)
    return list(rows.select(pl.col("date").unique().sort()).collect()["date"])


def read_panel(path: Path, axes: Axes, model: str, label_days: int, seed: int | None = None) -> Array:
    """One test score of such a file as a panel float64 [days, symbols]."""
    wanted = {"model": model, "label_days": label_days, **({} if seed is None else {"seed": seed})}
    rows = _test(path).filter(*(pl.col(name) == value for name, value in wanted.items()))
    return from_table(rows, "score", axes)


def _test(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path).filter(pl.col("segment") == "test")
