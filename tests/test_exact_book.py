"""The exact book: fractions, values and adjusted shares by hand; a walk by it against one in fractions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from random_markets import quotes_of
from test_exact import MAIN, RULES, flat, listed
from test_portfolio_walk import DAYS, random_case

from polygrain.execution.exact_book import ExactBook, Ledger
from polygrain.execution.fills import FILLS, Fill
from polygrain.execution.ledger import market
from polygrain.execution.quotes import Quotes
from polygrain.market.rules import Rules, StampDuty
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.plan import most_score
from polygrain.portfolio.walk import Decision, walk

VWAP = FILLS["t1_vwap"]
# A world without fees but the least commission of 5 yuan an order.
FREE = RULES.model_copy(
    update={"stamp_duty": (StampDuty(since=date(2000, 1, 1), sell=0.0, source=""),), "transfer_fee": ()}
)


def book(quotes: Quotes, settings: Ledger, fill: Fill = VWAP, rules: Rules = RULES) -> ExactBook:
    return ExactBook(settings.opened(quotes, fill, rules), quotes, market(quotes, fill))


def million(quotes: Quotes) -> ExactBook:
    return book(quotes, Ledger(capital=1e6, commission=0.00025))


def test_a_purchase_and_what_it_cost() -> None:
    # Half of 1,000,000 at 10.00 is 50,000 shares; at 10.123 they cost 506,150.00 and 5.06 + 126.54. At the close of
    # 10.00 there are 493,718.40 in cash and 500,000.00 in shares; the 131.60 paid are .0001316 of the worth before.
    held = million(listed(quotes_of(flat(2, 10), vwap=flat(2, 10.123)), (MAIN,)))
    filled = held.fill(1, held.orders(0, np.array([0.5])))
    assert filled.traded_S.tolist() == [0.50615]
    np.testing.assert_allclose(filled.ordered_S, [0.50615], rtol=1e-15)
    assert filled.turnover == 0.50615
    assert held.shares_S.tolist() == [0.05]
    gross, net, cash = held.closes(1, 2)
    assert net.tolist() == [0.9937184]
    np.testing.assert_allclose(gross, [0.9937184 / 0.9998684], rtol=1e-15)
    assert cash.tolist() == [493_718_40 / 993_718_40]
    weights, in_cash = held.weights(1)
    assert (weights.tolist(), in_cash) == ([500_000_00 / 993_718_40], 493_718_40 / 993_718_40)


def test_a_split_between_decision_and_fill_changes_no_fraction() -> None:
    # Two for one on day 1: 50,000 ordered at 10.00 are 100,000 at 5.00.
    quotes = listed(quotes_of(np.array([[10.0], [5.0]]), factor=np.array([[1.0], [2.0]])), (MAIN,))
    held = million(quotes)
    filled = held.fill(1, held.orders(0, np.array([0.5])))
    assert (filled.ordered_S.tolist(), filled.traded_S.tolist()) == ([0.5], [0.5])
    assert held.trades[0].shares == 100_000
    assert held.shares_S.tolist() == [0.05]


def test_what_is_not_traded_was_ordered_unless_it_has_left_the_market() -> None:
    # On day 1 the first is suspended and stands at 10.00; day 0 was the last of the second.
    quotes = listed(quotes_of(np.array([[10, 10], [np.nan, np.nan]])), (MAIN, "600001.SH"))
    held = million(replace(quotes, age=np.array([[9, 9], [10, 0]], np.int32)))
    filled = held.fill(1, held.orders(0, np.array([0.5, 0.5])))
    assert (filled.ordered_S.tolist(), filled.traded_S.tolist()) == ([0.5, 0.0], [0.0, 0.0])
    assert held.closes(1, 2).cash.tolist() == [1.0]


def test_with_much_capital_and_no_fees_it_is_the_book_in_fractions() -> None:
    # Of 10¹² yuan a lot is 10⁻⁹ and a commission of 5 yuan 5 · 10⁻¹²; some of each in each of 8 fills of 12 stocks.
    # A stock whose last day is a decision's is held there by the one and cash of the other: such markets are left out,
    # as is the share of cash, which a delisting changes on that day here and at the next fill there.
    compared = 0
    for seed in range(60):
        fill = ("t1_vwap", "t1_open", "t0_close")[seed % 3]
        quotes, _, seen, constraints, decisions, walked = random_case(seed, False, fill)
        if set(quotes.last_day.tolist()) & set(seen.days):
            continue
        trading = market(quotes, FILLS[fill])
        exact = book(quotes, Ledger(capital=1e12, commission=0.0), FILLS[fill], FREE)
        found: list[Decision] = []
        plan = most_score(constraints, ORDER)
        mine = walk(seen, exact, plan, lag=trading.lag, last=DAYS - 1, record=found.append)
        for one, other in zip(found, decisions, strict=True):
            np.testing.assert_allclose(one.solution.weights, other.solution.weights, atol=1e-6)
            # Fractions of the worth at the close here and at the fill there: in the same proportion.
            mine_S, theirs_S = one.filled.traded_S, other.filled.traded_S
            np.testing.assert_allclose(mine_S * other.filled.turnover, theirs_S * one.filled.turnover, atol=1e-6)
        np.testing.assert_allclose(mine.gross, walked.gross, rtol=1e-6)
        np.testing.assert_allclose(mine.net, walked.gross, rtol=1e-6)
        compared += 1
    assert compared >= 12


@pytest.mark.parametrize("seed", range(5))
def test_gross_is_net_without_what_was_paid_and_every_fen_is_there(seed: int) -> None:
    quotes, _, seen, constraints, _, _ = random_case(seed, False, "t1_vwap")
    exact = book(quotes, Ledger(capital=1e7, commission=0.001))
    found: list[Decision] = []
    mine = walk(seen, exact, most_score(constraints, ORDER), lag=1, last=DAYS - 1, record=found.append)
    assert len(exact.trades) > 30
    paid = np.zeros(DAYS)
    for trade in exact.trades:
        paid[trade.day] += trade.charges.total
    # Charges of a day of what there was, 10⁹ fen times the NAV, at the close before it.
    kept = 1 - paid[mine.base + 1 :] / (1e9 * mine.net[:-1])
    np.testing.assert_allclose(mine.gross[1:], mine.net[1:] / np.cumprod(kept), rtol=1e-12)
    moved = sum(trade.flow for trade in exact.trades) + sum(payment.amount for payment in exact.ledger.payments)
    assert exact.capital + moved == exact.ledger.cash
    # What is held is what was bought: worth less cash by adjusted shares, but for the fen of a rounding a stock and a
    # share's fraction a factor, of at most 20 yuan.
    last = found[-1]
    invested = np.nansum(quotes.valuation[last.fill] * last.shares)
    close = last.fill - mine.base
    assert invested == pytest.approx(mine.net[close] * (1 - mine.cash[close]), abs=20 * 12 / 1e7)
