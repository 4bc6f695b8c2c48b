"""A market whose future has been replaced: everything up to a cutoff is kept, everything after it is other data.

A cutoff is a day and, within it, a number of base bars that have closed; `bars = None` is the day's end. Two
replacements, because each sees leaks that the other cannot: noise (other prices, volumes, factors, limits, ST,
listings, index lists, industries) and missing (bars, stock-days and whole stocks' futures gone).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl
from pydantic import ConfigDict

from polygrain.market.calendar import month_of
from polygrain.market.rules import LimitRule
from polygrain.market.session import Session
from polygrain.sources.source import Source
from polygrain.store.commit import fingerprint

Replacement = Literal["noise", "missing"]
REPLACEMENTS: tuple[Replacement, ...] = ("noise", "missing")
Act = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]
INTERVALS = (
    ("index_members", "start", "end"),
    ("industries", "start", "end"),
    ("listings", "listed", "delisted"),
)


@dataclass(frozen=True)
class Cutoff:
    """What is known: all days before `day`, and of `day` the first `bars` base bars, or all of it when None."""

    day: date
    bars: int | None = None

    def __str__(self) -> str:
        return f"{self.day} after {self.bars} base bars" if self.bars is not None else f"{self.day} at the close"


class Held(Source):
    """A source over tables that are already in memory, in the canonical schemas."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    held_session: Session
    held_limits: LimitRule
    bar: str
    tables: Mapping[str, pl.DataFrame]

    def fingerprint(self) -> str:
        return fingerprint({name: _digest(table) for name, table in sorted(self.tables.items())})

    @property
    def base_bar(self) -> str:
        return self.bar

    @property
    def session(self) -> Session:
        return self.held_session

    @property
    def limits(self) -> LimitRule:
        return self.held_limits

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        if "bars" not in self.tables:
            return
        bars = self.tables["bars"]
        for month in sorted({month_of(day) for day in bars["date"].unique()}):
            yield month, bars.filter(pl.col("date").dt.strftime("%Y-%m") == month)

    def daily(self) -> pl.DataFrame | None:
        return self.tables.get("daily")

    def reference(self, name: str) -> pl.DataFrame | None:
        return self.tables.get(name)

    def notes(self) -> tuple[str, ...]:
        return ()


def _digest(table: pl.DataFrame) -> str:
    return fingerprint([table.columns, [str(t) for t in table.dtypes], table.hash_rows().to_list()])


def after(cutoff: Cutoff, *, daily: bool) -> pl.Expr:
    """Rows that are not known at the cutoff. A day's row of the daily table is known at that day's close only."""
    later = pl.col("date") > cutoff.day
    if cutoff.bars is None:
        return later
    of_day = pl.col("date") == cutoff.day
    return later | (of_day if daily else of_day & (pl.col("bar") >= cutoff.bars))


