"""Index enhancement of one date with risk in the objective, or with a limit on the tracking error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NoReturn

import numpy as np
from pydantic import Field

from polygrain.errors import DataError, Infeasible, Uncertified
from polygrain.portfolio.certificate import INTERIOR_TOLERANCE, conic_certified
from polygrain.portfolio.columns import crossed
from polygrain.portfolio.conic_program import ConicProgram, root
from polygrain.portfolio.constraint import Constraint, Label
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import ORDER, Conflict, Order, conflict, least_violations, violations
from polygrain.portfolio.interior import Interior, Unsolved, clarabel_for, interior
from polygrain.portfolio.prices import Prices, prices
from polygrain.portfolio.problem import Problem, posed
from polygrain.portfolio.program import Program, Soft, assembled
from polygrain.portfolio.reduction import optimum
from polygrain.portfolio.risk import Risk
from polygrain.portfolio.simplex import Ray
from polygrain.portfolio.solve import Solution
from polygrain.spec import Spec
from polygrain.store.panel import Array

TRACKING_ERROR = Label("tracking_error", "tracking_error")
_Aversion = Annotated[float, Field(ge=0)]
# A column this near to a bound whose price is larger than the distance is at it.
_AT_BOUND = 1e-7


class RiskObjective(Spec):
    """max Σ μ_i w_i − ½ λ aᵀVa − κ Σ (w_i − w⁰_i)², a = w − b, subject to √(aᵀVa) ≤ limit.

    λ `risk_aversion`, in standard deviations of the score a unit of variance a year; κ `quadratic_cost`, the same a
    squared unit of weight, none at the first date; limit `tracking_error`, a year, 跟踪误差约束, None for none.
    """

    risk_aversion: _Aversion = 0.0
    quadratic_cost: _Aversion = 0.0
    tracking_error: Annotated[float, Field(gt=0)] | None = None


def solve_conic(
    date: DateContext, constraints: Sequence[Constraint], objective: RiskObjective, risk: Risk, *, order: Order = ORDER
) -> Solution:
    """The weights of the greatest objective that the constraints, budget, long-only and tradability allow, by Clarabel.

    A `Solution` as `solve` gives, but from inside the feasible set: its certificate, that of the whole objective, holds
    to 1e-6 instead of 1e-7, and weights are right to about its root where the objective is flat. With λ > 0 or κ > 0
    they are the only optimum; without, some optimum between the vertices, for which `solve` is the better choice.
    `objective` is Σ μ_i w_i; prices are what the whole objective gains, with one for the tracking error. The order of
    the symbols changes no bit.

    Where no weights satisfy the constraints, those in the `order` give way as in `solve`. The limit on the tracking
    error does not give way. `risk` is of the date's stocks, in the date's order; nothing else is seen.
    Infeasible where no weights that are left satisfy the limit, or where what is not in the order cannot be satisfied;
    Uncertified where the proof fails or Clarabel does not end with a solution; ConfigError where it is not installed;
    DataError where date or risk lack what is needed.
    """
    clarabel_for("objective")
    _check(risk, date)
    places = np.argsort(np.array(date.symbols))
    problem = posed(date.taken(places), constraints)
    linear, trouble, softs = _satisfiable(problem, order)
    ordered = risk.taken(places)
    program = ConicProgram(
        linear,
        root(ordered),
        np.sqrt(ordered.specific_n),
        problem.date.benchmark,
        problem.date.holdings,
        objective.risk_aversion,
        0.0 if date.previous is None else objective.quadratic_cost,
        np.inf if objective.tracking_error is None else objective.tracking_error,
    )
    found = interior(program)
    if isinstance(found, Unsolved):
        _refuse(problem, program, found)
    x = _settled(program, found)
    proof = conic_certified(program, x, found.x, found.y, found.p)
    weights = linear.weights(x)
    back = np.argsort(places)
    shadow = _prices(problem, softs, program, x, found)
    return Solution(
        date.symbols,
        weights[back],
        float(problem.date.mu @ weights),
        proof,
        replace(shadow, bounds=shadow.bounds[back], bound_parts=shadow.bound_parts[back]),
        trouble,
        tuple(one for one in violations(problem, softs, weights) if one.amount > INTERIOR_TOLERANCE),
        problem.absent,
    )


def _check(risk: Risk, date: DateContext) -> None:
    """DataError where the risk is not that of the date's stocks."""
    if risk.exposures.shape[1] != len(date.symbols) or risk.specific_n.shape != (len(date.symbols),):
        reason = f"is of {risk.exposures.shape[1]} stocks, the date of {len(date.symbols)}; estimate it for the date"
        raise DataError(f"{date.day}:risk", reason)
    for place in np.flatnonzero(~(risk.specific_n >= 0) | ~np.isfinite(risk.exposures).all(axis=0))[:1]:
        reason = f"{date.symbols[place]} has no specific variance or lacks an exposure; leave it out of the date"
        raise DataError(f"{date.day}:risk", reason)


