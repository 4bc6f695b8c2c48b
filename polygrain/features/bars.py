"""Bars: what a feature sees of one granularity, its bars as arrays with the base bars inside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from polygrain.features.grid import Grid, ratio
from polygrain.market.session import DAYS_A_WEEK
from polygrain.store.panel import Array

# Sums are rolled up through these minutes whatever the run's granularities are, so that a sum's bits do not depend on
# what else is computed.
_CHAIN = (5, 15, 30, 60)

_TERMS: dict[str, Callable[[Grid], Array]] = {
    "r": lambda g: g.r,
    "abs_r": lambda g: np.abs(g.r),
    "r2": lambda g: g.r * g.r,
    "r3": lambda g: g.r * g.r * g.r,
    "r4": lambda g: (g.r * g.r) * (g.r * g.r),
    "down_r2": lambda g: g.r * g.r * (g.r < 0),
    "a": lambda g: g.amount,
    "a2": lambda g: g.amount * g.amount,
    "ar": lambda g: g.amount * g.r,
    "v": lambda g: g.volume,
}


def add_up(values: Array) -> Array:
    """Sum over axis 1 from its first entry to its last: one order, and one result, whatever the other axes are."""
    out = values[:, 0].copy()
    for j in range(1, values.shape[1]):
        out += values[:, j]
    return np.asarray(out)


def _padded(values: Array, length: int) -> Array:
    """`values` [days, n, stocks] lengthened along axis 1 by zeros."""
    missing = length - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing), (0, 0))) if missing else values


class Totals:
    """Sums over base bars, each computed once and rolled up from short bars to long ones.

    Names: r abs_r r2 r3 r4 down_r2 a a2 ar v, for r, |r|, r², r³, r⁴, r²·1[r<0], a, a², a·r, v.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._known: dict[tuple[str, int], Array] = {}
        base, day = grid.base_minutes, grid.session_minutes
        self._lengths = [base]
        for minutes in (*_CHAIN, day):
            if minutes > self._lengths[-1] and minutes % self._lengths[-1] == 0 and day % minutes == 0:
                self._lengths.append(minutes)

    def at(self, name: str, minutes: int) -> Array:
        """[days, bars, stocks] at a bar length; NaN where a stock did not trade."""
        if (name, minutes) not in self._known:
            self._known[name, minutes] = self._sum(name, minutes)
        return self._known[name, minutes]

    def _sum(self, name: str, minutes: int) -> Array:
        if minutes == self.grid.base_minutes:
            return _TERMS[name](self.grid)
        below = max(length for length in self._lengths if length < minutes and minutes % length == 0)
        parts = self.at(name, below)
        each, bars = minutes // below, -(-self.grid.session_minutes // minutes)
        parts = _padded(parts, bars * each)
        return add_up(parts.reshape(-1, each, parts.shape[2])).reshape(-1, bars, parts.shape[2])


class Bars(ABC):
    """The bars of one granularity, stocks last: [bars] = [days × bars a day]; NaN where a stock did not trade.

    Everything is in the raw yuan and shares of the bar's own day; a bar shows what is known at its close.
    """

    m: int
    """Base bars in a bar."""
    bars_a_day: int
    rows: int

    @property
    def slot(self) -> Array:
        """The bar's number within its day, [bars]."""
        return np.arange(self.rows) % self.bars_a_day

    @abstractmethod
    def total(self, name: str) -> Array:
        """A sum over the bar's base bars [bars, stocks], named as in Totals; shares are in the bar's own units."""

    @abstractmethod
    def history(self, values: Array, days: int) -> Iterator[Array]:
        """`values` [bars, stocks] of the same slot 1, 2, … `days` days before, NaN where there are none; a feature
        declares as `history` what it asks for. Of weeks: every fifth day, so 20 days are four weeks."""

    @property
    @abstractmethod
    def open(self) -> Array:
        """First price, yuan [bars, stocks]."""

    @property
    @abstractmethod
    def high(self) -> Array:
        """Highest price, yuan [bars, stocks]."""

    @property
    @abstractmethod
    def low(self) -> Array:
        """Lowest price, yuan [bars, stocks]."""

    @property
    @abstractmethod
    def close(self) -> Array:
        """Last price, yuan [bars, stocks]."""

    @property
    @abstractmethod
    def previous_close(self) -> Array:
        """C₋, the close before the bar in the bar's units [bars, stocks]; NaN in the first bar of the listing day."""

    @property
    @abstractmethod
    def float_shares(self) -> Array:
        """Free-float shares of the day [bars, stocks]; NaN where the source has none."""

    @property
    @abstractmethod
    def r(self) -> Array:
        """Log returns of the base bars [bars, m, stocks]."""

    @property
    @abstractmethod
    def v(self) -> Array:
        """Shares of the base bars [bars, m, stocks]."""

    @property
    @abstractmethod
    def a(self) -> Array:
        """Amounts of the base bars, yuan [bars, m, stocks]."""

    @property
    @abstractmethod
    def c(self) -> Array:
        """Closes of the base bars, yuan [bars, m, stocks]."""


