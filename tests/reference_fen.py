"""Slow oracle of the exact ledger: one stock at a time on plain lists, with facts of its own about fees and lots."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from reference_tracks import Tape


def number(value: float) -> Fraction:
    """The decimal that a float prints as."""
    return Fraction(Decimal(str(value)))


def nearest(value: Fraction) -> int:
    """Halves up."""
    return int(value + Fraction(1, 2))


def shares_of(count: Fraction) -> int:
    """A number of shares that a factor or a weight left, down to whole ones, with the ledger's stated tolerance."""
    return int(count + min(count / 10**6, Fraction(5, 100)))


@dataclass
class Order:
    """(day, stock, shares, amount, stamp duty, transfer fee, commission), the last four in fen."""

    day: int
    stock: int
    shares: int
    amount: int
    stamp: int
    transfer: int
    commission: int

    @property
    def fees(self) -> int:
        return self.stamp + self.transfer + self.commission


@dataclass
class Slow:
    """A portfolio in a market; `lag` days from a decision to the fill at `price`."""

    tape: Tape
    symbols: list[str]
    days: list[date]
    price: str
    lag: int
    cash: int
    commission: Fraction
    shares: dict[int, int] = field(default_factory=dict)
    payments: list[tuple[int, int, int]] = field(default_factory=list)

    # Prices

    def traded_at(self, day: int, stock: int) -> Fraction:
        price = getattr(self.tape, self.price)[day][stock]
        return number(price) * 100 if self.price == "vwap" else Fraction(nearest(number(price) * 100))

    def standing(self, closed: int, day: int, stock: int) -> Fraction:
        while self.tape.close[closed][stock] is None:
            closed -= 1
        close = Fraction(nearest(number(self.tape.close[closed][stock]) * 100))
        return close * number(self.tape.factor[closed][stock]) / number(self.tape.factor[day][stock])

    def can(self, day: int, stock: int, *, buy: bool) -> bool:
        if getattr(self.tape, self.price)[day][stock] is None:
            return False
        up, down = self.tape.locked(self.price, day, stock)
        return not (up if buy else down)

    # Rules

    def legal(self, stock: int, shares: int) -> int:
        symbol = self.symbols[stock]
        if symbol.startswith("68"):
            return shares if shares >= 200 else 0
        if symbol.endswith("BJ"):
            return shares if shares >= 100 else 0
        return shares - shares % 100

    def legal_sale(self, stock: int, shares: int) -> int:
        held = self.shares.get(stock, 0)
        return held if shares >= held else self.legal(stock, shares)

    def order(self, day: int, stock: int, shares: int) -> Order:
        when = self.days[day]
        amount = nearest(abs(shares) * self.traded_at(day, stock))
        stamp = Fraction(1, 1000) if when < date(2023, 8, 28) else Fraction(1, 2000)
        transfer = Fraction(2, 100_000) if when < date(2022, 4, 29) else Fraction(1, 100_000)
        return Order(
            day,
            stock,
            shares,
            amount,
            nearest(amount * stamp) if shares < 0 else 0,
            nearest(amount * transfer),
            max(nearest(amount * self.commission), 500),
        )

    # Time

    def open(self, day: int) -> None:
        """What the night before `day` brings."""
        self.close(day - 1)
        for stock, held in sorted(self.shares.items()):
            old, new = number(self.tape.factor[day - 1][stock]), number(self.tape.factor[day][stock])
            if old == new:
                continue
            count = held * new / old
            self.shares[stock] = shares_of(count)
            rest = count - self.shares[stock]
            self.pay(day, stock, int(rest * self.standing(day - 1, day, stock)) if rest > 0 else 0)
        self.drop_empty()

    def close(self, day: int) -> None:
        """Holdings whose last day this is become cash."""
        for stock in sorted(self.shares):
            if self.tape.last_day[stock] <= day:
                self.pay(day, stock, nearest(self.shares.pop(stock) * self.standing(day, day, stock)))

    def drop_empty(self) -> None:
        self.shares = {stock: held for stock, held in self.shares.items() if held}

    def pay(self, day: int, stock: int, amount: int) -> None:
        self.cash += amount
        self.payments.append((day, stock, amount))

    def worth(self, day: int) -> int:
        return self.cash + sum(nearest(held * self.standing(day, day, stock)) for stock, held in self.shares.items())

    def wanted(self, day: int, weights: list[float]) -> list[int]:
        worth, orders = self.worth(day), []
        for stock, weight in enumerate(weights):
            held = self.shares.get(stock, 0)
            if weight == 0:
                orders.append(-held)
                continue
            aim = number(weight) * worth / self.standing(day, day, stock)
            if aim < 1:
                orders.append(-held)
            elif aim < held:
                orders.append(-self.legal_sale(stock, shares_of(held - aim)))
            else:
                orders.append(self.legal(stock, shares_of(aim - held)))
        return orders

    def fill(self, day: int, orders: list[int]) -> list[Order]:
        done = []
        size = [
            shares_of(abs(shares) * number(self.tape.factor[day][i]) / number(self.tape.factor[day - self.lag][i]))
            for i, shares in enumerate(orders)
        ]
        for stock, shares in enumerate(orders):
            if shares < 0 and self.shares.get(stock, 0) > 0 and self.can(day, stock, buy=False):
                sale = self.order(day, stock, -self.legal_sale(stock, size[stock]))
                if sale.shares and sale.amount >= sale.fees:
                    done.append(sale)
                    self.cash += sale.amount - sale.fees
                    self.shares[stock] += sale.shares
        self.drop_empty()
        buys = [stock for stock, shares in enumerate(orders) if shares > 0 and self.can(day, stock, buy=True)]

        def at(millionths: int) -> list[Order]:
            planned = [self.order(day, i, self.legal(i, size[i] * millionths // 1_000_000)) for i in buys]
            return [one for one in planned if one.shares]

        scale = 0
        for step in (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1):
            while scale + step <= 1_000_000 and sum(x.amount + x.fees for x in at(scale + step)) <= self.cash:
                scale += step
        for buy in at(scale):
            done.append(buy)
            self.cash -= buy.amount + buy.fees
            self.shares[buy.stock] = self.shares.get(buy.stock, 0) + buy.shares
        return done
