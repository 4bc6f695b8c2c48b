"""Trading days: always those of the data, never a table of holidays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from polygrain.errors import DataError


def month_of(day: date) -> str:
    """The month of a day, such as 2025-01."""
    return f"{day.year:04d}-{day.month:02d}"


def months_between(first: date, last: date) -> tuple[str, ...]:
    """The months from `first`'s to `last`'s, both included; empty where `last` lies before `first`'s month."""
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    return tuple(f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(start, end + 1))


def trading_days(*frames: pl.DataFrame) -> tuple[date, ...]:
    """The distinct days of the frames' `date` columns, in order."""
    days: set[date] = set()
    for frame in frames:
        days.update(frame["date"].unique())
    return tuple(sorted(days))


@dataclass(frozen=True)
class Calendar:
    """Trading days in order, and counting along them; DataError where they are not in order."""

    days: tuple[date, ...]

    def __post_init__(self) -> None:
        for before, day in zip(self.days, self.days[1:]):
            if day <= before:
                raise DataError(
                    "calendar", f"{day} does not come after {before}; trading days must be sorted, once each"
                )

    @cached_property
    def _numbers(self) -> dict[date, int]:
        return {day: number for number, day in enumerate(self.days)}

    @cached_property
    def _months(self) -> dict[str, int]:
        firsts: dict[str, int] = {}
        for number, day in enumerate(self.days):
            firsts.setdefault(month_of(day), number)
        return firsts

    def number(self, day: date) -> int:
        """The place of a trading day, from 0; DataError where it is none."""
        if day not in self._numbers:
            raise DataError("calendar", f"{day} is not a trading day of the data")
        return self._numbers[day]

    def shift(self, day: date, count: int) -> date:
        """The trading day `count` after `day` (before, where negative); DataError past either end."""
        number = self.number(day) + count
        if not 0 <= number < len(self.days):
            raise DataError(
                "calendar", f"{count:+d} trading days from {day} lies outside {self.days[0]}..{self.days[-1]}"
            )
        return self.days[number]

    def days_before(self, month: str, count: int) -> Sequence[date]:
        """The last `count` trading days before the month's first, fewer at the data's start.

        DataError for a month without trading days.
        """
        if month not in self._months:
            raise DataError("calendar", f"{month} has no trading day in the data")
        first = self._months[month]
        return self.days[max(0, first - count) : first]