def _shifted(values: Array, rows: int) -> Array:
    out = np.full(values.shape, np.nan)
    out[rows:] = values[: max(len(values) - rows, 0)]
    return out


class SlotBars(Bars):
    """Bars that lie within a day, of `minutes` each, from day number `start` of the grid on."""

    def __init__(self, totals: Totals, minutes: int, start: int) -> None:
        grid = totals.grid
        self._grid, self._totals, self._minutes, self._start = grid, totals, minutes, start
        self.m = minutes // grid.base_minutes
        self.bars_a_day = -(-grid.session_minutes // minutes)
        self.rows = (len(grid.traded) - start) * self.bars_a_day

    def _flat(self, values: Array) -> Array:
        """[days, bars a day, stocks] or [days, stocks] → [bars, stocks]."""
        return values[self._start :].reshape(self.rows, -1)

    def _base(self, values: Array) -> Array:
        return _padded(values[self._start :], self.bars_a_day * self.m).reshape(self.rows, self.m, -1)

    def _prices(self, values: Array) -> Array:
        """Base prices [bars, m, stocks]; what a short last bar lacks stands at the close."""
        missing = self.bars_a_day * self.m - values.shape[1]
        if missing:
            values = np.concatenate([values, np.repeat(self._grid.close[:, -1:], missing, axis=1)], axis=1)
        return self._base(values)

    def total(self, name: str) -> Array:
        return self._flat(self._totals.at(name, self._minutes))

    def history(self, values: Array, days: int) -> Iterator[Array]:
        return (_shifted(values, day * self.bars_a_day) for day in range(1, days + 1))

    @cached_property
    def open(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_open)
        return self._prices(self._grid.open)[:, 0]

    @cached_property
    def high(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_high)
        return np.asarray(self._prices(self._grid.high).max(axis=1))

    @cached_property
    def low(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_low)
        return np.asarray(self._prices(self._grid.low).min(axis=1))

    @cached_property
    def close(self) -> Array:
        return self.c[:, -1]

    @cached_property
    def previous_close(self) -> Array:
        before = self._grid.previous_close[self._start :, None]
        closes = self.close.reshape(-1, self.bars_a_day, self.close.shape[1])
        return np.concatenate([before, closes[:, :-1]], axis=1).reshape(self.rows, -1)

    @cached_property
    def float_shares(self) -> Array:
        return np.repeat(self._grid.float_shares[self._start :], self.bars_a_day, axis=0)

    @cached_property
    def r(self) -> Array:
        return self._base(self._grid.r)

    @cached_property
    def v(self) -> Array:
        return self._base(self._grid.volume)

    @cached_property
    def a(self) -> Array:
        return self._base(self._grid.amount)

    @cached_property
    def c(self) -> Array:
        return self._prices(self._grid.close)


class WeekBars(Bars):
    """For every day from number `start` of the grid on, the five trading days that end there, in the units of that day.

    A day on which the stock did not trade is flat at the last close, without volume. NaN where the stock did not trade
    on the last of the five, and where the grid does not hold all five.
    """

    bars_a_day = 1

    def __init__(self, totals: Totals, start: int) -> None:
        grid = totals.grid
        self._grid, self._totals, self._start = grid, totals, start
        self.rows = len(grid.traded) - start
        self.m = DAYS_A_WEEK * grid.r.shape[1]

    def _back(self, values: Array, days: int) -> Array:
        """`values` [all days, …, stocks] as of `days` days before each row."""
        first = self._start - days
        if first >= 0:
            return values[first : first + self.rows]
        unknown = np.full((-first, *values.shape[1:]), np.nan)
        return np.concatenate([unknown, values[: self.rows + first]])[: self.rows]

    @cached_property
    def _whole(self) -> Array:
        """1 where the row has a value, else NaN [rows, stocks]."""
        inside = np.arange(self._start, self._start + self.rows) >= DAYS_A_WEEK - 1
        return np.where(inside[:, None] & self._grid.traded[self._start :], 1.0, np.nan)

    def _week(self, values: Array, absent: Array | float) -> Array:
        """[rows, 5, …, stocks], oldest day first, `absent` where the stock did not trade on that day."""
        traded = self._grid.traded.astype(float)
        days = []
        for k, back in enumerate(range(DAYS_A_WEEK - 1, -1, -1)):
            there = self._back(traded, back) == 1
            value = self._back(values, back)
            fill = absent if isinstance(absent, float) else absent[:, k]
            if value.ndim == 3:
                there = there[:, None]
                fill = fill if isinstance(fill, float) else fill[:, None]
            days.append(np.where(there, value, fill))
        return np.stack(days, axis=1)

    @cached_property
    def _units(self) -> Array:
        """Raw yuan of each of the five days in yuan of the last one, [rows, 5, stocks]; 1 on a day without trades."""
        now = self._grid.factor[self._start :]
        return np.where(self._there, ratio(self._week(self._grid.factor, np.nan), now[:, None]), 1.0)

    @cached_property
    def _there(self) -> Array:
        return np.asarray(self._week(self._grid.traded.astype(float), 0.0) == 1)

    @cached_property
    def _standing(self) -> Array:
        """The last traded close before each of the five days, in yuan of the last one, [rows, 5, stocks]."""
        now = self._grid.factor[self._start :]
        days = range(DAYS_A_WEEK - 1, -1, -1)
        last = self._grid.last
        return np.stack([self._back(last.close, k) * ratio(self._back(last.factor, k), now) for k in days], axis=1)

    def _day_prices(self, values: Array) -> Array:
        return self._week(values, np.nan) * self._units

    def _with_standing(self, values: Array) -> Array:
        return np.where(self._there, self._day_prices(values), self._standing) * self._whole[:, None]

    def _base(self, values: Array) -> Array:
        return values.reshape(self.rows, self.m, -1) * self._whole[:, None]

    def total(self, name: str) -> Array:
        days = self._week(self._totals.at(name, self._grid.session_minutes)[:, 0], 0.0)
        return add_up(days / self._units if name == "v" else days) * self._whole

    def history(self, values: Array, days: int) -> Iterator[Array]:
        return (_shifted(values, week * DAYS_A_WEEK) for week in range(1, days // DAYS_A_WEEK + 1))

    @cached_property
    def open(self) -> Array:
        return self._with_standing(self._grid.day_open)[:, 0]

    @cached_property
    def high(self) -> Array:
        return np.asarray(self._with_standing(self._grid.day_high).max(axis=1))

    @cached_property
    def low(self) -> Array:
        return np.asarray(self._with_standing(self._grid.day_low).min(axis=1))

    @cached_property
    def close(self) -> Array:
        return self._with_standing(self._grid.close[:, -1])[:, -1]

    @cached_property
    def previous_close(self) -> Array:
        return self._standing[:, 0] * self._whole

    @cached_property
    def float_shares(self) -> Array:
        return self._grid.float_shares[self._start :] * self._whole

    @cached_property
    def r(self) -> Array:
        return self._base(self._week(self._grid.r, 0.0))

    @cached_property
    def v(self) -> Array:
        return self._base(self._week(self._grid.volume, 0.0) / self._units[:, :, None])

    @cached_property
    def a(self) -> Array:
        return self._base(self._week(self._grid.amount, 0.0))

    @cached_property
    def c(self) -> Array:
        own = self._week(self._grid.close, np.nan) * self._units[:, :, None]
        return self._base(np.where(self._there[:, :, None], own, self._standing[:, :, None]))
