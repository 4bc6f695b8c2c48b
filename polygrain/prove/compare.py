"""Compare: which of the values known at a cutoff have other bits when something else comes after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from polygrain.prove.cutoffs import DAY, Cutoff, moment
from polygrain.prove.observed import Observation, Observed
from polygrain.prove.perturb import Replacement
from polygrain.store.panel import Array


@dataclass(frozen=True)
class Violation:
    """A value known at the cutoff that changed with what comes after it: `cells` of them, the first at `first`."""

    cutoff: Cutoff
    replacement: Replacement
    what: str
    cells: int
    first: str
    known: date

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.cells} cells differ at {self.cutoff} under {self.replacement}, "
            f"first {self.first} known on {self.known}"
        )


@dataclass(frozen=True)
class Checked:
    """What one comparison found, and how many values it compared."""

    violations: list[Violation]
    cells: int


def compare(
    ours: Observation, other: Observation, cutoff: Cutoff, replacement: Replacement, days: Sequence[date]
) -> Checked:
    """Compare bit for bit all that is known at the cutoff, a moment over `days`; NaN equals NaN.

    A stock that the other market does not have has the empty value there; what one of them did not make of a day is not
    compared.
    """
    at, found, cells = moment(cutoff, days), [], 0
    for name, mine in ours.observed.items():
        theirs = other.observed.get(name)
        mine = _between(mine, theirs, at)
        differs = _differs(mine.values, _aligned(theirs, mine, ours.symbols, other.symbols))
        cells += differs.size
        for what, where in _named(name, mine, differs):
            row, column = np.argwhere(where)[0][:2]
            first = f"track {column}" if mine.by_track else ours.symbols[column]
            known = days[int(mine.known[row]) // DAY]
            found.append(Violation(cutoff, replacement, what, int(where.sum()), first, known))
    return Checked(found, cells)


def _named(name: str, mine: Observed, differs: Array) -> list[tuple[str, Array]]:
    """What differs: each feature of a panel, or the whole of anything else."""
    if not differs.any():
        return []
    if not mine.features:
        return [(name, differs)]
    parts = [(f"{name} {feature}", differs[..., i]) for i, feature in enumerate(mine.features)]
    return [(what, where) for what, where in parts if where.any()]


def _between(mine: Observed, theirs: Observed | None, at: int) -> Observed:
    """The rows that are known at a moment and that the other market has: without a future the day before whose open the
    cutoff lies does not exist."""
    first, stop = mine.first, mine.first + int(np.searchsorted(mine.known, at, "right"))
    if theirs is not None:
        first, stop = max(first, theirs.first), min(stop, theirs.first + len(theirs.values))
    rows = slice(first - mine.first, max(stop, first) - mine.first)
    return replace(mine, values=mine.values[rows], known=mine.known[rows], first=first)


def _aligned(theirs: Observed | None, mine: Observed, symbols: tuple[str, ...], others: tuple[str, ...]) -> Array:
    """Their values of the rows of `mine`, with columns in the order of `symbols`; a symbol that is gone has the empty
    value."""
    like = mine.values
    rows = slice(0, 0) if theirs is None else slice(mine.first - theirs.first, mine.first - theirs.first + len(like))
    if theirs is not None and (mine.by_track or symbols == others):
        return theirs.values[rows]
    # Panels hold 0 where there is no value.
    zero = like.dtype.kind in "bi" or (like.dtype == np.float32 and like.ndim == 3)
    empty = np.zeros(like.shape, like.dtype) if zero else np.full(like.shape, np.nan, like.dtype)
    if theirs is not None:
        number = {symbol: i for i, symbol in enumerate(others)}
        kept = [i for i, symbol in enumerate(symbols) if symbol in number]
        empty[:, kept] = theirs.values[rows][:, [number[symbols[i]] for i in kept]]
    return empty


def _differs(a: Array, b: Array) -> Array:
    """Where two arrays have other bits and are not both NaN."""
    if a.dtype.kind != "f":
        return np.asarray(a != b)
    bits = np.dtype(f"u{a.dtype.itemsize}")
    other = np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)
    return np.asarray(other & ~(np.isnan(a) & np.isnan(b)) if other.any() else other)
