"""Files that the processes of the evaluate stage share, mapped into memory and never copied.

They lie in a folder of the run while the stage lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from polygrain.evaluation.ranking import Order, Ranking
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market
from polygrain.store.panel import Array, Axes

_SHARED, _BY_FILL = ("valuation", "last_day", "per_amount"), ("price", "ends", "mark", "buyable", "sellable")


@dataclass(frozen=True)
class EvaluationFiles:
    """Markets, universes, rankings and NAVs in `folder`; universes and rankings are known by their numbers."""

    folder: Path

    def save_axes(self, axes: Axes) -> None:
        """Write what rows and columns stand for."""
        self._save("days", np.array(axes.days, dtype="datetime64[D]"))
        self._save("symbols", np.array(axes.symbols))

    def axes(self) -> Axes:
        """Of markets, members and rankings."""
        return Axes(tuple(self._load("days").tolist()), tuple(self._load("symbols").tolist()))

    def save_market(self, fill: str, market: Market) -> None:
        """Write the market of a fill; what all fills share is written once."""
        for name in _SHARED:
            if not self._path(name).exists():
                self._save(name, getattr(market, name))
        for name in _BY_FILL:
            self._save(f"{name}-{fill}", getattr(market, name))

    def market(self, fill: str) -> Market:
        """The market of a fill."""
        shared = {name: self._load(name) for name in _SHARED}
        return Market(lag=FILLS[fill].lag, **shared, **{name: self._load(f"{name}-{fill}") for name in _BY_FILL})

    def save_members(self, universe: int, members: Array) -> None:
        """Write a universe, bool [days, symbols]."""
        self._save(f"members-{universe}", members)

    def members(self, universe: int) -> Array:
        """The universe of that number."""
        return self._load(f"members-{universe}")

    def save_scored(self, days: Array) -> None:
        """Write the numbers of the days that have scores."""
        self._save("scored", days)

    def scored(self) -> list[int]:
        """The numbers of the days that have scores."""
        return list(self._load("scored").tolist())

    def save_ranking(self, universe: int, number: int, ranking: Ranking) -> None:
        """Write a ranking of the members of a universe on the days 0, 1, 2, ..."""
        orders = list(ranking.values())
        tied = [day for day, order in enumerate(orders) if order.ties is not None]
        name = f"{universe}-{number}"
        self._save(f"columns-{name}", np.concatenate([order.columns for order in orders]))
        self._save(f"edges-{name}", np.cumsum([0, *map(len, orders)]))
        self._save(f"tied-{name}", np.array(tied, dtype=int))
        none = np.zeros(0, orders[0].columns.dtype)
        self._save(f"ties-{name}", np.concatenate([none, *(orders[day].ties for day in tied)]))

    def ranking(self, universe: int, number: int) -> Ranking:
        """The ranking of that number in a universe, of every day."""
        name = f"{universe}-{number}"
        columns, edges = self._load(f"columns-{name}"), self._load(f"edges-{name}").tolist()
        ties, tied, used = self._load(f"ties-{name}"), set(self._load(f"tied-{name}").tolist()), 0
        found = {}
        for day, (start, stop) in enumerate(pairwise(edges)):
            count = stop - start if day in tied else 0
            found[day] = Order(columns[start:stop], ties[used : used + count] if count else None)
            used += count
        return found

    def save_scores(self, number: int, scores: Array) -> None:
        """Write some dates' scores [dates, symbols]."""
        self._save(f"scores-{number}", scores)

    def scores(self, number: int) -> Array:
        """The scores that were written of the ranking of that number."""
        return self._load(f"scores-{number}")

    def save_navs(self, case: str, navs: Mapping[str, Array]) -> None:
        """Write panels of NAVs by name."""
        for name, panel in navs.items():
            self._save(f"{name}-{case}", panel)

    def take_navs(self, case: str, names: Sequence[str]) -> dict[str, Array]:
        """The panels of these names, whose files are gone when nobody holds them any more."""
        found = {name: self._load(f"{name}-{case}") for name in names}
        for name in names:
            self._path(f"{name}-{case}").unlink()
        return found

    def _save(self, name: str, values: Array) -> None:
        np.save(self._path(name), values, allow_pickle=False)

    def _load(self, name: str) -> Array:
        # As a plain array: every look at a row of a memmap would make a memmap.
        return np.asarray(np.load(self._path(name), mmap_mode="r", allow_pickle=False))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"
