"""Risk in the objective: by hand, against cvxpy with the matrix in full and three solvers, and its laws."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_portfolios import context, random_constraints, random_date
from reference_portfolio import most_with_risk, stated

from polygrain.decoding import decode
from polygrain.errors import ConfigError, DataError, Infeasible, Uncertified
from polygrain.portfolio.certificate import conic_certificate, conic_certified
from polygrain.portfolio.conic import TRACKING_ERROR, RiskObjective, solve_conic
from polygrain.portfolio.conic_program import ConicProgram, root
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import HoldingWeight, IndustryDeviation, StockDeviation, Turnover
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.factors import MARKET, Factor, factor_returns
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.interior import Interior, interior
from polygrain.portfolio.problem import posed
from polygrain.portfolio.program import assembled
from polygrain.portfolio.risk import Risk, estimated_risk
from polygrain.portfolio.solve import solve

ANY_ORDER = (*ORDER, ("loose",))
# μ = (1, −1); only the stocks' own risk, 20% a year each.
TWO = context(np.array([1.0, -1]), [0.5, 0.5], previous=[0.5, 0.5])
OWN = Risk((MARKET,), np.zeros((1, 1)), np.ones((1, 2)), np.full(2, 0.04))


def test_risk_and_trades_cost_what_they_cost_by_hand() -> None:
    # w = (.5 + t, .5 − t): the score 2t, variance .08 t². λ = 100: 2t − 4t², t = .25, objective .25.
    found = solve_conic(TWO, [], RiskObjective(risk_aversion=100.0), OWN)
    np.testing.assert_allclose(found.weights, [0.75, 0.25], atol=1e-7)
    assert found.objective == pytest.approx(0.5, abs=1e-6)
    assert found.certificate.objective == pytest.approx(0.25, abs=1e-9)
    # κ = 2: 2t − 4t² again. At the first date there is nothing to trade from: all of it in the first.
    np.testing.assert_allclose(
        solve_conic(TWO, [], RiskObjective(quadratic_cost=2.0), OWN).weights, [0.75, 0.25], atol=1e-7
    )
    first = replace(TWO, previous=None)
    np.testing.assert_allclose(solve_conic(first, [], RiskObjective(quadratic_cost=2.0), OWN).weights, [1, 0], atol=0)


def test_a_limit_on_the_tracking_error_by_hand() -> None:
    # √.08 t ≤ .05: t = .17678; a unit more of the limit gains 2/√.08 = 7.0711.
    found = solve_conic(TWO, [], RiskObjective(tracking_error=0.05), OWN)
    np.testing.assert_allclose(found.weights, [0.5 + 0.05 / np.sqrt(0.08), 0.5 - 0.05 / np.sqrt(0.08)], atol=1e-7)
    assert found.prices.parts["tracking_error"] == pytest.approx(2 / np.sqrt(0.08), abs=1e-5)
    assert TRACKING_ERROR in found.prices.binding
    # The factor's part: exposures 1 and 2, variance .09: .09 t² more. √.17 t ≤ .05.
    both = replace(OWN, covariance_KK=np.array([[0.09]]), exposures=np.array([[1.0, 2.0]]))
    found = solve_conic(TWO, [], RiskObjective(tracking_error=0.05), both)
    assert found.weights[0] == pytest.approx(0.5 + 0.05 / np.sqrt(0.17), abs=1e-7)
    # A limit that does not bind has no price.
    loose = solve_conic(TWO, [StockDeviation(limit=0.1)], RiskObjective(tracking_error=0.5), OWN)
    assert loose.prices.parts["tracking_error"] == pytest.approx(0, abs=1e-6)
    assert loose.weights.tolist() == [0.6, 0.4]
    assert loose.prices.parts["stock_deviation"] == pytest.approx(2, abs=1e-6)
    assert TRACKING_ERROR not in loose.prices.binding


def random_risk(generator: np.random.Generator, symbols: int) -> Risk:
    """Four factors of some 10% a year, stocks of 15 to 55% of their own."""
    half = 0.1 * generator.standard_normal((4, 4))
    factors = (MARKET, *(Factor("style", name) for name in ("size", "valuation", "momentum")))
    return Risk(
        factors, half @ half.T, generator.standard_normal((4, symbols)), generator.uniform(0.15, 0.55, symbols) ** 2
    )


def matrix(risk: Risk) -> np.ndarray:
    return risk.exposures.T @ risk.covariance_KK @ risk.exposures + np.diag(risk.specific_n)


def random_objective(generator: np.random.Generator) -> RiskObjective:
    return RiskObjective(
        risk_aversion=float(generator.choice([0.0, 1, 30])),
        quadratic_cost=float(generator.choice([0.0, 1, 10])),
        tracking_error=[None, 0.05, 0.1, 0.2][generator.integers(4)],
    )


def elsewhere(
    date: DateContext, constraints: list[Constraint], objective: RiskObjective, risk: Risk, solver: str = cp.CLARABEL
) -> float | None:
    return most_with_risk(
        date,
        constraints,
        matrix(risk),
        aversion=objective.risk_aversion,
        cost=objective.quadratic_cost,
        limit=objective.tracking_error,
        solver=solver,
    )


SIZES = [30] * 60 + [60] * 30 + [150] * 20 + [300] * 2


@pytest.mark.parametrize("part", range(4))
def test_equals_cvxpy_with_the_matrix_in_full(part: int) -> None:
    """112 problems of 30 to 300 names: the objective to 1e-5 relative, and what has no solution there has none here."""
    solved = 0
    for number, symbols in list(enumerate(SIZES))[part::4]:
        generator = np.random.default_rng(number)
        date = random_date(generator, symbols, industries=6)
        constraints, risk = random_constraints(generator, 0.4), random_risk(generator, symbols)
        objective = random_objective(generator)
        expected = elsewhere(date, constraints, objective, risk)
        try:
            found = solve_conic(date, constraints, objective, risk, order=ANY_ORDER)
        except Infeasible:
            assert expected is None
            continue
        assert (expected is None) == (found.conflict is not None)
        assert found.certificate.holds
        assert (found.weights >= 0).all()
        if objective.tracking_error is not None:
            assert risk.tracking_error(found.weights - date.benchmark) <= objective.tracking_error + 1e-6
        if expected is not None:
            solved += 1
            assert found.certificate.objective == pytest.approx(expected, rel=1e-5, abs=1e-5)
            for _, a, low, high in stated(date, constraints).sums:
                assert low - 1e-6 <= np.array(a) @ found.weights <= high + 1e-6
    assert solved >= 20


@pytest.mark.parametrize(("solver", "limit"), [(cp.OSQP, None), (cp.SCS, 0.15)])
def test_equals_solvers_of_another_kind(solver: str, limit: float | None) -> None:
    """First-order methods, to 1e-5 relative as they are."""
    for seed in range(6):
        generator = np.random.default_rng(seed)
        date = replace(random_date(generator, 30, blocked=0.0), cash=0.0, previous=np.full(30, 1 / 30))
        constraints: list[Constraint] = [StockDeviation(limit=0.1), Turnover(limit=0.9)]
        objective = RiskObjective(risk_aversion=10.0, quadratic_cost=1.0, tracking_error=limit)
        risk = random_risk(generator, 30)
        expected = elsewhere(date, constraints, objective, risk, solver)
        found = solve_conic(date, constraints, objective, risk)
        assert found.certificate.objective == pytest.approx(expected, rel=1e-5, abs=1e-5)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_without_risk_it_is_the_linear_program(seed: int) -> None:
    """The same objective to its certificate's 1e-6, the same conflict, and as much that gives way, to 1e-6 a row."""
    generator = np.random.default_rng(seed)
    date, constraints = random_date(generator, 40), random_constraints(generator, 0.3)
    found = solve_conic(date, constraints, RiskObjective(), random_risk(generator, 40), order=ANY_ORDER)
    linear = solve(date, constraints, order=ANY_ORDER)
    assert found.objective == pytest.approx(linear.objective, rel=2e-6, abs=2e-6)
    assert found.conflict == linear.conflict
    ours, theirs = (sum(one.amount for one in solution.relaxed) for solution in (found, linear))
    assert ours == pytest.approx(theirs, abs=1e-5)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_symbols_changes_no_bit(seed: int) -> None:
    generator = np.random.default_rng(seed)
    date, constraints = random_date(generator, 40), random_constraints(generator, 0.5)
    risk, order = random_risk(generator, 40), generator.permutation(40)
    objective = RiskObjective(risk_aversion=5.0, quadratic_cost=1.0)
    straight = solve_conic(date, constraints, objective, risk, order=ANY_ORDER)
    shuffled = solve_conic(date.taken(order), constraints, objective, risk.taken(order), order=ANY_ORDER)
    assert shuffled.weights.tobytes() == straight.weights[order].tobytes()
    assert shuffled.prices.bounds.tobytes() == straight.prices.bounds[order].tobytes()


