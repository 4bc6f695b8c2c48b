"""The reference tables with another future: what was in force at a day stays, what begins after it is other data."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from polygrain.store.tables import INTERVALS, ended

_MOST_DAYS = 60


def other_intervals(
    name: str, table: pl.DataFrame, day: date, symbols: pl.Series, rng: np.random.Generator
) -> pl.DataFrame:
    """Ends after the day move or vanish; half of the stocks that have an interval start after it keep one, on another
    day; where a stock can be in a list or an industry again, some that left come back and others of `symbols` come in.

    Columns that are neither keys nor days are drawn from the table's values.
    """
    start, end = INTERVALS[name]
    key = [column for column in ("index", "symbol") if column in table.columns]
    known = ended(name, table, day).sort(*key, start)
    if end not in known.columns:
        known = known.with_columns(pl.lit(None, pl.Date).alias(end))
    moved = pl.when(_chance(rng, 0.6, len(known))).then(_after(pl.lit(day), rng, len(known)))
    known = known.with_columns(pl.coalesce(end, moved).alias(end))
    candidates = [table.filter(pl.col(start) > day).select(key)]
    if start == "start":
        candidates += [known.filter(pl.col(end) > day).select(key), _strangers(table.select(key), symbols)]
    new = pl.concat(candidates).unique(maintain_order=True)
    new = new.filter(_chance(rng, 0.5, len(new)))
    last = known.unique(key, keep="last", maintain_order=True).select(*key, end, there=True)
    new = new.join(last, on=key, how="left", maintain_order="left")
    new = new.filter(pl.col("there").is_null() | (pl.col(end).is_not_null() & (start == "start")))
    earliest = pl.max_horizontal(pl.col(end), pl.lit(day))
    new = new.select(*key, _after(earliest, rng, len(new)).alias(start), pl.lit(None, pl.Date).alias(end))
    rest = [column for column in known.columns if column not in (*key, start, end)]
    drawn = [table[column].gather(rng.integers(0, max(len(table), 1), len(new))).alias(column) for column in rest]
    return pl.concat([known, new.with_columns(drawn).select(known.columns)])


def _strangers(keys: pl.DataFrame, symbols: pl.Series) -> pl.DataFrame:
    """The keys of stocks that a list or the industries do not hold."""
    every = symbols.to_frame("symbol")
    if "index" in keys.columns:
        every = keys.select(pl.col("index").unique().sort()).join(every, how="cross")
    return every.join(keys, on=keys.columns, how="anti", maintain_order="left").select(keys.columns)


def _chance(rng: np.random.Generator, share: float, n: int) -> pl.Series:
    return pl.Series(rng.random(n) < share, dtype=pl.Boolean)


def _after(day: pl.Expr, rng: np.random.Generator, n: int) -> pl.Expr:
    """A later day for each of n rows."""
    days = pl.lit(pl.Series(rng.integers(1, _MOST_DAYS, n), dtype=pl.Int64))
    return day + pl.duration(days=days)


def other_weights(table: pl.DataFrame, day: date, symbols: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    """Index weights dated after the day are other ones, of other stocks; they add up to 1."""
    later = table.filter(pl.col("date") > day)
    pool = pl.concat([symbols, table["symbol"]]).unique().sort()
    other = pool.gather(rng.permutation(len(pool)))
    weight = pl.col("weight") * pl.Series(np.exp(rng.uniform(-1, 1, len(later))), dtype=pl.Float64)
    later = later.with_columns(
        weight.alias("weight"), pl.col("symbol").replace_strict(pool, other, return_dtype=pl.String)
    )
    total = pl.col("weight").sum().over("index", "date")
    later = later.with_columns(pl.when(total > 0).then(pl.col("weight") / total).otherwise(pl.col("weight")))
    return pl.concat([ended("index_weights", table, day), later])
