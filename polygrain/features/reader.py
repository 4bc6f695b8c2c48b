"""MonthReader: a store's months of bars, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from polygrain.features.carried import Carried
from polygrain.features.rows import VALUES, BarRows, locate
from polygrain.store.store import Store


class MonthReader:
    """A store's months in order; what a month shares with those that it looks back to is read, and added up, once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.carried = Carried(len(store.symbols))
        self._known: dict[str, BarRows] = {}

    def bars(self, months: Sequence[str]) -> list[BarRows] | None:
        """The base bars of `months`, None where the base bar is the day; those of other months are forgotten."""
        if self._store.facts.base_bar == "day":
            return None
        known, store = self._known, self._store
        self._known = {}
        for month in months:
            if month in known:
                self._known[month] = known[month]
            elif month in store.bar_months:
                # Of months that are only looked back to few columns are asked for.
                names = VALUES if month == months[-1] else ()
                self._known[month] = locate(partial(store.bar_columns, month), store.symbols, names)
        return list(self._known.values())
