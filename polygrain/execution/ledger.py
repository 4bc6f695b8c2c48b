"""Ledgers: holdings of portfolios side by side from fill to fill, and their value at the closes between.

Shape suffixes: P portfolios, S symbols, H holdings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.execution.fills import Fill, buyable, fill_price, sellable
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array, carried

CAPITAL = 1e8
"""Yuan (一亿元) at which portfolios say how much of a day's amount they trade."""


@dataclass(frozen=True, eq=False)
class Market:
    """What a ledger trades in: adjusted prices and states [days, symbols] of one fill, `lag` days after the decision.

    `price` is the fill price, NaN where there is none, and `ends` the last one there was. `mark` values a share at the
    fill: the fill price, or the last adjusted close of a stock that has none that day. `per_amount` is one over the
    day's amount, per yuan, 0 where there is none.
    """

    lag: int
    price: Array
    ends: Array
    valuation: Array
    mark: Array
    buyable: Array
    sellable: Array
    last_day: Array
    per_amount: Array


def market(quotes: Quotes, fill: Fill) -> Market:
    """The market of a fill."""
    price = fill_price(quotes, fill)
    mark = np.where(quotes.traded, price, np.nan)
    unpriced = np.isnan(mark[1:])
    mark[1:][unpriced] = quotes.valuation[:-1][unpriced]
    return Market(
        lag=fill.lag,
        price=price,
        ends=carried(price),
        valuation=quotes.valuation,
        mark=mark,
        buyable=buyable(quotes, fill),
        sellable=sellable(quotes, fill),
        last_day=quotes.last_day,
        per_amount=quotes.per_amount,
    )


@dataclass(frozen=True, eq=False)
class Holdings:
    """What is held: `value_H` > 0 of `column_H`, portfolio after portfolio, each from its one of `edges` [P + 1] on."""

    edges: Array
    column_H: Array
    value_H: Array

    def keys(self, symbols: int) -> Array:
        """portfolio · symbols + column."""
        return np.repeat(np.arange(len(self.edges) - 1) * symbols, np.diff(self.edges)) + self.column_H

    def only(self, kept_H: Array) -> Holdings:
        """Those that are to be kept."""
        return Holdings(without(self.edges, np.flatnonzero(~kept_H)), self.column_H[kept_H], self.value_H[kept_H])

    def sums(self) -> Array:
        """Σ value by portfolio [P]; no sum depends on which other stocks there are."""
        return sums_between(self.edges, self.value_H)


def sums_between(edges: Array, value_H: Array) -> Array:
    """Σ of values by portfolio [P], whose rows `edges_of` gives. A sum's bits depend on its own values alone."""
    some = edges[1:] > edges[:-1]
    if some.all():
        return np.asarray(np.add.reduceat(value_H, edges[:-1]))
    sums = np.zeros(len(some))
    sums[some] = np.add.reduceat(value_H, edges[:-1][some]) if some.any() else 0.0
    return sums


def total(values: Array) -> float:
    """Σ of the values that are not 0. Its bits depend on these alone, and not on how many there are beside them."""
    return float(values[values != 0].sum())


def edges_of(portfolio_H: Array, portfolios: int) -> Array:
    """Where each portfolio's rows begin, and the end of the last one's, [P + 1]; `portfolio_H` ascends."""
    return np.searchsorted(portfolio_H, np.arange(portfolios + 1))


def owners(edges: Array, rows: Array) -> Array:
    """Portfolios of `rows`: what `edges_of` gives, the other way round."""
    return np.searchsorted(edges, rows, side="right") - 1


def without(rows: Array, dropped: Array) -> Array:
    """Where `rows` or edges stand once the rows `dropped`, which ascend, are gone."""
    return rows - np.searchsorted(dropped, rows)


@dataclass(frozen=True, eq=False)
class Trades:
    """What portfolios traded at one fill, [P].

    `turnover_P` is Σ|Δw|, purchases and sales as a fraction of the value before costs. `participation_P` is the share
    of its stock's amount of the day that a yuan traded takes on average, Σ|Δw|·(|Δw|·C/amount) / Σ|Δw|, at a value of
    the portfolio of C = `CAPITAL` yuan; it grows in proportion to C. NaN where nothing was traded.
    """

    turnover_P: Array
    participation_P: Array


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
        self._edges, self._column_H = np.zeros(portfolios + 1, np.int64), np.zeros(0, np.int64)
        self._key_H, self._shares_H = np.zeros(0, np.int64), np.zeros(0)
        self._traded = 0

    def drifted(self, day: int) -> Holdings:
        """The holdings and their values at the fill of `day`, before trading; sees that fill and earlier days."""
        gone_S = (self.market.last_day >= self._traded) & (self.market.last_day < day)
        # Whoever left before the last fill is held no more: on most days nobody needs to be looked for.
        if gone_S.any():
            gone_H = np.flatnonzero(gone_S.take(self._column_H))
            proceeds_H = self._shares_H[gone_H] * self.market.valuation[day - 1, self._column_H[gone_H]]
            self.cash_P += sums_between(edges_of(owners(self._edges, gone_H), len(self.cash_P)), proceeds_H)
            self._edges = without(self._edges, gone_H)
            self._column_H, self._key_H = np.delete(self._column_H, gone_H), np.delete(self._key_H, gone_H)
            self._shares_H = np.delete(self._shares_H, gone_H)
        return Holdings(self._edges, self._column_H, self._shares_H * self.market.mark[day].take(self._column_H))

    def trade(self, day: int, before: Holdings, after: Holdings) -> Trades:
        """Go from the holdings `before`, as `drifted` gave them, to `after` at the fill of `day`.

        What is not held is cash.
        """
        symbols = len(self.market.last_day)
        worth_P = self.cash_P + before.sums()
        old, new = self._key_H, after.keys(symbols)
        was = np.zeros(len(self.cash_P) * symbols)
        was[old] = before.value_H
        bought_H = np.abs(after.value_H - was.take(new))
        # Of what is held no more nothing is left.
        was[new] = 0.0
        sold_H = was.take(old)
        traded_P = sums_between(after.edges, bought_H) + sums_between(before.edges, sold_H)
        per_amount_S = self.market.per_amount[day]
        crowding_P = sums_between(after.edges, bought_H**2 * per_amount_S.take(after.column_H))
        crowding_P += sums_between(before.edges, sold_H**2 * per_amount_S.take(before.column_H))
        self._edges, self._column_H, self._key_H, self._traded = after.edges, after.column_H, new, day
        self._shares_H = after.value_H / self.market.mark[day].take(after.column_H)
        self.cash_P = worth_P - after.sums()
        turnover_P = traded_P / worth_P
        self.net_P = self.net_P * (1.0 - self.cost_per_side * turnover_P)
        scale_P = np.where(traded_P > 0, worth_P * traded_P, np.nan)
        return Trades(turnover_P, CAPITAL * crowding_P / scale_P)

    def closes(self, first: int, stop: int) -> Array:
        """Value before costs at the closes of the days first..stop−1, [P, days]."""
        sums = [self._worth(self.market.valuation[day]) for day in range(first, stop)]
        return np.stack(sums, axis=1) + self.cash_P[:, None]

    def _worth(self, price_S: Array) -> Array:
        return sums_between(self._edges, price_S.take(self._column_H) * self._shares_H)
