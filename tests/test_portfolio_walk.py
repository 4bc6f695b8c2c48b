"""A walk against plain loops on random markets: suspensions, limits, splits, delistings, reviews; and what it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_markets import quotes_of, random_quotes, tape_of
from reference_enhancement import Portfolio
from test_portfolio_benchmark import dense, made, random_index

from polygrain.execution.book import Book
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market, market
from polygrain.execution.quotes import Quotes
from polygrain.exposures.build import ExposurePanels
from polygrain.exposures.industries import Industries
from polygrain.portfolio.benchmark import Benchmark
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import Constituents, IndustryDeviation, StockDeviation, StyleDeviation, Turnover
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.known import Known, known
from polygrain.portfolio.plan import most_score
from polygrain.portfolio.walk import Decision, Walked, walk
from polygrain.store.panel import Array, Panel

STOCKS, DAYS, COST = 12, 24, 0.003


def panels_of(quotes: Quotes, codes: list[int], style: Array) -> ExposurePanels:
    shape = quotes.close.shape
    names = ("unknown", *(f"industry{code}" for code in range(1, max(codes) + 1)))
    listed = np.where(np.isfinite(quotes.valuation), style, np.nan).astype(np.float32)
    industries = Industries(np.tile(np.array(codes, np.int16), (shape[0], 1)), names)
    return ExposurePanels(Panel(quotes.axes, listed[..., None], ("size",)), industries, None, (), ())


def walked_by_book(
    seen: Known, trading: Market, constraints: list[Constraint], found: list[Decision], *, cost: float = COST
) -> Walked:
    """The walk of a book in fractions to the last day; its decisions are put to `found`."""
    book, plan = Book(trading, cost_per_side=cost / 2), most_score(constraints, ORDER)
    return walk(seen, book, plan, lag=trading.lag, last=DAYS - 1, record=found.append)


def random_case(
    seed: int, ahead: bool, fill: str
) -> tuple[Quotes, Benchmark, Known, list[Constraint], list[Decision], Walked]:
    """A walk over a random market, of decisions every three days."""
    generator = np.random.default_rng(seed)
    quotes, codes, lists = random_index(generator, random_quotes(generator, DAYS, STOCKS))
    index = made(quotes, lists, codes, {"X": 1, "Y": 2})
    trading = market(quotes, FILLS[fill])
    members = quotes.traded & (generator.random(quotes.close.shape) < 0.9)
    panels = panels_of(quotes, codes, generator.normal(size=quotes.close.shape))
    days = [day for day in range(1, DAYS, 3) if day + trading.lag < DAYS]
    score = np.where(members[days], generator.normal(size=(len(days), STOCKS)), np.nan)
    # A date without a score cannot be decided on.
    score[np.arange(len(days)), generator.integers(0, STOCKS, len(days))] = 1.0
    seen = known(score, quotes, members, index, panels, days, trading if ahead else None)
    constraints: list[Constraint] = [
        StockDeviation(limit=0.1),
        StyleDeviation(limits={"size": 0.3}),
        IndustryDeviation(limit=0.1),
        Constituents(share=0.5),
        Turnover(limit=0.4),
    ]
    found: list[Decision] = []
    walked = walked_by_book(seen, trading, constraints, found)
    return quotes, index, seen, constraints, found, walked


def full(quotes: Quotes, decision: Decision) -> Array:
    """The target [symbols]."""
    numbers = [quotes.axes.symbol_number[symbol] for symbol in decision.context.symbols]
    target = np.zeros(len(quotes.axes.symbols))
    target[numbers] = decision.solution.weights
    return target


@pytest.mark.parametrize("seed", range(200))
def test_equal_to_plain_loops(seed: int) -> None:
    # Drifted weights, orders, trades and NAV of the same plans to 1e-9; they differ in the order of sums alone.
    fill = ("t1_vwap", "t1_vwap", "t1_open", "t0_close")[seed % 4]
    quotes, _, _, _, decisions, walked = random_case(seed, seed % 2 == 0, fill)
    tape, price = tape_of(quotes), FILLS[fill].price
    slow = Portfolio(tape, price, COST / 2)
    gross, net = {walked.base: 1.0}, {walked.base: 1.0}
    assert len(decisions) == len(range(1, DAYS - FILLS[fill].lag, 3))
    for number, decision in enumerate(decisions):
        previous = np.zeros(STOCKS)
        if decision.context.previous is not None:
            places = [quotes.axes.symbol_number[symbol] for symbol in decision.context.symbols]
            previous[places] = decision.context.previous
        assert (number == 0) == (decision.context.previous is None)
        np.testing.assert_allclose(previous, dense(slow.weights(decision.day), STOCKS), atol=1e-9)
        target = {stock: float(weight) for stock, weight in enumerate(full(quotes, decision)) if weight > 0}
        ordered, traded = slow.rebalance(decision.day, decision.fill, target)
        np.testing.assert_allclose(decision.filled.ordered_S, dense(ordered, STOCKS), atol=1e-9)
        np.testing.assert_allclose(decision.filled.traded_S, dense(traded, STOCKS), atol=1e-9)
        stop = decisions[number + 1].fill if number + 1 < len(decisions) else DAYS
        for day in range(decision.fill, stop):
            gross[day], net[day] = slow.gross(day), slow.gross(day) * slow.net
    days = range(walked.base, DAYS)
    np.testing.assert_allclose(walked.gross, [gross[day] for day in days], rtol=1e-9)
    np.testing.assert_allclose(walked.net, [net[day] for day in days], rtol=1e-9)


@pytest.mark.parametrize("ahead", [False, True])
def test_plans_keep_to_what_can_be_traded(ahead: bool) -> None:
    blocked = 0
    for seed in range(20):
        quotes, _, _, _, decisions, _ = random_case(1000 + seed, ahead, "t1_vwap")
        trading = market(quotes, FILLS["t1_vwap"])
        for decision in decisions:
            here, weights = decision.context, decision.solution.weights
            places = [quotes.axes.symbol_number[symbol] for symbol in here.symbols]
            change = weights - here.holdings
            assert (change[~here.eligible] <= 1e-9).all()
            if ahead:
                assert (change[~trading.buyable[decision.fill][places]] <= 1e-9).all()
                assert (change[~trading.sellable[decision.fill][places]] >= -1e-9).all()
                # So that every order is executed, but for purchases that the cash does not cover.
                sold = decision.filled.ordered_S < 0
                np.testing.assert_array_equal(decision.filled.traded_S[sold], decision.filled.ordered_S[sold])
            else:
                assert (np.abs(change[~quotes.traded[decision.day][places]]) <= 1e-9).all()
                blocked += int((decision.filled.ordered_S != decision.filled.traded_S).sum())
            assert decision.solution.certificate.holds
    assert ahead or blocked > 50


def test_nothing_depends_on_a_later_day() -> None:
    # Prices, scores and exposures after a decision are others: up to it every plan has the same bits.
    quotes, _, seen, constraints, decisions, _ = random_case(3, False, "t1_vwap")
    cut = decisions[4].day
    generator = np.random.default_rng(9)
    later = np.arange(DAYS)[:, None] > cut
    other = quotes_of(
        **{
            name: np.where(later, getattr(quotes, name) * (1 + 0.5 * generator.random(quotes.close.shape)), values)
            for name, values in vars(quotes).items()
            if name in ("open", "high", "low", "close", "vwap", "factor", "amount")
        },
        age=quotes.age,
        up=quotes.up_limit,
        down=quotes.down_limit,
    )
    changed = replace(seen, score=np.where(np.array(seen.days)[:, None] > cut, -seen.score, seen.score))
    found: list[Decision] = []
    trading = market(other, FILLS["t1_vwap"])
    walked_by_book(changed, trading, constraints, found)
    for mine, theirs in zip(decisions[:5], found):
        assert mine.solution.weights.tobytes() == theirs.solution.weights.tobytes()
    assert decisions[5].solution.weights.tobytes() != found[5].solution.weights.tobytes()


def test_a_portfolio_that_may_not_deviate_earns_what_its_index_does() -> None:
    # Stock deviation 0 and trades at the closes of the decisions: the index's return of every day after the first, and
    # nothing to trade, as weights drift like the index's.
    generator = np.random.default_rng(1)
    quotes = quotes_of(10 * np.exp(np.cumsum(generator.normal(0, 0.03, (DAYS, STOCKS)), axis=0)))
    weights = generator.random(STOCKS)
    index = made(quotes, [(0, dict(zip(quotes.axes.symbols, (weights / weights.sum()).tolist())))], [1] * STOCKS)
    days = list(range(1, DAYS, 5))
    panels = panels_of(quotes, [1] * STOCKS, np.zeros(quotes.close.shape))
    seen = known(generator.normal(size=(len(days), STOCKS)), quotes, quotes.traded, index, panels, days)
    found: list[Decision] = []
    trading = market(quotes, FILLS["t0_close"])
    walked = walked_by_book(seen, trading, [StockDeviation(limit=0.0)], found, cost=0.0)
    # HiGHS is right to 1e-9.
    np.testing.assert_allclose(walked.gross[1:], np.cumprod(1 + np.append(0.0, index.returns[2:])), rtol=1e-8)
    assert all(decision.filled.turnover < 1e-8 for decision in found[1:])
