"""Infeasible dates: which constraints are in conflict, and the least by which they must give way, in a given order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from polygrain.errors import CheckError, Infeasible
from polygrain.portfolio.certificate import certified, excludes
from polygrain.portfolio.columns import crossed
from polygrain.portfolio.constraint import Label
from polygrain.portfolio.constraints import Tradability
from polygrain.portfolio.problem import Problem
from polygrain.portfolio.program import Program, Soft, assembled
from polygrain.portfolio.reduction import optimum
from polygrain.portfolio.simplex import TOLERANCE, Ray
from polygrain.store.panel import Array

_SHOWN = 3
# Multipliers this small beside the largest are rounding.
_NOTHING = 1e-9

Order = Sequence[Sequence[str]]
ORDER: Order = (
    ("stock_deviation", "holding_weight"),
    ("constituents",),
    ("industry_deviation",),
    ("style_deviation.size", "style_deviation.valuation"),
    ("style_deviation",),
    ("turnover",),
)
"""What is kept best comes first: turnover gives way before styles do, and those before the mandate."""


@dataclass(frozen=True)
class Conflict:
    """Soft parts that the hard ones and each other exclude, and none of which can be spared.

    `keys`: by part the industries, styles or symbols that the proof rests on, those that matter most first; tradability
    is there where the proof rests on it. `proven`: whether our own check of the multipliers, or two bounds that cross,
    confirm the solver.
    """

    parts: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    proven: bool

    def __str__(self) -> str:
        given = [part for part in self.keys if part not in self.parts]
        told = ", ".join(self._told(part) for part in self.parts or given)
        return f"{told} given {', '.join(self._told(part) for part in given)}" if self.parts and given else told

    def _told(self, part: str) -> str:
        keys = [key for key in self.keys.get(part, ()) if key != part.rpartition(".")[2]]
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        return f"{part} ({', '.join(keys[:_SHOWN])}{more})" if keys else part


@dataclass(frozen=True)
class Violation:
    """By how much a solution violates a row or bound that gave way, in its own unit."""

    label: Label
    amount: float


def conflict(problem: Problem) -> Conflict | None:
    """An irreducible set of soft parts that exclude each other, empty where the hard ones do; None if there is none.

    Parts are left out one after the other, and those missed are kept. Not tradability: it widens bounds too.
    """
    refuted = _refutation(problem)
    if refuted is None:
        return None
    left = [part for part in problem.parts if part not in problem.hard and (part in refuted.keys or not refuted.proven)]
    for part in tuple(left):
        fewer = [one for one in left if one != part]
        found = _refutation(problem.without(set(problem.parts) - problem.hard - set(fewer)))
        if found is not None:
            left, refuted = fewer, found
    named = (*left, *(one.label for one in problem.bounding if isinstance(one, Tradability)))
    return Conflict(tuple(left), {part: refuted.keys[part] for part in named if part in refuted.keys}, refuted.proven)


@dataclass(frozen=True)
class _Refutation:
    """By part what a proof of infeasibility rests on, the weightiest first, and whether our own check confirms it."""

    keys: Mapping[str, tuple[str, ...]]
    proven: bool


def _refutation(problem: Problem) -> _Refutation | None:
    """A proof that the problem has no solution; None where it has one."""
    bounds, symbols = problem.bounds, problem.date.symbols
    for place in np.flatnonzero(crossed(bounds))[:1]:
        parts = {bounds.parts[bounds.lower_part[place]], bounds.parts[bounds.upper_part[place]]}
        return _Refutation(dict.fromkeys(parts, (symbols[place],)), True)
    if not problem.rows:
        return None
    program = assembled(problem, np.zeros(len(symbols)))
    found = optimum(program)
    if not isinstance(found, Ray):
        return None
    for y in () if found.y is None else (found.y, -found.y):
        if excludes(program, y):
            return _Refutation(_grounds(problem, program, y), True)
    return _Refutation({}, False)


def _grounds(problem: Problem, program: Program, y: Array) -> dict[str, tuple[str, ...]]:
    """By part the rows, and the symbols whose bounds, the proof by multipliers y rests on.

    The proof takes each weight to where y · (the rows at w) is least: to its lower bound where that rises from there,
    to its upper one where it falls up to there.
    """
    bounds, symbols, held = problem.bounds, problem.date.symbols, problem.date.holdings
    kept = y @ np.array([row.coefficients for row in problem.rows])
    buys = float(y @ np.array([row.buys for row in problem.rows]))
    rises, falls = kept + buys * (bounds.lower >= held), -kept - buys * (bounds.upper > held)
    least = _NOTHING * float(np.abs(y).max())
    weights = [(abs(price), *label) for label, price in zip(program.labels, y.tolist()) if abs(price) > least]
    for slope, owner in ((rises, bounds.lower_part), (falls, bounds.upper_part)):
        places = np.flatnonzero(slope > least)
        weights += [(slope[i], bounds.parts[owner[i]], symbols[i]) for i in places.tolist()]
    grounds: dict[str, list[str]] = {}
    for _, part, key in sorted(weights, key=lambda one: (-one[0], one[1:])):
        grounds.setdefault(part, []).append(key)
    return {part: tuple(keys) for part, keys in grounds.items()}


def levels(problem: Problem, order: Order) -> list[tuple[str, ...]]:
    """The soft parts of the problem by level of the order; a part's own name counts before its constraint's."""
    named = {name: level for level, names in enumerate(order) for name in names}
    level_of = {
        part: named.get(part, named.get(part.rpartition(".")[0])) for part in problem.parts if part not in problem.hard
    }
    found = [tuple(part for part in level_of if level_of[part] == level) for level in range(len(order))]
    return [parts for parts in found if parts]


def least_violations(problem: Problem, order: Order) -> list[Soft]:
    """The parts of an infeasible problem that must give way, and by how much in total, the earlier the less.

    Level by level the violation is minimised, Σ over rows and bounds in their own units, with the violation of the
    levels before held to its minimum and the levels after left out. Every minimum has its certificate. Infeasible where
    parts that are in no level exclude each other.
    """
    found: list[Soft] = []
    later = levels(problem, order)
    if not later:
        _refuse(problem)
    while later:
        parts = later.pop(0)
        least = _least_violation(problem.without([part for level in later for part in level]), found, parts)
        if least > TOLERANCE:
            found.append(Soft(parts, least))
    return found


def _least_violation(problem: Problem, before: Sequence[Soft], parts: tuple[str, ...]) -> float:
    firm = problem.without([*parts, *(part for one in before for part in one.parts)])
    if crossed(firm.bounds).any():
        _refuse(firm)
    program = assembled(problem, np.zeros(len(problem.date.symbols)), [*before, Soft(parts)])
    vertex = optimum(program)
    if isinstance(vertex, Ray):
        _refuse(firm)
    return max(0.0, -certified(program, vertex.x, vertex.y).objective)


def _refuse(firm: Problem) -> NoReturn:
    found = conflict(firm)
    if found is None:
        raise CheckError(f"{firm.date.day}: HiGHS finds a problem infeasible whose parts it can satisfy; report it")
    if not found.parts:
        raise Infeasible(str(firm.date.day), f"nothing adds up to 1 that {found} allows; leave the date out")
    one, it = ("cannot be satisfied", "it") if len(found.parts) == 1 else ("exclude each other", "one")
    raise Infeasible(str(firm.date.day), f"{found}: {one} and may not give way; loosen {it} or add it to the order")


def violations(problem: Problem, softs: Sequence[Soft], weights: Array) -> tuple[Violation, ...]:
    """The rows and bounds of the soft parts that the weights violate."""
    found: list[Violation] = []
    for part in (part for soft in softs for part in soft.parts):
        rows = [row for row in problem.rows if row.label.part == part]
        found += [Violation(row.label, row.excess(problem.date, weights)) for row in rows]
        bounds = problem.bounds_of(part)
        if bounds is not None:
            excess = np.maximum(bounds.lower - weights, weights - bounds.upper)
            places = np.flatnonzero(excess > TOLERANCE)
            found += [Violation(Label(part, problem.date.symbols[i]), float(excess[i])) for i in places]
    return tuple(one for one in found if one.amount > TOLERANCE)
