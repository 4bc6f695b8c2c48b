"""Normalisation of one feature over each cross-section: nothing is fitted on another date."""

from __future__ import annotations

import numpy as np

from polygrain.store.panel import Array

MIN_VALUES = 30
_CLIP = 3 * 1.4826


def _running_sum(values: Array) -> Array:
    """Row sums, added one by one: numpy's own sum depends on the row's length, and so on who else is in the market."""
    return np.asarray(np.add.accumulate(values, axis=1)[:, -1])


def _median(ascending: Array, count: Array) -> Array:
    """Per row, of the first `count` entries."""
    rows = np.arange(len(ascending))
    return np.asarray((ascending[rows, (count - 1) // 2] + ascending[rows, count // 2]) / 2)


def normalise(x: Array, members: Array, log: float | None) -> Array:
    """z = (clip(x, median ± 3·1.4826·MAD) − mean) / std per row of x [bars, stocks], float64 in, float32 out.

    x is ln(x + log) first where `log` is given. Median, MAD, mean and std (ddof 0) are those of the `members`
    [bars, stocks] that have a value, and apply to every stock; MAD = 0: no clip; std = 0 or fewer than 30 values: 0.
    What is not finite is 0 at last. Sees: the row alone.
    """
    if log is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log(x + log)
    finite = np.isfinite(x)
    fitted = finite & members
    count = fitted.sum(axis=1)
    rows = np.flatnonzero(count >= MIN_VALUES)
    out = np.zeros(x.shape, np.float32)
    if not len(rows):
        return out
    x, finite, count = x[rows], finite[rows], count[rows]
    ascending = np.sort(np.where(fitted[rows], x, np.inf), axis=1)[:, : count.max()]
    inside = np.arange(ascending.shape[1]) < count[:, None]
    median = _median(ascending, count)[:, None]
    deviation = np.sort(np.where(inside, np.abs(ascending - median), np.inf), axis=1)
    width = _CLIP * _median(deviation, count)[:, None]
    width[width == 0] = np.inf
    clipped = np.clip(ascending, median - width, median + width)
    mean = _running_sum(np.where(inside, clipped, 0.0))[:, None] / count[:, None]
    variance = _running_sum(np.where(inside, clipped - mean, 0.0) ** 2)[:, None] / count[:, None]
    # The mean of equal numbers may miss them by a rounding error, which is no spread.
    constant = clipped[:, :1] == clipped[np.arange(len(rows)), count - 1][:, None]
    std = np.where(constant, np.inf, np.sqrt(variance))
    with np.errstate(invalid="ignore"):
        z = (np.clip(x, median - width, median + width) - mean) / std
    out[rows] = np.where(finite, z, 0.0)
    return out