def replace(
    tables: Mapping[str, pl.DataFrame], cutoff: Cutoff, how: Replacement, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """The tables with all that is not known at the cutoff replaced.

    Of the cutoff's own day an intraday cutoff knows what was announced before the open (factor, ST, limits, shares) and
    that a stock with closed bars trades; the day's prices, volume and amount it does not know.
    """
    changed = dict(tables)
    daily = changed["daily"]
    bars = changed.get("bars")
    if how == "noise":
        daily = _split(daily, after(cutoff, daily=True), _noise, rng)
        changed["daily"] = _split(daily, pl.col("date") > cutoff.day, _other_flags, rng)
        for name, start, end in INTERVALS:
            if name in changed:
                changed[name] = _other_intervals(changed[name], cutoff.day, start, end, rng)
        if "index_weights" in changed:
            later = after(cutoff, daily=True)
            changed["index_weights"] = _split(changed["index_weights"], later, _other_weights, rng)
        if bars is not None:
            changed["bars"] = _split(bars, after(cutoff, daily=False), _noise, rng)
        return changed
    trading = pl.lit(False)
    if bars is not None and cutoff.bars is not None:
        seen = bars.filter((pl.col("date") == cutoff.day) & (pl.col("bar") < cutoff.bars))["symbol"].unique()
        trading = (pl.col("date") == cutoff.day) & pl.col("symbol").is_in(seen.implode())
    changed["daily"] = _split(daily, after(cutoff, daily=True) & ~trading, _missing, rng)
    if bars is not None:
        changed["bars"] = _split(bars, after(cutoff, daily=False), _missing, rng)
    return changed


def _split(table: pl.DataFrame, future: pl.Expr, act: Act, rng: np.random.Generator) -> pl.DataFrame:
    known, later = table.filter(~future), table.filter(future)
    return known if later.is_empty() else pl.concat([known, act(later, rng)])


def _noise(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Other prices around the same level, other volumes and amounts."""
    n = len(future)
    shift = np.exp(rng.normal(0, 0.08, n))
    wiggle = np.exp(rng.normal(0, 0.02, (4, n)))
    prices = np.stack([future[c].fill_null(1.0).to_numpy() for c in ("open", "high", "low", "close")])
    present = future["close"].is_not_null().to_numpy()
    prices = np.maximum(np.round(prices * shift * wiggle, 2), 0.01)
    prices[1], prices[2] = prices.max(0), prices.min(0)
    volume = np.floor(future["volume"].to_numpy() * np.exp(rng.normal(0, 1, n))).astype(np.int64)
    columns = [
        *(
            pl.when(pl.Series(present)).then(pl.Series(prices[i])).alias(c)
            for i, c in enumerate(("open", "high", "low", "close"))
        ),
        pl.Series("volume", volume),
    ]
    if "amount" in future.columns:
        columns.append((pl.Series(prices.mean(0)) * pl.Series(volume)).alias("amount"))
    if "vwap" in future.columns:
        columns.append(pl.when(pl.Series(present)).then(pl.Series(prices.mean(0))).alias("vwap"))
    return future.with_columns(columns)


def _other_weights(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each list's weights, which still add up to one, in another order."""
    return future.with_columns(pl.col("weight").shuffle(int(rng.integers(2**31))).over("index", "date"))


def _other_flags(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Other factors, limits, shares and ST flags per row of the daily table."""
    n = len(future)
    columns = [(pl.col("factor") * pl.Series(np.exp(np.abs(rng.normal(0, 0.2, n))))).alias("factor")]
    columns += [
        (pl.col(name) * pl.Series(np.exp(rng.normal(0, 0.1, n)))).alias(name)
        for name in ("up_limit", "down_limit", "float_shares", "total_shares", "book_value")
        if name in future.columns
    ]
    if "st" in future.columns:
        columns.append((pl.col("st") ^ pl.Series(rng.random(n) < 0.3)).alias("st"))
    return future.with_columns(columns)


def _missing(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Some stocks have no future at all, some stock-days are gone, and some single bars."""
    symbols = future["symbol"].unique().sort()
    gone = symbols.filter(pl.Series(rng.random(len(symbols)) < 0.2))
    days = future.select("date", "symbol").unique(maintain_order=True).sort("date", "symbol")
    days = days.with_columns(gone=pl.Series(rng.random(len(days)) < 0.3))
    kept = future.join(days, on=["date", "symbol"], how="left", maintain_order="left").filter(
        ~pl.col("gone") & ~pl.col("symbol").is_in(gone.implode())
    )
    if "bar" in future.columns:
        kept = kept.filter(pl.Series(rng.random(len(kept)) < 0.8))
    return kept.drop("gone")


def _other_intervals(table: pl.DataFrame, day: date, start: str, end: str, rng: np.random.Generator) -> pl.DataFrame:
    """Intervals that start after the day are other stocks'; ends after it move or vanish; what was in force stays."""
    known, later = table.filter(pl.col(start) <= day), table.filter(pl.col(start) > day)
    if end in table.columns:
        n = len(known)
        moved = pl.Series([day + timedelta(days=int(k)) for k in rng.integers(1, 60, n)], dtype=pl.Date)
        other = pl.when(pl.Series(rng.random(n) < 0.6, dtype=pl.Boolean)).then(moved)
        still = pl.col(end).is_null() | (pl.col(end) > day)
        # An end that moves must not reach into the next interval of the same thing.
        key = [name for name in ("index", "symbol") if name in table.columns]
        later = later.join(known.filter(still), on=key, how="anti", maintain_order="left")
        known = known.with_columns(pl.when(still).then(other).otherwise(pl.col(end)).alias(end))
    return pl.concat([known, later.filter(pl.Series(rng.random(len(later)) < 0.5, dtype=pl.Boolean))])
