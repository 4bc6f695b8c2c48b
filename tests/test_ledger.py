import numpy as np
import pytest
from random_markets import quotes_of

from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Holdings, Ledgers, Market, market
from polygrain.store.panel import Array

VWAP = FILLS["t1_vwap"]


class Ledger(Ledgers):
    """One portfolio, its holdings as values [symbols]."""

    def __init__(self, trading: Market, *, cost_per_side: float) -> None:
        super().__init__(trading, 1, cost_per_side=cost_per_side)

    def values(self, day: int) -> Array:
        held = self.drifted(day)
        values = np.zeros(len(self.market.last_day))
        values[held.column_H] = held.value_H
        return values

    def buy(self, day: int, values: Array) -> float:
        held = np.flatnonzero(values)
        after = Holdings(np.array([0, len(held)]), held, values[held])
        return float(self.trade(day, self.drifted(day), after).turnover_P[0])


def test_old_holdings_earn_to_the_fill_and_new_ones_from_it() -> None:
    # Bought at 10 on day 1: .05 shares each of A and B. Day 2 at the fill A 12, B 10: .6 + .5 = 1.1; all into B: .11
    # shares, closing at 11 → 1.21.
    close = np.array([[10, 10], [10, 10], [13, 11.0]])
    quotes = quotes_of(close, vwap=np.array([[10, 10], [10, 10], [12, 10.0]]))
    ledger = Ledger(market(quotes, VWAP), cost_per_side=0.0015)
    assert ledger.buy(1, np.array([0.5, 0.5])) == 1.0
    assert ledger.closes(1, 2)[0].tolist() == [1.0]
    before = ledger.values(2)
    np.testing.assert_allclose(before, [0.6, 0.5], rtol=1e-15)
    # Σ|Δw| = .6/1.1 + .6/1.1
    assert ledger.buy(2, np.array([0.0, 1.1])) == pytest.approx(1.2 / 1.1, rel=1e-15)
    np.testing.assert_allclose(ledger.closes(2, 3)[0], [1.21], rtol=1e-15)
    assert ledger.net_P[0] == pytest.approx((1 - 0.0015) * (1 - 0.0015 * 1.2 / 1.1), rel=1e-15)


def test_a_suspended_stock_stands_still_and_a_split_moves_nothing() -> None:
    close = np.array([[10], [10], [np.nan], [6.0]])
    quotes = quotes_of(close, factor=np.array([[1], [1], [2], [2.0]]))
    ledger = Ledger(market(quotes, VWAP), cost_per_side=0.0)
    ledger.buy(1, np.array([1.0]))
    np.testing.assert_allclose(ledger.closes(1, 4)[0], [1.0, 1.0, 1.2], rtol=1e-15)
    np.testing.assert_allclose(ledger.values(2), [1.0], rtol=1e-15)


def test_a_delisted_stock_becomes_cash_at_its_last_price() -> None:
    # Day 2 is the last day of A, which is suspended there: its last price is day 1's close, 8.
    close = np.array([[10, 10], [8, 10], [np.nan, 10], [np.nan, 10.0]])
    age = np.array([[9, 9], [9, 9], [9, 9], [0, 9]], np.int32)
    quotes = quotes_of(close, vwap=np.where(np.isnan(close), np.nan, 10.0), age=age)
    assert quotes.last_day.tolist() == [2, 4]
    ledger = Ledger(market(quotes, VWAP), cost_per_side=0.0)
    ledger.buy(1, np.array([0.5, 0.5]))
    np.testing.assert_allclose(ledger.closes(1, 4)[0], [0.9, 0.9, 0.9], rtol=1e-15)
    np.testing.assert_allclose(ledger.values(2), [0.4, 0.5], rtol=1e-15)
    assert ledger.cash_P[0] == 0.0
    np.testing.assert_allclose(ledger.values(3), [0.0, 0.5], rtol=1e-15)
    assert ledger.cash_P[0] == pytest.approx(0.4, rel=1e-15)


def test_cash_earns_nothing() -> None:
    quotes = quotes_of(np.array([[10], [10], [20.0]]))
    ledger = Ledger(market(quotes, VWAP), cost_per_side=0.0)
    ledger.buy(1, np.array([0.25]))
    np.testing.assert_allclose(ledger.closes(1, 3)[0], [1.0, 1.25], rtol=1e-15)
