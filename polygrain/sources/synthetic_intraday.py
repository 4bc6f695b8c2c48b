"""The simulated market within the day: a path from open to close, and volume that shows the planted signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.sources.synthetic_daily import Market, within
from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.sources.synthetic_profile import Profile, profile
from polygrain.sources.synthetic_signals import signal
from polygrain.sources.synthetic_stocks import generator
from polygrain.store.panel import Array

_FIVE_MINUTE_BARS = 48


@dataclass(frozen=True)
class DayBars:
    """The bars of the stocks that traded on one day: arrays [stocks, bars], prices in fen, volume in lots.

    A bar without lots did not trade and is no bar.
    """

    stock: Array
    open: Array
    high: Array
    low: Array
    close: Array
    lots: Array

    @property
    def amount(self) -> Array:
        """Volume times the mean of the four prices, in whole fen: lots · 100 / 4 · (O + H + L + C)."""
        amount: Array = self.lots * 25 * (self.open + self.high + self.low + self.close)
        return amount


def _split(lots: Array, weights: Array) -> Array:
    """Whole lots per bar that add up to the day's; the first and the last bar always trade."""
    filled = np.cumsum(weights, axis=1)
    filled = np.floor(filled / filled[:, -1:] * (lots[:, None] - 2) + 1e-9).astype(np.int64)
    filled[:, -1] = lots - 2
    split = np.diff(filled, axis=1, prepend=0)
    split[:, 0] += 1
    split[:, -1] += 1
    return np.asarray(split)


def _leaning(weights: Array, z: Array, price: Array, size: Array) -> Array:
    """Weights that lean by `size` [stocks] on rising bars, where neither their sum nor the mean price by volume moves.

    z less its regression on the bar's mean price, by the weights: otherwise the trace would move VWAP fills.
    """
    total = weights.sum(axis=1, keepdims=True)
    z = z - (weights * z).sum(axis=1, keepdims=True) / total
    price = price - (weights * price).sum(axis=1, keepdims=True) / total
    spread = (weights * price**2).sum(axis=1, keepdims=True)
    slope = (weights * z * price).sum(axis=1, keepdims=True) / np.where(spread > 0, spread, 1.0)
    return np.asarray(weights * np.maximum(1 + size[:, None] * (z - slope * price), 0.1))


def _weights(market: Market, day: int, stock: Array, of_day: Profile, z: Array, price: Array, noise: Array) -> Array:
    """Volume of each bar up to a factor [stocks, bars]."""
    p = PARAMETERS
    size = {name: signal(name).lean * trace[day, stock] for name, trace in market.signals.traces.items()}
    scale = p.volume_noise * np.sqrt(z.shape[1] / _FIVE_MINUTE_BARS)
    weights = of_day.volume * np.exp(p.loudness * np.abs(z) + scale * noise)
    weights *= np.exp(size["slow"][:, None] * of_day.late)
    # Added up, not multiplied: the product of two moves would be one that longer bars see.
    bunched = size["hour"][:, None] * of_day.hour + size["half_hour"][:, None] * of_day.half_hour
    weights *= np.maximum(1 + bunched, 0.05)
    return _leaning(weights, z, price, size["every"])


def day_bars(market: Market, day: int, bars: int, seed: int) -> DayBars:
    """One day's bars; depends on the seed and the day alone, so days can be made in any order.

    The log path is a bridge from open to close and knows nothing of the signals. Volume = U shape · exp(loudness · |z|
    + noise) · the signals' moves, z the bar's own return in standard deviations.
    """
    rng = generator(seed, 3, day)
    stock = np.flatnonzero(market.traded[day])
    size = (len(stock), bars)
    opened, closed = market.open[day, stock, None], market.close[day, stock, None]
    lowest, highest = market.down_limit[day, stock, None], market.up_limit[day, stock, None]
    of_day = profile(bars)
    spent = np.cumsum(of_day.variance)
    spent[-1] = 1.0
    deviation = market.scale[day, stock, None] * np.sqrt(of_day.variance)
    path = np.cumsum(deviation * rng.standard_normal(size), axis=1)
    path -= spent * (path[:, -1:] - np.log(closed / opened))
    moves = np.diff(path, axis=1, prepend=0.0)
    close = within(opened * np.exp(path), lowest, highest)
    close[:, -1:] = closed
    open_ = np.empty(size)
    open_[:, :1] = opened
    gaps = PARAMETERS.gap * deviation[:, 1:] * rng.standard_normal(size)[:, 1:]
    open_[:, 1:] = within(close[:, :-1] * np.exp(gaps), lowest, highest)
    reach = 1 + PARAMETERS.reach * deviation * np.abs(rng.standard_normal(size))
    high = within(np.maximum(open_, close) * reach, lowest, highest)
    low = within(np.minimum(open_, close) / reach, lowest, highest)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(deviation > 0, np.clip(moves / deviation, -3, 3), 0.0)
    price = (open_ + high + low + close) / 4
    weights = _weights(market, day, stock, of_day, z, price, rng.standard_normal(size))
    return DayBars(stock, open_, high, low, close, _split(market.lots[day, stock], weights))
