"""Known, 已知信息: what portfolios of an index may know at the closes on which they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from polygrain.execution.ledger import Market
from polygrain.execution.quotes import Quotes
from polygrain.exposures.build import ExposurePanels
from polygrain.portfolio.benchmark import Benchmark
from polygrain.portfolio.context import DateContext
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Known:
    """What portfolios of one index may know on the day numbers `days` of their decisions, row by row.

    Panels [decisions, symbols]: `score`, NaN where there is none; `benchmark`, weights that sum to 1; `industry`, a
    place in `industries` or −1; `buyable`, `sellable`, `frozen`, `eligible` as in DateContext. `exposures` are
    [decisions, symbols, styles]. `covered` [decisions] is the share of the index with data.
    """

    days: tuple[int, ...]
    dates: tuple[date, ...]
    symbols: tuple[str, ...]
    score: Array
    benchmark: Array
    covered: Array
    styles: tuple[str, ...]
    exposures: Array
    industries: tuple[str, ...]
    industry: Array
    buyable: Array
    sellable: Array
    frozen: Array
    eligible: Array

    @cached_property
    def _named(self) -> Array:
        return np.array(self.symbols, object)

    def context(self, row: int, weights: Array, cash: float, *, first: bool) -> tuple[DateContext, Array]:
        """The context of a decision, and the columns of its symbols: those of the index, those held at these
        `weights` [symbols] and those that may be bought."""
        columns = np.flatnonzero((self.benchmark[row] > 0) | (weights > 0) | self.eligible[row])
        benchmark = self.benchmark[row, columns]
        here = DateContext(
            day=self.dates[row],
            symbols=tuple(self._named[columns].tolist()),
            score=self.score[row, columns].astype(float),
            benchmark=benchmark,
            member=benchmark > 0,
            previous=None if first else weights[columns],
            cash=cash,
            styles=self.styles,
            exposures=self.exposures[row, columns].T.astype(float),
            industries=self.industries,
            industry=self.industry[row, columns],
            buyable=self.buyable[row, columns],
            sellable=self.sellable[row, columns],
            frozen=self.frozen[row, columns],
            eligible=self.eligible[row, columns],
        )
        return here, columns


def known(
    score: Array,
    quotes: Quotes,
    members: Array,
    index: Benchmark,
    panels: ExposurePanels,
    days: Sequence[int],
    ahead: Market | None = None,
) -> Known:
    """What is known at the closes of the day numbers `days`, with `score` [decisions, symbols] of these days.

    Who was suspended on t is frozen, who is of U_t, `members` [days, symbols], is eligible, and every other may be
    bought and sold. With `ahead` these are the states at the fill in its place, as broker reports assume: row t then
    sees t + lag.
    """
    days = list(days)
    yes = np.ones((len(days), len(quotes.axes.symbols)), bool)
    fills = [] if ahead is None else [day + ahead.lag for day in days]
    return Known(
        days=tuple(days),
        dates=tuple(quotes.axes.days[day] for day in days),
        symbols=quotes.axes.symbols,
        score=score,
        benchmark=index.after[days],
        covered=index.covered[days],
        styles=panels.names,
        exposures=panels.styles.values[days],
        industries=panels.industries.names[1:],
        industry=panels.industries.codes[days] - 1,
        buyable=yes if ahead is None else ahead.buyable[fills],
        sellable=yes if ahead is None else ahead.sellable[fills],
        frozen=(quotes.age[days] > 0) & ~quotes.traded[days] if ahead is None else ~yes,
        eligible=members[days],
    )
