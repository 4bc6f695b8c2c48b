"""Plan: what is to be computed at one granularity of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polygrain.features.granularity import Granularity
from polygrain.features.library import FEATURES, chosen
from polygrain.market.session import DAYS_A_WEEK, Session
from polygrain.store.commit import JSON
from polygrain.store.store import Store


@dataclass(frozen=True)
class Plan:
    """One granularity of a run: `minutes` of session time in a bar, None for the week, and its features."""

    name: str
    minutes: int | None
    bars_a_day: int
    features: tuple[str, ...]

    @property
    def described(self) -> list[JSON]:
        """What of it its values depend on."""
        return [self.minutes, self.bars_a_day, list(self.features), FEATURES.hashes(self.features)]

    @property
    def lead(self) -> int:
        """Days before a row that its own bar reaches back to."""
        return 0 if self.minutes is not None else DAYS_A_WEEK - 1

    def reach(self, feature: str) -> int:
        """Days before a row that a feature's value may see."""
        return self.lead + FEATURES[feature].history

    @property
    def history(self) -> int:
        """Days before a row that any of its features may see."""
        return max(self.reach(name) for name in self.features)


def available(store: Store) -> frozenset[str]:
    """Which of the columns that features may need the store has: "amount", "float_shares"."""
    newest = store.daily(store.months[-1:])
    has_amount = store.facts.base_bar != "day" or store.facts.amount != "none"
    has_shares = "float_shares" in newest.columns and newest["float_shares"].count() > 0
    return frozenset([*(["amount"] if has_amount else []), *(["float_shares"] if has_shares else [])])


def plans(store: Store, granularities: Sequence[Granularity]) -> tuple[Plan, ...]:
    """A plan a granularity; ConfigError for a granularity or a feature that the store cannot give."""
    session, base = Session(segments=store.facts.segments), store.facts.base_bar
    features = chosen(granularities, session, base, available(store))
    return tuple(
        Plan(g.name, None if g.bar == "week" else session.minutes_of(g.bar), g.bars_a_day(session), features[g.name])
        for g in granularities
    )
