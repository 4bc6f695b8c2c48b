"""Ledgers: holdings of portfolios side by side from fill to fill, and their value at the closes between.

Shape suffixes: P portfolios, S symbols, H holdings.
"""

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


@lru_cache(maxsize=4)
def market(quotes: Quotes, fill: Fill) -> Market:
    """The market of a fill; kept, because every portfolio of a run trades in the same few."""
    mark = np.where(quotes.traded, fill_price(quotes, fill), np.nan)
    unpriced = np.isnan(mark[1:])
    mark[1:][unpriced] = quotes.valuation[:-1][unpriced]
    return Market(quotes.valuation, mark, buyable(quotes, fill), sellable(quotes, fill), quotes.last_day)


@dataclass(frozen=True, eq=False)
class Holdings:
    """What is held: `value_H` > 0 of `column_H` by `portfolio_H`, sorted by portfolio, then by column."""

    portfolio_H: Array
    column_H: Array
    value_H: Array

    def keys(self, symbols: int) -> Array:
        """portfolio · symbols + column, ascending."""
        return self.portfolio_H * symbols + self.column_H

    def sums(self, portfolios: int) -> Array:
        """Σ value by portfolio [P], holding by holding, so that no sum depends on which other stocks there are."""
        return by_portfolio(self.portfolio_H, self.value_H, portfolios)


def by_portfolio(portfolio_H: Array, value_H: Array, portfolios: int) -> Array:
    """Σ of values by portfolio [P], added one by one in their order."""
    # Of no holdings bincount makes whole numbers.
    return np.bincount(portfolio_H, weights=value_H, minlength=portfolios).astype(np.float64)


class Ledgers:
    """Holdings of P portfolios, each started from cash 1, all traded at the same fills.

    Values are fractions of the starting cash before costs. Weights drift with adjusted prices between fills; a
    suspended stock stands at its last adjusted close; a delisted one became cash at its last price on its last day.
    Costs scale a whole portfolio, so they never change a weight: `net_P` is the factor from value before them to after.
    """

    def __init__(self, trading: Market, portfolios: int, *, cost_per_side: float) -> None:
        self.market = trading
        self.cost_per_side = cost_per_side
        self.cash_P, self.net_P = np.ones(portfolios), np.ones(portfolios)
        self._portfolio_H, self._column_H = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._shares_H = np.zeros(0)

    def drifted(self, day: int) -> Holdings:
        """The holdings and their values at the fill of `day`, before trading; sees that fill and earlier days."""
        gone_H = self.market.last_day[self._column_H] < day
        if gone_H.any():
            proceeds_H = self._shares_H[gone_H] * self.market.valuation[day - 1, self._column_H[gone_H]]
            self.cash_P += by_portfolio(self._portfolio_H[gone_H], proceeds_H, len(self.cash_P))
            self._keep(self._portfolio_H[~gone_H], self._column_H[~gone_H], self._shares_H[~gone_H])
        return Holdings(self._portfolio_H, self._column_H, self._shares_H * self.market.mark[day, self._column_H])

    def trade(self, day: int, before: Holdings, after: Holdings) -> Array:
        """Go from the holdings `before`, as `drifted` gave them, to `after` at the fill of `day`.

        What is not held is cash. Returns Σ|Δw| by portfolio [P], purchases and sales as a fraction of the value before
        costs.
        """
        count, symbols = len(self.cash_P), len(self.market.last_day)
        worth_P = self.cash_P + before.sums(count)
        change = np.zeros(count * symbols)
        old, new = before.keys(symbols), after.keys(symbols)
        change[old] = -before.value_H
        change[new] += after.value_H
        # Of what is held no more; what stays or is new follows.
        sold_H = change[old] == -before.value_H
        traded_P = by_portfolio(before.portfolio_H[sold_H], before.value_H[sold_H], count)
        traded_P += by_portfolio(after.portfolio_H, np.abs(change[new]), count)
        traded_P /= worth_P
        self._keep(after.portfolio_H, after.column_H, after.value_H / self.market.mark[day, after.column_H])
        self.cash_P = worth_P - after.sums(count)
        self.net_P = self.net_P * (1.0 - self.cost_per_side * traded_P)
        return traded_P

    def closes(self, first: int, stop: int) -> Array:
        """Value before costs at the closes of the days first..stop−1, [P, days]."""
        values = np.empty((len(self.cash_P), stop - first))
        for day in range(first, stop):
            worth_H = self.market.valuation[day, self._column_H] * self._shares_H
            values[:, day - first] = by_portfolio(self._portfolio_H, worth_H, len(self.cash_P)) + self.cash_P
        return values

    def _keep(self, portfolio_H: Array, column_H: Array, shares_H: Array) -> None:
        self._portfolio_H, self._column_H, self._shares_H = portfolio_H, column_H, shares_H
