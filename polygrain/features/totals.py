"""Totals: sums over base bars, each computed once and rolled up from short bars to long ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from polygrain.features.grid import Grid
from polygrain.store.panel import Array


def _stocks_innermost(values: Array) -> Array:
    """`values` [n, k, stocks] in memory such that numpy runs along the stocks and adds the k up one after the other.

    Of a single stock, or one whose values lie side by side, it would add them up in pairs.
    """
    if values.shape[2] == 1:
        values = np.repeat(values, 2, axis=2)
    return values if values.strides[2] == values.itemsize else np.ascontiguousarray(values)


def add_up(values: Array) -> Array:
    """Sum over axis 1 of [n, k, stocks] from its first entry to its last: one order whatever the other axes are."""
    return np.asarray(np.add.reduce(_stocks_innermost(values), axis=1)[:, : values.shape[2]])


def add_up_products(x: Array, y: Array) -> Array:
    """Σ x·y over axis 1 of [n, k, stocks], in the order of `add_up`; each product is rounded with its sum."""
    return np.asarray(np.einsum("nks,nks->ns", _stocks_innermost(x), _stocks_innermost(y))[:, : x.shape[2]])


def padded(values: Array, length: int, absent: Array | float = 0.0) -> Array:
    """`values` [days, n, stocks] lengthened along axis 1 by `absent`."""
    missing = length - values.shape[1]
    if not missing:
        return values
    return np.concatenate([values, np.broadcast_to(absent, (len(values), missing, values.shape[2]))], axis=1)


# Rolled up through these minutes whatever the run's granularities are, so that the bits of a sum do not depend on what
# else is computed.
_CHAIN = (5, 15, 30, 60)

# What is added up: a base-bar array, or the product of two.
_FACTORS: dict[str, Callable[[Grid], tuple[Array, ...]]] = {
    "r": lambda g: (g.r,),
    "abs_r": lambda g: (np.abs(g.r),),
    "r2": lambda g: (g.r, g.r),
    "r3": lambda g: (g.r * g.r, g.r),
    "r4": lambda g: (g.r * g.r, g.r * g.r),
    "down_r2": lambda g: (np.minimum(g.r, 0.0), g.r),
    "a": lambda g: (g.amount,),
    "a2": lambda g: (g.amount, g.amount),
    "ar": lambda g: (g.amount, g.r),
    "v": lambda g: (g.volume,),
    "open": lambda g: (g.open,),
    "high": lambda g: (g.high,),
    "low": lambda g: (g.low,),
}

# What is not added up: from [n, k, stocks] to [n, stocks].
_PRICES: dict[str, Callable[[Array], Array]] = {
    "open": lambda parts: parts[:, 0],
    "high": lambda parts: np.asarray(parts.max(axis=1)),
    "low": lambda parts: np.asarray(parts.min(axis=1)),
}


class Totals:
    """Sums over base bars, and their first, highest and lowest prices, each made once and rolled up from short bars.

    Names: r abs_r r2 r3 r4 down_r2 a a2 ar v, for r, |r|, r², r³, r⁴, r²·1[r<0], a, a², a·r, v; open high low.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._known: dict[tuple[str, int], Array] = {}
        base, day = grid.base_minutes, grid.session_minutes
        self._lengths = [base]
        for minutes in (*_CHAIN, day):
            if minutes > self._lengths[-1] and minutes % self._lengths[-1] == 0 and day % minutes == 0:
                self._lengths.append(minutes)

    def at(self, name: str, minutes: int) -> Array:
        """[days, bars, stocks] at a bar length; NaN where a stock did not trade.

        What a short last bar lacks counts as no trades at the day's close.
        """
        if minutes == self.grid.base_minutes:
            # Not kept: a term is made faster than a base-bar array is fetched from beyond the processor's cache.
            factors = _FACTORS[name](self.grid)
            return factors[0] if len(factors) == 1 else factors[0] * factors[1]
        if (name, minutes) not in self._known:
            self._known[name, minutes] = self._rolled_up(name, minutes)
        return self._known[name, minutes]

    def _rolled_up(self, name: str, minutes: int) -> Array:
        below = max(length for length in self._lengths if length < minutes and minutes % length == 0)
        each, bars = minutes // below, -(-self.grid.session_minutes // minutes)
        factors = _FACTORS[name](self.grid) if below == self.grid.base_minutes else (self.at(name, below),)
        absent = self.grid.close[:, -1:] if name in _PRICES else 0.0
        parts = [padded(factor, bars * each, absent) for factor in factors]
        parts = [part.reshape(-1, each, part.shape[2]) for part in parts]
        up = _PRICES.get(name, add_up)
        return (up(*parts) if len(parts) == 1 else add_up_products(*parts)).reshape(-1, bars, parts[0].shape[2])
