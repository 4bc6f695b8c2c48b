"""Certificates: that a solution is feasible and that none is better, proven from prices without the solver.

For prices y, d = cost − matrixᵀ y; with both signs of a number as a⁺ = max(a, 0) and a⁻ = max(−a, 0),
bound(y) = Σ_rows (y⁺ upper − y⁻ lower) + Σ_columns d⁺ width
is at least cost·x of every feasible x (weak duality). Where it is no more than that of ours, ours is optimal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.errors import Uncertified
from polygrain.portfolio.conic_program import ConicProgram
from polygrain.portfolio.program import Program
from polygrain.store.panel import Array

TOLERANCE = 1e-7
# Of an interior-point solver, which is never at a vertex.
INTERIOR_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Certificate:
    """What was found: residuals in the units of rows and costs, the objective and the bound on it."""

    primal: float
    dual: float
    objective: float
    bound: float
    tolerance: float = TOLERANCE

    @property
    def gap(self) -> float:
        """|bound − objective| / max(1, |objective|)."""
        return abs(self.bound - self.objective) / max(1.0, abs(self.objective))

    @property
    def holds(self) -> bool:
        """Whether residuals and gap are all at most the tolerance; never with anything that is not a number."""
        return all(value <= self.tolerance for value in (self.primal, self.dual, self.gap))


def certificate(program: Program, x: Array, y: Array) -> Certificate:
    """The certificate of columns' values x by prices y.

    Primal residual: the most by which x violates a row or a width. Dual residual: the largest price of a side that a
    row does not have, and the largest |d| of a column that it should have moved: d⁺ below the width, d⁻ above 0.
    """
    value, gains = program.matrix @ x, program.reduced(y)
    primal = [program.lower - value, value - program.upper, -x, x - program.width]
    movable = np.where(x < program.width - TOLERANCE, gains, 0), np.where(x > TOLERANCE, -gains, 0)
    bound = _sides(program, y) + float(np.maximum(gains, 0) @ program.width)
    return Certificate(
        _worst(*primal),
        _worst(*movable, *_sideless(program, y)),
        float(program.cost @ x) + program.constant,
        bound + program.constant,
    )


def certified(program: Program, x: Array, y: Array) -> Certificate:
    """The certificate, which holds; Uncertified where it does not."""
    return _held(certificate(program, x, y))


def conic_certificate(program: ConicProgram, x: Array, at: Array, y: Array, p: Array) -> Certificate:
    """The certificate of columns' values x by prices y of the rows and p of Q a, each part to 10⁻⁶.

    The objective is concave, so that nowhere is it above its tangent `at` any columns' values. The bound is that of the
    tangent's linear program, with what Q a can add at multipliers p where its length has a limit: p · Q a ≤ limit |p|.
    Primal residual: that of the linear program, and by how much the tracking error is above its limit. Dual residual:
    the largest price of a side that a row does not have, and the most that one column could gain along the tangent,
    d⁺ (width − x) and d⁻ x: an interior optimum's columns are all between their bounds, so that d itself is nowhere 0.
    """
    tangent, more = program.tangent(at, p), 0.0
    gains, linear = tangent.reduced(y), certificate(tangent, at, y)
    if np.isfinite(program.limit):
        more = program.limit * float(np.linalg.norm(p)) - float(p @ program.strayed(at))
    return Certificate(
        _worst(np.array([certificate(tangent, x, y).primal, program.tracking_error(x) - program.limit])),
        _worst(*_sideless(tangent, y), gains * (tangent.width - x), -gains * x),
        program.objective(x),
        program.objective(at) + linear.bound - linear.objective + more,
        INTERIOR_TOLERANCE,
    )


def conic_certified(program: ConicProgram, x: Array, at: Array, y: Array, p: Array) -> Certificate:
    """The certificate, which holds; Uncertified where it does not."""
    return _held(conic_certificate(program, x, at, y, p))


def _held(found: Certificate) -> Certificate:
    if not found.holds:
        raise Uncertified(
            f"a solution is not proven optimal: primal residual {found.primal:.1e}, dual residual {found.dual:.1e}, "
            f"relative gap {found.gap:.1e}, of which each may be {found.tolerance:g}; report it with the date's inputs"
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


def _sideless(program: Program, y: Array) -> tuple[Array, Array]:
    """The prices of upper and lower sides that rows do not have."""
    return np.where(np.isinf(program.upper), y, 0), np.where(np.isinf(program.lower), -y, 0)


def _worst(*residuals: Array) -> float:
    # Not Python's max, which passes over NaN.
    return float(np.max(np.concatenate([*residuals, [0.0]])))