def test_prices_are_what_a_little_more_room_gains() -> None:
    # 1e-4 either way: the certificate's error, some 1e-9 here, over 2e-4 is 1e-5; curvature cancels.
    generator = np.random.default_rng(11)
    date, risk = random_date(generator, 60, blocked=0.0), random_risk(generator, 60)

    def best(limit: float, stock: float) -> tuple[float, dict[str, float]]:
        constraints: list[Constraint] = [StockDeviation(limit=stock), IndustryDeviation(limit=0.02)]
        objective = RiskObjective(risk_aversion=3.0, tracking_error=limit)
        found = solve_conic(date, constraints, objective, risk)
        assert found.conflict is None
        return found.certificate.objective, found.prices.parts

    _, parts = best(0.06, 0.05)
    assert parts["tracking_error"] > 1
    assert parts["stock_deviation"] > 0.01
    gain = best(0.0601, 0.05)[0] - best(0.0599, 0.05)[0]
    assert gain / 2e-4 == pytest.approx(parts["tracking_error"], rel=1e-3)
    gain = best(0.06, 0.0501)[0] - best(0.06, 0.0499)[0]
    assert gain / 2e-4 == pytest.approx(parts["stock_deviation"], rel=2e-2)


def test_a_limit_below_what_the_constraints_allow_is_refused() -> None:
    # At most .6 of each: the second of the index's (.2, .8) must be sold by .2: √(.08 · .04) = .05657.
    date = replace(TWO, benchmark=np.array([0.2, 0.8]))
    capped = [HoldingWeight(maximum=0.6)]
    with pytest.raises(Infeasible) as refused:
        solve_conic(date, capped, RiskObjective(tracking_error=0.05), OWN)
    assert str(refused.value) == (
        "2024-01-05: tracking_error: the constraints allow none below 0.05657, and the limit is 0.05; "
        "loosen the limit or the constraints"
    )
    found = solve_conic(date, capped, RiskObjective(tracking_error=0.0566), OWN)
    np.testing.assert_allclose(found.weights, [0.4, 0.6], atol=2e-4)


