"""Ledger: holdings from fill to fill, and their value at the closes between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from polygrain.execution.fills import Fill, buyable, fill_price, sellable
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Market:
    """What a ledger trades in: adjusted prices and states [days, symbols] of one fill.

    `mark` values a share at the fill: the fill price, or the last adjusted close of a stock that has none that day.
    """

    valuation: Array
    mark: Array
    buyable: Array
    sellable: Array
    last_day: Array


@lru_cache(maxsize=2)
def market(quotes: Quotes, fill: Fill) -> Market:
    """The market of a fill; kept, because every portfolio of a run trades in the same one or two."""
    mark = np.where(quotes.traded, fill_price(quotes, fill), np.nan)
    unpriced = np.isnan(mark[1:])
    mark[1:][unpriced] = quotes.valuation[:-1][unpriced]
    return Market(quotes.valuation, mark, buyable(quotes, fill), sellable(quotes, fill), quotes.last_day)


def total(values: Array) -> float:
    """The sum of values [symbols], whose last digit does not depend on which other stocks the market has or will have.

    numpy adds in groups by position, so what is not held is left out first.
    """
    return float(values[values != 0].sum())


class Ledger:
    """Holdings of one portfolio, started from cash 1 and traded at one fill.

    Values are fractions of the starting cash before costs. Weights drift with adjusted prices between fills; a
    suspended stock stands at its last adjusted close; a delisted one became cash at its last price on its last day.
    Costs scale the whole portfolio, so they never change a weight: `net` is the factor from value before them to after.
    """

    def __init__(self, trading: Market, *, cost_per_side: float) -> None:
        self.market = trading
        self.cost_per_side = cost_per_side
        self.cash = 1.0
        self.net = 1.0
        self.shares = np.zeros(trading.last_day.shape)

    def drifted(self, day: int) -> Array:
        """Value of each holding at the fill of `day`, before trading [symbols]; sees that fill and earlier days."""
        held = np.flatnonzero(self.shares)
        gone = held[self.market.last_day[held] < day]
        if len(gone):
            self.cash += float((self.shares[gone] * self.market.valuation[day - 1, gone]).sum())
            self.shares[gone] = 0.0
            held = np.flatnonzero(self.shares)
        values = np.zeros(self.shares.shape)
        values[held] = self.shares[held] * self.market.mark[day, held]
        return values

    def trade(self, day: int, before: Array, after: Array) -> float:
        """Go from the holdings `before`, as `drifted` gave them, to `after` [symbols] at the fill of `day`.

        What is not held is cash. Returns Σ|Δw|, purchases and sales as a fraction of the value before costs.
        """
        worth = self.cash + total(before)
        traded = total(np.abs(after - before)) / worth
        held = np.flatnonzero(after)
        self.shares = np.zeros(after.shape)
        self.shares[held] = after[held] / self.market.mark[day, held]
        self.cash = worth - total(after)
        self.net *= 1.0 - self.cost_per_side * traded
        return traded

    def closes(self, first: int, stop: int) -> Array:
        """Value before costs at the closes of the days first..stop−1."""
        held = np.flatnonzero(self.shares)
        worth = self.market.valuation[first:stop, held] * self.shares[held]
        # Of rows in one piece each sum is its own; else its last digit would depend on how many days follow.
        values: Array = np.ascontiguousarray(worth).sum(axis=1) + self.cash
        return values
