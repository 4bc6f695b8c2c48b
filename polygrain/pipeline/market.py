"""Market: what every stage after ingest sees of the stored data, computed once per call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from polygrain.config import Experiment
from polygrain.errors import ConfigError
from polygrain.evaluation.naive import NaiveScores, naive_composite
from polygrain.execution.quotes import Quotes, quotes
from polygrain.exposures.build import ExposurePanels, exposures
from polygrain.market.rules import load_rules
from polygrain.market.session import Session
from polygrain.samples.labels import Label
from polygrain.store.panel import Array
from polygrain.store.store import Store
from polygrain.universe import Facts, known_before_open, members, membership


@dataclass(frozen=True)
class Market:
    """The quotes and universes of a store under an experiment's settings.

    Quotes and `members` (U_t) are over every stored day; `bar_rows` are the numbers of the `score_days`, over which
    features, samples and scores are numbered: the days that have bars, or all where `every_day` says that the scores
    are not made from bars.
    """

    experiment: Experiment
    store: Store
    every_day: bool = False

    @property
    def score_days(self) -> tuple[date, ...]:
        """The days that may have scores."""
        return self.store.days if self.every_day else self.store.bar_days

    @cached_property
    def quotes(self) -> Quotes:
        """Daily panels of prices, limits and states."""
        return quotes(self.store, load_rules() if self.store.facts.limits == "cn_a" else None)

    @cached_property
    def facts(self) -> Facts:
        """What universe expressions may ask about."""
        return Facts(self.quotes, membership(self.store.table("index_members"), self.quotes.axes))

    @cached_property
    def members(self) -> Array:
        """U_t, bool [days, symbols]; ConfigError where the base universe names an index that the data lacks."""
        found = members(self.experiment.universe, self.facts, self.experiment.protocol.lookback)
        unknown = sorted(self.facts.missing - {"st"})
        if unknown:
            known = ", ".join(sorted(self.facts.index_members)) or "none"
            raise ConfigError("universe.base", f"the data has no {', '.join(unknown)}; its indices: {known}")
        return found

    @cached_property
    def before_open(self) -> Array:
        """Bool [days with bars, symbols]: whom each day's normalisation is fitted on."""
        known = known_before_open(self.experiment.universe, self.facts, self.experiment.protocol.lookback)
        return np.asarray(known[self.bar_rows])

    @cached_property
    def naive(self) -> NaiveScores:
        """The naive composite over every stored day."""
        return naive_composite(self.quotes, self.members)

    @cached_property
    def exposures(self) -> ExposurePanels:
        """Styles and industries of every listed stock over every stored day."""
        return exposures(self.store, self.quotes, self.members, self.experiment.exposures)

    @cached_property
    def bar_rows(self) -> Array:
        """Numbers of the score days among all days."""
        number = self.quotes.axes.day_number
        return np.array([number[day] for day in self.score_days])

    def targets(self, label: Label, horizon: int) -> Array:
        """Targets float32 [days with bars, symbols]."""
        return np.asarray(label.targets(self.quotes, self.members, horizon)[self.bar_rows], dtype=np.float32)

    @property
    def session(self) -> Session:
        """The trading hours of the stored bars."""
        return Session(segments=self.store.facts.segments)
