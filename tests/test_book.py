"""The book: orders made at a close, filled at a fill, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from random_markets import quotes_of

from polygrain.execution.book import Book
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market, market
from polygrain.execution.quotes import Quotes

VWAP = FILLS["t1_vwap"]


def book(quotes: Quotes, cost_per_side: float = 0.0) -> Book:
    trading: Market = market(quotes, VWAP)
    return Book(trading, cost_per_side=cost_per_side)


def test_orders_are_in_shares_of_the_close_and_purchases_share_the_cash() -> None:
    # Close 10 and 20: half and half of cash 1 are .05 and .025 shares. At the fill 12 and 20 they cost .6 + .5 = 1.1:
    # both are scaled by 1/1.1. Σ|Δw| = 1, so that .0015 of it is paid.
    quotes = quotes_of(np.array([[10, 20], [12, 22.0]]), vwap=np.array([[10, 20], [12, 20.0]]))
    held = book(quotes, 0.0015)
    filled = held.fill(1, held.orders(0, np.array([0.5, 0.5])))
    np.testing.assert_allclose(filled.ordered_S, [0.6, 0.5], rtol=1e-15)
    np.testing.assert_allclose(filled.traded_S, [0.6 / 1.1, 0.5 / 1.1], rtol=1e-15)
    assert held.cash == 0
    assert held.net == pytest.approx(1 - 0.0015, rel=1e-15)
    # At the close 12 and 22: .05 · 12 + .025 · 22 = 1.15 of 1.1.
    gross, _, cash = held.closes(1, 2)
    np.testing.assert_allclose(gross, [1.15 / 1.1], rtol=1e-15)
    assert cash.tolist() == [0.0]


def test_what_cannot_be_bought_stays_cash_and_what_cannot_be_sold_leaves_none() -> None:
    # Day 1: A and B at 10, half each. Day 2 wants all in C; A is suspended there, so that B's half alone buys C.
    close = np.array([[10, 10, 10], [10, 10, 10], [np.nan, 10, 10.0]])
    held = book(quotes_of(close))
    held.fill(1, held.orders(0, np.array([0.5, 0.5, 0])))
    filled = held.fill(2, held.orders(1, np.array([0, 0, 1.0])))
    np.testing.assert_allclose(filled.ordered_S, [-0.5, -0.5, 1])
    np.testing.assert_allclose(filled.traded_S, [0, -0.5, 0.5])
    assert held.weights(2)[0].tolist() == [0.5, 0.0, 0.5]
    # C locked at its up-limit all day: what was sold stays cash.
    up = np.where(np.arange(9).reshape(3, 3) == 8, 10.0, np.nan)
    held = book(quotes_of(np.full((3, 3), 10.0), up=up))
    held.fill(1, held.orders(0, np.array([0.5, 0.5, 0])))
    held.fill(2, held.orders(1, np.array([0, 0.5, 0.5])))
    weights, cash = held.weights(2)
    assert weights.tolist() == [0.0, 0.5, 0.0]
    assert cash == 0.5


def test_a_holding_that_leaves_the_market_is_cash_and_its_order_void() -> None:
    # A's last day is 1, the day of its purchase: at the fill of day 2 it is cash at its last close, 8.
    close = np.array([[10, 10], [8, 10], [np.nan, 10.0]])
    age = np.array([[9, 9], [9, 9], [0, 9]], np.int32)
    held = book(quotes_of(close, vwap=np.where(np.isnan(close), np.nan, 10.0), age=age))
    held.fill(1, held.orders(0, np.array([1.0, 0])))
    orders = held.orders(1, np.array([0.5, 0.5]))
    filled = held.fill(2, orders)
    # .1 shares at 8 are worth .8; half of it, .04 shares of B at 10, is bought of the .8.
    np.testing.assert_allclose(filled.ordered_S, [0, 0.5])
    np.testing.assert_allclose(filled.traded_S, [0, 0.5])
    assert held.cash == pytest.approx(0.4, rel=1e-15)


def test_a_weight_that_does_not_change_is_not_traded() -> None:
    # The second weight is a billionth of a billionth off.
    held = book(quotes_of(np.full((3, 2), 10.0)))
    held.fill(1, held.orders(0, np.array([0.5, 0.5])))
    assert held.orders(1, np.array([0.5, 0.5 - 1e-18])).tolist() == [0.0, 0.0]
    assert held.orders(1, np.array([0.5, 0.0])).tolist() == [0.0, -0.05]


def test_wanting_a_stock_that_never_had_a_close_is_an_error() -> None:
    held = book(quotes_of(np.array([[10, np.nan], [10, 10.0]])))
    with pytest.raises(ValueError, match="without a close"):
        held.orders(0, np.array([0.5, 0.5]))


def test_no_bit_depends_on_who_else_is_in_the_market() -> None:
    # As of the index: 30 of 60 stocks are bought, at ten fills.
    rng = np.random.default_rng(1)
    close = np.cumprod(rng.uniform(0.9, 1.1, (12, 60)), axis=0)
    own = np.sort(rng.permutation(60)[:30])
    every, alone = book(quotes_of(close), 0.0015), book(quotes_of(close[:, own]), 0.0015)
    for day in range(1, 12):
        wanted = np.zeros(60)
        wanted[own] = rng.dirichlet(np.ones(30))
        found = every.fill(day, every.orders(day - 1, wanted))
        other = alone.fill(day, alone.orders(day - 1, wanted[own]))
        assert found.traded_S[own].tobytes() == other.traded_S.tobytes()
        assert (every.cash, every.net, found.turnover) == (alone.cash, alone.net, other.turnover)
        assert every.weights(day)[0][own].tobytes() == alone.weights(day)[0].tobytes()