def test_what_gives_way_gives_way_as_in_the_linear_program() -> None:
    # All in the second, the index in the first, 10% turnover, 20% deviation: the deviation is kept, .7 more is bought.
    date = context(np.array([1.0, -1]), [1.0, 0], previous=[0, 1.0])
    constraints: list[Constraint] = [StockDeviation(limit=0.2), Turnover(limit=0.1)]
    found = solve_conic(date, constraints, RiskObjective(risk_aversion=1.0), OWN)
    assert str(found.conflict) == str(solve(date, constraints).conflict)
    assert [(one.label.part, round(one.amount, 6)) for one in found.relaxed] == [("turnover", 0.7)]
    np.testing.assert_allclose(found.weights, [0.8, 0.2], atol=1e-6)


def test_where_nothing_can_move_the_holdings_stay() -> None:
    found = solve_conic(replace(TWO, frozen=np.ones(2, bool)), [], RiskObjective(risk_aversion=1.0), OWN)
    assert found.weights.tolist() == [0.5, 0.5]


def test_the_certificate_bounds_every_solution_whatever_the_prices() -> None:
    """Weak duality: the bound of any prices at any tangent is above the optimum; wrong ones do not certify."""
    generator = np.random.default_rng(13)
    date, risk = random_date(generator, 30, blocked=0.0), random_risk(generator, 30)
    linear = assembled(posed(date, [StockDeviation(limit=0.1), Turnover(limit=0.9)]), date.mu)
    program = ConicProgram(linear, root(risk), np.sqrt(risk.specific_n), date.benchmark, date.holdings, 10.0, 1.0, 0.1)
    found = interior(program)
    assert isinstance(found, Interior)
    optimum = conic_certificate(program, found.x, found.x, found.y, found.p).objective
    for _ in range(100):
        y = found.y + generator.standard_normal(len(found.y)) * (np.isfinite(linear.lower) | (found.y > 0))
        p = found.p + generator.standard_normal(len(found.p))
        at = linear.width * generator.random(len(found.x))
        wrong = conic_certificate(program, found.x, at, np.where(np.isinf(linear.lower), np.maximum(y, 0), y), p)
        assert wrong.bound > optimum - 1e-7
        assert not wrong.holds
    with pytest.raises(Uncertified, match=r"relative gap .*, of which each may be 1e-06; report it with the date's"):
        conic_certified(program, found.x, found.x, np.zeros(len(found.y)), found.p)
    # Scores doubled: the tracking error of the weights that went twice as far is above the limit.
    far = linear.width * (linear.cost > 0)
    assert conic_certificate(program, far, found.x, found.y, found.p).primal > 0.01


def test_with_a_risk_model_of_its_own_history() -> None:
    generator = np.random.default_rng(14)
    date = random_date(generator, 60, blocked=0.0)
    history = {
        date.day - timedelta(number): factor_returns(
            0.02 * generator.standard_normal(60),
            date.exposures,
            date.industry,
            styles=date.styles,
            industries=date.industries,
        )
        for number in range(80)
    }
    risk = estimated_risk(history, date.symbols, date)
    found = solve_conic(date, [StockDeviation(limit=0.05)], RiskObjective(tracking_error=0.03), risk)
    assert risk.tracking_error(found.weights - date.benchmark) == pytest.approx(0.03, abs=1e-6)


def test_refusals_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as refused:
        solve_conic(TWO, [], RiskObjective(), OWN.taken(np.array([0])))
    assert str(refused.value) == "2024-01-05:risk: is of 1 stocks, the date of 2; estimate it for the date"
    with pytest.raises(DataError, match=r"2024-01-05:risk: 000001.SH has no specific variance or lacks an exposure;"):
        solve_conic(TWO, [], RiskObjective(), replace(OWN, specific_n=np.array([0.04, np.nan])))
    with pytest.raises(ConfigError, match="tracking_error"):
        decode(RiskObjective, {"tracking_error": 0.0}, {})
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ConfigError, match=r"^objective: risk needs Clarabel; pip install 'polygrain\[conic\]'$"):
        solve_conic(TWO, [], RiskObjective(), OWN)
