"""Schedule: the months of a build, which months each of them reads, and what it finds when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from polygrain.features.grid import LastClose, last_close
from polygrain.market.calendar import month_of
from polygrain.store.panel import Array
from polygrain.store.store import Store


@dataclass(frozen=True)
class MonthTask:
    """A month of features: `days` are its history and then its own from number `start` on, in the months `reads`.

    `fresh` is the number of the first day that is to be computed, `before` what the days before `reads` leave behind,
    `members` bool [own days, symbols].
    """

    month: str
    reads: tuple[str, ...]
    days: tuple[date, ...]
    start: int
    fresh: int
    before: LastClose | None
    members: Array


class Schedule:
    """The months of a store's days with bars; `members` bool [bar days, symbols] are those that each day is normalised
    on."""

    def __init__(self, store: Store, members: Array) -> None:
        self._store = store
        self._members = members
        self._of_day = [month_of(day) for day in store.bar_days]
        self.months = sorted(set(self._of_day))

    @cached_property
    def before(self) -> dict[str, LastClose | None]:
        """What each month finds as last traded closes when it starts."""
        before: dict[str, LastClose | None] = {}
        last: LastClose | None = None
        for month in self._store.months:
            before[month] = last
            last = last_close(self._store.daily([month]), self._store.symbols, last)
        return before

    def own(self, month: str) -> list[int]:
        """Numbers of the month's days."""
        return [i for i, of in enumerate(self._of_day) if of == month]

    def reads(self, month: str, history: int) -> tuple[str, ...]:
        """The month and those before it that hold the `history` days before its first."""
        first = self._of_day[max(0, self.own(month)[0] - history)]
        return tuple(m for m in self._store.months if first <= m <= month)

    def task(self, month: str, history: int, kept: int = 0) -> MonthTask:
        """The month from its own day number `kept` on, with so many days of history."""
        own, reads = self.own(month), self.reads(month, history)
        start = max(0, own[0] - history)
        return MonthTask(
            month=month,
            reads=reads,
            days=self._store.bar_days[start : own[-1] + 1],
            start=own[0] - start,
            fresh=own[0] - start + kept,
            before=self.before[reads[0]],
            members=self._members[own],
        )