def _satisfiable(problem: Problem, order: Order) -> tuple[Program, Conflict | None, list[Soft]]:
    """The linear program, with what must give way in it so that there is a solution."""
    if not crossed(problem.bounds).any():
        program = assembled(problem, problem.date.mu)
        if not isinstance(optimum(program), Ray):
            return program, None, []
    trouble, softs = conflict(problem), least_violations(problem, order)
    return assembled(problem, problem.date.mu, softs), trouble, softs


def _refuse(problem: Problem, program: ConicProgram, unsolved: Unsolved) -> NoReturn:
    """Infeasible where the certificate of the least tracking error proves it above the limit, else Uncertified."""
    riskless = replace(program.linear, cost=np.zeros(len(program.linear.cost)), constant=0.0)
    alone = replace(program, linear=riskless, risk_aversion=1.0, quadratic_cost=0.0, limit=np.inf)
    found = interior(alone)
    if isinstance(found, Interior):
        proof = conic_certified(alone, _settled(alone, found), found.x, found.y, found.p)
        least = float(np.sqrt(max(0.0, -2 * proof.bound)))
        if least > program.limit * (1 - INTERIOR_TOLERANCE):
            reason = f"tracking_error: the constraints allow none below {least:.4g}, and the limit is {program.limit:g}"
            raise Infeasible(str(problem.date.day), f"{reason}; loosen the limit or the constraints")
    raise Uncertified(f"{problem.date.day}: Clarabel ended with {unsolved.status!r}; report it with the date's inputs")


def _settled(program: ConicProgram, found: Interior) -> Array:
    """x within its widths and rows: columns at a bound are on it, and the others make up for it."""
    linear = program.linear
    x = np.clip(found.x, 0.0, linear.width)
    gains, left = program.tangent(found.x, found.p).reduced(found.y), linear.width - x
    x = np.where((x < _AT_BOUND) & (-gains > x), 0.0, np.where((left < _AT_BOUND) & (gains > left), linear.width, x))
    value = linear.matrix @ x
    near = np.minimum(np.abs(value - linear.lower), np.abs(value - linear.upper)) < INTERIOR_TOLERANCE
    missing = (np.clip(value, linear.lower, linear.upper) - value)[near]
    # By their room, so that none of them is moved out of it.
    room = np.minimum(x, linear.width - x)
    system = linear.matrix[near] * room
    x += room * np.linalg.lstsq(system, missing, rcond=None)[0]
    within: Array = np.clip(x, 0.0, linear.width)
    return within


def _prices(problem: Problem, softs: Sequence[Soft], program: ConicProgram, x: Array, found: Interior) -> Prices:
    """Prices of rows and bounds along the objective's tangent, and of the tracking error: what a unit more gains."""
    firm = problem.without([part for soft in softs for part in soft.parts if problem.bounds_of(part) is not None])
    mu = problem.date.mu + program.slopes(x, found.p)
    shadow = prices(problem, firm.bounds, program.tangent(x, found.p), x, found.y, mu)
    if not np.isfinite(program.limit):
        return shadow
    price = float(np.linalg.norm(found.p))
    at_limit = program.tracking_error(x) > program.limit - INTERIOR_TOLERANCE
    binding = shadow.binding | {TRACKING_ERROR} if at_limit else shadow.binding
    return replace(shadow, rows={**shadow.rows, TRACKING_ERROR: price}, binding=binding)
