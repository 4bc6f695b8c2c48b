"""Slow oracle of styles, exposures and neutralised Rank ICs: plain loops over lists, None where a value is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

Row = list[float | None]
Table = list[Row]


@dataclass
class Tape:
    """Raw closes, amounts and volumes [days][stocks] of traded days, cumulative factors, and columns of the daily table
    as they stand there."""

    close: Table
    amount: Table
    volume: Table
    factor: list[list[float]]
    columns: dict[str, Table]

    def last(self, table: Table, day: int, stock: int) -> float | None:
        return next((table[d][stock] for d in range(day, -1, -1) if table[d][stock] is not None), None)

    def worth(self, day: int, stock: int) -> float | None:
        """The last adjusted close."""
        for d in range(day, -1, -1):
            if self.close[d][stock] is not None:
                return self.close[d][stock] * self.factor[d][stock]
        return None

    def cap(self, day: int, stock: int) -> float | None:
        worth, shares = self.worth(day, stock), self.last(self.columns["total_shares"], day, stock)
        return None if worth is None or shares is None else worth / self.factor[day][stock] * shares

    def change(self, day: int, start: int, end: int, stock: int) -> float | None:
        """ln of the worth `end` days before over that `start` days before."""
        if day < start:
            return None
        first, last = self.worth(day - start, stock), self.worth(day - end, stock)
        return None if first is None or last is None else math.log(last / first)

    def log_return(self, day: int, stock: int) -> float | None:
        return None if day < 0 or self.close[day][stock] is None else self.change(day, 1, 0, stock)


def _mean(values: Row, days: int) -> float | None:
    known = [x for x in values if x is not None]
    return sum(known) / len(known) if 2 * len(known) >= days else None


def raw(name: str, tape: Tape, day: int, stock: int) -> float | None:
    """One style of one stock on one day, but for mid_cap."""
    back = range(day, max(day - 20, -1), -1)
    if name == "size":
        cap = tape.cap(day, stock)
        return None if cap is None else math.log(cap)
    if name == "valuation":
        book, cap = tape.last(tape.columns["book_value"], day, stock), tape.cap(day, stock)
        return None if book is None or cap is None else book / cap
    if name == "reversal":
        return tape.change(day, 20, 0, stock)
    if name == "momentum":
        return tape.change(day, 240, 20, stock)
    if name == "volatility":
        returns = [tape.log_return(d, stock) for d in range(day, max(day - 60, -1), -1)]
        mean = _mean(returns, 60)
        return None if mean is None else math.sqrt(_mean([None if r is None else (r - mean) ** 2 for r in returns], 60))
    if name == "turnover":
        shares = [tape.last(tape.columns["float_shares"], d, stock) for d in back]
        rates = [tape.volume[d][stock] for d in back]
        mean = _mean([None if v is None or s is None else v / s for v, s in zip(rates, shares)], 20)
        return None if mean is None else math.log(mean)
    if name == "liquidity":
        ratios: Row = []
        for d in back:
            r, a = tape.log_return(d, stock), tape.amount[d][stock]
            ratios.append(None if r is None or a is None else abs(math.exp(r) - 1) / a)
        mean = _mean(ratios, 20)
        return None if mean is None else -math.log(mean)
    assert name == "profitability"
    book, profit = (tape.last(tape.columns[column], day, stock) for column in ("book_value", "net_profit"))
    return None if book is None or profit is None or book <= 0 else profit / book


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def standardised(values: Row, members: list[bool], caps: Row) -> Row:
    """One date's exposures of all stocks that have a raw value."""
    inside = [i for i, x in enumerate(values) if x is not None and members[i]]
    if len(inside) < 10 or 2 * len(inside) < sum(members):
        return [None] * len(values)
    middle = _median([values[i] for i in inside])
    width = 3 * 1.4826 * _median([abs(values[i] - middle) for i in inside])
    clipped = [None if x is None else x if width == 0 else min(max(x, middle - width), middle + width) for x in values]
    equal = sum(clipped[i] for i in inside) / len(inside)
    std = math.sqrt(sum((clipped[i] - equal) ** 2 for i in inside) / len(inside))
    weighted = [i for i in inside if caps[i] is not None]
    centre = sum(caps[i] * clipped[i] for i in weighted) / sum(caps[i] for i in weighted)
    return [None if x is None else (x - centre) / std for x in clipped]


def mid_cap(sizes: Row, members: list[bool]) -> Row:
    """Cubes of the exposures to size less what size explains of them, before they are standardised."""
    inside = [i for i, s in enumerate(sizes) if s is not None and members[i]]
    mean = sum(sizes[i] for i in inside) / len(inside)
    cubes = sum(sizes[i] ** 3 for i in inside) / len(inside)
    covariance = sum((sizes[i] - mean) * (sizes[i] ** 3 - cubes) for i in inside)
    slope = covariance / sum((sizes[i] - mean) ** 2 for i in inside)
    return [None if s is None else s**3 - slope * s for s in sizes]


def filled(exposures: Row, members: list[bool], listed: list[bool], industries: list[str | None]) -> Row:
    """Listed stocks without an exposure have the mean of their industry's members, or of all members."""
    found: Row = []
    for i, own in enumerate(exposures):
        pool = [x for x, member in zip(exposures, members) if x is not None and member]
        if own is None and listed[i] and pool:
            peers = [
                x
                for x, member, industry in zip(exposures, members, industries)
                if x is not None and member and industry is not None and industry == industries[i]
            ]
            own = sum(peers or pool) / len(peers or pool)
        found.append(own if listed[i] else None)
    return found


def residuals(scores: list[float], styles: list[list[float]], industries: list[str]) -> list[float]:
    """What least squares on the styles and a dummy an industry leave: the normal equations, by elimination."""
    names = sorted(set(industries))
    x = [
        [*(style[i] for style in styles), *(float(industry == name) for name in names)]
        for i, industry in enumerate(industries)
    ]
    width = len(x[0])
    system = [
        [sum(row[a] * row[b] for row in x) for b in range(width)] + [sum(row[a] * s for row, s in zip(x, scores))]
        for a in range(width)
    ]
    for a in range(width):
        pivot = max(range(a, width), key=lambda row: abs(system[row][a]))
        system[a], system[pivot] = system[pivot], system[a]
        for b in range(width):
            if b != a:
                share = system[b][a] / system[a][a]
                system[b] = [p - share * q for p, q in zip(system[b], system[a])]
    slopes = [system[a][width] / system[a][a] for a in range(width)]
    return [s - sum(c * v for c, v in zip(slopes, row)) for s, row in zip(scores, x)]


def spearman(x: list[float], y: list[float]) -> float:
    """Pearson's correlation of average ranks."""
    ranks = [[sum(b < a for b in z) + (sum(b == a for b in z) + 1) / 2 for a in z] for z in (x, y)]
    middle = (len(x) + 1) / 2
    xy = sum((a - middle) * (b - middle) for a, b in zip(*ranks))
    return xy / math.sqrt(math.prod(sum((a - middle) ** 2 for a in z) for z in ranks))
