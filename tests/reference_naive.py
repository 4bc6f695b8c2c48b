"""Slow oracle of the naive composite: plain loops over lists, None where a value is missing."""

from __future__ import annotations

import math
from statistics import NormalDist

Row = list[float | None]


def gaussian_ranks(values: Row) -> Row:
    known = [x for x in values if x is not None]
    ranks: Row = []
    for x in values:
        if x is None:
            ranks.append(None)
            continue
        average = sum(y < x for y in known) + (sum(y == x for y in known) + 1) / 2
        ranks.append(NormalDist().inv_cdf((average - 0.5) / len(known)))
    return ranks


def mean_of_half(values: Row, days: int) -> float | None:
    known = [x for x in values if x is not None]
    return sum(known) / len(known) if 2 * len(known) >= days else None


def components(close: list[Row], high: list[Row], low: list[Row], amount: list[Row], day: int, stock: int) -> Row:
    """−vol20, −ret20, −ret5, −ln(amount5/amount60), −range20 of adjusted closes at the close of `day`."""

    def worth(at: int) -> float | None:
        while at >= 0:
            if close[at][stock] is not None:
                return close[at][stock]
            at -= 1
        return None

    def change(back: int, at: int = day) -> float | None:
        if at < back or worth(at - back) is None:
            return None
        return math.log(worth(at) / worth(at - back))

    def last(days: int) -> range:
        return range(max(0, day - days + 1), day + 1)

    returns = [change(1, at) if close[at][stock] is not None else None for at in last(20)]
    mean = mean_of_half(returns, 20)
    vol = None if mean is None else mean_of_half([None if r is None else (r - mean) ** 2 for r in returns], 20)
    ranges = [None if high[at][stock] is None else math.log(high[at][stock] / low[at][stock]) for at in last(20)]
    five = mean_of_half([amount[at][stock] for at in last(5)], 5)
    sixty = mean_of_half([amount[at][stock] for at in last(60)], 60)
    surge = None if five is None or sixty is None else math.log(five / sixty)
    values = [None if vol is None else math.sqrt(vol), change(20), change(5), surge, mean_of_half(ranges, 20)]
    return [None if x is None else -x for x in values]


def composite(by_stock: list[Row], used: int) -> Row:
    """Scores of one day's members from their components."""
    ranks = [gaussian_ranks([row[k] for row in by_stock]) for k in range(5)]
    scores: Row = []
    for i in range(len(by_stock)):
        known = [ranks[k][i] for k in range(5) if ranks[k][i] is not None]
        scores.append(sum(known) / used if known else None)
    return scores
