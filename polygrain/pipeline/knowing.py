"""Knowing: what the enhance stage's plans may know of a market: an index, and the stocks that it is held in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from polygrain.execution.ledger import Market as Trading
from polygrain.exposures.industries import industries
from polygrain.pipeline.market import Market
from polygrain.portfolio.benchmark import Benchmark, benchmark
from polygrain.portfolio.known import Known, known
from polygrain.store.panel import Array, Axes


def index_of(market: Market, lists: pl.DataFrame) -> Benchmark:
    """The index that the rows (date, symbol, weight) publish, over every stored day; DataError as `benchmark`."""
    quotes, groups = market.quotes, market.exposures.industries
    strangers = sorted(set(lists["symbol"].unique()) - set(quotes.axes.symbols))
    others = industries(
        market.store.table("industries"),
        Axes(quotes.axes.days, tuple(strangers)),
        np.ones((len(quotes.axes.days), len(strangers)), bool),
        market.experiment.exposures.industry_groups,
    )
    absent = {symbol: others.codes[:, column] for column, symbol in enumerate(strangers)}
    return benchmark(lists, quotes, groups.codes.astype(np.intp), len(groups.names), absent)


def known_of(
    market: Market, index: Benchmark, score: Array, days: Sequence[int], ahead: Trading | None = None
) -> Known:
    """What is known at the closes of the day numbers `days`, with `score` [decisions, symbols]; `ahead` as `known`."""
    return known(score, market.quotes, market.members, index, market.exposures, days, ahead)
