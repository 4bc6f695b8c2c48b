"""Plan: how the weights of a date are found, given those of the date before to start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import Order
from polygrain.portfolio.solve import Solution, solve

Plan: TypeAlias = Callable[[DateContext, Solution | None], Solution]


def most_score(constraints: Sequence[Constraint], order: Order) -> Plan:
    """The weights of most score, by `solve`."""
    return lambda date, before: solve(date, constraints, order=order, before=before)
