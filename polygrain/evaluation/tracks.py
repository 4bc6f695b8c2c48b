"""Tracks: staggered top portfolios of scores, and the equal-weighted benchmark beside them.

Shape suffixes: P portfolios, W wanted names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from polygrain.errors import ConfigError
from polygrain.evaluation.ranking import Ranking
from polygrain.evaluation.rebalance import Wanted, rebalanced
from polygrain.execution.ledger import Ledgers, Market
from polygrain.spec import Spec
from polygrain.store.panel import Array


class Selection(Spec):
    """Which names a portfolio holds: the best share of the universe, the best count, or a tenth, the first the best.

    Names that cannot be bought are passed over for the next ones, but not in a tenth: all ten make up the universe.
    """

    name: str
    share: float | None = Field(default=None, gt=0, le=1)
    count: int | None = Field(default=None, gt=0)
    tenth: int | None = Field(default=None, ge=1, le=10)

    @model_validator(mode="after")
    def _one_of_three(self) -> Selection:
        if sum(value is not None for value in (self.share, self.count, self.tenth)) != 1:
            raise ValueError("give either share, count or tenth")
        return self

    def wanted(self, ranked: int, members: int, blocked: int) -> tuple[int, int, int]:
        """Of so many `ranked` members those that may be taken, ranks first..stop−1, and how many are to be.

        n = round-half-up(share · members), the count, or all of a tenth, ranks round-half-up((tenth − 1) · ranked/10)
        on. No more than `blocked` names can be passed over.
        """
        if self.tenth is not None:
            first, stop = ((2 * tenth * ranked + 10) // 20 for tenth in (self.tenth - 1, self.tenth))
            return first, stop, stop - first
        number = self.number(members)
        return 0, min(number + blocked, ranked), number

    def number(self, members: int) -> int:
        """How many of the best: n."""
        if self.count is not None:
            return self.count
        # One part in 10⁹ keeps halves such as .1 · 1245 from falling to a rounding of the product.
        return math.floor((self.share or 0.0) * members * (1 + 1e-9) + 0.5)


TENTHS = tuple(Selection(name=f"decile{tenth}", tenth=tenth) for tenth in range(1, 11))
SELECTIONS = (Selection(name="top10pct", share=0.1), Selection(name="top100", count=100), *TENTHS)


@dataclass(frozen=True)
class Tracks:
    """NAV at closes of R tracks [R, days]: 1 at the close before a track's first fill, NaN earlier and after `last`.

    `gross` is before costs, `net` after, `benchmark` all members in equal weights without costs. `turnover` [R, days]
    is Σ|Δw| of purchases and sales on fill days, `participation` the share of the day's amount that a yuan traded takes
    (`Trades`), NaN elsewhere. `first_fill` is a day number by track. On the common
    span, day numbers `base`..`last`, every track has a NAV; returns are counted from the close of `base`.
    """

    gross: Array
    net: Array
    benchmark: Array
    turnover: Array
    participation: Array
    first_fill: tuple[int, ...]
    base: int
    last: int


def tracks(
    rankings: Sequence[Ranking],
    members: Array,
    market: Market,
    rules: Sequence[Selection],
    *,
    rebalance: int,
    cost: float,
    days: Sequence[int],
    pool: Array | None = None,
) -> list[list[Tracks]]:
    """By ranking and rule: R = `rebalance` portfolios of the best names, rebalanced every R days, started a day apart,
    each from cash.

    The rankings are of members alone, which are bool [days, symbols], U_t or a part of it; the benchmark is of `pool`
    (default: the members), at the same fills, without costs. `days` are the numbers of the days with scores in order; a
    decision at t sees t, trades at the fill, and pays cost/2 · Σ|Δw|. NAV ends on the last of `days`. ConfigError where
    there are too few days for every track to start. All portfolios of a track are traded at once; 8 bytes a portfolio
    and symbol.
    """
    lag = market.lag
    schedules = _schedules(days, rebalance, lag)
    equal = members if pool is None else pool

    def best(day: int) -> Wanted:
        count, blocked = int(members[day].sum()), int((~market.buyable[day + lag]).sum())
        by_size = {
            size: [rule.wanted(size, count, blocked) for rule in rules]
            for size in {len(ranked[day]) for ranked in rankings}
        }
        columns = [ranked[day].columns[a:b] for ranked in rankings for a, b, _ in by_size[len(ranked[day])]]
        numbers = [number for ranked in rankings for *_, number in by_size[len(ranked[day])]]
        everyone = np.flatnonzero(equal[day])
        columns, numbers = [*columns, everyone], [*numbers, len(everyone)]
        edges = np.cumsum([0, *map(len, columns)])
        return Wanted(edges, np.concatenate(columns).astype(np.int64, copy=False), np.array(numbers))

    portfolios = len(rankings) * len(rules) + 1
    # Gross NAV, net NAV, turnover, participation: [4, portfolios, tracks, days].
    panels = np.full((4, portfolios, rebalance, len(market.valuation)), np.nan)
    for track, schedule in enumerate(schedules):
        _run(market, schedule, days[-1], best, cost / 2, panels[:, :, track])
    gross, net, turnover, participation = panels
    first = tuple(schedule[0] + lag for schedule in schedules)
    base = max(first) - 1
    return [
        [
            Tracks(gross[p], net[p], gross[-1], turnover[p], participation[p], first, base, last=days[-1])
            for p in range(number * len(rules), (number + 1) * len(rules))
        ]
        for number in range(len(rankings))
    ]


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
    market: Market,
    schedule: Sequence[int],
    last: int,
    choose: Callable[[int], Wanted],
    cost_per_side: float,
    panels: Array,
) -> None:
    """Put gross NAV, net NAV, turnover and participation of one track of every portfolio in `panels` [4, P, days]."""
    gross, net, turnover, participation = panels
    ledgers, lag = Ledgers(market, len(gross), cost_per_side=cost_per_side), market.lag
    gross[:, schedule[0] + lag - 1] = net[:, schedule[0] + lag - 1] = 1.0
    for i, decision in enumerate(schedule):
        day = decision + lag
        stop = schedule[i + 1] + lag if i + 1 < len(schedule) else last + 1
        before = ledgers.drifted(day)
        wanted = choose(decision)
        after = rebalanced(before, ledgers.cash_P, market.buyable[day], market.sellable[day], wanted)
        trades = ledgers.trade(day, before, after)
        turnover[:, day], participation[:, day] = trades.turnover_P, trades.participation_P
        gross[:, day:stop] = ledgers.closes(day, stop)
        net[:, day:stop] = gross[:, day:stop] * ledgers.net_P[:, None]
