"""Dates that no portfolio satisfies: the conflict is named, and what gives way does so least, in the given order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from random_portfolios import context, random_constraints, random_date
from reference_portfolio import can_hold, least_totals

from polygrain.errors import Infeasible
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    Linear,
    StockDeviation,
    StyleDeviation,
    Turnover,
)
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import ORDER, Conflict, conflict, least_violations, levels
from polygrain.portfolio.problem import posed
from polygrain.portfolio.solve import solve
from polygrain.store.panel import Array

ANY_ORDER = (*ORDER, ("loose",), ("linear",))
SCORE = np.array([4.0, 3, 2, 1, 0])


@dataclass(frozen=True)
class Case:
    """A date and constraints that exclude each other: which, and which parts give way by how much in total."""

    date: DateContext
    constraints: Sequence[Constraint]
    conflict: set[str]
    relaxed: dict[str, float]


def frozen_too_heavy(weight: float, limit: float) -> Case:
    # The first is frozen at `weight`, alone in its industry, which weighs .1 in the index: it is weight − .1 − limit
    # too heavy. The two other industries lack weight − .1 between them, of which each may lack the limit.
    date = context(
        SCORE,
        [0.1, 0.3, 0.3, 0.2, 0.1],
        previous=[weight, 1 - weight, 0, 0, 0],
        industry=np.array([0, 1, 1, 2, 2]),
    )
    date = replace(date, frozen=np.arange(5) == 0)
    return Case(
        date,
        [IndustryDeviation(limit=limit)],
        {"industry_deviation"},
        {"industry_deviation": 2 * weight - 0.2 - 3 * limit},
    )


def cannot_buy_the_index(share: float, limit: float) -> Case:
    # Only the first is held, and of the index only it and the second may be bought: u = .2 + δ, .2 + δ, 0, 0, 0. To
    # hold 1, 1 − .4 − 2δ is to be above the bounds of the first or second, as the others cannot be bought at all.
    date = context(SCORE, [0.2] * 5, previous=[1.0, 0, 0, 0, 0])
    date = replace(date, buyable=np.arange(5) < 2)
    constraints: list[Constraint] = [StockDeviation(limit=limit), Constituents(share=share)]
    return Case(date, constraints, {"stock_deviation"}, {"stock_deviation": 0.6 - 2 * limit})


def too_far_to_trade(limit: float, turnover: float) -> Case:
    # All in the first, b = .2 each: 1 − .2 − δ is to be sold and bought.
    date = context(SCORE, [0.2] * 5, previous=[1.0, 0, 0, 0, 0])
    constraints: list[Constraint] = [StockDeviation(limit=limit), Turnover(limit=turnover)]
    return Case(date, constraints, {"stock_deviation", "turnover"}, {"turnover": 0.8 - limit - turnover})


def outside_the_index(share: float, turnover: float) -> Case:
    # All in the fifth, which is not of the index: `share` is to be bought.
    date = context(SCORE, [0.3, 0.3, 0.2, 0.2, 0], previous=[0, 0, 0, 0, 1.0])
    constraints: list[Constraint] = [Turnover(limit=turnover), Constituents(share=share)]
    return Case(date, constraints, {"constituents", "turnover"}, {"turnover": share - turnover})


def small_names_only(limit: float) -> Case:
    # The index's size is .5 · 2 = 1; the only two that may be held have size 0: 1 − limit is missing.
    exposures = np.array([[2.0, 2, 0, 0, 0], [0] * 5, [0] * 5])
    date = context(SCORE, [0.3, 0.2, 0.2, 0.2, 0.1], exposures=exposures)
    date = replace(date, buyable=np.arange(5) >= 2)
    constraints = [StyleDeviation(limits={"size": limit, "momentum": 0.1})]
    return Case(date, constraints, {"style_deviation.size"}, {"style_deviation.size": 1 - limit})


def bounds_that_cross(minimum: float, limit: float) -> Case:
    # w₅ ≥ minimum, but b₅ + δ = .1 + δ.
    date = context(SCORE, [0.3, 0.3, 0.2, 0.1, 0.1])
    constraints: list[Constraint] = [
        StockDeviation(limit=limit),
        HoldingWeight(minimum=minimum, symbols=["000004.SH"]),
    ]
    # They are of one level, so that only the sum of their violations is determined.
    return Case(date, constraints, {"stock_deviation", "holding_weight"}, {"": minimum - 0.1 - limit})


def own_row(lower: float, maximum: float) -> Case:
    # w₁ + w₂ ≥ lower, each at most `maximum`. Holding weights come first in the order: the row gives way.
    date = context(SCORE, [0.2] * 5)
    coefficients = {"000000.SH": 1.0, "000001.SH": 1.0}
    constraints: list[Constraint] = [HoldingWeight(maximum=maximum), Linear(coefficients=coefficients, lower=lower)]
    return Case(date, constraints, {"holding_weight", "linear"}, {"linear": lower - 2 * maximum})


def below_zero(upper: float) -> Case:
    # w₁ ≤ upper < 0 is against w ≥ 0 alone, which is always there.
    date = context(SCORE, [0.2] * 5)
    return Case(date, [Linear(coefficients={"000000.SH": 1.0}, upper=upper)], {"linear"}, {"linear": -upper})


CASES: list[tuple[Callable[..., Case], tuple[float, ...]]] = [
    *((frozen_too_heavy, (w, limit)) for w in (0.15, 0.3, 0.9) for limit in (0.0, 0.02)),
    *((cannot_buy_the_index, (share, limit)) for share in (0.5, 0.8) for limit in (0.01, 0.1, 0.2)),
    *((too_far_to_trade, (limit, turnover)) for limit in (0.0, 0.01, 0.1) for turnover in (0.0, 0.3)),
    *((outside_the_index, (share, turnover)) for share in (0.8, 1.0) for turnover in (0.1, 0.3, 0.5)),
    *((small_names_only, (limit,)) for limit in (0.0, 0.2, 0.9)),
    *((bounds_that_cross, (minimum, 0.05)) for minimum in (0.2, 0.3)),
    *((own_row, (lower, 0.3)) for lower in (0.7, 1.0)),
    *((below_zero, (upper,)) for upper in (-0.1, -0.5)),
]


def test_there_are_thirty_cases() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize(("make", "numbers"), CASES)
def test_built_conflicts(make: Callable[..., Case], numbers: tuple[float, ...]) -> None:
    case = make(*numbers)
    found = solve(case.date, case.constraints, order=ANY_ORDER)
    assert found.conflict is not None
    assert set(found.conflict.parts) == case.conflict
    assert found.conflict.proven
    totals: dict[str, float] = {}
    for one in found.relaxed:
        part = "" if "" in case.relaxed else one.label.part
        totals[part] = totals.get(part, 0.0) + one.amount
    assert totals == pytest.approx(case.relaxed, abs=1e-9)
    assert found.certificate.holds
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    assert_irreducible(case.date, case.constraints, found.conflict)
    assert_least(case.date, case.constraints)


def assert_irreducible(date: DateContext, constraints: Sequence[Constraint], found: Conflict) -> None:
    """By Clarabel: the conflict excludes every portfolio, and without any one of its parts there is one."""
    assert not can_hold(date, constraints, found.parts)
    for part in found.parts:
        assert can_hold(date, constraints, [one for one in found.parts if one != part])


def assert_least(date: DateContext, constraints: Sequence[Constraint]) -> None:
    """By Clarabel: no level can be violated less. It holds earlier totals to 1e-8, which later ones make use of."""
    problem = posed(date, constraints)
    ours = {soft.parts: soft.total for soft in least_violations(problem, ANY_ORDER)}
    order = levels(problem, ANY_ORDER)
    for parts, least in zip(order, least_totals(date, constraints, order)):
        assert ours.get(parts, 0.0) == pytest.approx(least, abs=2e-5)


def test_random_conflicts() -> None:
    """40 infeasible dates among random ones: the conflict is irreducible, and every level's violation the least."""
    generator, infeasible = np.random.default_rng(3), 0
    while infeasible < 40:
        date = random_date(generator, int(generator.integers(20, 100)), industries=6)
        constraints = random_constraints(generator, 0.03)
        found = solve(date, constraints, order=ANY_ORDER)
        if found.conflict is None:
            assert found.relaxed == ()
            continue
        infeasible += 1
        assert found.relaxed
        assert found.certificate.holds
        assert_irreducible(date, constraints, found.conflict)
        assert_least(date, constraints)


