"""Whether a score holds: the months and years in which it is right, what became of it, how long its ranking lasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from polygrain.evaluation.statistics import LEAST_DAYS, newey_west
from polygrain.store.panel import Array


def positive(values: Array, parts: Sequence[object], least: int) -> tuple[int, int]:
    """Of the parts that `values` [dates] fall into, such as months, those with a mean above 0, and how many there are.

    `parts` names each date's. A part counts with `least` finite values or more.
    """
    found: dict[object, list[float]] = {}
    for part, value in zip(parts, values, strict=True):
        if np.isfinite(value):
            found.setdefault(part, []).append(float(value))
    means = [float(np.mean(each)) for each in found.values() if len(each) >= least]
    return sum(mean > 0 for mean in means), len(means)


def change(values: Array, lag: int) -> tuple[float, float] | None:
    """Mean of the second half of `values` [dates] less that of the first, and its standard error √(se₁² + se₂²).

    Newey-West within each half. None below 120 finite values: halves of less have no error worth the name.
    """
    known = values[np.isfinite(values)]
    if len(known) < LEAST_DAYS:
        return None
    middle = len(known) // 2
    (before, error_before), (after, error_after) = newey_west(known[:middle], lag), newey_west(known[middle:], lag)
    return after - before, math.hypot(error_before, error_after)


def half_life(correlations: Mapping[int, float]) -> float | None:
    """Days until a ranking's correlation with itself, 1 on the day, falls to ½: linear between the days measured.

    `correlations` is the mean correlation by number of days. Infinite where it never falls so far, None without any.
    """
    measured = [(0, 1.0), *sorted((days, each) for days, each in correlations.items() if math.isfinite(each))]
    if len(measured) == 1:
        return None
    for (day, before), (next_day, after) in pairwise(measured):
        if after <= 0.5:
            return day + (next_day - day) * (before - 0.5) / (before - after)
    return math.inf
