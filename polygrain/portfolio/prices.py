"""Shadow prices: what the objective gains for a unit more of each limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polygrain.portfolio.columns import NARROW
from polygrain.portfolio.constraint import Bounds, Label
from polygrain.portfolio.problem import Problem
from polygrain.portfolio.program import Program
from polygrain.store.panel import Array

_ZERO = 1e-9


@dataclass(frozen=True, eq=False)
class Prices:
    """Prices at an optimum, in standard deviations of the score a unit of weight or exposure.

    `rows`: by row d objective / d its limit, below 0 at a lower limit. `bounds` [n]: the same for the bound that a
    weight is at, 0 where it is between, and `bound_parts` [n] the part that the bound is of, "" where it is between.
    `binding`: the rows that are at a limit. Where an optimum has several sets of prices, these are one of them.
    """

    rows: Mapping[Label, float]
    bounds: Array
    bound_parts: Array
    binding: frozenset[Label]

    @property
    def parts(self) -> dict[str, float]:
        """What the objective gains for a unit more of room in all rows and bounds of a part at once."""
        gains = {label.part: 0.0 for label in self.rows}
        for label, price in self.rows.items():
            gains[label.part] += abs(price)
        for part in np.unique(self.bound_parts[self.bound_parts != ""]):
            gains[str(part)] = gains.get(str(part), 0.0) + float(np.abs(self.bounds[self.bound_parts == part]).sum())
        return gains


def prices(problem: Problem, bounds: Bounds, program: Program, x: Array, y: Array, mu: Array) -> Prices:
    """The prices that row multipliers y make of the program's optimum x; `bounds` are those that do not give way.

    `mu` [n]: what a unit of each weight gains there, of those that have no column too.
    """
    gains = _bound_gains(problem, program, x, y, mu)
    part = np.where(gains > 0, bounds.upper_part, bounds.lower_part)
    names = np.array([*bounds.parts, ""])
    value = program.matrix @ x
    tight = (value < program.lower + _ZERO) | (value > program.upper - _ZERO)
    return Prices(
        dict(zip(program.labels, y.tolist())),
        gains,
        np.where(gains == 0, "", names[part]),
        frozenset(label for label, is_tight in zip(program.labels, tight) if is_tight),
    )


def _bound_gains(problem: Problem, program: Program, x: Array, y: Array, mu: Array) -> Array:
    """By symbol the gain of the column that its bound stops: of the last at the most, of the first at the least."""
    reduced = program.reduced(y)
    stopped = ((x >= program.width - NARROW) & (reduced > _ZERO)) | ((x <= NARROW) & (reduced < -_ZERO))
    last, first = np.full(len(program.least), -1), np.full(len(program.least), -1)
    ours = np.flatnonzero(program.symbol >= 0)
    ours = ours[np.argsort(program.step[ours], kind="stable")]
    last[program.symbol[ours]] = ours
    first[program.symbol[ours[::-1]]] = ours[::-1]
    movable = last >= 0
    gains = np.zeros(len(program.least))
    for column, sign in ((last[movable], 1.0), (first[movable], -1.0)):
        gains[movable] += np.where(stopped[column] & (np.sign(reduced[column]) == sign), reduced[column], 0.0)
    # A weight that cannot move has no column: it gains by being bought, else by being sold.
    rows = len(problem.rows)
    coefficients = np.array([row.coefficients for row in problem.rows])
    kept = mu - y[:rows] @ coefficients
    bought = kept - y[:rows] @ np.array([row.buys for row in problem.rows])
    fixed = np.where(bought > _ZERO, bought, np.where(kept < -_ZERO, kept, 0.0))
    return np.where(movable, gains, fixed)
