"""Index enhancement of one date: by hand, against every vertex, against cvxpy with Clarabel, and its laws."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_portfolios import context, random_constraints, random_date
from reference_portfolio import best_vertex, most, stated

from polygrain.portfolio.constraint import Constraint, Label
from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    StockDeviation,
    StyleDeviation,
    Turnover,
)
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.problem import posed
from polygrain.portfolio.program import assembled
from polygrain.portfolio.reduction import optimum
from polygrain.portfolio.simplex import Vertex
from polygrain.portfolio.solve import Solution, solve

ANY_ORDER = (*ORDER, ("loose",))


def test_budget_and_stock_deviation_alone() -> None:
    # Scores 1, 0, −1: mean 0, std √(2/3), μ = (1.2247, 0, −1.2247). b = (.5, .3, .2), δ = .1: the first takes .6, the
    # last .1, the second what is left, .3. Objective 1.2247 · (.6 − .1) = .61237.
    date = context(np.array([1.0, 0, -1]), [0.5, 0.3, 0.2])
    found = solve(date, [StockDeviation(limit=0.1)])
    np.testing.assert_allclose(found.weights, [0.6, 0.3, 0.1], atol=1e-12)
    assert found.objective == pytest.approx(0.5 * np.sqrt(1.5), abs=1e-12)
    # A unit more of budget goes to the second, μ = 0. A unit more of every stock's room gains 1.2247 at each end.
    assert found.prices.rows[Label("budget", "budget")] == pytest.approx(0, abs=1e-12)
    assert found.prices.parts["stock_deviation"] == pytest.approx(2 * np.sqrt(1.5), abs=1e-12)
    assert found.prices.bound_parts.tolist() == ["stock_deviation", "", "stock_deviation"]


def test_turnover_stops_the_buys() -> None:
    # Everything in the last, turnover 30%: the first is bought for .3; a unit of turnover gains μ₁ − μ₃ = 2.4495.
    date = context(np.array([1.0, 0, -1]), [0.5, 0.3, 0.2], previous=[0, 0, 1.0])
    found = solve(date, [Turnover(limit=0.3)])
    np.testing.assert_allclose(found.weights, [0.3, 0, 0.7], atol=1e-12)
    assert found.prices.parts["turnover"] == pytest.approx(2 * np.sqrt(1.5), abs=1e-12)
    assert Label("turnover", "turnover") in found.prices.binding


def test_turnover_counts_what_cash_buys() -> None:
    # .2 of cash: buys are .3, sells .1.
    date = context(np.array([1.0, 0, -1]), [0.5, 0.3, 0.2], previous=[0, 0, 0.8], cash=0.2)
    np.testing.assert_allclose(solve(date, [Turnover(limit=0.3)]).weights, [0.3, 0, 0.7], atol=1e-12)


def test_borrowed_money_makes_sells_the_larger_side() -> None:
    # Holdings of 1.1 with −.1 of cash: sells are buys + .1, so that limit .3 leaves .2 to buy.
    date = context(np.array([1.0, 0, -1]), [0.5, 0.3, 0.2], previous=[0, 0, 1.1], cash=-0.1)
    np.testing.assert_allclose(solve(date, [Turnover(limit=0.3)]).weights, [0.2, 0, 0.8], atol=1e-12)


def test_no_turnover_at_the_first_date() -> None:
    date = context(np.array([1.0, 0, -1]), [0.5, 0.3, 0.2])
    found = solve(date, [Turnover(limit=0.0)])
    np.testing.assert_allclose(found.weights, [1, 0, 0], atol=1e-12)
    assert found.absent == ("turnover",)


def test_industry_style_and_constituents() -> None:
    # Scores 3, 2, 1, 0; b = (0, .5, .5, 0); industries {1, 2} and {3, 4}. Neutral industries: .5 each. Constituents
    # ≥ .8: of names 1 and 4 no more than .2. The first is worth 1 over the second, the third 1 over the fourth, so that
    # w = (.2, .3, .5, 0).
    date = context(np.array([3.0, 2, 1, 0]), [0, 0.5, 0.5, 0], industry=np.array([0, 0, 1, 1]))
    constraints: list[Constraint] = [IndustryDeviation(limit=0), Constituents(share=0.8)]
    np.testing.assert_allclose(solve(date, constraints).weights, [0.2, 0.3, 0.5, 0], atol=1e-12)
    # Size 2 for the first, 0 for the rest, within .2 of the index's 0: the first may have .1.
    sized = replace(date, exposures=np.array([[2.0, 0, 0, 0], [0] * 4, [0] * 4]))
    found = solve(sized, [*constraints, StyleDeviation(limits={"size": 0.2})])
    np.testing.assert_allclose(found.weights, [0.1, 0.4, 0.5, 0], atol=1e-12)


def test_names_that_cannot_be_traded() -> None:
    # w⁰ = (.1, .2, .3, .4), b = .25 each, δ = .1, so l = .15 and u = .35. Frozen 1: .1. Not buyable 2: u = .2.
    # Not sellable 4: l = u = max(.35, .4). What is left, .3, is the third's.
    date = context(np.array([3.0, 2, 0, 1]), [0.25] * 4, previous=[0.1, 0.2, 0.3, 0.4])
    no = np.zeros(4, bool)
    one, two, four = (np.arange(4) == place for place in (0, 1, 3))
    blocked = replace(date, frozen=no | one, buyable=~two, sellable=~four)
    np.testing.assert_allclose(solve(blocked, [StockDeviation(limit=0.1)]).weights, [0.1, 0.2, 0.3, 0.4], atol=1e-12)
    # Barred instead of not buyable: l = 0, which its score, now the least, makes use of.
    barred = replace(date, score=np.array([3.0, -1, 0, 1]), eligible=~two)
    np.testing.assert_allclose(solve(barred, [StockDeviation(limit=0.1)]).weights, [0.35, 0, 0.3, 0.35], atol=1e-12)


def test_what_a_frozen_name_costs() -> None:
    # Scores 3, 2, 1, 0: μ is 1/√1.25 apart. All in the fourth, turnover 30%: the second is bought, as the first is
    # frozen at 0. Of it each unit would take the place of one of the second: μ₁ − μ₂.
    date = context(np.array([3.0, 2, 1, 0]), [0.25] * 4, previous=[0, 0, 0, 1.0])
    found = solve(replace(date, frozen=np.arange(4) == 0), [Turnover(limit=0.3)])
    np.testing.assert_allclose(found.weights, [0, 0.3, 0, 0.7], atol=1e-12)
    assert found.prices.bounds[0] == pytest.approx(1 / np.sqrt(1.25), abs=1e-12)
    assert found.prices.bound_parts[0] == "tradability"


def test_a_name_without_a_score_is_as_good_as_the_mean() -> None:
    date = context(np.array([1.0, np.nan, -1]), [0.5, 0.3, 0.2])
    np.testing.assert_allclose(solve(date, [HoldingWeight(maximum=0.6)]).weights, [0.6, 0.4, 0], atol=1e-12)


def test_ties_go_to_the_least_buys_then_to_the_first_symbols() -> None:
    # All scores equal: every portfolio is optimal. With holdings the one that buys nothing; without, the first symbols.
    date = context(np.zeros(4), [0.25] * 4, previous=[0, 0.1, 0.2, 0.7])
    limits: list[Constraint] = [HoldingWeight(maximum=0.4)]
    # .3 of the fourth must go: to the first, as all of them would be buys.
    np.testing.assert_allclose(solve(date, limits).weights, [0.3, 0.1, 0.2, 0.4], atol=1e-12)
    np.testing.assert_allclose(solve(replace(date, previous=None), limits).weights, [0.4, 0.4, 0.2, 0], atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_best_of_all_vertices(seed: int) -> None:
    """1,000 problems of 2 to 4 names, half with tied scores, 550 of them feasible: both are exact up to rounding."""
    generator = np.random.default_rng(seed)
    optimal = 0
    for case in range(100):
        date = random_date(generator, int(generator.integers(2, 5)), ties=bool(case % 2), industries=2, blocked=0.05)
        constraints = random_constraints(generator, 1.5)
        expected = best_vertex(date, constraints)
        if expected is None:
            continue
        optimal += 1
        found = solve(date, constraints, order=ANY_ORDER)
        assert found.conflict is None
        np.testing.assert_allclose(found.weights, expected, atol=1e-9)
    assert optimal >= 55


SIZES = [50] * 100 + [120] * 70 + [300] * 25 + [1000] * 4 + [3000] * 2


@pytest.mark.parametrize("part", range(8))
def test_equals_cvxpy_with_clarabel(part: int) -> None:
    """201 problems of 50 to 3,000 names: the objective to 1e-5 relative, more than Clarabel's own error."""
    for number, symbols in list(enumerate(SIZES))[part::8]:
        generator = np.random.default_rng(number)
        date = random_date(generator, symbols, ties=number % 4 == 0, industries=10)
        constraints = random_constraints(generator, 0.3)
        found = solve(date, constraints, order=ANY_ORDER)
        expected = most(date, constraints)
        assert (expected is None) == (found.conflict is not None)
        if expected is not None:
            assert found.objective == pytest.approx(expected, rel=1e-5, abs=1e-5)
            assert_satisfies(date, constraints, found)
        assert found.certificate.holds


