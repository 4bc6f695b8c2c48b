"""Normalisation of one feature over each cross-section: nothing is fitted on another date."""

from __future__ import annotations

import numpy as np

from polygrain.store.panel import Array

MIN_VALUES = 30
_CLIP = 3 * 1.4826
_BLOCK = 128


def _sums(values: Array) -> Array:
    """Row sums that zeros at the end do not change: numpy's own depend on the row's length, and so on who else is in
    the market. Added up in blocks of one length, and these one by one."""
    missing = -values.shape[1] % _BLOCK
    padded = np.pad(values, ((0, 0), (0, missing))) if missing else values
    blocks = np.add.reduce(padded.reshape(len(values), -1, _BLOCK), axis=2)
    return np.asarray(np.add.accumulate(blocks, axis=1)[:, -1])


def _at(ascending: Array, places: Array) -> Array:
    return np.asarray(ascending[np.arange(len(ascending)), places])


def _median(ascending: Array, count: Array) -> Array:
    """Per row, of the first `count` entries."""
    return np.asarray((_at(ascending, (count - 1) // 2) + _at(ascending, count // 2)) / 2)


def _median_distance(ascending: Array, count: Array, centre: Array) -> Array:
    """Per row the median distance to `centre` of the first `count` entries.

    The k + 1 nearest entries lie side by side. They start at the first place from which the farthest to the right is at
    least as far as the farthest to the left, or one before it; that place is found by halving. What is next nearest
    then lies beside them.
    """

    def right(place: Array) -> Array:
        return np.where(place < count, _at(ascending, np.minimum(place, count - 1)) - centre, np.inf)

    def left(place: Array) -> Array:
        return np.where(place >= 0, centre - _at(ascending, np.maximum(place, 0)), np.inf)

    k = (count - 1) // 2
    low, high = np.zeros_like(count), count - k
    while (low < high).any():
        middle = (low + high) // 2
        enough = right(middle + k) >= left(middle)
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    low -= left(low - 1) < right(low + k)
    lower = np.maximum(left(low), right(low + k))
    upper = np.minimum(left(low - 1), right(low + k + 1))
    return np.asarray(np.where(count % 2, lower, (lower + upper) / 2))


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
    ascending = x.copy()
    ascending[~fitted[rows]] = np.inf
    ascending.sort(axis=1)
    ascending = ascending[:, : count.max()]
    outside = np.arange(ascending.shape[1]) >= count[:, None]
    median = _median(ascending, count)
    width = _CLIP * _median_distance(ascending, count, median)
    width[width == 0] = np.inf
    low, high = (median - width)[:, None], (median + width)[:, None]
    clipped = np.clip(ascending, low, high)
    # The mean of equal numbers may miss them by a rounding error, which is no spread.
    constant = clipped[:, 0] == _at(clipped, count - 1)
    clipped[outside] = 0.0
    mean = (_sums(clipped) / count)[:, None]
    clipped -= mean
    clipped[outside] = 0.0
    std = np.where(constant, np.inf, np.sqrt(_sums(clipped * clipped) / count))[:, None]
    with np.errstate(invalid="ignore"):
        z = (np.clip(x, low, high) - mean) / std
    z[~finite] = 0.0
    out[rows] = z
    return out
