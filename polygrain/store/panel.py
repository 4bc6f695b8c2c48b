"""Panels: dense arrays over (time, symbol[, feature]) that share their axes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[Any]
_COLUMNS = 256


@dataclass(frozen=True)
class Axes:
    """What the rows and columns of a panel stand for: row = day number × bars + bar number, column = symbol.

    `days` are trading days in order, `bars` the rows of one day, `symbols` sorted text such as 600000.SH.
    """

    days: tuple[date, ...]
    symbols: tuple[str, ...]
    bars: int = 1

    @property
    def rows(self) -> int:
        """Days × bars."""
        return len(self.days) * self.bars

    @cached_property
    def dates(self) -> Array:
        """The days as datetime64[D]."""
        return np.array(self.days, dtype="datetime64[D]")

    @cached_property
    def day_number(self) -> dict[date, int]:
        """Number of each day."""
        return {day: i for i, day in enumerate(self.days)}

    @cached_property
    def symbol_number(self) -> dict[str, int]:
        """Column of each symbol."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}


@dataclass(frozen=True)
class Panel:
    """A dense array [rows, symbols] or [rows, symbols, features] with its axes; what is missing is NaN."""

    axes: Axes
    values: Array
    features: tuple[str, ...] = ()


def from_table(frame: pl.DataFrame | pl.LazyFrame, column: str, axes: Axes) -> Array:
    """A numeric column of a table (date, symbol, …) as float64 [days, symbols]; NaN where the table has no row.

    Rows of other days or symbols are left out. A lazy table's text is never in memory as a whole.
    """
    placed = (
        frame.lazy()
        .select(
            day=pl.col("date").replace_strict(axes.day_number, default=None, return_dtype=pl.Int32),
            symbol=pl.col("symbol").replace_strict(axes.symbol_number, default=None, return_dtype=pl.Int32),
            value=pl.col(column),
        )
        .drop_nulls()
        # The streaming engine would hold a third more.
        .collect(engine="in-memory")
    )
    values = np.full((len(axes.days), len(axes.symbols)), np.nan)
    values[placed["day"].to_numpy(), placed["symbol"].to_numpy()] = placed["value"].to_numpy()
    return values


def carried(values: Array) -> Array:
    """`values` [rows, columns] with NaN replaced by the last value above it in the same column."""
    rows = np.arange(values.shape[0])[:, None]
    source = np.maximum.accumulate(np.where(np.isnan(values), 0, rows), axis=0)
    filled: Array = np.take_along_axis(values, source, axis=0)
    return filled


def trailing_mean(values: Array, rows: int, least: int) -> Array:
    """Mean of the finite values among the last `rows` rows, this one included; NaN where they are fewer than `least`.

    What is added up in which order depends on `rows` alone: a running total would carry the rounding of rows long past.
    """
    means = np.empty(values.shape)
    # Some columns at a time: the sums of all would take six times the memory of what they are of.
    for start in range(0, values.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        present = np.isfinite(values[:, columns])
        total = _trailing_sum(np.where(present, values[:, columns], 0.0), rows)
        count = _trailing_sum(present.astype(np.int16), rows)
        means[:, columns] = np.where(count >= least, total / np.maximum(count, 1), np.nan)
    return means


def _trailing_sum(values: Array, rows: int) -> Array:
    """Sum of the last `rows` rows, rows before the first being 0; put together from sums of 1, 2, 4 … rows."""
    total, part, done, width = np.zeros_like(values), values, 0, 1
    while done < rows:
        if rows & width:
            total[done:] += part[: max(len(values) - done, 0)]
            done += width
        longer = part.copy()
        longer[width:] += part[:-width]
        part, width = longer, 2 * width
    return total


def interval(axes: Axes, start: date, end: date | None) -> slice:
    """The rows of a daily panel from the day `start` to the day `end`, both included; None is the end of the axes."""
    first = int(np.searchsorted(axes.dates, np.datetime64(start), "left"))
    last = len(axes.days) if end is None else int(np.searchsorted(axes.dates, np.datetime64(end), "right"))
    return slice(first, last)
