"""Exact book: an account that an exact ledger keeps, in whole shares and whole fen (分).

Shape suffix: S symbols.
"""

from __future__ import annotations

from math import copysign

import numpy as np
from pydantic import Field

from polygrain.execution.account import Closes, Filled
from polygrain.execution.exact import ExactLedger, Trade
from polygrain.execution.fills import Fill
from polygrain.execution.ledger import Market
from polygrain.execution.quotes import Quotes
from polygrain.market.rules import Rules
from polygrain.spec import Spec
from polygrain.store.panel import Array


class Ledger(Spec):
    """Settings of an exact ledger: `capital` in yuan, and the broker's `commission`, a fraction of the amount."""

    capital: float = Field(gt=0)
    commission: float = Field(ge=0)

    def opened(self, quotes: Quotes, fill: Fill, rules: Rules) -> ExactLedger:
        """A ledger with that capital, to the fen; refusals are those of `ExactLedger`."""
        return ExactLedger(quotes, fill, rules, capital_fen=round(100 * self.capital), commission=self.commission)


class ExactBook:
    """What an `ExactLedger` that has not traded yet keeps, in the terms of an account.

    net = worth / capital, gross = net / Π over fills of (1 − charges / worth): as of a `Book`, costs scale a portfolio
    on the days that they are paid. Worth in a fill's fractions is that at the decision's close. `shares_S` are adjusted
    shares a yuan of capital, those of the last fill: the fraction of a share that a factor leaves later is still there.

    `trades` and the ledger's payments are all that moved its cash from `capital`, fen, to what it is.
    """

    def __init__(self, ledger: ExactLedger, quotes: Quotes, trading: Market) -> None:
        self.trades: list[Trade] = []
        self.shares_S = np.zeros(len(trading.last_day))
        self.ledger, self._factor, self._market = ledger, quotes.factor, trading
        self.capital = self._worth = ledger.cash
        self._kept = 1.0

    def weights(self, day: int) -> tuple[Array, float]:
        """Weights [symbols] at the close of `day`, and cash; who left the market that day is cash already."""
        return self.ledger.weights(day)

    def orders(self, day: int, weights_S: Array) -> Array:
        """Whole shares in legal lots, int64 [symbols]; DataError where a weight falls on a stock without a close."""
        self._worth = self.ledger.worth(day)
        return self.ledger.orders(day, weights_S)

    def fill(self, day: int, orders_S: Array) -> Filled:
        """Trade as `ExactLedger.fill` does."""
        market = self._market
        made = self.ledger.fill(day, orders_S)
        self.trades += made
        self._kept *= 1.0 - sum(trade.charges.total for trade in made) / self._worth
        traded_S, ordered_S = np.zeros(len(orders_S)), np.zeros(len(orders_S))
        for trade in made:
            traded_S[trade.column] = copysign(trade.amount, trade.shares) / self._worth
        there = np.flatnonzero((orders_S != 0) & (market.last_day >= day))
        # Of adjusted shares: orders are in those of the decision's day.
        adjusted = orders_S[there] / self._factor[day - market.lag, there]
        ordered_S[there] = 100 * adjusted * market.mark[day, there] / self._worth
        held = np.flatnonzero(self.ledger.shares)
        self.shares_S = np.zeros(len(orders_S))
        self.shares_S[held] = 100 * self.ledger.shares[held] / self._factor[day, held] / self.capital
        return Filled(ordered_S, traded_S)

    def closes(self, first: int, stop: int) -> Closes:
        """Values and the share of cash at the closes of the days first..stop−1, [days]."""
        # The worth first: it takes the ledger to the day.
        found = np.array([(self.ledger.worth(day), self.ledger.cash) for day in range(first, stop)], np.int64)
        worth, cash = found[:, 0], found[:, 1]
        net = worth / self.capital
        return Closes(net / self._kept, net, cash / worth)
