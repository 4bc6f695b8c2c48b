"""Rank IC: how well a score ranks the returns that follow."""

from __future__ import annotations

import numpy as np

from polygrain.samples.labels import average_ranks
from polygrain.store.panel import Array

_BLOCK = 64


def rank_ic(scores: Array, returns: Array, mask: Array) -> Array:
    """Spearman correlation with average ranks by date [days] of scores and returns [days, symbols] over `mask`.

    Only stocks with both values count; NaN where they are fewer than 3 or either side is constant. Each row sees itself
    only.
    """
    values = np.full(len(scores), np.nan)
    for start in range(0, len(scores), _BLOCK):
        rows = slice(start, start + _BLOCK)
        both = mask[rows] & np.isfinite(scores[rows]) & np.isfinite(returns[rows])
        values[rows] = _pearson(average_ranks(scores[rows], both), average_ranks(returns[rows], both), both)
    return values


def _pearson(x: Array, y: Array, both: Array) -> Array:
    count = both.sum(axis=1)
    # Twice a rank minus the mean rank is a whole number, so that these sums are exact.
    centre = (count + 1)[:, None]
    x, y = np.where(both, 2 * x - centre, 0.0), np.where(both, 2 * y - centre, 0.0)
    xx, yy, xy = (x * x).sum(axis=1), (y * y).sum(axis=1), (x * y).sum(axis=1)
    defined = (count >= 3) & (xx > 0) & (yy > 0)
    values: Array = np.where(defined, xy / np.sqrt(np.where(defined, xx * yy, 1.0)), np.nan)
    return values
