"""Every feature at every granularity that the base bars give, as raw values before they are normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polygrain.config import Experiment
from polygrain.features.bars import Bars, SlotBars
from polygrain.features.granularity import Granularity
from polygrain.features.grid import grid
from polygrain.features.library import FEATURES, chosen, compute
from polygrain.features.plan import available
from polygrain.features.totals import Totals
from polygrain.features.weeks import WeekBars
from polygrain.market.session import Session
from polygrain.store.panel import Array
from polygrain.store.store import Store

BARS = ("week", "day", "60min", "30min")


def granularities(experiment: Experiment, session: Session, base_bar: str) -> list[Granularity]:
    """The experiment's granularities, and those that make week, day, 60min, 30min and the base bar complete.

    A bar length that is no whole number of base bars, or does not divide the session, is left out.
    """
    found = list(experiment.granularity)
    for bar in dict.fromkeys((*BARS, base_bar)):
        if not _possible(bar, session, base_bar) or any(g.bar == bar and g.features == "all" for g in found):
            continue
        taken = {g.name for g in found}
        found.append(Granularity(name=bar if bar not in taken else f"all{bar}", bar=bar))
    return found


def _possible(bar: str, session: Session, base_bar: str) -> bool:
    minutes = session.minutes_of(bar)
    return minutes % session.minutes_of(base_bar) == 0 and (bar == "week" or session.minutes % minutes == 0)


def names(store: Store, wanted: Sequence[Granularity]) -> dict[str, tuple[str, ...]]:
    """The features of each granularity, by its name."""
    return chosen(wanted, Session(segments=store.facts.segments), store.facts.base_bar, available(store))


def impossible(store: Store, wanted: Sequence[Granularity]) -> dict[str, tuple[str, ...]]:
    """The features that a granularity cannot have, for want of base bars in its bar or of a column of the source."""
    return {g.name: tuple(f for f in FEATURES if f not in names(store, [g])[g.name]) for g in wanted}


def raw(store: Store, wanted: Sequence[Granularity]) -> dict[str, Array]:
    """The values that `build` normalises, float64 [days × bars, symbols, features] over the store's days with bars.

    Computed in one piece over the whole history, where `build` goes month by month. NaN where a value is null.
    """
    session, base = Session(segments=store.facts.segments), store.facts.base_bar
    bars = None if base == "day" else store.bars(store.bar_months)
    totals = Totals(grid(bars, store.daily(), store.bar_days, store.symbols, session, base))
    found = {}
    for name, features in names(store, wanted).items():
        bar = next(g.bar for g in wanted if g.name == name)
        seen: Bars = WeekBars(totals, 0) if bar == "week" else SlotBars(totals, session.minutes_of(bar), 0)
        found[name] = np.stack([compute(feature, seen) for feature in features], axis=-1)
    return found
