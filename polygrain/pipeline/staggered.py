"""Staggered: portfolios that start a day apart, each with an equal part of the capital, as one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import polars as pl

from polygrain.pipeline.holding import SCHEMAS, TAGS, HoldTask
from polygrain.store.panel import Array

TRACKS = {
    "tracks": pl.Schema(
        {**TAGS, "track": pl.Int32, "date": pl.Date, **dict.fromkeys(("gross", "net", "benchmark"), pl.Float64)}
    )
}


def staggered(tasks: Sequence[HoldTask]) -> list[list[HoldTask]]:
    """The tasks portfolio by portfolio, the tracks of each in order."""
    return [list(group) for _, group in groupby(tasks, key=lambda task: (task.portfolio, task.model, task.label_days))]


def rows(tracks: Sequence[HoldTask], table: str) -> pl.DataFrame:
    """A table's rows of one portfolio, of all tracks by date; of nav those of the whole."""
    parts = [pl.read_parquet(track.part(table)) for track in tracks]
    if len(parts) == 1:
        return parts[0]
    return _whole(parts) if table == "nav" else pl.concat(parts).sort("date", maintain_order=True)


def track_rows(tracks: Sequence[HoldTask]) -> pl.DataFrame:
    """Rows of tracks.parquet: each track's NAV, 1 where it starts."""
    parts = [
        pl.read_parquet(track.part("nav")).with_columns(track=pl.lit(number, pl.Int32))
        for number, track in enumerate(tracks)
    ]
    return pl.concat(parts).select(list(TRACKS["tracks"]))


def padded(values: Array, days: int, before: float) -> Array:
    """Values at the last of so many days, and that value on those before it."""
    return np.concatenate([np.full(days - len(values), before), values])


def _whole(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """nav.parquet's rows of the tracks together, from the day before the first fill of any.

    A track is cash until it starts. NAVs are means over tracks; cash and turnover are fractions of the whole, turnover
    of its worth at the close before.
    """
    first = parts[0]
    panels = {
        name: np.stack([padded(part[name].to_numpy(), first.height, 1.0) for part in parts])
        for name in ("gross", "net", "cash")
    }
    traded = np.stack([padded(part["turnover"].fill_null(np.nan).to_numpy(), first.height, np.nan) for part in parts])
    gross = panels["gross"]
    before = np.concatenate([np.ones((len(parts), 1)), gross[:, :-1]], axis=1)
    turnover = np.where(np.isnan(traded), 0.0, traded * before).sum(axis=0) / before.sum(axis=0)
    return first.with_columns(
        gross=pl.Series(gross.mean(axis=0)),
        net=pl.Series(panels["net"].mean(axis=0)),
        cash=pl.Series((panels["cash"] * gross).sum(axis=0) / gross.sum(axis=0)),
        turnover=pl.Series(np.where(np.isnan(traded).all(axis=0), np.nan, turnover)).fill_nan(None),
    ).select(list(SCHEMAS["nav"]))
