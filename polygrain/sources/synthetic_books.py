"""Book values of the simulated stocks: a figure a quarter, known only once it has been announced."""

from __future__ import annotations

from calendar import monthrange
from datetime import date

import numpy as np

from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.sources.synthetic_stocks import Stocks, generator
from polygrain.store.panel import Array

# Quarters that are over before the first day; the newest may not be announced yet.
_BEFORE = 4


def quarter_ends(first: date, last: date) -> list[date]:
    """The quarters' last days from `_BEFORE` quarters before `first` up to `last`."""
    month = first.year * 12 + (first.month - 1) // 3 * 3 - 3 * (_BEFORE - 1)
    ends: list[date] = []
    while True:
        year, of_year = divmod(month - 1, 12)
        end = date(year, of_year + 1, monthrange(year, of_year + 1)[1])
        if end > last:
            return ends
        ends.append(end)
        month += 3


def book_values(stocks: Stocks, days: tuple[date, ...], seed: int) -> Array:
    """A company's whole book value, yuan [days, stocks], as announced before each day.

    A new report counts from the first trading day after its announcement, which comes 10 to 110 calendar days after the
    quarter's end. Book over price is this over close · total shares.
    """
    p, rng = PARAMETERS, generator(seed, 5)
    ends = quarter_ends(days[0], days[-1])
    growth = p.book_growth + p.book_growth_spread * rng.standard_normal((len(ends), stocks.count))
    value = np.rint(stocks.book * stocks.price / 100 * stocks.shares * np.exp(np.cumsum(growth, axis=0)))
    number = np.array([day.toordinal() for day in days])[:, None]
    known: Array = np.broadcast_to(value[0], (len(days), stocks.count)).copy()
    for quarter, end in enumerate(ends):
        least, most = p.announced[end.month // 3 - 1]
        announced = end.toordinal() + rng.integers(least, most + 1, stocks.count)
        known = np.where(number > announced, value[quarter], known)
    return known