def test_the_order_decides_what_gives_way() -> None:
    # All in the fifth, outside the index: either turnover gives way by .5, or constituents do, .8 wanted and .3 bought.
    case = outside_the_index(0.8, 0.3)
    swapped = solve(case.date, case.constraints, order=(("turnover",), ("constituents",)))
    assert [(one.label.part, round(one.amount, 12)) for one in swapped.relaxed] == [("constituents", 0.5)]


def test_what_gives_way_is_then_used_for_score() -> None:
    # Turnover must be .8 for 80% of the index; the .8 is bought in the best name of the index, the first.
    case = outside_the_index(0.8, 0.3)
    np.testing.assert_allclose(solve(case.date, case.constraints).weights, [0.8, 0, 0, 0, 0.2], atol=1e-9)


def test_industries_are_named_with_what_they_lack() -> None:
    case = frozen_too_heavy(0.3, 0.02)
    found = solve(case.date, case.constraints)
    assert str(found.conflict) == "industry_deviation (g0) given tradability (000000.SH)"
    # g0 is .3 − .1 − .02 too heavy. g1 has the better scores, so that g2, of .3, lacks .2, of which it may lack .02.
    assert [(one.label.key, round(one.amount, 12)) for one in found.relaxed] == [("g0", 0.18), ("g2", 0.16)]


