"""Clarabel, an interior-point solver, used directly: the only file that knows it."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from polygrain.errors import ConfigError
from polygrain.portfolio.conic_program import ConicProgram
from polygrain.portfolio.program import SLACK
from polygrain.store.panel import Array

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    _Side = tuple[tuple[csc_array | None, ...], Array]

# The second is Clarabel's own. The first is better, as what is left counts once a column in the bound, but not always
# within reach.
_TOLERANCES = (1e-9, 1e-8)


@dataclass(frozen=True, eq=False)
class Interior:
    """An optimum from inside: the columns' values x, and prices y of the rows and p of Q a.

    Right to some 10⁻⁸: a column is never at a bound, and the farther from it the less the bound's price is.
    """

    x: Array
    y: Array
    p: Array


@dataclass(frozen=True)
class Unsolved:
    """How Clarabel ended without an optimum, in its own word."""

    status: str


def clarabel_for(key: str) -> ModuleType:
    """Clarabel; ConfigError at `key` where it is not installed."""
    try:
        import clarabel
    except ImportError:
        raise ConfigError(key, "risk needs Clarabel; pip install 'polygrain[conic]'") from None
    return clarabel  # type: ignore[no-any-return]


def interior(program: ConicProgram) -> Interior | Unsolved:
    """The optimum of the program, or how Clarabel ended without one.

    In its form, min ½ zᵀPz + q·z subject to s = h − A z in cones, z is (x, w, u), u the factors' part of Q a: P is then
    diagonal, and A has K dense rows.
    """
    clarabel = clarabel_for("objective")
    from scipy import sparse

    sides = _sides(program)
    equal, above, below = _equal(program), _above(program), _below(program)
    cones = [
        clarabel.ZeroConeT(sum(len(level) for _, level in sides[:3])),
        clarabel.NonnegativeConeT(sum(len(level) for _, level in sides[3:7])),
    ]
    if len(sides) > 7:
        cones.append(clarabel.SecondOrderConeT(sum(len(level) for _, level in sides[7:])))
    p, q = _goal(program)
    a = sparse.block_array([blocks for blocks, _ in sides], format="csc")
    h = np.concatenate([level for _, level in sides])
    for tolerance in _TOLERANCES:
        found = clarabel.DefaultSolver(p, q, a, h, cones, _settings(clarabel, tolerance)).solve()
        if found.status in (clarabel.SolverStatus.Solved, clarabel.SolverStatus.PrimalInfeasible):
            break
    if found.status != clarabel.SolverStatus.Solved:
        return Unsolved(str(found.status))
    prices = np.split(np.array(found.z), np.cumsum([len(level) for _, level in sides])[:-1])
    y = np.zeros(len(equal))
    y[equal] = prices[0]
    y[above] += prices[3]
    y[below] -= prices[4]
    stray = -np.concatenate(prices[8:]) if len(sides) > 7 else np.zeros(len(program.root) + len(program.deviation))
    return Interior(np.array(found.x)[: len(program.linear.cost)], y, stray)


def _sides(program: ConicProgram) -> list[_Side]:
    """By block of rows what stands before x, w and u, and h: three equalities, four bounds, and the cone's three."""
    from scipy import sparse

    linear = program.linear
    columns, symbols, factors = len(linear.cost), len(linear.least), len(program.root)
    ours = np.flatnonzero(linear.symbol != SLACK)
    summed = sparse.csc_array((np.ones(len(ours)), (linear.symbol[ours], ours)), (symbols, columns))
    all_x, all_w, all_u = (sparse.eye_array(size) for size in (columns, symbols, factors))
    equal, above, below = _equal(program), _above(program), _below(program)
    found: list[_Side] = [
        ((sparse.csc_array(linear.matrix[equal]), None, None), linear.upper[equal]),
        ((-summed, all_w, None), linear.least),
        ((None, -sparse.csc_array(program.root), all_u), -program.root @ program.benchmark),
        ((sparse.csc_array(linear.matrix[above]), None, None), linear.upper[above]),
        ((-sparse.csc_array(linear.matrix[below]), None, None), -linear.lower[below]),
        ((-all_x, None, None), np.zeros(columns)),
        ((all_x, None, None), linear.width),
    ]
    if np.isfinite(program.limit):
        deviation = program.deviation
        found += [
            ((None, None, sparse.csc_array((1, factors))), np.array([program.limit])),
            ((None, None, -all_u), np.zeros(factors)),
            ((None, -sparse.diags_array(deviation), None), -deviation * program.benchmark),
        ]
    return found


def _goal(program: ConicProgram) -> tuple[csc_array, Array]:
    """P and q."""
    from scipy import sparse

    linear = program.linear
    own, trade = program.risk_aversion * program.deviation**2, 2 * program.quadratic_cost
    factors = np.full(len(program.root), program.risk_aversion)
    square = np.concatenate([np.zeros(len(linear.cost)), own + trade, factors])
    pull = own * program.benchmark + trade * program.holdings
    return sparse.csc_array(sparse.diags_array(square)), np.concatenate([-linear.cost, -pull, np.zeros(len(factors))])


def _equal(program: ConicProgram) -> Array:
    return np.asarray(program.linear.lower == program.linear.upper)


def _above(program: ConicProgram) -> Array:
    return ~_equal(program) & np.isfinite(program.linear.upper)


def _below(program: ConicProgram) -> Array:
    return ~_equal(program) & np.isfinite(program.linear.lower)


def _settings(clarabel: ModuleType, tolerance: float) -> object:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_feas = settings.tol_gap_abs = settings.tol_gap_rel = tolerance
    # On one thread, and with the linear solver that every build has: the same program gives the same bits.
    settings.max_threads = 1
    settings.direct_solve_method = "qdldl"
    return settings
