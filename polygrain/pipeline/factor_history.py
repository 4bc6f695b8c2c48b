"""Factor returns of the market's days, each day's fitted once where they are kept."""

from __future__ import annotations

import numpy as np

from polygrain.errors import DataError
from polygrain.pipeline.market import Market
from polygrain.portfolio.factors import FactorReturns, factor_returns
from polygrain.store.panel import Array

DAYS = 250
"""Trading days before the first decision from which risk is estimated."""


class FactorHistory:
    """Factor returns by day number; those of the days in `kept` are held."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.kept: dict[int, FactorReturns] = {}

    def keep(self, first: int, last: int) -> None:
        """Fit and hold the days first..last, from the first one on which somebody is fitted."""
        for day in range(max(first, 1), last + 1):
            if day not in self.kept:
                try:
                    self.kept[day] = self.of(day)
                except DataError:
                    if any(earlier < day for earlier in self.kept):
                        raise

    def of(self, day: int) -> FactorReturns:
        """A day's factor returns, fitted on who was of U_t at the close before and traded, by √market value if known.

        Sees the exposures of the close before and the returns of the day.
        """
        if day in self.kept:
            return self.kept[day]
        panels, quotes, returns_S = self._market.exposures, self._market.quotes, day_returns(self._market, day)
        value = np.ones(len(returns_S)) if panels.cap is None else panels.cap[day - 1]
        return factor_returns(
            returns_S,
            # A view: copies of years of days would fill the memory.
            panels.styles.values[day - 1].T,
            panels.industries.codes[day - 1].astype(np.intp) - 1,
            np.where(self._market.members[day - 1] & quotes.traded[day], value, 0.0),
            styles=panels.names,
            industries=panels.industries.names[1:],
        )


def day_returns(market: Market, day: int) -> Array:
    """Returns [symbols] from the close before to that of a day, 0 of who does not trade; NaN of who is not there."""
    worth = market.quotes.valuation
    there = np.isfinite(worth[day - 1]) & (market.quotes.age[day] > 0)
    return np.where(there, worth[day] / worth[day - 1] - 1, np.nan)