def test_what_is_not_in_the_order_is_refused() -> None:
    case = outside_the_index(0.8, 0.3)
    with pytest.raises(Infeasible) as refused:
        solve(case.date, case.constraints, order=())
    assert str(refused.value) == (
        "2024-01-05: turnover, constituents: exclude each other and may not give way; loosen one or add it to the order"
    )


def test_a_budget_that_cannot_be_invested_is_refused() -> None:
    """Nothing can be bought with .2 of cash: neither cash nor the old holdings is an answer."""
    date = context(SCORE, [0.2] * 5, previous=[0.2, 0.2, 0.2, 0.2, 0], cash=0.2)
    date = replace(date, buyable=np.zeros(5, bool))
    with pytest.raises(
        Infeasible, match=r"nothing adds up to 1 that tradability \(000000.SH, 000001.SH, 000002.SH and 2 more\) allows"
    ):
        solve(date, [StockDeviation(limit=0.1)])


def suspended(share: float) -> tuple[DateContext, Array]:
    """A date of 2,000 names that were held like the index, of which a share is suspended; and which."""
    generator = np.random.default_rng(11)
    date = random_date(generator, 2000, blocked=0.0, industries=30)
    frozen = generator.random(2000) < share
    held = date.benchmark * np.exp(0.1 * generator.standard_normal(2000))
    return replace(date, frozen=frozen, previous=held / held.sum(), cash=0.0), frozen


def test_a_third_of_the_market_suspended() -> None:
    date, frozen = suspended(1 / 3)
    assert date.previous is not None
    constraints: list[Constraint] = [
        StockDeviation(limit=0.0005),
        IndustryDeviation(limit=0.0),
        StyleDeviation(limits={"size": 0.0, "valuation": 0.0, "momentum": 0.1}),
        Constituents(share=0.8),
        Turnover(limit=0.002),
    ]
    found = solve(date, constraints)
    np.testing.assert_array_equal(found.weights[frozen], date.previous[frozen])
    assert found.certificate.holds
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    # Of the declared order the last gives way, and no other.
    assert [one.label.part for one in found.relaxed] == ["turnover"]


def test_a_feasible_problem_has_no_conflict() -> None:
    case = outside_the_index(0.3, 0.3)
    assert conflict(posed(case.date, case.constraints)) is None


def test_parts_of_a_style_constraint_have_levels_of_their_own() -> None:
    date = context(SCORE, [0.2] * 5)
    constraints = [StyleDeviation(limits={"size": 0, "momentum": 1}), Turnover(limit=0.3)]
    assert levels(posed(date, constraints), ORDER) == [
        ("style_deviation.size",),
        ("style_deviation.momentum",),
        ("turnover",),
    ]
