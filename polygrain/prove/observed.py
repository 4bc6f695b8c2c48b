"""Observed: values with the moments from which they are known."""

from __future__ import annotations

from dataclasses import dataclass

from polygrain.store.panel import Array


@dataclass(frozen=True)
class Observed:
    """Values [rows, columns(, features)] and, per row, the moment from which they are known.

    Columns are symbols, or tracks where `by_track`. The first row is number `first`: those before it were not made.
    """

    values: Array
    known: Array
    features: tuple[str, ...] = ()
    by_track: bool = False
    first: int = 0


@dataclass(frozen=True)
class Observation:
    """Everything a run derives from a source up to its scores and plans, by name."""

    symbols: tuple[str, ...]
    observed: dict[str, Observed]
