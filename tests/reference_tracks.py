"""Slow oracle of tracks: one portfolio, one day, one stock at a time, on plain lists."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Tape:
    """Rows of one market: lists by day of lists by stock; None where the stock did not trade or there is no limit."""

    open: list[list[float | None]]
    high: list[list[float | None]]
    low: list[list[float | None]]
    close: list[list[float | None]]
    vwap: list[list[float | None]]
    factor: list[list[float]]
    amount: list[list[float | None]]
    up: list[list[float | None]]
    down: list[list[float | None]]
    last_day: list[int]

    def adjusted(self, rows: list[list[float | None]], day: int, stock: int) -> float | None:
        price = rows[day][stock]
        return None if price is None else price * self.factor[day][stock]

    def worth(self, day: int, stock: int) -> float:
        """Last adjusted close at the close of `day`."""
        while (price := self.adjusted(self.close, day, stock)) is None:
            day -= 1
            assert day >= 0, "held before its first close"
        return price

    def locked(self, price: str, day: int, stock: int) -> tuple[bool, bool]:
        """Locked at the up-limit, locked at the down-limit."""
        up, down = self.up[day][stock], self.down[day][stock]
        if price == "vwap":
            high, low = self.high[day][stock], self.low[day][stock]
            if high != low:
                return False, False
            at = high
        else:
            at = {"open": self.open, "close": self.close}[price][day][stock]
        return up is not None and at >= up - 1e-6, down is not None and at <= down + 1e-6


def level(left: float, free: int, caps: list[float], floors: list[float]) -> float:
    """The equal value of a taken name, by bisection."""

    def spent(x: float) -> float:
        return free * x + sum(min(c, x) for c in caps) + sum(max(f, x) for f in floors)

    low, high = 0.0, left + 1.0
    if spent(high) <= left:
        return high
    for _ in range(100):
        middle = (low + high) / 2
        if spent(middle) <= left:
            low = middle
        else:
            high = middle
    return low


def portfolio(
    tape: Tape,
    choose,  # decision day -> (ranked stocks, number)
    schedule: list[int],
    lag: int,
    price: str,
    last: int,
    cost_per_side: float,
) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """NAV by day, Σ|Δw| and share of the amount traded at 10⁸ yuan by fill day of one portfolio."""
    rows = {"open": tape.open, "close": tape.close, "vwap": tape.vwap}[price]
    cash, shares = 1.0, {}
    nav, traded_weight, traded_share = {schedule[0] + lag - 1: 1.0}, {}, {}
    for day in range(schedule[0] + lag, last + 1):
        if day - lag in schedule:
            fill = {}
            for stock in range(len(tape.last_day)):
                at = tape.adjusted(rows, day, stock)
                if at is not None:
                    fill[stock] = at
            value = {i: n * (fill[i] if i in fill else tape.worth(day - 1, i)) for i, n in shares.items()}
            total = cash + sum(value.values())
            ranked, number = choose(day - lag)
            taken: list[int] = []
            for stock in ranked:
                if len(taken) == number:
                    break
                buyable = stock in fill and not tape.locked(price, day, stock)[0]
                if buyable or stock in value:
                    taken.append(stock)
            target: dict[int, float] = {}
            caps, floors, free = {}, {}, []
            for stock in value:
                if stock not in fill or (stock not in taken and tape.locked(price, day, stock)[1]):
                    target[stock] = value[stock]
            left = total - sum(target.values())
            for stock in taken:
                if stock in target:
                    continue
                locked_up, locked_down = tape.locked(price, day, stock)
                if locked_up:
                    caps[stock] = value[stock]
                elif locked_down and stock in value:
                    floors[stock] = value[stock]
                else:
                    free.append(stock)
            x = level(left, len(free), list(caps.values()), list(floors.values()))
            target |= {i: min(v, x) for i, v in caps.items()}
            target |= {i: max(v, x) for i, v in floors.items()}
            target |= dict.fromkeys(free, x)
            moves = {i: abs(target.get(i, 0.0) - value.get(i, 0.0)) / total for i in set(target) | set(value)}
            moved = sum(moves.values())
            traded_weight[day] = moved
            shares_of_amount = [w * (w * 1e8 / tape.amount[day][i]) for i, w in moves.items() if w]
            traded_share[day] = sum(shares_of_amount) / moved if moved else math.nan
            after = total * (1 - cost_per_side * moved)
            cash = after * (1 - sum(target.values()) / total)
            shares = {
                i: after * v / total / (fill[i] if i in fill else tape.worth(day - 1, i))
                for i, v in target.items()
                if v > 1e-12 * total
            }
        nav[day] = cash + sum(n * tape.worth(day, i) for i, n in shares.items())
        for stock in [i for i in shares if tape.last_day[i] == day]:
            cash += shares.pop(stock) * tape.worth(day, stock)
    return nav, traded_weight, traded_share


def top_number(share: float | None, count: int | None, members: int) -> int:
    if count is not None:
        return count
    tenths = round(share * 1000) * members  # thousandths, so that halves are exact
    return math.floor(tenths / 1000) + (1 if tenths % 1000 >= 500 else 0)


def tenth_of(ranked: list[int], tenth: int) -> list[int]:
    """The names whose place, from 0, lies at or behind the rounded end of the tenths before and before its own."""

    def end(tenths: int) -> int:
        whole, rest = divmod(tenths * len(ranked), 10)
        return whole + (1 if rest >= 5 else 0)

    return [name for place, name in enumerate(ranked) if end(tenth - 1) <= place < end(tenth)]
