"""Compare: which of the values known at a cutoff have other bits when something else comes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from polygrain.prove.cutoffs import DAY, Cutoff, moment
from polygrain.prove.observe import Observation, Observed
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
    """Compare bit for bit all that is known at the cutoff; NaN equals NaN.

    A stock that the other market does not have has the empty value there; a day that it does not have is not compared.
    """
    number = {symbol: i for i, symbol in enumerate(other.symbols)}
    at, found, cells = moment(cutoff, days), [], 0
    for name, mine in ours.observed.items():
        theirs = other.observed.get(name)
        rows = np.flatnonzero(mine.known <= at)
        # Without a future the day before whose open the cutoff lies does not exist.
        rows = rows if theirs is None else rows[rows < len(theirs.values)]
        expected = mine.values[rows]
        actual = _aligned(None if theirs is None else theirs.values, rows, mine, ours.symbols, number)
        differs = ~_same_bits(expected, actual)
        cells += differs.size
        if differs.any():
            found += _violations(name, mine, rows, differs, ours.symbols, cutoff, replacement, days)
    return Checked(found, cells)


def _violations(
    name: str,
    mine: Observed,
    rows: Array,
    differs: Array,
    symbols: Sequence[str],
    cutoff: Cutoff,
    replacement: Replacement,
    days: Sequence[date],
) -> list[Violation]:
    """One violation for each feature of a panel, one for anything else."""
    named = bool(mine.features)
    parts = [(f"{name} {f}", differs[..., i]) for i, f in enumerate(mine.features)] if named else [(name, differs)]
    found = []
    for what, cells in parts:
        if cells.any():
            row, column = np.argwhere(cells)[0][:2]
            first = f"track {column}" if mine.by_track else symbols[column]
            known = days[int(mine.known[rows[row]]) // DAY]
            found.append(Violation(cutoff, replacement, what, int(cells.sum()), first, known))
    return found


def _aligned(
    values: Array | None, rows: Array, mine: Observed, symbols: Sequence[str], number: Mapping[str, int]
) -> Array:
    """The rows with columns in the order of `symbols`; a symbol that is gone has the empty value."""
    if mine.by_track and values is not None:
        return np.asarray(values[rows])
    like = mine.values
    shape = (len(rows), *like.shape[1:])
    # Panels hold 0 where there is no value.
    zero = like.dtype.kind in "bi" or (like.dtype == np.float32 and like.ndim == 3)
    empty = np.zeros(shape, like.dtype) if zero else np.full(shape, np.nan, like.dtype)
    if values is not None:
        kept = [i for i, symbol in enumerate(symbols) if symbol in number]
        empty[:, kept] = values[rows][:, [number[symbols[i]] for i in kept]]
    return empty


def _same_bits(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    bits = np.dtype(f"u{a.dtype.itemsize}")
    same = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return np.asarray(same | (np.isnan(a) & np.isnan(b)))