def assert_satisfies(date: DateContext, constraints: list[Constraint], found: Solution) -> None:
    """Every constraint, evaluated at the weights from its equation; 1e-9 is the solver's own tolerance."""
    problem, w = stated(date, constraints), found.weights.tolist()
    assert min(w) >= 0
    for _, a, low, high in problem.sums:
        assert low - 1e-9 <= sum(x * y for x, y in zip(a, w)) <= high + 1e-9
    if problem.turnover is not None and problem.held is not None:
        buys = sum(max(new - old, 0) for new, old in zip(w, problem.held))
        sells = sum(max(old - new, 0) for new, old in zip(w, problem.held))
        assert max(buys, sells) <= problem.turnover + 1e-9


@given(seed=st.integers(0, 10**6), ties=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_columns_changes_no_bit(seed: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    date = random_date(generator, 40, ties=ties)
    constraints = random_constraints(generator, 0.4)
    straight = solve(date, constraints, order=ANY_ORDER)
    order = generator.permutation(40)
    # In another memory layout too, and with prices to start from.
    other = date.taken(order)
    other = replace(other, exposures=np.asfortranarray(other.exposures), benchmark=np.repeat(other.benchmark, 2)[::2])
    shuffled = solve(other, constraints, order=ANY_ORDER, before=straight)
    assert shuffled.symbols == tuple(date.symbols[place] for place in order)
    assert shuffled.weights.tobytes() == straight.weights[order].tobytes()


HIGHS_USED_BEFORE = """
import highspy, numpy as np
other = highspy.Highs()
other.setOptionValue("output_flag", False)
other.setOptionValue("threads", 2)
other.addVariable(0, 1)
other.run()
print("then ours:")
from random_portfolios import context
from polygrain.portfolio.solve import solve
print(solve(context(np.array([1.0, -1]), [0.5, 0.5]), []).weights.tolist())
"""


def test_highs_says_nothing_and_may_have_been_used_before_with_other_threads() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HIGHS_USED_BEFORE]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.partition("then ours:\n")[2] == "[1.0, 0.0]\n"


def walk(symbols: int, dates: int) -> list[tuple[DateContext, Solution]]:
    """Weekly dates one after the other, each starting from the drifted weights and the prices of the one before."""
    generator = np.random.default_rng(7)
    date = replace(random_date(generator, symbols, industries=10, blocked=0.02), previous=None, cash=0.0)
    found: list[tuple[DateContext, Solution]] = []
    for _ in range(dates):
        last = found[-1][1] if found else None
        solution = solve(date, WALKED, before=last)
        found.append((date, solution))
        drifted = solution.weights * np.exp(0.04 * generator.standard_normal(symbols))
        score = 0.8 * np.nan_to_num(date.score) + 0.6 * generator.standard_normal(symbols)
        date = replace(date, score=score, previous=drifted / drifted.sum())
    return found


WALKED: list[Constraint] = [
    StockDeviation(limit=0.02),
    IndustryDeviation(limit=0.02),
    StyleDeviation(limits={"size": 0.2, "valuation": 0.0, "momentum": 0.8}),
    Constituents(share=0.8),
    Turnover(limit=0.3),
]


def test_prices_of_the_date_before_change_no_bit() -> None:
    for date, solution in walk(1500, 8):
        alone = solve(date, WALKED)
        assert alone.weights.tobytes() == solution.weights.tobytes()
        assert solution.certificate.holds
        assert solution.conflict is None


def test_columns_that_misleading_prices_leave_out_are_found_again() -> None:
    """Prices that only names of the least size seem worth: 300 of them, in which there is a worse optimum or none."""
    date, _ = walk(1500, 2)[-1]
    for constraints in (WALKED, [HoldingWeight(maximum=0.02)]):
        sized = StyleDeviation(name="any", limits={"size": 100.0})
        program = assembled(posed(date, [*constraints, sized]), date.mu)
        wrong = {Label("budget", "budget"): 1000.0, Label("any.size", "size"): 100.0}
        best, found = optimum(program), optimum(program, wrong)
        assert isinstance(best, Vertex)
        assert isinstance(found, Vertex)
        assert program.cost @ found.x == pytest.approx(program.cost @ best.x, abs=1e-12)
        entered = found.x > 0
        assert (entered & (program.reduced(np.array([wrong.get(one, 0.0) for one in program.labels])) < -1000)).any()


def test_shadow_prices_are_what_a_little_more_room_gains() -> None:
    # At a vertex that is not degenerate, 1e-6 more of a limit moves the objective by 1e-6 times its price.
    date, solution = walk(300, 3)[-1]
    for place, name in ((1, "industry_deviation"), (3, "constituents"), (4, "turnover")):
        limits = {"industry_deviation": "limit", "constituents": "share", "turnover": "limit"}
        step = -1e-6 if name == "constituents" else 1e-6
        wider = WALKED[place].model_copy(update={limits[name]: getattr(WALKED[place], limits[name]) + step})
        gain = solve(date, [*WALKED[:place], wider, *WALKED[place + 1 :]]).objective - solution.objective
        assert gain / 1e-6 == pytest.approx(solution.prices.parts[name], abs=1e-6)
