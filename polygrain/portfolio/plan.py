"""Plan: how the weights of a date are found, given those of the date before to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date as Day
from typing import TypeAlias

from polygrain.portfolio.conic import RiskObjective, solve_conic
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import Order
from polygrain.portfolio.risk import Explained, estimated_risk
from polygrain.portfolio.solve import Solution, solve

Plan: TypeAlias = Callable[[DateContext, Solution | None], Solution]


def most_score(constraints: Sequence[Constraint], order: Order) -> Plan:
    """The weights of most score, by `solve`."""
    return lambda date, before: solve(date, constraints, order=order, before=before)


def with_risk(
    constraints: Sequence[Constraint],
    order: Order,
    objective: RiskObjective,
    history: Mapping[Day, Explained],
    symbols: Sequence[str],
) -> Plan:
    """The weights of the greatest `objective`, by `solve_conic`; the risk of a date is estimated from the days of
    `history` up to it, whose stocks are `symbols`."""

    def plan(date: DateContext, before: Solution | None) -> Solution:
        risk = estimated_risk(history, symbols, date)
        return solve_conic(date, constraints, objective, risk, order=order)

    return plan
