"""Problem: the rows and bounds that constraints make of a date, which can be taken apart by part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from polygrain.errors import ConfigError
from polygrain.portfolio.constraint import BoundConstraint, Bounds, Constraint, Row, RowConstraint
from polygrain.portfolio.constraints import Budget, LongOnly, Tradability
from polygrain.portfolio.context import DateContext

_ALWAYS = (LongOnly(), Budget(), Tradability())


@dataclass(frozen=True, eq=False)
class Problem:
    """max Σ μ_i w_i subject to these rows and bounds of a date; `hard` are the parts that never give way."""

    date: DateContext
    rows: tuple[Row, ...]
    bounding: tuple[BoundConstraint, ...]
    parts: tuple[str, ...]
    hard: frozenset[str]

    @property
    def absent(self) -> tuple[str, ...]:
        """The parts that do not hold on this date: turnover at the first one, optional styles that the data lacks."""
        present = {row.label.part for row in self.rows} | {one.label for one in self.bounding}
        return tuple(part for part in self.parts if part not in present)

    def without(self, dropped: Collection[str]) -> Problem:
        """The problem without these parts."""
        return replace(
            self,
            rows=tuple(row for row in self.rows if row.label.part not in dropped),
            bounding=tuple(one for one in self.bounding if one.label not in dropped),
            parts=tuple(part for part in self.parts if part not in dropped),
        )

    @cached_property
    def bounds(self) -> Bounds:
        """The bounds that all parts make together."""
        bounds = Bounds.free(len(self.date.symbols))
        for one in self.bounding:
            bounds = one.bounds(self.date, bounds)
        return bounds

    def bounds_of(self, part: str) -> Bounds | None:
        """The bounds that a part makes with the hard ones alone; None where it bounds no single weights."""
        if part not in {one.label for one in self.bounding}:
            return None
        others = {one.label for one in self.bounding if one.label not in self.hard and one.label != part}
        return self.without(others).bounds


def check_names(constraints: Sequence[Constraint]) -> None:
    """ConfigError where two constraints have the same name."""
    labels = [one.label for one in constraints]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError("constraints", f"two are called {label!r}; give one of them a name of its own")


def posed(date: DateContext, constraints: Sequence[Constraint]) -> Problem:
    """The problem that constraints make of a date; budget, long-only and tradability are always among them.

    ConfigError where two have the same name, DataError where the date lacks what one of them needs.
    """
    check_names(constraints)
    listed = {one.kind for one in constraints}
    everything = [*(one for one in _ALWAYS if one.kind not in listed), *constraints]
    # Long-only has the first word on the bounds, tradability the last.
    everything.sort(key=lambda one: (isinstance(one, Tradability), not isinstance(one, LongOnly)))
    return Problem(
        date,
        tuple(row for one in everything if isinstance(one, RowConstraint) for row in one.rows(date)),
        tuple(one for one in everything if isinstance(one, BoundConstraint)),
        tuple(part for one in everything for part in one.parts),
        frozenset(part for one in everything if one.hard for part in one.parts),
    )
