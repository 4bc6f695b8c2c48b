"""Cutoffs: the moments at which the proof asks what is known, those that lie before an event first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, zip_longest

import numpy as np
import polars as pl

from polygrain.store.tables import INTERVALS

# Moments are whole numbers: day number × DAY + base bars that have closed; the close comes after all of them.
DAY = 10_000
CLOSE = DAY - 1


@dataclass(frozen=True)
class Cutoff:
    """What is known: all days before `day`, and of `day` the first `bars` base bars, or all of it when None.

    `bars = 0` is the moment before the open.
    """

    day: date
    bars: int | None = None

    def __str__(self) -> str:
        if self.bars is None:
            return f"{self.day} at the close"
        return f"{self.day} after {self.bars} base bars" if self.bars else f"{self.day} before the open"


def moment(cutoff: Cutoff, days: Sequence[date]) -> int:
    """The cutoff as a moment over `days`."""
    return days.index(cutoff.day) * DAY + (CLOSE if cutoff.bars is None else cutoff.bars)


def choose(
    tables: Mapping[str, pl.DataFrame], days: Sequence[date], bars: int, marks: frozenset[int], count: int
) -> list[Cutoff]:
    """`count` different cutoffs over `days`: days before an event first, and on each a close, then a moment within it.

    `bars` base bars a day, 0 for daily data; `marks` are the numbers of base bars after which a bar of some granularity
    closes, for what sees one base bar too many is seen at such a moment only. A day's moments are a mark, before the
    open, and any other number in turn. Fewer cutoffs where there are not so many.
    """
    order = list(dict.fromkeys([*_before_events(tables, days), *days]))
    rng = np.random.default_rng(0)
    within = [_within(bars, marks, rng, i) for i in range(len(order))]
    found: list[Cutoff] = []
    for turn in zip_longest(*within):
        for day, numbers in zip(order, turn):
            if numbers is not None:
                found += [Cutoff(day, number) for number in numbers]
    return found[:count]


def _within(bars: int, marks: frozenset[int], rng: np.random.Generator, turn: int) -> Iterator[tuple[int | None, ...]]:
    """The moments of one day, a few at a time."""
    inside = [int(n) for n in rng.permutation(np.arange(1, max(bars, 1)))]
    at_marks = [n for n in inside if n in marks]
    others = [n for n in inside if n not in marks]
    groups = [at_marks[:1], [0], others[:1]]
    first = groups[turn % 3 :] + groups[: turn % 3]
    rest = list(chain(*first, at_marks[1:], others[1:]))
    yield (None, *rest[:1])
    for number in rest[1:]:
        yield (number,)


def _before_events(tables: Mapping[str, pl.DataFrame], days: Sequence[date]) -> list[date]:
    """Those of `days` that precede an event, each kind of event in turn, so that the first of them cover all kinds."""
    every = tables["daily"]["date"].unique().sort()
    kinds = []
    for events in _events(tables).values():
        before = every.search_sorted(events.unique().sort(), "left").cast(pl.Int64) - 1
        kinds.append([day for day in every.gather(before.filter(before >= 0).unique().sort()) if day in set(days)])
    return [day for day in chain(*zip_longest(*kinds)) if day is not None]


def _events(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.Series]:
    """The days on which something happens to a stock of the sample, by kind."""
    found: dict[str, pl.Series] = {}
    for name, (start, end) in INTERVALS.items():
        if name in tables:
            found[f"{name} {start}"] = tables[name][start]
            if end in tables[name].columns:
                # What ends on a day is over on the next one.
                found[f"{name} {end}"] = tables[name][end].drop_nulls().dt.offset_by("1d")
    if "index_weights" in tables:
        found["index_weights"] = tables["index_weights"]["date"]
        # A list is in use from the day after its date on.
        found["index_weights in use"] = tables["index_weights"]["date"].dt.offset_by("1d")
    daily = tables["daily"].sort("symbol", "date")
    for column in ("factor", "suspended", "st", "total_shares", "book_value"):
        if column in daily.columns:
            changed = pl.col(column).ne_missing(pl.col(column).shift(1).over("symbol"))
            known = pl.col(column).shift(1).over("symbol").is_not_null()
            found[column] = daily.filter(changed & known)["date"]
    found["first row"] = daily.group_by("symbol").agg(pl.col("date").min())["date"]
    found["one price"] = daily.filter((pl.col("high") == pl.col("low")) & ~pl.col("suspended"))["date"]
    for limit in ("up_limit", "down_limit"):
        if limit in daily.columns:
            found[limit] = daily.filter((pl.col("close") - pl.col(limit)).abs() < 0.005)["date"]
    return found
