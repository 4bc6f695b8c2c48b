"""What a constraint is: settings that yield rows or narrow bounds of one date's weights w, each under a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from polygrain.errors import ConfigError
from polygrain.plugins import Registry, register_kind
from polygrain.portfolio.context import DateContext
from polygrain.spec import Spec
from polygrain.store.panel import Array


class Label(NamedTuple):
    """Where a row or bound is from: the part of the constraints, and the industry, style, symbol within it."""

    part: str
    key: str


@dataclass(frozen=True, eq=False)
class Row:
    """lower ≤ Σ coefficients_i w_i + buys · Σ max(w_i − w⁰_i, 0) ≤ upper.

    `buys` may be above 0 only where there is no lower side: the row is then convex. ConfigError where it is not.
    """

    label: Label
    coefficients: Array
    lower: float
    upper: float
    buys: float = 0.0

    def __post_init__(self) -> None:
        if self.buys < 0 or (self.buys > 0 and self.lower > -np.inf):
            raise ConfigError(
                f"constraint {self.label.part}", "limits buys from below, which is not linear; give upper"
            )

    def value(self, date: DateContext, weights: Array) -> float:
        """The row's middle at these weights."""
        held = float(self.coefficients @ weights)
        return held + self.buys * date.bought(weights) if self.buys else held

    def excess(self, date: DateContext, weights: Array) -> float:
        """By how much the weights violate the row, 0 where they do not."""
        value = self.value(date, weights)
        return max(self.lower - value, value - self.upper, 0.0)


@dataclass(frozen=True, eq=False)
class Bounds:
    """lower ≤ w ≤ upper [n], and which part set each, as a place in `parts`, −1 for none."""

    lower: Array
    upper: Array
    lower_part: Array
    upper_part: Array
    parts: tuple[str, ...] = ()

    @classmethod
    def free(cls, symbols: int) -> Bounds:
        """No bounds."""
        inf, none = np.full(symbols, np.inf), np.full(symbols, -1)
        return cls(-inf, inf, none, none)

    def within(self, part: str, lower: Array | float, upper: Array | float) -> Bounds:
        """These bounds and a part's, the narrower of both."""
        return self.changed(part, np.maximum(self.lower, lower), np.minimum(self.upper, upper))

    def changed(self, part: str, lower: Array, upper: Array) -> Bounds:
        """A part's bounds in their place; those that are equal stay the earlier part's."""
        place = len(self.parts)
        return Bounds(
            lower,
            upper,
            np.where(lower == self.lower, self.lower_part, place),
            np.where(upper == self.upper, self.upper_part, place),
            (*self.parts, part),
        )


class Constraint(Spec, ABC):
    """A constraint's settings; subclasses name their `kind`; `name` tells two of a kind apart.

    Its parts are what can be in conflict or give way on its own: most constraints are one.
    """

    hard: ClassVar[bool] = False
    kind: str
    name: str | None = None

    @property
    def label(self) -> str:
        """The name, by default the kind."""
        return self.name or self.kind

    @property
    def parts(self) -> Sequence[str]:
        """The names of its parts."""
        return tuple(f"{self.label}.{piece}" for piece in self.pieces) or (self.label,)

    @property
    def pieces(self) -> Sequence[str]:
        """What it splits into, empty where it is one part."""
        return ()


class RowConstraint(Constraint, ABC):
    """A constraint on sums of weights."""

    @abstractmethod
    def rows(self, date: DateContext) -> Iterator[Row]:
        """Its rows; none where it does not hold on this date."""


class BoundConstraint(Constraint, ABC):
    """A constraint on single weights."""

    @abstractmethod
    def bounds(self, date: DateContext, given: Bounds) -> Bounds:
        """The bounds that it makes of the given ones."""


CONSTRAINTS: Registry[type[Constraint]] = Registry("constraint kind")


def constraint(kind: type[Constraint]) -> type[Constraint]:
    """Register a Constraint by its `kind`; ConfigError where it has none or the name is taken."""
    return register_kind(CONSTRAINTS, kind)
