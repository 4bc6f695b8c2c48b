"""Ties: of all optima the one that buys least, then the one with the most of the first symbol, the second, and so on.

The optima are a face of the feasible set: with any optimal prices y and reduced costs d, the columns with d ≠ 0 stay at
their bound and the rows with y ≠ 0 are tight. Goals are pursued one after the other, each on the face that the ones
before it leave, until the face is one point. Its weights are computed anew from what is tight there, so that their last
bits depend neither on the way the solver took nor on where it started.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from polygrain.errors import CheckError
from polygrain.portfolio.program import SLACK, Program
from polygrain.portfolio.simplex import Vertex, simplex
from polygrain.store.panel import Array

# Scores are z-scores: this is a tie in 10⁻⁹ standard deviations a unit of weight.
_TIED = 1e-9
_AT_BOUND = 1e-9
_TIGHT = 1e-12


@dataclass(frozen=True, eq=False)
class _Face:
    """Columns that are free among the optima, the others being at x; rows that are tight, and where."""

    free: Array
    x: Array
    tight: Array
    at: Array

    @classmethod
    def of(cls, program: Program, vertex: Vertex) -> _Face:
        gains = program.reduced(vertex.y)
        free = np.abs(gains) <= _TIED
        priced = np.abs(vertex.y) > _TIED
        return cls(
            free,
            np.where(free, vertex.x, np.where(gains > 0, program.width, 0.0)),
            priced | (program.lower == program.upper),
            np.where(vertex.y < 0, program.lower, program.upper),
        )

    def is_point(self, program: Program) -> bool:
        """Whether the tight rows determine all weights; columns of one symbol are one weight."""
        symbol = program.symbol[self.free]
        # Each slack is one of its own.
        one_each = np.unique(np.where(symbol == SLACK, -1 - np.arange(len(symbol)), symbol), return_index=True)[1]
        system = program.matrix[self.tight][:, np.flatnonzero(self.free)[one_each]]
        rows, columns = system.shape
        return columns == 0 or (columns <= rows and bool(np.linalg.matrix_rank(system) == columns))


def settled(program: Program, vertex: Vertex, *, least_bought: bool) -> Array:
    """The columns' values x at the one optimum that is chosen, by a vertex that is one; `least_bought` if w⁰ is known.

    CheckError where a goal cannot be pursued for rounding.
    """
    x = np.zeros(len(program.cost))
    part, places = program, np.arange(len(x))
    face = _Face.of(program, vertex)
    x[places] = face.x
    tight = face.tight
    goals = _goals(program, face.free, least_bought)
    while not face.is_point(part) and (goal := next(goals, None)) is not None:
        part, places = part.face(face.free, face.x, face.tight, face.at), places[face.free]
        found = simplex(replace(part, cost=goal[places]), np.ones(len(places), bool))
        if not isinstance(found, Vertex):
            raise CheckError("HiGHS finds no solution among the optima that it found; report it with the date's inputs")
        face = _Face.of(replace(part, cost=goal[places]), found)
        x[places] = face.x
        tight = tight | face.tight
    return _exact(program, _exact(program, _filled(program, x), tight), None)


def _goals(program: Program, free: Array, least_bought: bool) -> Iterator[Array]:
    """What is maximised in turn, as costs of all columns."""
    if least_bought:
        yield -program.buys
    for symbol in np.unique(program.symbol[free & (program.symbol != SLACK)]):
        yield (program.symbol == symbol).astype(float)


def _filled(program: Program, x: Array) -> Array:
    """The same weights with each symbol's columns filled from below."""
    ours = program.symbol != SLACK
    left = np.bincount(program.symbol[ours], x[ours], len(program.least))
    filled = x.copy()
    for step in np.unique(program.step[ours]):
        columns = np.flatnonzero(ours & (program.step == step))
        symbol, width = program.symbol[columns], program.width[columns]
        # What is left within rounding is not carried to the next column.
        taken = np.where(left[symbol] > width - _AT_BOUND, width, np.where(left[symbol] > _AT_BOUND, left[symbol], 0.0))
        filled[columns] = taken
        left[symbol] = np.maximum(left[symbol] - taken, 0.0)
    return filled


def _exact(program: Program, x: Array, tight: Array | None) -> Array:
    """x with the columns between their bounds computed from the tight rows, by default those that x makes tight."""
    at_most = x > program.width - _AT_BOUND
    between = ~at_most & (x > _AT_BOUND)
    bound = np.where(at_most, program.width, 0.0)
    value = program.matrix @ x
    above = np.abs(value - program.upper) < np.abs(value - program.lower)
    at = np.where(above, program.upper, program.lower)
    if tight is None:
        tight = np.abs(value - at) <= _TIGHT
    system = program.matrix[tight][:, between]
    solution, _, rank, _ = np.linalg.lstsq(system, at[tight] - program.matrix[tight] @ bound, rcond=None)
    if rank < between.sum():
        return x
    exact = bound
    exact[between] = solution
    return exact
