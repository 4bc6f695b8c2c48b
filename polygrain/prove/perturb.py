"""A market with another future: everything known at a cutoff is kept, everything after it is other data.

Of its own day a cutoff within the day knows the base bars that have closed and what was announced before the open:
factor, ST, limits, shares, a listing, and that a stock is not suspended. A day's row is known at the close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl

from polygrain.prove.cutoffs import Cutoff
from polygrain.prove.tables import other_intervals, other_weights
from polygrain.store.panel import Array
from polygrain.store.tables import INTERVALS, SCHEMAS, ended

Replacement = Literal["another future", "no future"]
REPLACEMENTS: tuple[Replacement, ...] = ("another future", "no future")

_KEY = ["date", "symbol"]
_PRICES = ("open", "high", "low", "close")
_ANNOUNCED = ("up_limit", "down_limit", "float_shares", "total_shares", "book_value")
# Shares of the stocks that have no future, of single bars that are gone, and of the stock-days by what becomes of them.
_GONE, _NO_BAR = 0.15, 0.2
_ABSENT, _SUSPENDED, _LOCKED = 0.15, 0.15, 0.1


def replace(
    tables: Mapping[str, pl.DataFrame], cutoff: Cutoff, how: Replacement, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """The tables with all that is not known at the cutoff replaced, still in the canonical schemas.

    Another future: other prices, volumes, amounts and extra columns, some days at a limit; other factors, limits,
    shares, book values and ST flags; stocks, stock-days and single bars gone, stock-days suspended; other listings,
    index lists, weights and industries. No future: the files end at the cutoff; its day is what the closed bars add up
    to.
    """
    changed = dict(tables)
    symbols = tables["daily"]["symbol"].unique().sort()
    # Weights are of the close of their date, intervals announced before the open.
    closed = cutoff.day if cutoff.bars is None else cutoff.day - timedelta(days=1)
    for name in (*INTERVALS, "index_weights"):
        if name not in tables:
            continue
        table, day = tables[name], closed if name == "index_weights" else cutoff.day
        if how == "no future":
            changed[name] = ended(name, table, day)
        elif name == "index_weights":
            changed[name] = other_weights(table, day, symbols, rng)
        else:
            changed[name] = other_intervals(name, table, day, symbols, rng)
    at = _At(tables["daily"], tables.get("bars"), cutoff)
    return changed | (at.nothing_more() if how == "no future" else at.another_future(rng))


@dataclass(frozen=True)
class _At:
    """The daily table and the bars at a cutoff."""

    daily: pl.DataFrame
    bars: pl.DataFrame | None
    cutoff: Cutoff

    @property
    def _of_day(self) -> pl.Expr:
        return pl.col("date") == self.cutoff.day

    @property
    def _later_days(self) -> pl.Expr:
        """Rows of the daily table that are not known."""
        later = pl.col("date") > self.cutoff.day
        return later if self.cutoff.bars is None else later | self._of_day

    @property
    def _later_bars(self) -> pl.Expr:
        later = pl.col("date") > self.cutoff.day
        return later if self.cutoff.bars is None else later | (self._of_day & (pl.col("bar") >= self.cutoff.bars))

    @property
    def _waiting(self) -> pl.Expr:
        """Stocks that trade on the cutoff's day and have no closed bar yet; they keep a bar, which is not known."""
        if not self.cutoff.bars or self.bars is None:
            return pl.lit(False)
        closed = self.bars.filter(self._of_day & (pl.col("bar") < self.cutoff.bars))["symbol"]
        return self._of_day & ~pl.col("symbol").is_in(closed.unique().implode())

    def another_future(self, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
        known, later = self.daily.filter(~self._later_days), self.daily.filter(self._later_days)
        later = later.with_columns(fate=_fates(later, later.select(self._announced(known)).to_series(), rng))
        kept = later.filter(pl.col("fate") != "absent")
        other = _other_days(kept, self.cutoff.day, rng).select(known.columns)
        changed = {"daily": pl.concat([known, other])}
        if self.bars is None:
            return changed
        traded = later.filter(pl.col("fate").is_in(["absent", "suspended"])).select(_KEY)
        bars = self.bars.filter(self._later_bars).join(traded, on=_KEY, how="anti", maintain_order="left")
        bars = bars.filter(self._waiting | pl.Series(rng.random(len(bars)) >= _NO_BAR, dtype=pl.Boolean))
        changed["bars"] = pl.concat([self.bars.filter(~self._later_bars), _other_bars(bars, rng)])
        return changed

    def _announced(self, known: pl.DataFrame) -> pl.Expr:
        """Rows of the cutoff's day that must be there: of stocks that trade, once it has begun, and of new ones."""
        new = ~pl.col("symbol").is_in(known["symbol"].unique().implode())
        return self._of_day & (new | pl.lit(bool(self.cutoff.bars)))

    def nothing_more(self) -> dict[str, pl.DataFrame]:
        known = self.daily.filter(~self._later_days)
        if self.bars is None:
            return {"daily": known}
        bars = self.bars.filter(~self._later_bars)
        if not self.cutoff.bars:
            return {"daily": known, "bars": bars}
        coming = self.bars.filter(self._later_bars & self._of_day & self._waiting).sort("bar")
        bars = pl.concat([bars, coming.unique("symbol", keep="first", maintain_order=True)])
        today = _so_far(self.daily.filter(self._of_day), bars.filter(self._of_day))
        return {"daily": pl.concat([known, today.select(known.columns)]), "bars": bars}


def _fates(later: pl.DataFrame, announced: pl.Series, rng: np.random.Generator) -> pl.Series:
    """What becomes of each daily row after a cutoff: kept, locked at one price, suspended or absent."""
    symbols = later["symbol"].unique().sort()
    gone = symbols.filter(pl.Series(rng.random(len(symbols)) < _GONE, dtype=pl.Boolean))
    number = np.searchsorted(np.cumsum([_ABSENT, _SUSPENDED, _LOCKED]), rng.random(len(later)), "right")
    number[later["symbol"].is_in(gone.implode()).to_numpy()] = 0
    number[announced.to_numpy()] = 3
    return pl.Series(["absent", "suspended", "locked", "kept"]).gather(number)


def _other_prices(later: pl.DataFrame, rng: np.random.Generator) -> Array:
    """Open, high, low and close [4, rows] around the same level, whole fen; NaN where they are missing."""
    n = len(later)
    prices = np.stack([later[name].to_numpy() for name in _PRICES])
    prices = np.round(prices * rng.uniform(0.86, 1.16, n) * rng.uniform(0.97, 1.03, (4, n)), 2)
    prices = np.maximum(prices, 0.01)
    prices[1], prices[2] = prices.max(axis=0), prices.min(axis=0)
    return np.asarray(prices)


def _other_volume(later: pl.DataFrame, rng: np.random.Generator) -> Array:
    volume = later["volume"].to_numpy()
    other = (volume * np.exp(rng.uniform(-1.5, 1.5, len(later)))).astype(np.int64)
    return np.asarray(np.where(volume > 0, np.maximum(other, 1), 0))


def _other_bars(later: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    prices, volume = _other_prices(later, rng), _other_volume(later, rng)
    columns = dict(zip(_PRICES, prices)) | {"volume": volume, "amount": prices.mean(axis=0) * volume}
    return later.with_columns(pl.Series(name, values) for name, values in columns.items())


def _other_days(later: pl.DataFrame, day: date, rng: np.random.Generator) -> pl.DataFrame:
    """Daily rows after a cutoff on `day` by their fate; what is announced before the open is other data after `day`."""
    n = len(later)
    future = (later["date"] > day).to_numpy()
    columns = {
        "factor": np.where(future, later["factor"].to_numpy() * np.exp(rng.uniform(0.01, 0.4, n)), later["factor"])
    }
    for name in _ANNOUNCED:
        if name in later.columns:
            given = later[name].to_numpy()
            columns[name] = np.where(future, np.round(given * np.exp(rng.uniform(-0.2, 0.2, n)), 2), given)
    prices, volume = _other_prices(later, rng), _other_volume(later, rng)
    locked = (later["fate"] == "locked").to_numpy()
    limit = np.where(rng.random(n) < 0.5, columns.get("up_limit", np.nan), columns.get("down_limit", np.nan))
    prices[:, locked] = np.where(np.isfinite(limit), limit, prices[3])[locked]
    suspended = ((later["fate"] == "suspended") | later["suspended"]).to_numpy()
    volume[suspended] = 0
    columns |= dict(zip(_PRICES, prices)) | {"volume": volume, "suspended": suspended}
    columns |= {"amount": prices.mean(axis=0) * volume, "vwap": np.where(suspended, np.nan, prices.mean(axis=0))}
    for name in ("amount", "vwap"):
        if name not in later.columns:
            del columns[name]
        else:
            columns[name] = np.where(later[name].is_null().to_numpy(), np.nan, columns[name])
    changed = later.with_columns(pl.Series(name, values, nan_to_null=True) for name, values in columns.items())
    if "st" in later.columns:
        changed = changed.with_columns(pl.col("st") ^ pl.Series(future & (rng.random(n) < 0.3)))
    extra = [name for name in later.columns if name not in (*SCHEMAS["daily"].columns, "fate")]
    return changed.with_columns(later[name].gather(rng.permutation(n)) for name in extra)


def _so_far(daily: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """The day's rows with prices, volume and amount of its bars so far; what was announced stands as it is."""
    sums = (
        bars.sort("symbol", "bar")
        .group_by("symbol", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.col("amount").sum(),
        )
        # It is known that the stock trades, and a stock that trades has a volume.
        .with_columns(pl.max_horizontal(pl.col("volume"), pl.lit(1)))
        .with_columns(vwap=pl.when(pl.col("amount") > 0).then(pl.col("amount") / pl.col("volume")))
    )
    present = [name for name in sums.columns if name in daily.columns]
    traded = daily.filter(~pl.col("suspended")).drop(*(name for name in present if name != "symbol"))
    traded = traded.join(sums.select(present), on="symbol", how="inner", maintain_order="left")
    return pl.concat([traded.select(daily.columns), daily.filter(pl.col("suspended"))])
