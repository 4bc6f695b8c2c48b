"""Tracks: staggered top portfolios of a score, and the equal-weighted benchmark beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from polygrain.errors import ConfigError, DataError
from polygrain.execution.fills import fill_named
from polygrain.execution.ledger import Ledger, Market, market, total
from polygrain.execution.quotes import Quotes
from polygrain.spec import Spec
from polygrain.store.panel import Array, Panel

_DUST = 1e-12


class Selection(Spec):
    """How many of the best names a portfolio holds: a share of the universe, or a count."""

    name: str
    share: float | None = Field(default=None, gt=0, le=1)
    count: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> Selection:
        if (self.share is None) == (self.count is None):
            raise ValueError("give either share or count")
        return self

    def number(self, members: int) -> int:
        """n = round-half-up(share · members), or the count."""
        if self.count is not None:
            return self.count
        # One part in 10⁹ keeps halves such as .1 · 1245 from falling to a rounding of the product.
        return math.floor((self.share or 0.0) * members * (1 + 1e-9) + 0.5)


SELECTIONS = (Selection(name="top10pct", share=0.1), Selection(name="top100", count=100))


@dataclass(frozen=True)
class Tracks:
    """NAV at closes of R tracks [R, days]: 1 at the close before a track's first fill, NaN earlier and after `last`.

    `gross` is before costs, `net` after, `benchmark` all members in equal weights without costs. `turnover` [R, days]
    is Σ|Δw| of purchases and sales on fill days, NaN elsewhere. `first_fill` is a day number by track. On the common
    span, day numbers `base`..`last`, every track has a NAV; returns are counted from the close of `base`.
    """

    gross: Array
    net: Array
    benchmark: Array
    turnover: Array
    first_fill: tuple[int, ...]
    base: int
    last: int


def tracks(
    scores: Panel,
    members: Array,
    quotes: Quotes,
    rule: Selection,
    *,
    rebalance: int,
    fill: str,
    cost: float,
    days: Sequence[int],
    benchmark: Array | None = None,
) -> Tracks:
    """R = `rebalance` portfolios of the best names, rebalanced every R days, started a day apart, each from cash.

    `members` is bool [days, symbols], U_t or a part of it; `benchmark` the NAV that `benchmark_nav` gives for it, or
    for another pool (default: computed from `members`). `days` are the numbers of the days with scores in order; a
    decision at t sees t, trades at the fill, and pays cost/2 · Σ|Δw|. NAV ends on the last of `days`. ConfigError
    where there are too few days for every track to start.
    """
    if (scores.axes.days, scores.axes.symbols) != (quotes.axes.days, quotes.axes.symbols):
        raise DataError("scores", "their days or symbols are not those of the quotes; align them first")
    lag, trading = fill_named(fill).lag, market(quotes, fill_named(fill))
    schedules = _schedules(days, rebalance, lag)

    def best(day: int) -> tuple[Array, int]:
        ranked = np.flatnonzero(members[day] & np.isfinite(scores.values[day]))
        order = np.argsort(-scores.values[day, ranked], kind="stable")
        return ranked[order], rule.number(int(members[day].sum()))

    gross, net, turnover = (np.full((rebalance, len(quotes.axes.days)), np.nan) for _ in range(3))
    for k, schedule in enumerate(schedules):
        gross[k], net[k], turnover[k] = _run(trading, schedule, lag, days[-1], best, cost / 2)
    if benchmark is None:
        benchmark = benchmark_nav(members, quotes, rebalance=rebalance, fill=fill, days=days)
    first = tuple(schedule[0] + lag for schedule in schedules)
    return Tracks(gross, net, benchmark, turnover, first, base=max(first) - 1, last=days[-1])


def benchmark_nav(pool: Array, quotes: Quotes, *, rebalance: int, fill: str, days: Sequence[int]) -> Array:
    """NAV [R, days] of all names of `pool` (bool [days, symbols]) in equal weights, without costs.

    Dates, fills, drift and freezing are those of the portfolios that `tracks` sets beside it.
    """
    lag, trading = fill_named(fill).lag, market(quotes, fill_named(fill))

    def everyone(day: int) -> tuple[Array, int]:
        ranked = np.flatnonzero(pool[day])
        return ranked, len(ranked)

    schedules = _schedules(days, rebalance, lag)
    return np.stack([_run(trading, schedule, lag, days[-1], everyone, 0.0)[0] for schedule in schedules])


def _schedules(days: Sequence[int], rebalance: int, lag: int) -> list[list[int]]:
    """Decision days by track: those k days after the first, modulo R, whose fill is not past the last day."""
    decisions = [day for day in days if day + lag <= days[-1]]
    schedules = [[day for day in decisions if (day - days[0]) % rebalance == k] for k in range(rebalance)]
    if not all(schedules):
        raise ConfigError(
            "evaluation.rebalance", f"{len(days)} days with scores start fewer than {rebalance} tracks; score more days"
        )
    if days[0] + lag < 1:
        raise ConfigError("evaluation.fills", "a fill on the first day of the data has no close before it")
    return schedules


def _run(
    trading: Market,
    schedule: Sequence[int],
    lag: int,
    last: int,
    choose: Callable[[int], tuple[Array, int]],
    cost_per_side: float,
) -> tuple[Array, Array, Array]:
    """Gross NAV, net NAV and Σ|Δw| by day of one track."""
    ledger = Ledger(trading, cost_per_side=cost_per_side)
    gross, net, turnover = (np.full(trading.valuation.shape[0], np.nan) for _ in range(3))
    gross[schedule[0] + lag - 1] = net[schedule[0] + lag - 1] = 1.0
    for i, decision in enumerate(schedule):
        day = decision + lag
        stop = schedule[i + 1] + lag if i + 1 < len(schedule) else last + 1
        ranked, number = choose(decision)
        before = ledger.drifted(day)
        after = rebalanced(
            before, ledger.cash, trading.buyable[day], trading.sellable[day], ranked=ranked, number=number
        )
        turnover[day] = ledger.trade(day, before, after)
        gross[day:stop] = ledger.closes(day, stop)
        net[day:stop] = gross[day:stop] * ledger.net
    return gross, net, turnover


def rebalanced(before: Array, cash: float, buyable: Array, sellable: Array, *, ranked: Array, number: int) -> Array:
    """Values [symbols] after a rebalance at one fill from the drifted values `before` [symbols] and `cash`.

    Down the members `ranked` (column numbers, best first) names are taken that are buyable or held, until `number` are
    taken. A held name that can be neither bought nor sold keeps its value; another held name that was not taken is sold
    if sellable, else kept. The rest is split equally over the taken names, except that one that cannot be bought keeps
    at most its drifted value, and one that cannot be sold at least that. What no name can take stays cash.
    """
    held = before > 0
    taken = ranked[(buyable | held)[ranked]][:number]
    after = np.where(held & ~sellable, before, 0.0)
    frozen = ~(buyable | sellable)
    taken = taken[~frozen[taken]]
    after[taken] = 0.0
    worth = cash + total(before)
    left = worth - total(after)
    can_buy, can_sell = buyable[taken], sellable[taken]
    capped, floored = taken[~can_buy], taken[~can_sell & held[taken]]
    equal = _level(left, len(taken), before[capped], before[floored])
    after[taken] = equal
    after[capped] = np.minimum(before[capped], equal)
    after[floored] = np.maximum(before[floored], equal)
    # What rounding leaves over must not count as a holding: held names rank where others are passed over.
    after[after < _DUST * worth] = 0.0
    return after


def _level(left: float, names: int, caps: Array, floors: Array) -> float:
    """x with (names − caps − floors) · x + Σ min(cap, x) + Σ max(floor, x) = left; infinite where caps alone remain."""
    free = names - len(caps) - len(floors)
    x, spent = 0.0, float(floors.sum())
    for bend in np.sort(np.concatenate([caps, floors])):
        at_bend = free * bend + float(np.minimum(caps, bend).sum()) + float(np.maximum(floors, bend).sum())
        if at_bend > left:
            break
        x, spent = float(bend), at_bend
    slope = free + int((caps > x).sum()) + int((floors <= x).sum())
    if slope == 0:
        return x if len(floors) else math.inf
    return x + max(0.0, left - spent) / slope
