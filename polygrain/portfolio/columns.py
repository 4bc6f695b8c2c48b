"""Columns: a weight as its least value plus columns that fill one after the other from below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polygrain.portfolio.constraint import Bounds
from polygrain.portfolio.context import DateContext
from polygrain.store.panel import Array

# Columns narrower than this are left out, bounds that cross by no more count as equal.
NARROW = 1e-12


@dataclass(frozen=True, eq=False)
class Columns:
    """Σ of a symbol's columns, each between 0 and `width`, is its weight above `least` [n].

    By column: the place of its `symbol`, its `step` from below, whether it is bought (1 or 0), and by soft part what a
    unit of it adds to the violation of the part's bounds: −1 below them, 1 above, 0 between. `violation` is what the
    least weights violate.
    """

    symbol: Array
    step: Array
    width: Array
    buys: Array
    slopes: Mapping[str, Array]
    violation: Mapping[str, float]
    least: Array


def crossed(bounds: Bounds) -> Array:
    """Whether the bounds of a symbol exclude each other [n]."""
    where: Array = bounds.lower > bounds.upper + NARROW
    return where


def split(date: DateContext, hard: Bounds, soft: Mapping[str, Bounds]) -> Columns:
    """The weights between hard bounds, split at w⁰ and at the soft bounds of parts."""
    least, most = hard.lower, np.maximum(hard.lower, hard.upper)
    held = np.clip(date.holdings, least, most)
    low = {part: np.clip(bounds.lower, least, most) for part, bounds in soft.items()}
    high = {part: np.clip(bounds.upper, least, most) for part, bounds in soft.items()}
    places = np.sort(np.stack([least, held, *low.values(), *high.values(), most]), axis=0)
    begin, end = places[:-1], places[1:]
    step, symbol = np.nonzero(end - begin > NARROW)
    begin, end = begin[step, symbol], end[step, symbol]
    return Columns(
        symbol,
        step,
        end - begin,
        (begin >= held[symbol]).astype(float),
        {part: (begin >= high[part][symbol]) * 1.0 - (end <= low[part][symbol]) for part in soft},
        {
            part: float(np.maximum(bounds.lower - least, 0).sum() + np.maximum(least - bounds.upper, 0).sum())
            for part, bounds in soft.items()
        },
        least,
    )
