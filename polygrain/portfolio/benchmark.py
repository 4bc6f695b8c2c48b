"""Benchmark, 基准指数: an index as its published weights and the adjusted prices of its members make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from polygrain.errors import DataError
from polygrain.execution.ledger import total
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Benchmark:
    """An index, day by day. A list of weights is of the close of its date, and in use from the next trading day on.

    `before` [days, symbols] are the weights at the close before each day: the newest list dated before it, drifted with
    adjusted prices. `after` are the same at the day's own close: what a decision at that close may know. Both sum to 1.
    `returns` [days] are Σ before · (V_t / V_{t−1} − 1), V adjusted closes, dividends included; on day 0, which has no
    close before it, nothing is drifted and the return is 0. `lists` [days] is the date of the list in use; None before
    the first one, where everything else is 0.

    What members without data weigh goes to the rest of their industry in proportion, or to all where nobody of it is
    left; so does what a member weighs that leaves the market. `covered` [days] is the share of the list in use, by its
    own weights, that had data when it came into use. Row t sees t's close and what is before it.
    """

    before: Array
    after: Array
    returns: Array
    covered: Array
    lists: tuple[date | None, ...]

    @property
    def first(self) -> int:
        """The number of the first day with a list, the number of days where there is none."""
        return next((day for day, published in enumerate(self.lists) if published is not None), len(self.lists))


@dataclass(frozen=True, eq=False)
class _List:
    """One published list: its weights of the symbols in the quotes [symbols], those of the `others` and who these are;
    `row` is the number of the last day up to its date, 0 where it is older than all."""

    day: date
    row: int
    weights: Array
    others: Array
    names: tuple[str, ...]


def benchmark(lists: pl.DataFrame, quotes: Quotes, codes: Array, groups: int, absent: Mapping[str, Array]) -> Benchmark:
    """The index that the rows (date, symbol, weight) publish.

    `codes` [days, symbols] number the industries, 0 for none, of `groups` numbers; `absent` gives those [days] of the
    symbols that are not in the quotes. DataError where no member of a list has data.
    """
    days, worth = quotes.axes.days, quotes.valuation
    published = _published(lists, quotes)
    shape = len(days), len(quotes.axes.symbols)
    before, after, returns, covered = np.zeros(shape), np.zeros(shape), np.zeros(len(days)), np.zeros(len(days))
    used: list[date | None] = [None] * len(days)
    newest, weights = -1, np.zeros(shape[1])
    for day, today in enumerate(days):
        close = max(day - 1, 0)
        there = (quotes.age[day] > 0) & np.isfinite(worth[close])
        lost: Array = np.zeros(groups)
        known = newest + sum(one.day < today for one in published[newest + 1 :])
        if known > newest:
            newest, new = known, published[known]
            others = [absent[name][close] for name in new.names]
            lost = np.bincount(np.array(others, np.intp), new.others, groups)
            with np.errstate(invalid="ignore"):
                drift = worth[close] / worth[new.row]
            weights = new.weights * np.where(np.isfinite(drift), drift, 1.0)
            covered[day] = total(new.weights[there]) / (total(new.weights) + total(new.others))
            if covered[day] == 0:
                raise DataError(f"index_weights: {new.day}", "no member has data; check the symbols or leave it out")
        elif newest >= 0:
            covered[day] = covered[day - 1]
        else:
            continue
        lost = lost + np.bincount(codes[close][~there], weights[~there], groups)
        before[day] = weights = _spread(np.where(there, weights, 0.0), lost, codes[close])
        grown = np.where(weights > 0, weights * (worth[day] / worth[close]), 0.0)
        worth_now = total(grown)
        returns[day] = worth_now - 1.0
        after[day] = weights = grown / worth_now
        used[day] = published[newest].day
    return Benchmark(before, after, returns, covered, tuple(used))


def _published(lists: pl.DataFrame, quotes: Quotes) -> list[_List]:
    """The lists in order of their dates."""
    number, found = quotes.axes.symbol_number, []
    for (day,), rows in lists.sort("date", "symbol").group_by("date", maintain_order=True):
        assert isinstance(day, date)
        weights, others = np.zeros(len(number)), dict[str, float]()
        for symbol, weight in rows.select("symbol", "weight").iter_rows():
            if symbol in number:
                weights[number[symbol]] = weight
            elif weight > 0:
                others[symbol] = weight
        row = max(int(np.searchsorted(quotes.axes.dates, np.datetime64(day), side="right")) - 1, 0)
        found.append(_List(day, row, weights, np.array(list(others.values()), float), tuple(others)))
    return found


def _spread(weights: Array, lost: Array, codes: Array) -> Array:
    """Weights [symbols] that sum to 1: what each group has lost [groups] goes to the rest of it, else to all."""
    held = np.bincount(codes, weights, len(lost))
    # Group 0 is those without an industry, who have nothing in common.
    some = held > 0
    some[0] = False
    scale = 1.0 + np.divide(lost, held, out=np.zeros(len(lost)), where=some)
    spread = weights * scale[codes]
    filled: Array = spread / total(spread)
    return filled
