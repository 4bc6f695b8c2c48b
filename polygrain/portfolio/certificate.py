"""Certificates: that a solution is feasible and that none is better, proven from prices without the solver.

For prices y, d = cost − matrixᵀ y; with both signs of a number as a⁺ = max(a, 0) and a⁻ = max(−a, 0),
bound(y) = Σ_rows (y⁺ upper − y⁻ lower) + Σ_columns d⁺ width
is at least cost·x of every feasible x (weak duality). Where it is no more than that of ours, ours is optimal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.errors import Uncertified
from polygrain.portfolio.program import Program
from polygrain.store.panel import Array

TOLERANCE = 1e-7


@dataclass(frozen=True)
class Certificate:
    """What was found: residuals in the units of rows and costs, the objective and the bound on it."""

    primal: float
    dual: float
    objective: float
    bound: float

    @property
    def gap(self) -> float:
        """|bound − objective| / max(1, |objective|)."""
        return abs(self.bound - self.objective) / max(1.0, abs(self.objective))

    @property
    def holds(self) -> bool:
        """Whether residuals and gap are all at most 10⁻⁷; never with anything that is not a number."""
        return all(value <= TOLERANCE for value in (self.primal, self.dual, self.gap))


def certificate(program: Program, x: Array, y: Array) -> Certificate:
    """The certificate of columns' values x by prices y.

    Primal residual: the most by which x violates a row or a width. Dual residual: the largest price of a side that a
    row does not have, and the largest |d| of a column that it should have moved: d⁺ below the width, d⁻ above 0.
    """
    value, gains = program.matrix @ x, program.reduced(y)
    primal = [program.lower - value, value - program.upper, -x, x - program.width]
    movable = np.where(x < program.width - TOLERANCE, gains, 0), np.where(x > TOLERANCE, -gains, 0)
    sideless = np.where(np.isinf(program.upper), y, 0), np.where(np.isinf(program.lower), -y, 0)
    bound = _sides(program, y) + float(np.maximum(gains, 0) @ program.width)
    return Certificate(
        _worst(*primal),
        _worst(*movable, *sideless),
        float(program.cost @ x) + program.constant,
        bound + program.constant,
    )


def certified(program: Program, x: Array, y: Array) -> Certificate:
    """The certificate, which holds; Uncertified where it does not."""
    found = certificate(program, x, y)
    if not found.holds:
        raise Uncertified(
            f"a solution is not proven optimal: primal residual {found.primal:.1e}, dual residual {found.dual:.1e}, "
            f"relative gap {found.gap:.1e}, of which each may be {TOLERANCE:g}; report it with the date's inputs"
        )
    return found


def excludes(program: Program, y: Array) -> bool:
    """Whether multipliers y prove that there is no solution (Farkas): at every x, y·(matrix x) is too much."""
    # Multipliers of sides that are not there prove nothing.
    y = np.where(np.isinf(program.upper), np.minimum(y, 0), y)
    y = np.where(np.isinf(program.lower), np.maximum(y, 0), y)
    least = float(np.minimum(y @ program.matrix, 0) @ program.width)
    return least > _sides(program, y) + TOLERANCE * float(np.abs(y).max(initial=0))


def _sides(program: Program, y: Array) -> float:
    """Σ y⁺ upper − y⁻ lower over the sides that rows have."""
    upper, lower = (np.where(np.isinf(side), 0, side) for side in (program.upper, program.lower))
    return float(np.maximum(y, 0) @ upper - np.maximum(-y, 0) @ lower)


def _worst(*residuals: Array) -> float:
    # Not Python's max, which passes over NaN.
    return float(np.max(np.concatenate([*residuals, [0.0]])))
