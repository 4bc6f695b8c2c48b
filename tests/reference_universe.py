"""Plain-loop oracle of the universes: rows of dicts and lists, no arrays; shares nothing with polygrain."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Tape:
    """A market as lists [day][stock]; amount is None where the stock did not trade."""

    age: list[list[int]]
    traded: list[list[bool]]
    st: list[list[bool]]
    amount: list[list[int | None]]
    index: list[list[bool]]

    @property
    def days(self) -> int:
        return len(self.age)

    @property
    def stocks(self) -> int:
        return len(self.age[0])


def top(tape: Tape, day: int, percent: Fraction) -> set[int]:
    """The stocks of the day's top `percent` by mean amount of the last 20 days; of equal means the first come first."""
    means = []
    for stock in range(tape.stocks):
        if not tape.traded[day][stock]:
            continue
        seen = [tape.amount[d][stock] for d in range(max(0, day - 19), day + 1)]
        present = [x for x in seen if x is not None]
        means.append((-Fraction(sum(present), len(present)), stock))
    exact = percent / 100 * len(means)
    count = int(exact) + (1 if exact - int(exact) >= Fraction(1, 2) else 0)
    return {stock for _, stock in sorted(means)[:count]}


def base(tape: Tape, day: int, stock: int, *, least_age: int, percent: Fraction, seen: int) -> bool:
    """listed >= least_age and not st and (index or top percent), with ST and amounts of day `seen`; before the first
    day nothing is known."""
    st = seen >= 0 and tape.st[seen][stock]
    large = seen >= 0 and stock in top(tape, seen, percent)
    return tape.age[day][stock] >= least_age and not st and (tape.index[day][stock] or large)


def traded_days(tape: Tape, stock: int, last: int, lookback: int) -> int:
    return sum(tape.traded[day][stock] for day in range(max(0, last - lookback + 1), last + 1))


def members(tape: Tape, least_age: int, percent: Fraction, lookback: int) -> list[list[bool]]:
    least = min(20, lookback)
    return [
        [
            base(tape, day, stock, least_age=least_age, percent=percent, seen=day)
            and tape.traded[day][stock]
            and traded_days(tape, stock, day, lookback) >= least
            for stock in range(tape.stocks)
        ]
        for day in range(tape.days)
    ]


def before_open(tape: Tape, least_age: int, percent: Fraction, lookback: int) -> list[list[bool]]:
    least = min(20, lookback)
    return [
        [
            base(tape, day, stock, least_age=least_age, percent=percent, seen=day - 1)
            and traded_days(tape, stock, day - 1, lookback) >= least
            for stock in range(tape.stocks)
        ]
        for day in range(tape.days)
    ]
