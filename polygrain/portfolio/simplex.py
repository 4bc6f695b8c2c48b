"""HiGHS, used directly: the only file that knows it."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

# Not highspy.Highs, whose callbacks make HiGHS print a banner before it can be told not to.
from highspy._core import _Highs

from polygrain.errors import CheckError
from polygrain.portfolio.program import Program
from polygrain.store.panel import Array

TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Vertex:
    """An optimum: the columns' values x and the rows' prices y, what a unit more of a row's limit gains."""

    x: Array
    y: Array


@dataclass(frozen=True, eq=False)
class Ray:
    """HiGHS's reason for there being no solution: multipliers of the rows, None where it gives none."""

    y: Array | None


def simplex(program: Program, columns: Array) -> Vertex | Ray:
    """An optimal vertex of the program in the columns (bool) alone, the others staying at 0, by the dual simplex.

    CheckError where HiGHS ends in any other way than optimal or infeasible.
    """
    if not columns.any():
        return _without_columns(program)
    solver = _Highs()
    for option, value in _OPTIONS.items():
        solver.setOptionValue(option, value)
    solver.passModel(_model(program, columns))
    if solver.run() == highspy.HighsStatus.kError:
        # HiGHS refuses a number of threads that is not that of its first use in the process, by cvxpy for example.
        _Highs.resetGlobalScheduler(True)
        solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        _, there, ray = solver.getDualRay()  # type: ignore[attr-defined]
        return Ray(np.array(ray) if there else None)
    if status != highspy.HighsModelStatus.kOptimal:
        raise CheckError(f"HiGHS ended with {solver.modelStatusToString(status)!r}; report it with the date's inputs")
    solution = solver.getSolution()
    x = np.zeros(len(program.cost))
    x[columns] = solution.col_value
    return Vertex(x, np.array(solution.row_dual))


def _without_columns(program: Program) -> Vertex | Ray:
    """What is left to decide where nothing can move; HiGHS refuses to."""
    excess = np.maximum(program.lower, -program.upper)
    worst = int(np.argmax(excess))
    y = np.zeros(len(excess))
    if excess[worst] <= TOLERANCE:
        return Vertex(np.zeros(len(program.cost)), y)
    y[worst] = -1.0 if program.lower[worst] > 0 else 1.0
    return Ray(y)


# Presolve takes longer than the solve, and leaves no ray.
_OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "solver": "simplex",
    "presolve": "off",
    "parallel": "off",
    "threads": 1,
    "primal_feasibility_tolerance": TOLERANCE,
    "dual_feasibility_tolerance": TOLERANCE,
}


def _model(program: Program, columns: Array) -> highspy.HighsLp:
    by_column = program.matrix[:, columns].T
    column, row = np.nonzero(by_column)
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = program.matrix.shape[0], len(by_column)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = program.cost[columns]
    model.col_lower_ = np.zeros(len(by_column))
    model.col_upper_ = program.width[columns]
    model.row_lower_, model.row_upper_ = program.lower, program.upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    counts = np.bincount(column, minlength=len(by_column))
    model.a_matrix_.start_ = np.append(0, np.cumsum(counts)).astype(np.int32)
    model.a_matrix_.index_ = row.astype(np.int32)
    model.a_matrix_.value_ = by_column[column, row]
    return model
