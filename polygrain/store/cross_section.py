"""What describes a cross-section, one row of a panel: its bits depend neither on the order of the columns nor on those
without a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.store.panel import Array

_BLOCK = 128
_CLIP = 3 * 1.4826


def sums(values: Array) -> Array:
    """Row sums [rows] of `values` [rows, columns] that zeros at the end do not change.

    numpy's own depend on the row's length, and so on who else is in the market. Here blocks of one length are added up,
    and these one by one. Of ascending rows they do not depend on the order that the columns had.
    """
    missing = -values.shape[1] % _BLOCK
    # numpy adds up columns that lie apart in another order than neighbours.
    padded = np.ascontiguousarray(np.pad(values, ((0, 0), (0, missing))) if missing else values)
    blocks = np.add.reduce(padded.reshape(len(values), -1, _BLOCK), axis=2)
    return np.asarray(np.add.accumulate(blocks, axis=1)[:, -1])


def ordered_sums(values: Array, fitted: Array) -> Array:
    """Row sums [rows] of the `fitted` entries of `values` [rows, columns], added up from the lowest to the highest."""
    ascending = np.where(fitted, values, np.inf)
    ascending.sort(axis=1)
    ascending[ascending == np.inf] = 0.0
    return sums(ascending)


def _at(ascending: Array, places: Array) -> Array:
    return np.asarray(ascending[np.arange(len(ascending)), places])


def _median(ascending: Array, count: Array) -> Array:
    """Per row, of the first `count` entries."""
    return np.asarray((_at(ascending, (count - 1) // 2) + _at(ascending, count // 2)) / 2)


def _median_distance(ascending: Array, count: Array, centre: Array) -> Array:
    """Per row the median distance to `centre` of the first `count` entries; those behind them are infinite.

    The k + 1 nearest entries lie side by side. They start at the first place from which the farthest to the right is at
    least as far as the farthest to the left, or one before it; that place is found by halving. What is next nearest
    then lies beside them.
    """

    # Nothing lies before the first entry, and nothing from the last on: both are endlessly far.
    beyond = np.full((len(ascending), 1), np.inf)
    flat = np.hstack([-beyond, ascending, beyond, beyond]).ravel()
    start = np.arange(len(ascending)) * (ascending.shape[1] + 3) + 1

    def right(place: Array) -> Array:
        return np.asarray(flat.take(start + place) - centre)

    def left(place: Array) -> Array:
        return np.asarray(centre - flat.take(start + place))

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


@dataclass(frozen=True)
class Moments:
    """Of each row [rows, 1]: where values are clipped, and mean and standard deviation (ddof 0) of the clipped ones.

    `low` and `high` are median ∓ 3·1.4826·MAD, ∓inf where MAD = 0; `std` is inf where the clipped values are equal.
    """

    low: Array
    high: Array
    mean: Array
    std: Array


def moments(x: Array, fitted: Array) -> Moments:
    """The moments of those entries of x [rows, columns] that are `fitted`, finite ones, at least one in each row."""
    count = fitted.sum(axis=1)
    ascending = x.copy()
    ascending[~fitted] = np.inf
    ascending.sort(axis=1)
    ascending = ascending[:, : count.max()]
    outside = np.arange(ascending.shape[1]) >= count[:, None]
    middle = _median(ascending, count)
    width = _CLIP * _median_distance(ascending, count, middle)
    width[width == 0] = np.inf
    low, high = (middle - width)[:, None], (middle + width)[:, None]
    clipped = np.clip(ascending, low, high)
    # The mean of equal numbers may miss them by a rounding error, which is no spread.
    constant = clipped[:, 0] == _at(clipped, count - 1)
    clipped[outside] = 0.0
    mean = (sums(clipped) / count)[:, None]
    clipped -= mean
    clipped[outside] = 0.0
    std = np.where(constant, np.inf, np.sqrt(sums(clipped * clipped) / count))[:, None]
    return Moments(low, high, mean, std)
