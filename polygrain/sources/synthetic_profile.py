"""What a simulated day looks like on average: where volume and variance fall, and where the signals move volume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.store.panel import Array

_MINUTES = 240
# The signals' patterns are drawn on slots of five minutes.
_SLOTS = 48
_HOURS = 4
# The night's return reaches the first slots' correlations with volume; the last slot holds the closing auction, whose
# volume reaches the one before it.
_STILL = np.isin(np.arange(_SLOTS), (0, 1, _SLOTS - 2, _SLOTS - 1))


@dataclass(frozen=True)
class Profile:
    """Of `bars` bars a day: shares of volume and variance, which add up to one, and where the signals move volume.

    `late` is one in the day's last hour. `hour` and `half_hour` are the parts of a bar's volume that a unit of lean ·
    trace adds: nothing, on average, to what longer bars see; zero in bars too long to show the signal.
    """

    volume: Array
    variance: Array
    late: Array
    hour: Array
    half_hour: Array


def _edges_heavy(depth: float) -> Array:
    """A U over the minutes; the morning's arm is the higher."""
    place = (np.arange(_MINUTES) + 0.5) / _MINUTES
    return np.asarray(1 + depth * (2 * place - 1) ** 2 + 0.5 * depth * (1 - place) ** 4)


@cache
def _minutes() -> tuple[Array, Array]:
    """Volume and variance of each minute, both adding up to one: no trades in the two minutes before the last."""
    p = PARAMETERS
    volume, variance = _edges_heavy(p.volume_edges), _edges_heavy(p.variance_edges)
    volume[-3:], variance[-3:-1] = 0.0, 0.0
    volume *= (1 - p.opening - p.auction) / volume.sum()
    volume[0] += p.opening
    volume[-1] += p.auction
    variance[-1] = p.auction_variance
    return volume, variance / variance.sum()


def _balanced(pattern: tuple[float, ...], parts: tuple[int, ...], bars: int) -> Array:
    """The pattern over a day's bars nearest to an hour's, repeated, that longer bars do not see on average.

    Least squares under Σ volume · p = 0 over each part of each hour (parts begin at these slots), Σ volume · time · p =
    0 over each hour, time being the variance spent, and p = 0 in bars where the pattern is zero or that hold a still
    slot. Bars shorter than a slot repeat the slot's.
    """
    count = min(bars, _SLOTS)
    volume, variance = (values.reshape(count, -1).sum(axis=1) for values in _minutes())
    target = np.tile(pattern, _HOURS).reshape(count, -1)
    free = (target != 0).any(axis=1) & ~_STILL.reshape(count, -1).any(axis=1)
    time = np.cumsum(variance) - variance / 2
    slot = np.arange(count) * _SLOTS // count
    hours = [slot // 12 == hour for hour in range(_HOURS)]
    part = np.searchsorted(parts, slot % 12, side="right")
    rules = [volume * (hour & (part == number)) for hour in hours for number in range(1, len(parts) + 1)]
    rules += [volume * (time - time[hour].mean()) * hour for hour in hours]
    rule = np.array(rules) * free
    wanted = target.mean(axis=1) * free
    return np.repeat(wanted - np.linalg.pinv(rule) @ (rule @ wanted), bars // count)


@cache
def profile(bars: int) -> Profile:
    """The average day in `bars` bars."""
    volume, variance = _minutes()
    return Profile(
        volume=volume.reshape(bars, -1).sum(axis=1),
        variance=variance.reshape(bars, -1).sum(axis=1),
        late=(np.arange(bars) >= bars * (_HOURS - 1) // _HOURS).astype(float),
        hour=_balanced(PARAMETERS.hour_pattern, (0,), bars),
        half_hour=_balanced(PARAMETERS.half_hour_pattern, (0, 9), bars),
    )


@cache
def before_vwap() -> float:
    """The part of a day's smooth return that comes, on average, before its VWAP."""
    of_day = profile(_SLOTS)
    until = np.cumsum(of_day.variance) - of_day.variance / 2
    p = PARAMETERS
    return float(p.overnight + (1 - p.overnight) * (of_day.volume @ until))
