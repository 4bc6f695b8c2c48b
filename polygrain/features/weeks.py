"""Weeks: the bars of the five trading days that end on each day."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from polygrain.features.bars import Bars, rows_before
from polygrain.features.grid import ratio
from polygrain.features.totals import Totals, add_up
from polygrain.market.session import DAYS_A_WEEK
from polygrain.store.panel import Array


class WeekBars(Bars):
    """For every day from number `start` of the grid on, the five trading days that end there, in the units of that day.

    A day on which the stock did not trade is flat at the last close, without volume. NaN where the stock did not trade
    on the last of the five, and where the grid does not hold all five.
    """

    bars_a_day = 1

    def __init__(self, totals: Totals, start: int) -> None:
        grid = totals.grid
        self._grid, self._totals, self._start = grid, totals, start
        self.rows, self.stocks = len(grid.traded) - start, grid.traded.shape[1]
        self.m = DAYS_A_WEEK * grid.bars

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

    def history(self, values: Array, days: int, absent: float = np.nan) -> Array:
        return rows_before(values, days // DAYS_A_WEEK, DAYS_A_WEEK, absent)

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
