"""The evaluate stage: every score's Rank ICs and tracks, at every fill, rebalance period and universe of the config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import polars as pl

from polygrain.config import Experiment
from polygrain.errors import ConfigError
from polygrain.evaluation.decay import rank_autocorrelation, rank_ic_by_horizon
from polygrain.evaluation.rank_ic import rank_ic
from polygrain.evaluation.tracks import Ranking, Selection, Tracks, benchmark_nav, ranking, tracks
from polygrain.execution.fills import FILLS, fill_price
from polygrain.pipeline.market import Market
from polygrain.pipeline.scoring import Key
from polygrain.progress import Step
from polygrain.samples.labels import forward_returns, tradable
from polygrain.store.panel import Array, Panel
from polygrain.universe import Facts, evaluate

LEAST_MEMBERS = 10
DECAY_DAYS = (1, 2, 3, 5, 10, 15, 20)


@dataclass(frozen=True)
class Universes:
    """The evaluated universes: U_t ∧ expression, bool [days, symbols]; those without data are named in `missing`."""

    panels: dict[str, Array]
    missing: tuple[str, ...]


def universes(market: Market, days: Array) -> Universes:
    """Members of each configured universe; one that lacks data or members on a scored day is named and left out."""
    panels: dict[str, Array] = {}
    missing: list[str] = []
    for name, expression in market.experiment.evaluation.universes.items():
        facts = Facts(market.quotes, market.facts.index_members)
        panel = market.members & evaluate(expression, facts, f"evaluation.universes.{name}")
        thin = int((panel[days].sum(axis=1) < LEAST_MEMBERS).sum())
        unlisted = {
            i: int((~np.asarray(facts.index_members[i].any(axis=1))[days]).sum()) for i in sorted(facts.indices)
        }
        reasons = [f"the data has no {gap}" for gap in sorted(facts.missing)]
        reasons += [f"{i} has no members on {n} of {len(days)} days" for i, n in unlisted.items() if n]
        if thin and not reasons:
            reasons.append(f"{thin} of {len(days)} days have fewer than {LEAST_MEMBERS} members")
        if reasons:
            missing.append(f"Universe {name} is left out: {'; '.join(reasons)}.")
        else:
            panels[name] = panel
    return Universes(panels, tuple(missing))


@dataclass(frozen=True)
class Judged:
    """rank_ic.parquet, nav.parquet, seed_rank_ic.parquet, decay.parquet; sentences on what could not be evaluated."""

    rank_ic: pl.DataFrame
    nav: pl.DataFrame
    seed_rank_ic: pl.DataFrame
    decay: pl.DataFrame
    missing: tuple[str, ...]


def judge(
    market: Market, scores: Mapping[Key, Array], seed_scores: Iterable[tuple[int, Key, Array]], step: Step
) -> Judged:
    """Rank ICs and tracks of every score on the days that have scores; of single seeds the Rank ICs that tables show,
    and the decay of every score.

    Shown are the first fill's, rebalance period's and universe's.
    """
    found = {key: Panel(market.quotes.axes, _on_all_days(market, panel)) for key, panel in scores.items()}
    days = np.flatnonzero(np.isfinite(next(iter(found.values())).values).any(axis=1))
    chosen = universes(market, days)
    if not chosen.panels:
        raise ConfigError("evaluation.universes", f"none can be evaluated: {' '.join(chosen.missing)} Name another")
    settings = market.experiment.evaluation
    ics: list[pl.DataFrame] = []
    navs: list[pl.DataFrame] = []
    periods = list(product(settings.fills, settings.rebalance))
    for universe, members in chosen.panels.items():
        # One after the other: the rankings of a universe take two bytes a score, day and member.
        rankings = [ranking(panel, members, market.quotes, [int(day) for day in days]) for panel in found.values()]
        for fill, rebalance in periods:
            case = _Case(market, fill, rebalance, members, days)
            keys = [_key(*key, rebalance, fill, universe) for key in found]
            ics += [case.rank_ics(panel).select(*key, pl.all()) for key, panel in zip(keys, found.values())]
            navs += [part.select(*key, pl.all()) for key, part in zip(keys, case.navs(rankings), strict=True)]
            step.advance()
    step.advance(len(chosen.missing) * len(periods))
    universe, members = next(iter(chosen.panels.items()))
    shown = _Case(market, settings.fills[0], settings.rebalance[0], members, days)
    by_seed = [
        shown.rank_ics(Panel(market.quotes.axes, _on_all_days(market, panel))).select(
            *_key(model, horizon, shown.rebalance, shown.fill, universe),
            pl.lit(seed, pl.Int32).alias("seed"),
            "date",
            "rank_ic",
        )
        for seed, (model, horizon), panel in seed_scores
    ]
    decay = pl.concat([shown.decay(panel).select(*_score_key(*key), pl.all()) for key, panel in found.items()])
    return Judged(pl.concat(ics), pl.concat(navs), pl.concat(by_seed), decay, chosen.missing)


def case_count(experiment: Experiment) -> int:
    """How many steps `judge` takes."""
    settings = experiment.evaluation
    return len(settings.universes) * len(settings.fills) * len(settings.rebalance)


def _score_key(model: str, horizon: int) -> list[pl.Expr]:
    return [pl.lit(model).alias("model"), pl.lit(horizon, pl.Int32).alias("label_days")]


def _key(model: str, horizon: int, rebalance: int, fill: str, universe: str) -> list[pl.Expr]:
    return [
        *_score_key(model, horizon),
        pl.lit(rebalance, pl.Int32).alias("rebalance"),
        pl.lit(fill).alias("fill"),
        pl.lit(universe).alias("universe"),
    ]


@dataclass(frozen=True)
class _Case:
    """One fill and rebalance period in one universe, over the scored day numbers `days`."""

    market: Market
    fill: str
    rebalance: int
    members: Array
    days: Array

    @cached_property
    def returns(self) -> Array:
        rule = FILLS[self.fill]
        return forward_returns(fill_price(self.market.quotes, rule), rule.lag, self.rebalance)[self.days]

    @cached_property
    def mask(self) -> Array:
        return tradable(self.members, self.market.quotes, self.fill)[self.days] & np.isfinite(self.returns)

    @cached_property
    def benchmark(self) -> Array:
        days = [int(day) for day in self.days]
        return benchmark_nav(self.members, self.market.quotes, rebalance=self.rebalance, fill=self.fill, days=days)

    def rank_ics(self, scores: Panel) -> pl.DataFrame:
        quotes, returns, mask, values = self.market.quotes, self.returns, self.mask, scores.values[self.days]
        frame = pl.DataFrame(
            {
                "date": pl.Series([quotes.axes.days[day] for day in self.days], dtype=pl.Date),
                "rank_ic": rank_ic(values, returns, mask),
                "rank_ic_all": rank_ic(values, returns, self.members[self.days]),
                "n": (mask & np.isfinite(values)).sum(axis=1).astype(np.int32),
            }
        )
        return frame.with_columns(pl.col("rank_ic", "rank_ic_all").fill_nan(None))

    def decay(self, scores: Panel) -> pl.DataFrame:
        """By number of days the Rank IC with returns over so many, and the correlation with the ranking so much later.

        One score date in R is looked at, so that each return is met once.
        """
        quotes, days = self.market.quotes, self.days[:: self.rebalance]
        rule = FILLS[self.fill]
        mask = tradable(self.members, quotes, self.fill)
        ics = rank_ic_by_horizon(scores.values, fill_price(quotes, rule), mask, rule.lag, DECAY_DAYS, days)
        same = rank_autocorrelation(scores.values, self.members, DECAY_DAYS, days)
        dates = pl.Series([quotes.axes.days[day] for day in days], dtype=pl.Date)
        frame = pl.DataFrame(
            {
                "days": np.repeat(np.array(DECAY_DAYS, np.int32), len(days)),
                "date": pl.concat([dates] * len(DECAY_DAYS)),
                "rank_ic": ics.ravel(),
                "autocorrelation": same.ravel(),
            }
        )
        return frame.with_columns(pl.col("rank_ic", "autocorrelation").fill_nan(None))

    def navs(self, rankings: Sequence[Ranking]) -> Iterator[pl.DataFrame]:
        """By ranking the NAVs of every selection."""
        experiment, rules = self.market.experiment, self.market.experiment.evaluation.selections
        days = [int(day) for day in self.days]
        made = tracks(
            rankings,
            self.members,
            self.market.quotes,
            rules,
            rebalance=self.rebalance,
            fill=self.fill,
            cost=experiment.evaluation.cost,
            days=days,
            benchmark=self.benchmark,
        )
        for by_rule in made:
            yield pl.concat([self._nav(rule, result) for rule, result in zip(rules, by_rule)])

    def _nav(self, rule: Selection, result: Tracks) -> pl.DataFrame:
        span = slice(result.base, result.last + 1)
        dates = pl.Series(self.market.quotes.axes.days[span], dtype=pl.Date)
        count = len(dates)
        return pl.DataFrame(
            {
                "selection": pl.repeat(rule.name, self.rebalance * count, eager=True),
                "track": np.repeat(np.arange(self.rebalance, dtype=np.int32), count),
                "date": pl.concat([dates] * self.rebalance),
                "gross": result.gross[:, span].ravel(),
                "net": result.net[:, span].ravel(),
                "benchmark": result.benchmark[:, span].ravel(),
                "turnover": result.turnover[:, span].ravel(),
            }
        ).with_columns(pl.col("turnover").fill_nan(None))


def _on_all_days(market: Market, panel: Array) -> Array:
    values = np.full(market.members.shape, np.nan)
    values[market.bar_rows] = panel
    return values
