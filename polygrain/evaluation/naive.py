"""The naive composite: five old price and volume effects, the yardstick beside every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.execution.quotes import Quotes
from polygrain.samples.labels import gaussian_rank
from polygrain.store.panel import Array, trailing_mean

_BLOCK = 64


@dataclass(frozen=True)
class NaiveScores:
    """Scores [days, symbols], NaN outside the members, and the components that the data lacks."""

    values: Array
    missing: tuple[str, ...]


def naive_composite(quotes: Quotes, members: Array) -> NaiveScores:
    """Mean gaussian rank within `members` [days, symbols] of −vol20, −ret20, −ret5, −ln(amount5/amount60), −range20.

    vol: standard deviation of daily log returns; ret: adjusted return; amountN: mean amount over N days; range: mean
    ln(high/low). A window needs values on half its days; a component that a stock lacks counts 0, the middle; a stock
    without any has no score. Row t sees day t and those before it.
    """
    components = _components(quotes)
    missing = tuple(name for name, values in components.items() if not np.isfinite(values[members]).any())
    used = [values for name, values in components.items() if name not in missing]
    scores = np.full(members.shape, np.nan)
    for start in range(0, len(scores), _BLOCK):
        rows = slice(start, start + _BLOCK)
        ranks = np.array([gaussian_rank(-values[rows], members[rows] & np.isfinite(values[rows])) for values in used])
        if used:
            known = np.isfinite(ranks)
            total = np.where(known, ranks, 0.0).sum(axis=0)
            # All of them, whichever the data has: what it has some day must not scale the days before.
            scores[rows] = np.where(known.any(axis=0), total / len(components), np.nan)
    return NaiveScores(scores, missing)


def _components(quotes: Quotes) -> dict[str, Array]:
    log_price = np.log(quotes.valuation)
    daily = np.where(quotes.traded, _change(log_price, 1), np.nan)
    mean, square = _mean(daily, 20), _mean(daily**2, 20)
    amount = np.log(_positive(_mean(quotes.amount, 5)) / _positive(_mean(quotes.amount, 60)))
    return {
        "vol20": np.sqrt(np.maximum(square - mean**2, 0.0)),
        "ret20": _change(log_price, 20),
        "ret5": _change(log_price, 5),
        "amount5/amount60": amount,
        "range20": _mean(np.log(quotes.high / quotes.low), 20),
    }


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


def _change(values: Array, days: int) -> Array:
    change = np.full(values.shape, np.nan)
    change[days:] = values[days:] - values[:-days]
    return change


def _mean(values: Array, days: int) -> Array:
    """Mean over a window of `days` of which half have values."""
    return trailing_mean(values, days, (days + 1) // 2)
