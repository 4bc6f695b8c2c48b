"""Attribution of the shown portfolios' excess: attribution.parquet by day, contributions.parquet by stock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from polygrain.execution.exact_book import Ledger
from polygrain.pipeline.factor_history import FactorHistory, day_returns
from polygrain.pipeline.holding import TAGS, HoldTask
from polygrain.pipeline.market import Market
from polygrain.pipeline.staggered import padded, staggered
from polygrain.portfolio.attribution import attributed
from polygrain.portfolio.benchmark import Benchmark
from polygrain.portfolio.factors import FactorReturns
from polygrain.store.panel import Array

SCHEMAS = {
    "attribution": pl.Schema({**TAGS, "date": pl.Date, "source": pl.String, "of": pl.String, "value": pl.Float64}),
    "contributions": pl.Schema({**TAGS, "symbol": pl.String, "value": pl.Float64}),
}
TRADING, COST = ("trading", ""), ("cost", "")


def attribution(
    market: Market, tasks: Sequence[HoldTask], benchmarks: Sequence[Benchmark], history: FactorHistory
) -> dict[str, pl.DataFrame]:
    """The rows of both files of finished tasks; the tracks of a portfolio are one, each as much as it is worth.

    attribution: a day's values by source add up to its net r_p − r_b. Holdings at the close before and the day's
    returns give industries, styles, selection and cash; what trading at the fill instead of the closes made of it is
    `trading`, what it cost `cost`. contributions: Σ over days of (w_i − b_i) r_i by stock, weights at the close before.
    """
    rows = [SCHEMAS["attribution"].to_frame()]
    held = [_Portfolio(market, tracks, benchmarks[tracks[0].index]) for tracks in staggered(tasks)]
    for day in sorted({day for one in held for day in one.days}):
        factors, returns = history.of(day), day_returns(market, day)
        rows += [one.rows(day, factors, returns) for one in held if day in one.days]
    contributions = [SCHEMAS["contributions"].to_frame(), *(one.contributions() for one in held)]
    return {"attribution": pl.concat(rows), "contributions": pl.concat(contributions)}


class _Portfolio:
    """A portfolio's finished walks, one a track."""

    def __init__(self, market: Market, tracks: Sequence[HoldTask], index: Benchmark) -> None:
        self.axes = market.quotes.axes
        self.tagged = [pl.lit(getattr(tracks[0], name), kind).alias(name) for name, kind in TAGS.items()]
        nav = pl.read_parquet(tracks[0].part("nav"))
        base = self.axes.day_number[nav["date"][0]]
        self.days = range(base + 1, base + nav.height)
        self.tracks = [_Track(market, track, index, base, nav.height) for track in tracks]
        self.by_stock = np.zeros(len(self.axes.symbols))

    def rows(self, day: int, factors: FactorReturns, returns_S: Array) -> pl.DataFrame:
        """A day's contributions; days are asked for in order."""
        worths = [track.net[day - 1 - track.base] for track in self.tracks]
        whole: dict[tuple[str, str], float] = {}
        for track, worth in zip(self.tracks, worths):
            active, found = track.contributions(day, factors, returns_S)
            share = worth / sum(worths)
            self.by_stock += share * np.where(active == 0, 0.0, active * returns_S)
            for name, value in found.items():
                whole[name] = whole.get(name, 0.0) + share * value
        sources, of = zip(*whole)
        made = pl.DataFrame({"source": sources, "of": of, "value": list(whole.values())})
        return made.select(*self.tagged, pl.lit(self.axes.days[day]).alias("date"), pl.all())

    def contributions(self) -> pl.DataFrame:
        """What every stock added to the excess over the days asked for."""
        some = np.flatnonzero(self.by_stock)
        rows = {"symbol": [self.axes.symbols[column] for column in some], "value": self.by_stock[some]}
        return pl.DataFrame(rows).select(*self.tagged, pl.all())


class _Track:
    """A finished walk: what it held into every day of `days` closes from number `base` on, and what it earned on it."""

    def __init__(self, market: Market, task: HoldTask, index: Benchmark, base: int, days: int) -> None:
        axes = market.quotes.axes
        self.market, self.index, self.base = market, index, base
        nav = pl.read_parquet(task.part("nav"))
        self.gross, self.net = (padded(nav[name].to_numpy(), days, 1.0) for name in ("gross", "net"))
        # What its shares are a part of: a book's are those before costs, an exact ledger's those that it could pay for.
        self.worth = self.net if isinstance(task.cost, Ledger) else self.gross
        self.fills = {
            axes.day_number[day]: (
                rows["symbol"].replace_strict(axes.symbol_number).to_numpy(),
                rows["shares"].to_numpy(),
            )
            for (day,), rows in pl.read_parquet(task.part("holdings")).group_by("date", maintain_order=True)
        }
        self.shares = np.zeros(len(axes.symbols))

    def contributions(
        self, day: int, factors: FactorReturns, returns_S: Array
    ) -> tuple[Array, dict[tuple[str, str], float]]:
        """Active weights [symbols] at the close before a day, and what its excess is from."""
        if day - 1 in self.fills:
            columns, shares = self.fills[day - 1]
            self.shares = np.zeros(len(self.shares))
            self.shares[columns] = shares
        held = (self.shares > 0) & (self.market.quotes.last_day >= day)
        close, before = day - self.base, self.market.quotes.valuation[day - 1]
        weights = np.where(held, self.shares * before, 0.0) / self.worth[close - 1]
        active = weights - self.index.before[day]
        found = attributed(active, factors)
        gross, net = (nav[close] / nav[close - 1] - 1 for nav in (self.gross, self.net))
        found[TRADING] = float(gross - np.where(held, weights * returns_S, 0.0).sum())
        found[COST] = float(net - gross)
        return active, found
