"""Decay: how long a score's ranking of the returns lasts, and how fast the ranking itself changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polygrain.evaluation.rank_ic import rank_ic
from polygrain.samples.labels import forward_returns
from polygrain.store.panel import Array


def rank_ic_by_horizon(
    scores: Array, prices: Array, mask: Array, lag: int, horizons: Sequence[int], days: Array
) -> Array:
    """Rank IC [horizons, dates] of scores [days, symbols] and returns over h days from the fill, on the rows `days`.

    Spearman over `mask` [days, symbols] of score(t) and P(t+lag+h)/P(t+lag) − 1, P = `prices` the adjusted fill prices
    [days, symbols]. Date t sees t + lag + h; NaN where that lies past the data.
    """
    found = [rank_ic(scores[days], forward_returns(prices, lag, horizon)[days], mask[days]) for horizon in horizons]
    return np.stack(found)


def rank_autocorrelation(scores: Array, mask: Array, lags: Sequence[int], days: Array) -> Array:
    """Spearman correlation [lags, dates] of score(t) and score(t + l) of scores [days, symbols], t in the rows `days`.

    Only stocks with both and in `mask` [days, symbols] on both days count. Date t sees t + l; NaN where that lies past
    the data. 1 means an unchanged ranking, which trades nothing.
    """
    values = np.full((len(lags), len(days)), np.nan)
    for row, lag in enumerate(lags):
        inside = days + lag < len(scores)
        now, then = days[inside], days[inside] + lag
        values[row, inside] = rank_ic(scores[now], scores[then], mask[now] & mask[then])
    return values
