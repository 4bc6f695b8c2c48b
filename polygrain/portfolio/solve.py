"""Index enhancement, 指数增强, of one date: the weights of most score that the constraints allow, with their proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polygrain.errors import CheckError
from polygrain.portfolio.certificate import Certificate, certified
from polygrain.portfolio.columns import crossed
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import (
    ORDER,
    Conflict,
    Order,
    Violation,
    conflict,
    least_violations,
    violations,
)
from polygrain.portfolio.prices import Prices, prices
from polygrain.portfolio.problem import posed
from polygrain.portfolio.program import Soft, assembled
from polygrain.portfolio.reduction import optimum
from polygrain.portfolio.simplex import Ray
from polygrain.portfolio.ties import settled
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights [n] in the order of `symbols`, which is that of the date; they sum to 1.

    `objective` is Σ μ_i w_i. `conflict` and `relaxed` say which constraints excluded each other, and which rows and
    bounds gave way by how much; None and empty on almost every date. `absent` are parts that did not hold on this date.
    """

    symbols: tuple[str, ...]
    weights: Array
    objective: float
    certificate: Certificate
    prices: Prices
    conflict: Conflict | None
    relaxed: tuple[Violation, ...]
    absent: tuple[str, ...]


def solve(
    date: DateContext, constraints: Sequence[Constraint], *, order: Order = ORDER, before: Solution | None = None
) -> Solution:
    """max Σ μ_i w_i subject to the constraints, budget, long-only and tradability; among optima the least buys, then
    the most of the first symbol, of the second, and so on.

    Where no weights satisfy the constraints, those in the `order` give way by the least they can, the last level first.
    The solution of an earlier date `before` makes it faster and changes nothing. Sees nothing but the date. Infeasible
    where what is not in the order cannot be satisfied, Uncertified where the proof fails, DataError where the date
    lacks what a constraint needs, ConfigError where two constraints have one name.
    """
    places = np.argsort(np.array(date.symbols))
    # Also where they are in order already: sums of copies have the same bits, whatever the memory they are from.
    problem = posed(date.taken(places), constraints)
    known = None if before is None else before.prices.rows
    program = None if crossed(problem.bounds).any() else assembled(problem, problem.date.mu)
    found = Ray(None) if program is None else optimum(program, known)
    trouble, softs = None, list[Soft]()
    if program is None or isinstance(found, Ray):
        trouble, softs = conflict(problem), least_violations(problem, order)
        program = assembled(problem, problem.date.mu, softs)
        found = optimum(program)
    if isinstance(found, Ray):
        raise CheckError(f"{date.day}: HiGHS finds no solution where the least violations allow one; report it")
    x = settled(program, found, least_bought=date.previous is not None)
    proof = certified(program, x, found.y)
    weights = program.weights(x)
    firm = problem.without([part for soft in softs for part in soft.parts if problem.bounds_of(part) is not None])
    back = np.argsort(places)
    shadow = prices(problem, firm.bounds, program, x, found.y, problem.date.mu)
    return Solution(
        date.symbols,
        weights[back],
        float(problem.date.mu @ weights),
        proof,
        Prices(shadow.rows, shadow.bounds[back], shadow.bound_parts[back], shadow.binding),
        trouble,
        violations(problem, softs, weights),
        problem.absent,
    )
