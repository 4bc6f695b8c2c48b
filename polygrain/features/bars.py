"""Bars: what a feature sees of one granularity, its bars as arrays with the base bars inside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from polygrain.features.totals import Totals, add_up, add_up_products, padded
from polygrain.store.panel import Array

BaseName = Literal["c", "r", "v"]


@dataclass(frozen=True)
class Spread:
    """Base values less the bar's second one, [bars, m, stocks], with their sums and sums of squares over all base bars
    but the first and the last.

    The second base bar is part of every pairing, so the shift loses at most m roundings, and what is constant has
    sums of exactly zero.
    """

    values: Array
    inner: Array
    inner_squares: Array

    def sums(self, first: int, last: int) -> tuple[Array, Array]:
        """Σ and Σ² [bars, stocks] with the first and the last base bar where these are 1."""
        ends = [self.values[:, 0]] * first + [self.values[:, -1]] * last
        total, squares = self.inner, self.inner_squares
        for end in ends:
            total, squares = total + end, squares + end * end
        return total, squares


def spread(values: Array) -> Spread:
    """The Spread of base values [bars, m, stocks], m ≥ 3."""
    shifted = values - values[:, 1:2]
    inner = shifted[:, 1:-1]
    return Spread(shifted, add_up(inner), add_up_products(inner, inner))


class Bars(ABC):
    """The bars of one granularity, stocks last: [bars] = [days × bars a day]; NaN where a stock did not trade.

    Everything is in the raw yuan and shares of the bar's own day; a bar shows what is known at its close.
    """

    m: int
    """Base bars in a bar."""
    bars_a_day: int
    rows: int
    stocks: int

    @property
    def slot(self) -> Array:
        """The bar's number within its day, [bars]."""
        return np.arange(self.rows) % self.bars_a_day

    @abstractmethod
    def total(self, name: str) -> Array:
        """A sum over the bar's base bars [bars, stocks], named as in Totals; shares are in the bar's own units."""

    def correlation(self, x: BaseName, y: BaseName, lead: int = 0) -> Array:
        """Pearson correlation of x_j and y_{j+lead} over the bar's base bars [bars, stocks]; `lead` is 0 or 1.

        r = (Σxy − ΣxΣy/n) / √((Σx² − (Σx)²/n)(Σy² − (Σy)²/n)); NaN where either is constant.
        """
        n, one, other = self.m - lead, self._spread(x), self._spread(y)
        x_sum, x_squares = one.sums(1, 1 - lead)
        y_sum, y_squares = other.sums(1 - lead, 1)
        products = add_up_products(one.values[:, :n], other.values[:, lead:])
        variances = (x_squares - x_sum * x_sum / n) * (y_squares - y_sum * y_sum / n)
        return np.asarray((products - x_sum * y_sum / n) / np.sqrt(variances))

    def _spread(self, name: BaseName) -> Spread:
        if name not in self._spreads:
            self._spreads[name] = spread(getattr(self, name))
        return self._spreads[name]

    @cached_property
    def _spreads(self) -> dict[str, Spread]:
        return {}

    @abstractmethod
    def history(self, values: Array, days: int, absent: float = np.nan) -> Array:
        """`values` [bars, stocks] of the same slot `days`, …, 2, 1 days before, [bars, days, stocks], read-only, with
        `absent` where there are none; a feature declares as `history` what it asks for. Of weeks: every fifth day, so
        20 days are four weeks."""

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


def rows_before(values: Array, count: int, step: int, absent: float) -> Array:
    """`values` [rows, stocks] of `count`·step, …, 2·step, step rows before: a view [rows, count, stocks]."""
    above = np.full((count * step, values.shape[1]), absent)
    long = np.concatenate([above, values])
    row, stock = long.strides
    return as_strided(long, (len(values), count, values.shape[1]), (row, step * row, stock), writeable=False)


class SlotBars(Bars):
    """Bars that lie within a day, of `minutes` each, from day number `start` of the grid on."""

    def __init__(self, totals: Totals, minutes: int, start: int) -> None:
        grid = totals.grid
        self._grid, self._totals, self._minutes, self._start = grid, totals, minutes, start
        self.m = minutes // grid.base_minutes
        self.bars_a_day = -(-grid.session_minutes // minutes)
        self.rows = (len(grid.traded) - start) * self.bars_a_day
        self.stocks = grid.traded.shape[1]

    def _flat(self, values: Array) -> Array:
        """[days, bars a day, stocks] or [days, stocks] → [bars, stocks]."""
        return values[self._start :].reshape(self.rows, -1)

    def _base(self, values: Array) -> Array:
        return padded(values[self._start :], self.bars_a_day * self.m).reshape(self.rows, self.m, -1)

    def total(self, name: str) -> Array:
        return self._flat(self._totals.at(name, self._minutes))

    def history(self, values: Array, days: int, absent: float = np.nan) -> Array:
        return rows_before(values, days, self.bars_a_day, absent)

    @cached_property
    def open(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_open)
        return self._flat(self._totals.at("open", self._minutes))

    @cached_property
    def high(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_high)
        return self._flat(self._totals.at("high", self._minutes))

    @cached_property
    def low(self) -> Array:
        if self.bars_a_day == 1:
            return self._flat(self._grid.day_low)
        return self._flat(self._totals.at("low", self._minutes))

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
        closes = self._grid.close
        return self._base(padded(closes, self.bars_a_day * self.m, closes[:, -1:]))
