"""What the enhance stage makes of a market: indices, what plans may know, and plans, by enhancement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from polygrain.errors import DataError
from polygrain.execution import ledger
from polygrain.execution.book import Book
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market as Trading
from polygrain.pipeline.knowing import index_of, known_of
from polygrain.pipeline.market import Market
from polygrain.portfolio.benchmark import Benchmark
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import StyleDeviation
from polygrain.portfolio.enhancement import Enhancement
from polygrain.portfolio.plan import most_score
from polygrain.portfolio.walk import Decision, walk
from polygrain.prove.cutoffs import CLOSE, DAY
from polygrain.prove.observed import Observed
from polygrain.store.panel import Array
from polygrain.store.tables import SCHEMAS

_NO_LISTS = pl.DataFrame(schema={name: column.dtype for name, column in SCHEMAS["index_weights"].columns.items()})


def enhanced(market: Market, planned: Sequence[int]) -> dict[str, Observed]:
    """By enhancement the index's weights, returns and covered share and what its plans know of every stock, at every
    close; and its plans at the closes of the day numbers `planned`, in order.

    A weight of 0 is NaN. Nothing of an enhancement whose index cannot be made.
    """
    table = market.store.table("index_weights")
    lists = _NO_LISTS if table is None else table
    every = market.experiment.enhancement
    indices = {
        name: index
        for name in sorted({settings.index for settings in every.values()})
        if (index := _index(market, lists.filter(pl.col("index") == name), planned)) is not None
    }
    tradings = {fill: ledger.market(market.quotes, FILLS[fill]) for fill in {one.fill for one in every.values()}}
    found: dict[str, Observed] = {}
    for name, index in indices.items():
        found |= _observed_index(f"benchmark.{name}", index)
    for name, settings in every.items():
        if settings.index in indices:
            index, trading = indices[settings.index], tradings[settings.fill]
            found |= _knowledge(f"known.{name}", settings, market, index, trading)
            found[f"plans.{name}"] = _plans(settings, market, index, trading, planned)
    return found


def _index(market: Market, lists: pl.DataFrame, planned: Sequence[int]) -> Benchmark | None:
    """The index; without the lists dated after the last plan where these make none, as in a future without its members;
    None where the others make none either."""
    known = lists.filter(pl.col("date") <= market.quotes.axes.days[planned[-1]]) if planned else lists
    for given in (lists, known):
        try:
            return index_of(market, given)
        except DataError:
            continue
    return None


def _observed_index(name: str, index: Benchmark) -> dict[str, Observed]:
    """The index; the weights that its day begins with are known before the open."""
    opens = np.arange(len(index.returns)) * DAY
    closes = opens + CLOSE
    return {
        f"{name}.before": Observed(_weighing(index.before), opens),
        f"{name}.after": Observed(_weighing(index.after), closes),
        f"{name}.returns": Observed(index.returns[:, None], closes, by_track=True),
        f"{name}.covered": Observed(index.covered[:, None], closes, by_track=True),
    }


def _weighing(weights: Array) -> Array:
    """Weights [rows, symbols], NaN for 0: what a market without the symbol shows of it."""
    return np.where(weights > 0, weights, np.nan)


def _knowledge(
    name: str, settings: Enhancement, market: Market, index: Benchmark, trading: Trading
) -> dict[str, Observed]:
    """What plans know; what can be traded at the fill, where they know that, is known there."""
    ahead, lag = _ahead(settings, trading)
    days = np.arange(len(market.quotes.axes.days) - lag)
    knows = known_of(market, index, np.zeros((0, 0)), days.tolist(), ahead)
    closes, fills = days * DAY + CLOSE, (days + lag) * DAY + CLOSE
    there = market.quotes.age[days] > 0
    return {
        f"{name}.benchmark": Observed(_weighing(knows.benchmark), closes),
        f"{name}.covered": Observed(knows.covered[:, None], closes, by_track=True),
        **{f"{name}.{style}": Observed(knows.exposures[..., i], closes) for i, style in enumerate(knows.styles)},
        # 0 for none, as in a market without the symbol.
        f"{name}.industry": Observed(knows.industry + 1, closes),
        f"{name}.frozen": Observed(knows.frozen, closes),
        f"{name}.eligible": Observed(knows.eligible, closes),
        f"{name}.buyable": Observed(knows.buyable & there, fills),
        f"{name}.sellable": Observed(knows.sellable & there, fills),
    }


def _ahead(settings: Enhancement, trading: Trading) -> tuple[Trading | None, int]:
    """The states that plans know ahead of their close, if they do, and by how many days."""
    return (trading, trading.lag) if settings.tradability == "fill" else (None, 0)


def _plans(
    settings: Enhancement, market: Market, index: Benchmark, trading: Trading, planned: Sequence[int]
) -> Observed:
    """Target weights at the closes `planned`, each the end of a walk of its own: cash, a plan, its fill, a plan.

    NaN where there is no plan: no scores, no list yet, no day to fill on, or nothing that the constraints allow.
    """
    quotes, first = market.quotes, planned[0] if planned else len(market.quotes.axes.days)
    weights = np.full((max(len(quotes.axes.days) - trading.lag - first, 0), len(quotes.axes.symbols)), np.nan)
    for day in planned:
        if day - first < len(weights):
            weights[day - first] = _plan(settings, market, index, trading, day)
    known = (first + np.arange(len(weights)) + _ahead(settings, trading)[1]) * DAY + CLOSE
    return Observed(_weighing(weights), known, first=first)


def _plan(settings: Enhancement, market: Market, index: Benchmark, trading: Trading, day: int) -> Array:
    """The weights [symbols] of the most score that the shown portfolio wants at a close, with the naive composite's
    scores; its `objective` and `ledger` are left aside."""
    scores = market.naive.values
    days = [one for one in (day - settings.rebalance, day) if one >= index.first and one + trading.lag > 0]
    days = [one for one in days if np.isfinite(scores[one]).any()]
    none: Array = np.full(scores.shape[1], np.nan)
    if day not in days:
        return none
    knows = known_of(market, index, scores[days], days, _ahead(settings, trading)[0])
    made: list[Decision] = []
    try:
        # Costs change no plan.
        account = Book(trading, cost_per_side=0.0)
        plan = most_score([_lenient(one) for one in settings.cells[0].constraints], settings.order)
        walk(knows, account, plan, lag=trading.lag, last=day + trading.lag, record=made.append)
    except DataError:
        return none
    solution, weights = made[-1].solution, np.zeros(scores.shape[1])
    weights[[knows.symbols.index(symbol) for symbol in solution.symbols]] = solution.weights
    return weights


def _lenient(constraint: Constraint) -> Constraint:
    """The constraint without the styles that a small sample lacks."""
    if isinstance(constraint, StyleDeviation):
        return constraint.model_copy(update={"optional": True})
    return constraint
