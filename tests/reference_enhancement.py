"""Slow oracle of index enhancement: the index and a portfolio, day by day, one stock at a time, on plain lists."""

from __future__ import annotations

from dataclasses import dataclass, field

from reference_tracks import Tape

Weights = dict[int, float]


def gone(tape: Tape, day: int, stock: int) -> bool:
    return tape.last_day[stock] < day


def has_price(tape: Tape, day: int, stock: int) -> bool:
    """Whether it has had a close by the close of `day`."""
    return any(tape.close[past][stock] is not None for past in range(day + 1))


def index(
    tape: Tape, lists: list[tuple[int, dict[int | str, float]]], industry: dict[int | str, int]
) -> list[tuple[Weights, Weights, float, float] | None]:
    """By day the weights at the close before and at its own, the return, and the share with data.

    `lists` are by the number of the day of their date, in order; stocks that are no numbers have no data; industry 0 is
    none.
    """
    found: list[tuple[Weights, Weights, float, float] | None] = []
    weights: Weights = {}
    used, share = -1, 0.0
    for day in range(len(tape.close)):
        close = max(day - 1, 0)
        newest = max((place for place, (dated, _) in enumerate(lists) if dated < day), default=-1)
        if newest < 0:
            found.append(None)
            continue
        lost: dict[int, float] = {}
        wanted: Weights = weights
        if newest > used:
            used = newest
            dated, full = lists[newest]
            wanted, with_data = {}, 0.0
            for stock, weight in full.items():
                if isinstance(stock, str):
                    lost[industry[stock]] = lost.get(industry[stock], 0.0) + weight
                    continue
                drift = 1.0
                if has_price(tape, dated, stock) and has_price(tape, close, stock):
                    drift = tape.worth(close, stock) / tape.worth(dated, stock)
                wanted[stock] = weight * drift
                if has_price(tape, close, stock) and not gone(tape, day, stock):
                    with_data += weight
            share = with_data / sum(full.values())
        kept: Weights = {}
        for stock, weight in wanted.items():
            if has_price(tape, close, stock) and not gone(tape, day, stock):
                kept[stock] = weight
            else:
                lost[industry[stock]] = lost.get(industry[stock], 0.0) + weight
        spread: Weights = {}
        for stock, weight in kept.items():
            own = industry[stock]
            of_own = sum(w for other, w in kept.items() if industry[other] == own)
            spread[stock] = weight * (1 + lost.get(own, 0.0) / of_own) if own != 0 and of_own > 0 else weight
        total = sum(spread.values())
        before = {stock: weight / total for stock, weight in spread.items()}
        grown = {stock: w * tape.worth(day, stock) / tape.worth(close, stock) for stock, w in before.items() if w > 0}
        now = sum(grown.values())
        weights = {stock: weight / now for stock, weight in grown.items()}
        found.append((before, weights, now - 1, share))
    return found


@dataclass
class Portfolio:
    """One portfolio from cash 1, in adjusted shares."""

    tape: Tape
    price: str
    cost_per_side: float
    cash: float = 1.0
    net: float = 1.0
    shares: dict[int, float] = field(default_factory=dict)

    def settle(self, day: int) -> None:
        for stock in list(self.shares):
            if gone(self.tape, day, stock):
                self.cash += self.shares.pop(stock) * self.tape.worth(day - 1, stock)

    def gross(self, day: int) -> float:
        return self.cash + sum(count * self.tape.worth(day, stock) for stock, count in self.shares.items())

    def weights(self, day: int) -> Weights:
        self.settle(day)
        return {s: count * self.tape.worth(day, s) / self.gross(day) for s, count in self.shares.items()}

    def rebalance(self, decision: int, fill: int, target: Weights) -> tuple[Weights, Weights]:
        """Trade from the close of `decision` on to the target at the fill; what was ordered and traded there."""
        tape = self.tape
        self.settle(decision)
        worth, orders = self.gross(decision), dict[int, float]()
        for stock in set(target) | set(self.shares):
            wanted = target.get(stock, 0.0)
            now = self.shares.get(stock, 0.0) * tape.worth(decision, stock) / worth
            if wanted == 0:
                orders[stock] = -self.shares.get(stock, 0.0)
            elif abs(wanted - now) >= 1e-9:
                orders[stock] = (wanted - now) * worth / tape.worth(decision, stock)
        self.settle(fill)
        rows = {"open": tape.open, "close": tape.close, "vwap": tape.vwap}[self.price]
        marks, states = {}, {}
        for stock in set(orders) | set(self.shares):
            at = tape.adjusted(rows, fill, stock)
            marks[stock] = tape.worth(fill - 1, stock) if at is None else at
            up, down = (True, True) if at is None else tape.locked(self.price, fill, stock)
            states[stock] = not up, not down
        orders = {stock: count for stock, count in orders.items() if not gone(tape, fill, stock) and count != 0}
        worth = self.cash + sum(count * marks[stock] for stock, count in self.shares.items())
        traded: Weights = {}
        for stock, count in orders.items():
            if count < 0 and states[stock][1]:
                sold = min(-count, self.shares[stock])
                self.cash += sold * marks[stock]
                self.shares[stock] -= sold
                traded[stock] = -sold * marks[stock] / worth
                if self.shares[stock] == 0:
                    del self.shares[stock]
        buys = {stock: count for stock, count in orders.items() if count > 0 and states[stock][0]}
        cost = sum(count * marks[stock] for stock, count in buys.items())
        scale = min(1.0, self.cash / cost) if cost > 0 else 0.0
        for stock, count in buys.items():
            self.shares[stock] = self.shares.get(stock, 0.0) + count * scale
            self.cash -= count * scale * marks[stock]
            traded[stock] = count * scale * marks[stock] / worth
        self.net *= 1 - self.cost_per_side * sum(abs(value) for value in traded.values())
        return {stock: count * marks[stock] / worth for stock, count in orders.items()}, traded
