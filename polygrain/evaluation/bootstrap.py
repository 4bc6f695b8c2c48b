"""Block bootstrap: intervals of a mean that assume no distribution, for series whose values overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polygrain.store.panel import Array

DRAWS = 10_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its 95% interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Array, block: int, seed: int) -> Interval:
    """Mean of a series [dates] and its percentile interval by the circular block bootstrap; NaN values are left out.

    A resample joins ⌈n/b⌉ runs of b = `block` neighbours, the end followed by the start, drawn with equal chances, and
    drops what is past n. Its mean has Newey-West's variance with lag b − 1 of the circular series, so that the rule is
    newey_west's: 3R for R-day returns. 10,000 resamples. Equal seeds give equal intervals. No interval (NaN) for fewer
    than two blocks, where resamples are rotations of the series.

    Politis and Romano (1992), A circular block-resampling procedure for stationary data.
    """
    x = values[np.isfinite(values)]
    n = len(x)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(x.mean())
    if n < 2 * block:
        return Interval(mean, np.nan, np.nan)
    blocks = -(-n // block)
    starts = np.random.default_rng(seed).integers(0, n, size=(DRAWS, blocks))
    full, last = _run_sums(x, block), _run_sums(x, n - (blocks - 1) * block)
    means = (full[starts[:, 1:]].sum(axis=1) + last[starts[:, 0]]) / n
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def _run_sums(x: Array, length: int) -> Array:
    """Sum [n] of the `length` values from each start on, the end followed by the start."""
    circle = np.concatenate([x, x[: length - 1]])
    sums: Array = np.lib.stride_tricks.sliding_window_view(circle, length).sum(axis=1)
    return sums
