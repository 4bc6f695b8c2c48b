"""Rankings: the orders in which a score puts the stocks of each date, made once for all that asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Order:
    """Columns of stocks in order of a value; `ties` has a number per place, the same for equal values, None where no
    two are equal."""

    columns: Array
    ties: Array | None = None

    def __len__(self) -> int:
        return len(self.columns)

    def among(self, mask: Array) -> Order:
        """The same of the stocks in `mask`, bool [symbols], alone."""
        inside = mask.take(self.columns)
        if inside.all():
            return self
        return Order(self.columns[inside], None if self.ties is None else self.ties[inside])

    def mask(self, symbols: int) -> Array:
        """Whom it holds, bool [symbols]."""
        held = np.zeros(symbols, bool)
        held[self.columns] = True
        return held

    def centred(self) -> Array:
        """2 · average rank − (n + 1) by place: whole numbers, so that no sum of their products is rounded."""
        ranks = _untied(len(self))
        if self.ties is None:
            return ranks
        # Few are equal to the next one: only they are looked at again.
        repeated = np.flatnonzero(self.ties[1:] == self.ties[:-1])
        if not len(repeated):
            return ranks
        apart = np.diff(repeated) > 1
        first, last = repeated[np.append(True, apart)], repeated[np.append(apart, True)] + 1
        sizes = last - first + 1
        equal = np.arange(sizes.sum()) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)
        ranks = ranks.copy()
        ranks[equal] = np.repeat((ranks[first] + ranks[last]) / 2, sizes)
        return ranks

    def ranks(self, symbols: int) -> Array:
        """The same by column [symbols], 0 of those it does not hold."""
        ranks = np.zeros(symbols)
        ranks[self.columns] = self.centred()
        return ranks


@lru_cache(maxsize=64)
def _untied(count: int) -> Array:
    ranks = np.arange(1.0 - count, count, 2.0)
    ranks.flags.writeable = False
    return ranks


Ranking = Mapping[int, Order]
"""By day number the order of the stocks that have a score, the best first, equal ones by column."""


def ranking(scores: Array, days: Sequence[int]) -> Ranking:
    """The ranking by `scores` [days, symbols], NaN where a stock has none, on each of `days`; a day's sees that day.

    Two bytes a score.
    """
    small = np.int16 if scores.shape[1] <= np.iinfo(np.int16).max else np.int32
    orders = {day: ordered(-scores[day]) for day in days}
    return {
        day: Order(order.columns.astype(small), None if order.ties is None else order.ties.astype(small))
        for day, order in orders.items()
    }


def within(each: Ranking, members: Array) -> Ranking:
    """The ranking of the members alone, bool [days, symbols]."""
    return {day: order.among(members[day]) for day, order in each.items()}


def ordered(values: Array) -> Order:
    """The order of the finite `values` [symbols], the least first, equal ones by column."""
    there = np.flatnonzero(np.isfinite(values))
    order = np.argsort(values[there])
    differs = np.diff(values[there[order]]) > 0
    if differs.all():
        return Order(there[order])
    # A stable sort takes several times as long as mending the places of equal values.
    level = np.append(0, np.cumsum(differs))
    equal = np.flatnonzero(np.append(False, ~differs) | np.append(~differs, False))
    order[equal] = order[equal][np.lexsort((order[equal], level[equal]))]
    return Order(there[order], level)
