"""Book: an account in fractions of what the portfolio started with, at one rate of costs.

Shape suffix: S symbols.
"""

from __future__ import annotations

import numpy as np

from polygrain.execution.account import Closes, Filled
from polygrain.execution.ledger import Market, total
from polygrain.store.panel import Array

# Of the worth: a tenth of a yuan in a hundred million. What a solver leaves of a weight that it does not change.
_DUST = 1e-9


class Book:
    """Holdings of one portfolio, started from cash 1, in shares of adjusted prices.

    As in `Ledgers`: a suspended stock stands at its last adjusted close, a delisted one becomes cash at its last price,
    and costs scale the whole portfolio: `net` is the factor from value before them to after.
    """

    def __init__(self, trading: Market, *, cost_per_side: float) -> None:
        self.market, self.cost_per_side = trading, cost_per_side
        self.cash, self.net = 1.0, 1.0
        self.shares_S = np.zeros(len(trading.last_day))

    def weights(self, day: int) -> tuple[Array, float]:
        """Weights [symbols] at the close of `day`, and cash; they sum to 1. Sees `day` and earlier days."""
        self._settle(day)
        value_S = self._value(self.market.valuation[day])
        worth = self.cash + total(value_S)
        return value_S / worth, float(self.cash / worth)

    def orders(self, day: int, weights_S: Array) -> Array:
        """Shares [symbols] to buy, or to sell below 0, so that at the close of `day` the weights would be these:
        q = w · V / P − shares, V the worth and P the adjusted close; none for less than a billionth of V.

        ValueError where a stock without a close is wanted.
        """
        self._settle(day)
        price_S = self.market.valuation[day]
        worth = self.cash + total(self._value(price_S))
        wanted = weights_S > 0
        if not np.isfinite(price_S[wanted]).all():
            raise ValueError("a stock without a close is wanted")
        orders_S = -self.shares_S
        orders_S[wanted] += weights_S[wanted] * worth / price_S[wanted]
        small_S = np.abs(weights_S - self._value(price_S) / worth) < _DUST
        return np.where(small_S & wanted, 0.0, orders_S)

    def fill(self, day: int, orders_S: Array) -> Filled:
        """Trade at the fill of `day`: sales first where the stock can be sold, then purchases where it can be bought,
        all scaled by one factor to the cash there is. What fails is void, and what is left stays cash. Fractions are
        of the worth at the fill before costs.
        """
        self._settle(day)
        market = self.market
        mark_S = market.mark[day]
        orders_S = np.where(market.last_day < day, 0.0, orders_S)
        worth = self.cash + total(self._value(mark_S))
        sold_S = np.where(market.sellable[day] & (orders_S < 0), np.minimum(-orders_S, self.shares_S), 0.0)
        proceeds = total(sold_S * np.where(sold_S > 0, mark_S, 0.0))
        bought_S = np.where(market.buyable[day] & (orders_S > 0), orders_S, 0.0)
        cost = total(bought_S * np.where(bought_S > 0, mark_S, 0.0))
        left = self.cash + proceeds
        if cost > left:
            bought_S, cost = bought_S * (left / cost), left
        self.cash = left - cost
        self.shares_S = self.shares_S + bought_S - sold_S
        there = np.isfinite(mark_S)
        price_S = np.where(there, mark_S, 0.0) / worth
        filled = Filled(orders_S * price_S, (bought_S - sold_S) * price_S)
        self.net *= 1.0 - self.cost_per_side * filled.turnover
        return filled

    def closes(self, first: int, stop: int) -> Closes:
        """Values and the share of cash at the closes of the days first..stop−1, [days]."""
        held = self.shares_S > 0
        gross = self.cash + self.market.valuation[first:stop, held] @ self.shares_S[held]
        return Closes(gross, gross * self.net, self.cash / gross)

    def _value(self, price_S: Array) -> Array:
        return np.where(self.shares_S > 0, self.shares_S * price_S, 0.0)

    def _settle(self, day: int) -> None:
        """Delisted holdings become cash at the last price there was."""
        gone_S = (self.market.last_day < day) & (self.shares_S > 0)
        if gone_S.any():
            self.cash += float((self.shares_S[gone_S] * self.market.valuation[day - 1, gone_S]).sum())
            self.shares_S = np.where(gone_S, 0.0, self.shares_S)
