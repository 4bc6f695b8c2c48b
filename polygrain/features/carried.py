"""Carried: totals of days gone by, kept for the features that look back to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from polygrain.features.grid import Grid
from polygrain.features.totals import Totals
from polygrain.store.panel import Array


class Carried:
    """The totals that looking back has asked for, day by day over all symbols [bars, symbols]."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self._known: dict[tuple[str, int], dict[date, Array]] = {}

    def __len__(self) -> int:
        """How many totals have been asked for."""
        return len(self._known)

    def keep(self, totals: Totals, days: Sequence[date], stocks: Array) -> None:
        """Take the last `days` of the totals' grid, whose columns are the symbol numbers `stocks`."""
        for (name, minutes), known in self._known.items():
            values = totals.at(name, minutes)[-len(days) :]
            for day, of_day in zip(days, values):
                if day not in known:
                    known[day] = np.full((of_day.shape[0], self._symbols), np.nan)
                known[day][:, stocks] = of_day

    def forget(self, before: date) -> None:
        """Drop the days before this one."""
        for known in self._known.values():
            for day in [day for day in known if day < before]:
                del known[day]

    def find(self, name: str, minutes: int, days: Sequence[date], stocks: Array) -> Array | None:
        """A total of these days and stocks [days, bars, stocks], None where a day is not known; from now on it is
        kept."""
        known = self._known.setdefault((name, minutes), {})
        if not all(day in known for day in days):
            return None
        return np.stack([known[day].take(stocks, axis=1) for day in days])


class TotalsBack(Totals):
    """The totals of a grid that looks back, from what is carried where it knows all of its days."""

    def __init__(self, grid: Grid, carried: Carried, days: Sequence[date], stocks: Array) -> None:
        Totals.__init__(self, grid)
        self._carried, self._days, self._stocks = carried, days, stocks
        # Apart, so that the shorter bars which a total is rolled up from are not taken for asked for.
        self._made = Totals(grid)

    def at(self, name: str, minutes: int) -> Array:
        if (name, minutes) not in self._known:
            found = self._carried.find(name, minutes, self._days, self._stocks)
            self._known[name, minutes] = self._made.at(name, minutes) if found is None else found
        return self._known[name, minutes]
