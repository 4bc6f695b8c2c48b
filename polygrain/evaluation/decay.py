"""Decay: how long a score's ranking of the returns lasts, and how fast the ranking itself changes."""

from __future__ import annotations

import numpy as np

from polygrain.evaluation.rank_ic import rank_ic
from polygrain.samples.labels import forward_returns
from polygrain.store.panel import Array


def rank_ic_by_horizon(scores: Array, prices: Array, mask: Array, lag: int, longest: int) -> Array:
    """Rank IC [longest, days] of scores [days, symbols] and returns over h = 1..`longest` days from the fill.

    Row h − 1: Spearman over `mask` [days, symbols] of score(t) and P(t+lag+h)/P(t+lag) − 1, P = `prices` the adjusted
    fill prices [days, symbols]. Date t sees t + lag + h; NaN where that lies past the data.
    """
    return np.stack([rank_ic(scores, forward_returns(prices, lag, horizon), mask) for horizon in range(1, longest + 1)])


def rank_autocorrelation(scores: Array, mask: Array, longest: int) -> Array:
    """Spearman correlation [longest, days] of score(t) and score(t + l), l = 1..`longest`, of scores [days, symbols].

    Only stocks with both and in `mask` [days, symbols] on both days count. Date t sees t + l; NaN in the last l dates.
    1 means an unchanged ranking, which trades nothing.
    """
    values = np.full((longest, len(scores)), np.nan)
    for lag in range(1, min(longest, len(scores) - 1) + 1):
        values[lag - 1, :-lag] = rank_ic(scores[:-lag], scores[lag:], mask[:-lag] & mask[lag:])
    return values
