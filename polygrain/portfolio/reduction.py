"""Exact reduction: the program is solved on promising columns, and the prices tell whether others would enter.

With the rows' prices y a column's reduced cost is d = cost − matrixᵀ y. Columns left out stay at 0; where none of them
has d > 0, y proves the solution optimal in all columns. Prices of an earlier date tell which columns are promising; its
basis would be of no use beside them: with a row for each constraint a solve takes some 30 pivots from either.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polygrain.portfolio.constraint import Label
from polygrain.portfolio.program import Program
from polygrain.portfolio.simplex import TOLERANCE, Ray, Vertex, simplex
from polygrain.store.panel import Array

# Columns without gain at the earlier prices: more make the solve slower, fewer make a second one likelier.
_PROMISING = 300


def optimum(program: Program, prices: Mapping[Label, float] | None = None) -> Vertex | Ray:
    """The optimum in all columns; `prices` of a like program, by the rows' labels, only make it faster."""
    columns = np.ones(len(program.cost), bool) if prices is None else _promising(program, prices)
    while True:
        found = simplex(program, columns)
        if isinstance(found, Ray):
            if columns.all():
                return found
            # The columns left out may be what makes it feasible.
            columns = np.ones(len(columns), bool)
            continue
        entering = ~columns & (program.reduced(found.y) > TOLERANCE)
        if not entering.any():
            return found
        columns = columns | entering


def _promising(program: Program, prices: Mapping[Label, float]) -> Array:
    """The columns that earlier prices would fill, and the next best ones."""
    gains = program.reduced(np.array([prices.get(label, 0.0) for label in program.labels]))
    columns = gains > 0
    number = min(int(columns.sum()) + _PROMISING, len(gains))
    columns[np.argpartition(-gains, number - 1)[:number]] = True
    return columns
