"""The simulated market's two indices: members and weights by float capitalisation, reviewed in June and December."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from polygrain.sources.synthetic_daily import Market
from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.store.panel import Array, carried

INDICES = ("large", "small")
_MEMBERS = {"index": pl.String, "symbol": pl.String, "start": pl.Date, "end": pl.Date}
_WEIGHTS = {"index": pl.String, "date": pl.Date, "symbol": pl.String, "weight": pl.Float64}


@dataclass(frozen=True)
class _Lists:
    """The members of each index, as columns in order, from day number `start` on."""

    start: int
    members: dict[str, Array]


def reviews(days: tuple[date, ...]) -> list[int]:
    """Numbers of the review days: the second Friday of June and December, or the trading day before it."""
    found = []
    for year in range(days[0].year, days[-1].year + 1):
        for month in (6, 12):
            first = date(year, month, 1)
            friday = first + timedelta(days=(4 - first.weekday()) % 7 + 7)
            if days[0] <= friday <= days[-1]:
                found.append(max(number for number, day in enumerate(days) if day <= friday))
    return found


class _Ranking:
    """What a list may be made from: capitalisations and states at each close."""

    def __init__(self, market: Market) -> None:
        self.last = market.stocks.last
        self.listed, self.st = market.events.listed, market.events.st
        self.caps = carried(market.close) * market.events.floating
        self.at_first = market.stocks.price * market.events.floating[0]

    def of(self, day: int) -> Array:
        """Columns of the stocks that are there on the day after `day`, ST behind the others, by falling float cap.

        Sees the close of `day` alone, and that a stock's last day was announced. Before the first day: day −1.
        """
        row, caps = max(day, 0), self.at_first if day < 0 else self.caps[day]
        there = np.flatnonzero(self.listed[row] & (self.last > day))
        return np.asarray(there[np.lexsort((there, -caps[there], self.st[row, there]))])


def _lists(market: Market) -> list[_Lists]:
    """The first lists, those of each review, and those that a delisting changes; each holds from a day's open on."""
    ranking, days = _Ranking(market), len(market.days)
    count = {"large": round(PARAMETERS.large * market.stocks.count)}
    count["small"] = round(PARAMETERS.small * market.stocks.count)

    def anew(day: int) -> dict[str, Array]:
        order = ranking.of(day)
        return {"large": order[: count["large"]], "small": order[count["large"] :][: count["small"]]}

    lists = [_Lists(0, anew(-1))]
    due = set(reviews(market.days))
    gone = {int(day) for day in market.stocks.last if day < days - 1}
    for day in sorted((due | gone) - {days - 1}):
        if day in due:
            lists.append(_Lists(day + 1, anew(day)))
            continue
        members = _replaced(lists[-1].members, ranking.of(day), count)
        if any(set(members[index]) != set(lists[-1].members[index]) for index in INDICES):
            lists.append(_Lists(day + 1, members))
    return lists


def _replaced(members: dict[str, Array], order: Array, count: dict[str, int]) -> dict[str, Array]:
    """The members still in `order`; a place in `large` goes to the first of `small`, one there to the first other."""
    large = [stock for stock in order if stock in members["large"]]
    small = [stock for stock in order if stock in members["small"]]
    while len(large) < count["large"]:
        large.append(small.pop(0))
    others = [stock for stock in order if stock not in large and stock not in small]
    small += others[: count["small"] - len(small)]
    return {"large": np.array(large), "small": np.array(small)}


def index_members(market: Market) -> pl.DataFrame:
    """The table index_members: each stay of a stock in an index, both days included; open at the end of the span."""
    rows, open_ = [], dict[tuple[str, int], int]()
    for lists in _lists(market):
        now = {(index, int(stock)) for index in INDICES for stock in lists.members[index]}
        rows += [(*key, open_.pop(key), lists.start - 1) for key in sorted(open_) if key not in now]
        open_ |= {key: lists.start for key in now if key not in open_}
    rows += [(*key, start, len(market.days)) for key, start in open_.items()]
    days, symbols = (*market.days, None), market.stocks.symbols
    named = [(index, symbols[stock], days[start], days[end]) for index, stock, start, end in sorted(rows)]
    return pl.DataFrame(named, schema=_MEMBERS, orient="row")


def index_weights(market: Market) -> pl.DataFrame:
    """The table index_weights: a full list by float cap at the close before each change of members takes effect.

    A list is for use after its date. The first one is dated on the first day. A delisting changes the list of its index
    alone in its members, but new weights are dated for both.
    """
    ranking, rows = _Ranking(market), dict[int, list[tuple[str, date, str, float]]]()
    for lists in _lists(market):
        day = max(lists.start - 1, 0)
        rows[day] = []
        for index in INDICES:
            members = np.sort(lists.members[index])
            caps = ranking.caps[day, members]
            weights = caps / caps.sum()
            rows[day] += [
                (index, market.days[day], market.stocks.symbols[stock], float(weight))
                for stock, weight in zip(members, weights)
            ]
    return pl.DataFrame([row for day in sorted(rows) for row in rows[day]], schema=_WEIGHTS, orient="row")
