"""What befalls the simulated stocks, whatever their prices: listings, suspensions, ST, dividends, splits, unlocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.sources.synthetic_stocks import Stocks, generator
from polygrain.store.panel import Array

# Listed so long ago that no rule about new stocks applies.
_OLD = 1_000_000


@dataclass(frozen=True)
class Events:
    """Arrays [days, stocks].

    listed, traded   whether the stock has a row, and whether it trades
    st               ST, through the delisting period as vendors' files have it
    leaving          in the delisting period, whose limits are those without ST
    free             no price limit: the day of a relisting, the first of a delisting period
    jump             overnight log return on those days, else 0
    age              trading days since the listing, the listing day being 1; 0 where not listed
    factor           cumulative adjustment factor
    shares, floating total and float shares
    industry         number of the industry
    """

    listed: Array
    traded: Array
    st: Array
    leaving: Array
    free: Array
    jump: Array
    age: Array
    factor: Array
    shares: Array
    floating: Array
    industry: Array


def _spells(starts: Array, lengths: Array) -> Array:
    """True from each start for its length; a start within a spell is ignored."""
    inside = np.zeros(starts.shape, bool)
    left = np.zeros(starts.shape[1], np.int64)
    for t in range(len(starts)):
        left = np.where((left == 0) & starts[t], lengths[t], np.maximum(left - 1, 0))
        inside[t] = left > 0
    return inside


def _relistings(stocks: Stocks, days: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Long suspensions and the days on which they end, [days, stocks]; none in spans too short to hold one."""
    away, back = np.zeros((days, stocks.count), bool), np.zeros((days, stocks.count), bool)
    least, most = PARAMETERS.long_suspension
    settled = rng.permutation(np.flatnonzero((stocks.first == 0) & (stocks.last == days - 1)))
    count = min(len(settled), max(1, round(PARAMETERS.relisted * stocks.count)))
    for stock, length, place in zip(settled[:count], rng.integers(least, most + 1, count), rng.random(count)):
        start = 5 + int(place * (days - length - 10))
        if days - length >= 15:
            away[start : start + length, stock] = True
            back[start + length, stock] = True
    return away, back


def _leaving(stocks: Stocks, days: int) -> tuple[Array, Array]:
    """The delisting periods, and the ST that ends with them, [days, stocks]."""
    number = np.arange(days)[:, None]
    gone = stocks.last < days - 1
    leaving = gone & (number > stocks.last - PARAMETERS.delisting_period) & (number <= stocks.last)
    special = gone & (number > stocks.last - PARAMETERS.delisting_period - PARAMETERS.st_before_delisting)
    return leaving, special


def draw_events(stocks: Stocks, days: tuple[date, ...], seed: int) -> Events:
    """Every event of the span; independent of prices and of the planted signals."""
    p, rng = PARAMETERS, generator(seed, 1)
    size = (len(days), stocks.count)
    number = np.arange(len(days))[:, None]
    listed = (number >= stocks.first) & (number <= stocks.last)
    leaving, special = _leaving(stocks, len(days))
    away, back = _relistings(stocks, len(days), rng)
    settled = (number > 0) & (number >= np.where(stocks.first > 0, stocks.first + p.settled, 0))
    more, days_more = p.suspension_more
    lengths = rng.geometric(p.suspension_end, size) + np.where(rng.random(size) < more, days_more, 0)
    suspended = _spells((rng.random(size) < p.suspension) & settled, lengths)
    traded = listed & ~((suspended & ~leaving & ~back) | away)
    starts = rng.random(size) < p.st_start
    starts[0] |= rng.random(stocks.count) < p.st_before
    st = _spells(starts & (settled | (number == 0)), rng.integers(*p.st_days, size)) | special
    begins = leaving & (number == stocks.last - p.delisting_period + 1) & (number > stocks.first)
    free = back | begins
    jump = rng.uniform(*p.jump, size) * rng.choice([-1.0, 1.0], size)
    cash, bonus = _payments(days, traded & ~free & (number > stocks.first), rng)
    shares = np.rint(stocks.shares * np.cumprod(1 + bonus, axis=0))
    unlocks = np.where(rng.random(size) < p.unlock, rng.uniform(*p.unlocked, size), 0.0)
    locked = (1 - stocks.floating) * np.cumprod(1 - np.where(settled, unlocks, 0.0), axis=0)
    return Events(
        listed=listed,
        traded=traded,
        st=st & listed,
        leaving=leaving,
        free=free,
        jump=np.where(free, jump, 0.0),
        age=np.where(listed, np.where(stocks.first > 0, number - stocks.first + 1, _OLD), 0),
        factor=np.round(np.cumprod((1 + bonus) / (1 - cash), axis=0), 6),
        shares=shares,
        floating=np.rint(shares * (1 - locked)),
        industry=np.where(number >= stocks.moved, stocks.next_industry, stocks.industry),
    )


def _payments(days: tuple[date, ...], may: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Cash as a part of the price and new shares per old one, [days, stocks], 0 on most days."""
    p, size = PARAMETERS, may.shape
    season = may & np.array([5 <= day.month <= 7 for day in days])[:, None]
    pays, issues = season & (rng.random(size) < p.dividend), season & (rng.random(size) < p.bonus)
    cash = np.where(pays, rng.uniform(*p.dividend_yield, size), 0.0)
    return cash, np.where(issues, rng.choice(p.bonus_shares, size), 0.0)
