"""Decay: how fast a score's ranking changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polygrain.evaluation.rank_ic import rank_correlation
from polygrain.evaluation.ranking import Ranking, within
from polygrain.store.panel import Array


def rank_autocorrelation(each: Ranking, mask: Array, lags: Sequence[int], days: Sequence[int]) -> Array:
    """Spearman correlation [lags, dates] of score(t) and score(t + l), t in `days`.

    Only stocks with both and in `mask` [days, symbols] on both days count. Date t sees t + l; NaN where t + l has no
    scores. 1 means an unchanged ranking, which trades nothing.
    """
    inside, symbols = within(each, mask), mask.shape[1]
    values = np.full((len(lags), len(days)), np.nan)
    for row, lag in enumerate(lags):
        for place, day in enumerate(days):
            if day + lag in inside:
                values[row, place] = rank_correlation(inside[day], inside[day + lag], symbols)
    return values
