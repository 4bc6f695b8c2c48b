"""Two features of one's own, for `plugins = ["own_feature.py"]`: computed at every granularity, like Polygrain's.

A feature is a function of Bars, whose arrays are [bars, stocks] of one granularity, and returns such an array; what is
not finite counts as missing. `features = "all"` takes these two in; a granularity may also name them.
"""

import numpy as np

from polygrain.features.bars import Bars
from polygrain.features.library import feature
from polygrain.features.totals import add_up
from polygrain.store.panel import Array


@feature(min_bars=4, log=1e-4)
def roll_spread(bars: Bars) -> Array:
    """2 √max(0, −Σ r_j r_{j−1} / (m − 1)), pairs of base-bar log returns inside the bar †.

    The bounce between bid and ask makes successive returns of opposite sign; twice the root of their autocovariance is
    the spread as a fraction of the price. Dimensionless. Sees its own bar. Roll (1984).
    """
    pairs = add_up(bars.r[:, 1:] * bars.r[:, :-1]) / (bars.m - 1)
    return 2 * np.sqrt(np.maximum(0.0, -pairs))


@feature(min_bars=1, history=20)
def lottery(bars: Bars) -> Array:
    """Largest ln(C / C₋) of the bar and of the slot's 20 values before, at least half of them present; weeks: 4 before.

    Stocks with an extreme return are bought like lottery tickets and disappoint later. Dimensionless. Sees its own bar
    and the 20 days before the bar's. Bali, Cakici and Whitelaw (2011), MAX.
    """
    now = np.log(bars.close / bars.previous_close)
    past = bars.history(now, 20)
    enough = 2 * np.isfinite(past).sum(axis=1) >= past.shape[1]
    return np.where(np.isfinite(now) & enough, np.fmax(now, np.fmax.reduce(past, axis=1)), np.nan)
