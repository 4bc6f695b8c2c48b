"""Slow oracles for labels: plain loops over Python floats, None where a value is missing."""

from __future__ import annotations

from statistics import NormalDist, fmean, pstdev

Row = list[float | None]


def average_ranks(row: Row) -> Row:
    present = [value for value in row if value is not None]
    ranks: Row = []
    for value in row:
        if value is None:
            ranks.append(None)
            continue
        below = sum(other < value for other in present)
        equal = sum(other == value for other in present)
        ranks.append(below + (equal + 1) / 2)
    return ranks


def gaussian_rank(row: Row, minimum: int = 1) -> Row:
    count = sum(value is not None for value in row)
    if count < minimum:
        return [None] * len(row)
    return [None if rank is None else NormalDist().inv_cdf((rank - 0.5) / count) for rank in average_ranks(row)]


def standardise(row: Row) -> Row:
    present = [value for value in row if value is not None]
    if not present:
        return list(row)
    std = pstdev(present) if max(present) > min(present) else 0.0
    return [None if value is None else (value - fmean(present)) / std if std else 0.0 for value in row]


def forward_return(prices: Row, day: int, lag: int, horizon: int) -> float | None:
    """One stock's return from day + lag to day + lag + horizon."""
    if day + lag + horizon >= len(prices):
        return None
    start = prices[day + lag]
    if start is None:
        return None
    end = next(price for price in reversed(prices[: day + lag + horizon + 1]) if price is not None)
    return end / start - 1
