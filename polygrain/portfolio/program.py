"""Program: a date's linear program, with a row for each row of the problem and none besides.

A weight is its least value plus columns that fill one after the other: what is kept of w⁰, then what is bought beyond
it. Rows with buys make the later column the dearer one, so that the columns fill in this order unasked, and buys need
no rows of their own. Limits that may give way are further places to split a weight at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from polygrain.portfolio.columns import Columns, split
from polygrain.portfolio.constraint import Label
from polygrain.portfolio.problem import Problem
from polygrain.store.panel import Array

SLACK = -1


@dataclass(frozen=True)
class Soft:
    """Parts whose violation, summed over their rows and bounds, is minimised, or held to a `total` found before."""

    parts: tuple[str, ...]
    total: float | None = None

    @property
    def label(self) -> Label:
        """The name of the row that holds the total."""
        return Label(" + ".join(self.parts), "violation")


@dataclass(frozen=True, eq=False)
class Program:
    """max cost·x + constant subject to lower ≤ matrix x ≤ upper [rows], 0 ≤ x ≤ width [columns].

    w = least + the sum over each symbol's columns. `symbol` is each column's place, SLACK for what a row may be
    violated by; `step` counts a symbol's columns from below; `buys` is 1 where the column is bought.
    """

    cost: Array
    constant: float
    matrix: Array
    lower: Array
    upper: Array
    width: Array
    labels: tuple[Label, ...]
    symbol: Array
    step: Array
    buys: Array
    least: Array

    def weights(self, x: Array) -> Array:
        """w [n] of the columns' values."""
        ours = self.symbol != SLACK
        sums: Array = self.least + np.bincount(self.symbol[ours], x[ours], len(self.least))
        return sums

    def reduced(self, y: Array) -> Array:
        """Reduced costs, cost − matrixᵀ y [columns]: what a unit of the column gains beyond what it uses up."""
        gains: Array = self.cost - y @ self.matrix
        return gains

    def face(self, free: Array, x: Array, tight: Array, at: Array) -> Program:
        """The program in the columns `free` alone, the others staying at x; the rows `tight` are equal to `at`."""
        shift = self.matrix[:, ~free] @ x[~free]
        return replace(
            self,
            cost=self.cost[free],
            constant=0.0,
            matrix=self.matrix[:, free],
            lower=np.where(tight, at, self.lower) - shift,
            upper=np.where(tight, at, self.upper) - shift,
            width=self.width[free],
            symbol=self.symbol[free],
            step=self.step[free],
            buys=self.buys[free],
        )


class _Slack(NamedTuple):
    """A column that a row may be violated by: its row, −1 above the row or 1 below it, and how much it can need."""

    row: int
    sign: float
    most: float


def assembled(problem: Problem, mu: Array, softs: Sequence[Soft] = ()) -> Program:
    """The program max Σ μ_i w_i − the violation of every soft without a total; bounds of hard parts must not cross."""
    date, soft_parts = problem.date, {part for soft in softs for part in soft.parts}
    soft_bounds = {part: bounds for part in sorted(soft_parts) if (bounds := problem.bounds_of(part)) is not None}
    columns = split(date, problem.without(soft_bounds).bounds, soft_bounds)
    coefficients = np.array([row.coefficients for row in problem.rows])
    buys = np.array([row.buys for row in problem.rows])
    matrix = coefficients[:, columns.symbol] + buys[:, None] * columns.buys
    shift = coefficients @ columns.least + buys * date.bought(columns.least)
    lower = np.array([row.lower for row in problem.rows]) - shift
    upper = np.array([row.upper for row in problem.rows]) - shift
    may_give = [place for place, row in enumerate(problem.rows) if row.label.part in soft_parts]
    slacks = _slacks(may_give, matrix, lower, upper, columns.width)
    for slack in slacks:
        matrix = np.column_stack([matrix, np.where(np.arange(len(matrix)) == slack.row, slack.sign, 0.0)])
    cost, constant = np.append(mu[columns.symbol], np.zeros(len(slacks))), float(mu @ columns.least)
    labels = [row.label for row in problem.rows]
    for soft in softs:
        slope, least = _violation(soft, problem, columns, slacks)
        if soft.total is None:
            cost, constant = cost - slope, constant - least
        else:
            matrix, labels = np.vstack([matrix, slope]), [*labels, soft.label]
            lower, upper = np.append(lower, -np.inf), np.append(upper, soft.total - least)
    return Program(
        cost,
        constant,
        matrix,
        lower,
        upper,
        np.append(columns.width, [slack.most for slack in slacks]),
        tuple(labels),
        np.append(columns.symbol, np.full(len(slacks), SLACK)),
        np.append(columns.step, np.zeros(len(slacks), int)),
        np.append(columns.buys, np.zeros(len(slacks))),
        columns.least,
    )


def _slacks(rows: Sequence[int], matrix: Array, lower: Array, upper: Array, width: Array) -> list[_Slack]:
    """The columns that let rows be violated, as far as the widths can."""
    found: list[_Slack] = []
    for row in rows:
        most, least = (float(side(matrix[row], 0) @ width) for side in (np.maximum, np.minimum))
        found += [_Slack(row, -1.0, most - upper[row])] if most > upper[row] else []
        found += [_Slack(row, 1.0, lower[row] - least)] if least < lower[row] else []
    return found


def _violation(soft: Soft, problem: Problem, columns: Columns, slacks: Sequence[_Slack]) -> tuple[Array, float]:
    """What each column adds to the violation of the soft parts, and what the least weights violate of their bounds."""
    weights = sum(
        (columns.slopes[part] for part in soft.parts if part in columns.slopes), np.zeros(len(columns.symbol))
    )
    rows = [float(problem.rows[slack.row].label.part in soft.parts) for slack in slacks]
    return np.append(weights, rows), sum(columns.violation.get(part, 0.0) for part in soft.parts)
