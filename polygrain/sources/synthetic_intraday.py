"""The synthetic market within the day: a path from open to close whose shape and volume show the planted pressure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.sources.synthetic_daily import Market, generator, within
from polygrain.store.panel import Array

# Per unit of trace: the morning's dip (and the afternoon's rise above the path) in day deviations, the tilt of volume
# to the end of the day, and how much more volume falling bars get. Each is well below its own noise on one day.
DIP = 0.2
LATE = 0.12
FALLING = 0.02
_VOLUME_NOISE = 0.4


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


def _edges_heavy(bars: int, depth: float) -> Array:
    """A U over the day that sums to one; the morning's arm is the higher."""
    place = (np.arange(bars) + 0.5) / bars
    shape = 1 + depth * (2 * place - 1) ** 2 + 0.5 * depth * (1 - place) ** 4
    return np.asarray(shape / shape.sum())


def _wave(spent: Array, volume: Array) -> Array:
    """One wave that is 0 at the close and leaves the mean price by volume, hence VWAP fills, where it was.

    Otherwise the trace alone would make VWAP returns predictable.
    """
    wave, arch = np.sin(2 * np.pi * spent), np.sin(np.pi * spent)
    return np.asarray(wave - arch * (volume @ wave) / (volume @ arch))


def _split(lots: Array, weights: Array) -> Array:
    """Whole lots per bar that add up to the day's; the first and the last bar always trade."""
    filled = np.cumsum(weights, axis=1)
    filled = np.floor(filled / filled[:, -1:] * (lots[:, None] - 2) + 1e-9).astype(np.int64)
    filled[:, -1] = lots - 2
    split = np.diff(filled, axis=1, prepend=0)
    split[:, 0] += 1
    split[:, -1] += 1
    return np.asarray(split)


def day_bars(market: Market, day: int, bars: int, seed: int) -> DayBars:
    """One day's bars; depends on the seed and the day alone, so days can be made in any order.

    log path = bridge from open to close − DIP · trace · deviation · wave(u), u the share of variance spent;
    log volume = U shape + .3 |z| + noise − FALLING · trace · z + LATE · trace · (u − ½), z the bar's own move.
    """
    rng = generator(seed, 3, day)
    stock = np.flatnonzero(market.traded[day])
    size = (len(stock), bars)
    opened, closed = market.open[day, stock, None], market.close[day, stock, None]
    lowest, highest = market.down_limit[day, stock, None], market.up_limit[day, stock, None]
    trace, scale = market.trace[day, stock, None], market.scale[day, stock, None]
    variance, volume = _edges_heavy(bars, 1.0), _edges_heavy(bars, 1.5)
    spent = np.cumsum(variance)
    spent[-1] = 1.0
    deviation = scale * np.sqrt(variance)
    path = np.cumsum(deviation * rng.standard_normal(size), axis=1)
    path -= spent * (path[:, -1:] - np.log(closed / opened))
    path -= DIP * trace * scale * _wave(spent, volume)
    moves = np.diff(path, axis=1, prepend=0.0)
    close = within(opened * np.exp(path), lowest, highest)
    close[:, -1:] = closed
    open_ = np.empty(size)
    open_[:, :1] = opened
    open_[:, 1:] = within(
        close[:, :-1] * np.exp(0.1 * deviation[:, 1:] * rng.standard_normal(size)[:, 1:]), lowest, highest
    )
    reach = 1 + 0.4 * deviation * np.abs(rng.standard_normal(size))
    high = within(np.maximum(open_, close) * reach, lowest, highest)
    low = within(np.minimum(open_, close) / reach, lowest, highest)
    with np.errstate(invalid="ignore"):
        z = np.where(deviation > 0, np.clip(moves / deviation, -3, 3), 0.0)
    loudness = 0.3 * np.abs(z) + _VOLUME_NOISE * rng.standard_normal(size)
    loudness += trace * (LATE * (spent - 0.5) - FALLING * z)
    lots = _split(market.lots[day, stock], volume * np.exp(loudness))
    return DayBars(stock, open_, high, low, close, lots)
