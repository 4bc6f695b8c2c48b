"""Rows: where the base bars of each stock-day lie in a month's sorted table, its columns read as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl

from polygrain.store.panel import Array

VALUES = ("open", "high", "low", "close", "volume", "amount")

# The names of the columns asked for, as a frame.
Read = Callable[[Sequence[str]], pl.DataFrame]


def numbers(days: Sequence[date]) -> Array:
    """Days as whole numbers, for searching among them."""
    return np.array(days, dtype="datetime64[D]").astype(np.int64)


@dataclass(frozen=True)
class BarRows:
    """A month's base bars, sorted by date, symbol, bar: the rows `start[d, s]` to `start[d, s] + count[d, s]` are those
    of day number d, one of `days`, and symbol number s; `bar` is every row's bar number."""

    days: tuple[date, ...]
    start: Array
    count: Array
    bar: Array
    _read: Read
    _columns: dict[str, Array] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def column(self, name: str) -> Array:
        """A column's values [rows]; decoded once, when it is first asked for. `asked` collects the names."""
        self.asked.add(name)
        if name not in self._columns:
            self._columns[name] = self._read([name])[name].to_numpy()
        return self._columns[name]

    def keep(self, names: Collection[str]) -> None:
        """Forget the decoded columns but these."""
        for name in set(self._columns) - set(names):
            del self._columns[name]

    def lay_out(self, day: int, stocks: Array, wanted: Array, bars: int) -> DayCells:
        """A day's rows over `bars` × the symbol numbers `stocks`, those alone that are `wanted`; one at least has
        rows."""
        count = np.where(wanted, self.count[day, stocks], 0)
        column = np.flatnonzero(count)
        start, count = self.start[day, stocks[column]], count[column]
        rows = slice(int(start.min()), int((start + count).max()))
        row, bar = np.arange(count.sum()), self.bar[rows]
        if len(bar) > len(row):
            row += np.repeat(start - rows.start - (np.cumsum(count) - count), count)
            bar = bar[row]
        cells = np.full((bars, len(stocks)), -1)
        cells.reshape(-1)[np.multiply(bar, len(stocks), dtype=np.int64) + np.repeat(column, count)] = row
        if len(row) == np.count_nonzero(wanted) * bars:
            return DayCells(self, rows, cells, np.empty(0, np.int64))
        absent = np.flatnonzero((cells < 0) & wanted)
        # Faster than accumulate, which runs down the stocks one by one.
        for before, now in pairwise(cells):
            np.maximum(before, now, out=now)
        return DayCells(self, rows, cells, absent)


@dataclass(frozen=True)
class DayCells:
    """A day's base bars in a month's table: `cells` [bars, stocks] say which of the table's `rows` each is, one that
    it lacks the one before it, −1 before the first; `absent` numbers the cells that it lacks of stocks that trade."""

    month: BarRows
    rows: slice
    cells: Array
    absent: Array

    def put(self, name: str, out: Array) -> None:
        """Write a column's values to `out` [bars, stocks]; those of stocks without rows, and before a first bar, mean
        nothing."""
        values = self.month.column(name)[self.rows]
        values.astype(float, copy=False).take(self.cells, mode="clip", out=out)


def locate(read: Read, symbols: Sequence[str], names: Sequence[str] = ()) -> BarRows:
    """The rows of a table that `read` gives columns of, sorted by date, symbol and bar, its symbols among `symbols`.

    The columns `names` are decoded at once, which is faster than one after the other.
    """
    keys = read(["date", "symbol", "bar", *names])
    same = [pl.col(name) == pl.col(name).shift(1) for name in ("date", "symbol")]
    first = keys.select(pl.all_horizontal(same).not_().fill_null(True).arg_true()).to_series()
    runs = keys.select("date", "symbol")[first]
    days = runs["date"].unique().sort()
    day = np.searchsorted(days.to_physical().to_numpy(), runs["date"].to_physical().to_numpy())
    stock = runs["symbol"].cast(pl.Enum(symbols)).to_physical().to_numpy()
    start, count = (np.zeros((len(days), len(symbols)), np.int64) for _ in range(2))
    start[day, stock] = first.to_numpy()
    count[day, stock] = np.diff(first.to_numpy(), append=len(keys))
    return BarRows(
        tuple(days.to_list()), start, count, keys["bar"].to_numpy(), read, {n: keys[n].to_numpy() for n in names}
    )
