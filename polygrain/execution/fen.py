"""Prices in fen (分), without a rounding that is not written down."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np

from polygrain.execution.fills import Fill
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array, carried

# Sources give factors to six decimals or as float32: 1,000 shares at ten for thirteen are 1,300, not 1,299 and a
# fraction. Never more than a twentieth of a share is made up for, so that a large holding gains nothing to speak of.
_WHOLE_TOLERANCE = Fraction(1, 1_000_000)
_WHOLE_TOLERANCE_SHARES = Fraction(1, 20)


def exactly(value: float) -> Fraction:
    """The decimal number that a float prints as: .1 is one tenth."""
    return Fraction(repr(float(value)))


def half_up(count: int, rate: Fraction) -> int:
    """count · rate, at least 0, rounded to a whole number, halves up."""
    return (2 * count * rate.numerator + rate.denominator) // (2 * rate.denominator)


def whole(count: Fraction) -> int:
    """A number of shares, at least 0, rounded down: ⌊count + min(count · 10⁻⁶, .05)⌋.

    What a factor's last digits have put just below a whole number is that number.
    """
    return floor(count + min(count * _WHOLE_TOLERANCE, _WHOLE_TOLERANCE_SHARES))


class FenPrices:
    """What a share trades at and is worth, in fen, in the raw terms of a day; day t sees day t and those before it.

    Opens and closes are whole fen. An average price is the decimal number that it prints as. A stock without a trade
    stands at its last close, restated where its cumulative factor f has changed since: close · f_close / f_day.
    """

    def __init__(self, quotes: Quotes, fill: Fill) -> None:
        self._fill: Array = getattr(quotes, fill.price)
        self._average = fill.price == "vwap"
        self._close = carried(quotes.close)
        self._close_factor = carried(np.where(quotes.traded, quotes.factor, np.nan))
        self._factor = quotes.factor

    def at_fill(self, day: int, column: int) -> Fraction:
        """The fill price of a stock that has one on `day`."""
        price = self._fill[day, column]
        return exactly(price) * 100 if self._average else Fraction(round(price * 100))

    def at_close(self, day: int, column: int) -> Fraction | None:
        """What a share is worth at the close of `day`; None before its first close."""
        return self._standing(day, day, column)

    def reference(self, day: int, column: int) -> Fraction | None:
        """The ex reference price (除权除息参考价), not rounded: the last close before `day` in the terms of `day`."""
        return self._standing(day - 1, day, column)

    def ratio(self, before: int, day: int, column: int) -> Fraction:
        """Shares on `day` for one of the day `before`, f_day / f_before."""
        new, old = self._factor[day, column], self._factor[before, column]
        return Fraction(1) if new == old else exactly(new) / exactly(old)

    def moved(self, day: int, columns: Array) -> Array:
        """Those of `columns` whose factor differs from that of the day before."""
        changed: Array = self._factor[day, columns] != self._factor[day - 1, columns]
        return columns[changed]

    def amounts(self, day: int, shares: Array) -> Array:
        """Worth of `shares` [symbols] at the close of `day`, fen, each stock's rounded half up; int64 [symbols]."""
        amounts = np.zeros(len(shares), dtype=np.int64)
        held = np.flatnonzero(shares)
        amounts[held] = shares[held] * np.rint(self._close[day, held] * 100).astype(np.int64)
        for column in held[self._factor[day, held] != self._close_factor[day, held]]:
            price = self.at_close(day, column)
            assert price is not None
            amounts[column] = half_up(int(shares[column]), price)
        return amounts

    def _standing(self, closed: int, day: int, column: int) -> Fraction | None:
        close, factor = self._close[closed, column], self._close_factor[closed, column]
        if np.isnan(close):
            return None
        price = Fraction(round(close * 100))
        now = self._factor[day, column]
        return price if now == factor else price * exactly(factor) / exactly(now)
