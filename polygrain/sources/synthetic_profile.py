"""What a simulated day looks like on average: where volume and variance fall, and where the signals move volume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.store.panel import Array

_MINUTES = 240
# The signals' patterns are drawn on slots of five minutes, twelve an hour.
_SLOTS = 48
_HOURS = 4
_HOUR = [-1 / 3] * 9 + [1.0] * 3
# Either half's last third rises by as much against the rest; the hour's last quarter, which hourly bars see, stays.
_HALF_HOUR = [-0.5, -0.5, -0.5, -0.5, 1.0, 1.0, 0.0, 0.0, 0.0, -2.0, 1.0, 1.0]


@dataclass(frozen=True)
class Shift:
    """A move of volume within groups of bars that coarser bars do not see.

    `pattern` [bars] is the log volume per unit of lean · trace. `groups` and `wholes` are first bars: each group keeps
    its volume, each whole its sum of squares. `level` [bars] is 1 / number of its group's bars that trade, 0 where none
    does.
    """

    pattern: Array
    groups: Array
    wholes: Array
    level: Array


@dataclass(frozen=True)
class Profile:
    """Of `bars` bars a day: shares of volume and variance, which add up to one, and where the signals move volume.

    `late` is one in the day's last hour. A signal that bars of this length cannot show has no shift.
    """

    volume: Array
    variance: Array
    late: Array
    hour: Shift | None
    half_hour: Shift | None


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


def _shift(pattern: list[float], parts: list[int], whole: int, bars: int) -> Shift:
    """An hour's pattern over its twelve slots as one of `bars` bars; parts and wholes begin at these slots.

    The last bar, which holds the closing auction, is a group of its own and so stays as it is.
    """
    volume = _minutes()[0]
    by_minute = np.tile(np.repeat(pattern, _MINUTES // _SLOTS), _HOURS) * volume
    traded = volume.reshape(bars, -1).sum(axis=1)
    starts = np.array([hour + part for hour in range(0, _SLOTS, 12) for part in parts]) * bars // _SLOTS
    groups = np.union1d(starts, bars - 1)
    live = traded > 0
    return Shift(
        pattern=np.where(live, by_minute.reshape(bars, -1).sum(axis=1) / np.where(live, traded, 1.0), 0.0),
        groups=groups,
        wholes=np.arange(0, _SLOTS, whole) * bars // _SLOTS,
        level=live / np.repeat(np.add.reduceat(live, groups, dtype=float), np.diff(np.append(groups, bars))),
    )


@cache
def profile(bars: int) -> Profile:
    """The average day in `bars` bars.

    `slow` is seen in bars of up to an hour, `hour` in those of up to half an hour. `half_hour` is seen in those of up
    to a quarter of an hour, and of these in quarters only in the first half of each hour.
    """
    volume, variance = _minutes()
    return Profile(
        volume=volume.reshape(bars, -1).sum(axis=1),
        variance=variance.reshape(bars, -1).sum(axis=1),
        late=(np.arange(bars) >= bars * (_HOURS - 1) // _HOURS).astype(float),
        hour=_shift(_HOUR, [0], _SLOTS, bars) if bars > _HOURS else None,
        half_hour=_shift(_HALF_HOUR, [0, 6, 9], _SLOTS // _HOURS, bars) if bars >= 4 * _HOURS else None,
    )


@cache
def before_vwap() -> float:
    """The part of a day's smooth return that comes, on average, before its VWAP."""
    of_day = profile(_SLOTS)
    until = np.cumsum(of_day.variance) - of_day.variance / 2
    p = PARAMETERS
    return float(p.overnight + (1 - p.overnight) * (of_day.volume @ until))
