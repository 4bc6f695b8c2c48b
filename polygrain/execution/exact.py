"""The exact ledger: one portfolio in whole shares and whole fen (分)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from polygrain.errors import ConfigError, DataError
from polygrain.execution import lots
from polygrain.execution.fees import Charges, Tariff, tariff
from polygrain.execution.fen import FenPrices, exactly, half_up, whole
from polygrain.execution.fills import Fill, buyable, sellable
from polygrain.execution.quotes import Quotes
from polygrain.market.rules import Lot, Rules
from polygrain.market.symbols import board
from polygrain.store.panel import Array

SCALE = 1_000_000
"""Buys beyond the cash are scaled by a whole number of millionths."""


@dataclass(frozen=True)
class Trade:
    """One order as it was filled: `shares` bought, or sold where negative; `amount` in fen before the charges.

    amount = round-half-up(|shares| · price · 100): an average price is rounded once an order, not once a share.
    """

    day: int
    column: int
    shares: int
    amount: int
    charges: Charges

    @property
    def flow(self) -> int:
        """What it brings to cash, fen: −(amount + charges) of a buy, amount − charges of a sale."""
        return (self.amount if self.shares < 0 else -self.amount) - self.charges.total


@dataclass(frozen=True)
class Payment:
    """Cash that came without an order, fen: for the fraction of a share that a factor left, or a delisted holding."""

    day: int
    column: int
    cause: Literal["fraction", "delisting"]
    amount: int


class ExactLedger:
    """Holdings in whole shares and cash in whole fen of one portfolio that starts from `capital_fen`.

    Every fen is accounted for: cash = capital + Σ flow of trades + Σ amount of payments, in integers, and it is never
    negative. Days must not go back (ValueError): each call sees its day and those before it.

    * Orders are legal lots of the board; fees are those of the day (stamp duty, transfer fee) and `commission`, a
      fraction of the amount, with the least commission of an order; each is rounded half up to the fen.
    * T+1: there is one fill a day, its sales come first and are made from what was held before.
    * Corporate actions come with the cumulative factor f, as in adjusted prices: dividends, bonus and rights issues are
      reinvested. On a day whose factor differs from the one before, shares become ⌊shares · f₁/f₀⌋ (see `fen.whole`)
      and the fraction is paid at the ex reference price, last close · f₀/f₁, rounded down to the fen. Neither fees nor
      the dividend tax by holding period (红利税) are taken.
    * A suspended stock stands at its last close in the day's terms; a holding becomes cash at the close of its stock's
      last day, at its last price and without fees.

    ConfigError where `capital_fen` is below one fen or `commission` outside 0 and the most that a broker may charge,
    DataError where a symbol is no A-share's, or a day lies before the fees or the lots known.
    """

    def __init__(self, quotes: Quotes, fill: Fill, rules: Rules, *, capital_fen: int, commission: float) -> None:
        most = rules.fees(quotes.axes.days[-1]).commission_most
        if not 0 <= commission <= most:
            raise ConfigError("ledger.commission", f"{commission:g} is not between 0 and {most:g}, the most allowed")
        if capital_fen < 1:
            raise ConfigError("ledger.capital", "the ledger starts without cash; give it some yuan")
        self.cash = capital_fen
        self.payments: list[Payment] = []
        self._shares = np.zeros(len(quotes.axes.symbols), dtype=np.int64)
        self._axes, self._rules, self._commission, self._lag = quotes.axes, rules, commission, fill.lag
        self._boards = tuple(board(symbol) for symbol in quotes.axes.symbols)
        self._prices = FenPrices(quotes, fill)
        self._buyable, self._sellable = buyable(quotes, fill), sellable(quotes, fill)
        self._last_day = quotes.last_day
        self._day, self._filled = 0, -1

    @property
    def shares(self) -> Array:
        """Shares held now, int64 [symbols]."""
        return self._shares.copy()

    def worth(self, day: int) -> int:
        """Cash + Σ round-half-up(shares · price) at the close of `day`, fen."""
        self._close(day)
        return self.cash + int(self._prices.amounts(day, self._shares).sum())

    def weights(self, day: int) -> tuple[Array, float]:
        """Weights [symbols] and cash as fractions of the worth at the close of `day`."""
        worth = self.worth(day)
        return self._prices.amounts(day, self._shares) / worth, self.cash / worth

    def orders(self, day: int, weights: Array) -> Array:
        """Shares to trade, int64 [symbols], so that holdings become `weights` of the worth at the close of `day`.

        w · worth / price − held, rounded towards 0 to a legal lot, never past what is held; a weight below one share
        asks for none. DataError where a weight falls on a stock without a close.
        """
        worth = self.worth(day)
        orders = np.zeros(len(self._shares), dtype=np.int64)
        for column in np.flatnonzero((weights != 0) | (self._shares > 0)).tolist():
            price, held = self._prices.at_close(day, column), int(self._shares[column])
            if price is None:
                reason = "it has no close yet; give it no weight"
                raise DataError(f"{self._axes.symbols[column]} on {self._axes.days[day]}", reason)
            aim = exactly(weights[column]) * worth / price
            if aim < 1:
                orders[column] = -held
            elif aim < held:
                orders[column] = -lots.sale(whole(held - aim), held, self._lot(day, column))
            else:
                orders[column] = lots.purchase(whole(aim - held), self._lot(day, column))
        return orders

    def fill(self, day: int, orders: Array) -> list[Trade]:
        """Trade `orders`, shares [symbols] at the close of the decision, at the fill of `day`; what was traded.

        Where a factor has changed since the decision, orders are restated as holdings are. Sales first, of what is
        sellable and held; one that would bring less than its charges is not made. Buys of what is buyable are then all
        scaled by λ, the largest whole number of millionths up to 1 for which their amounts and charges fit the cash,
        and rounded down to legal lots; what is left stays cash. ValueError for a second fill on a day.
        """
        if day < self._lag:
            raise ValueError(f"day {day} lies before the first decision's fill")
        if day <= self._filled:
            raise ValueError(f"day {day} is not after the last fill, on day {self._filled}: there is one fill a day")
        self._advance(day)
        self._filled = day
        fees = tariff(self._rules, self._axes.days[day], self._commission)
        trades = []
        for column in np.flatnonzero((orders < 0) & self._sellable[day] & (self._shares > 0)).tolist():
            held, wanted = int(self._shares[column]), self._restated(day, column, int(-orders[column]))
            trade = self._trade(day, column, -lots.sale(wanted, held, self._lot(day, column)), fees)
            if trade.shares and trade.flow >= 0:
                trades.append(self._booked(trade))
        columns = np.flatnonzero((orders > 0) & self._buyable[day]).tolist()
        wanted_shares = [self._restated(day, column, int(orders[column])) for column in columns]
        trades += [self._booked(trade) for trade in self._affordable(day, columns, wanted_shares, fees)]
        return trades

    def _affordable(self, day: int, columns: list[int], wanted: list[int], fees: Tariff) -> list[Trade]:
        prices = [self._prices.at_fill(day, column) for column in columns]
        legal = [self._lot(day, column) for column in columns]

        def scaled(parts: int) -> list[int]:
            return [lots.purchase(parts * most // SCALE, lot) for most, lot in zip(wanted, legal)]

        def cost(parts: int) -> int:
            amounts = [half_up(shares, price) for shares, price in zip(scaled(parts), prices) if shares]
            return sum(amounts) + sum(fees.of(amount, sale=False).total for amount in amounts)

        # The cost never falls as λ grows: every lot, amount and charge is rounded from something that does not fall.
        parts = SCALE if cost(SCALE) <= self.cash else bisect_right(range(SCALE), self.cash, key=cost) - 1
        return [self._trade(day, column, shares, fees) for column, shares in zip(columns, scaled(parts)) if shares]

    def _trade(self, day: int, column: int, shares: int, fees: Tariff) -> Trade:
        amount = half_up(abs(shares), self._prices.at_fill(day, column))
        return Trade(day, column, shares, amount, fees.of(amount, sale=shares < 0))

    def _booked(self, trade: Trade) -> Trade:
        self._shares[trade.column] += trade.shares
        self.cash += trade.flow
        return trade

    def _restated(self, day: int, column: int, shares: int) -> int:
        """An order of the decision before the fill of `day` in that day's shares."""
        return whole(shares * self._prices.ratio(day - self._lag, day, column))

    def _lot(self, day: int, column: int) -> Lot:
        return self._rules.lot_of(self._boards[column], self._axes.days[day])

    def _close(self, day: int) -> None:
        """To the close of `day`, after which those whose last day it is are cash."""
        self._advance(day)
        self._settle(day)

    def _advance(self, day: int) -> None:
        """To the open of `day`: what was delisted before is cash, and shares are those of its factors."""
        if day < self._day:
            raise ValueError(f"day {day} lies before day {self._day}, at which the ledger stands")
        for passed in range(self._day, day):
            self._settle(passed)
            self._restate(passed + 1)
        self._day = day

    def _settle(self, day: int) -> None:
        gone = np.flatnonzero((self._shares > 0) & (self._last_day <= day))
        if len(gone):
            amounts = self._prices.amounts(day, self._shares)
            for column in gone.tolist():
                self._shares[column] = 0
                self._pay(Payment(day, column, "delisting", int(amounts[column])))

    def _restate(self, day: int) -> None:
        for column in self._prices.moved(day, np.flatnonzero(self._shares)).tolist():
            price = self._prices.reference(day, column)
            assert price is not None
            exact: Fraction = int(self._shares[column]) * self._prices.ratio(day - 1, day, column)
            self._shares[column] = whole(exact)
            left = max(exact - whole(exact), Fraction(0))
            self._pay(Payment(day, column, "fraction", int(left * price)))

    def _pay(self, payment: Payment) -> None:
        self.cash += payment.amount
        self.payments.append(payment)
