"""Limit prices derived from eleven years of closes and factors against those closes: what lies above is listed."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polygrain.market.rules import limit_prices, load_rules, reference_price
from polygrain.market.symbols import board, canonical_column, exchange

pytestmark = pytest.mark.skipif(
    "POLYGRAIN_REAL_DATA" not in os.environ, reason="needs real market data: set POLYGRAIN_REAL_DATA to its folder"
)
OLD = 60


def test_hardly_a_close_of_an_old_stock_lies_above_its_derived_up_limit() -> None:
    path = Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a" / "daily_2011_2022h1.parquet"
    rows = pl.read_parquet(path, columns=["symbol", "date", "close", "adj_factor", "paused"])
    days = rows["date"].unique().sort()
    rows = (
        rows.with_columns(
            canonical_column(pl.col("symbol")),
            pl.col("close").cast(pl.Float64).round(2),
            pl.col("adj_factor").cast(pl.Float64),
            day=pl.col("date").replace_strict(days, pl.int_range(len(days), eager=True), return_dtype=pl.Int32),
        )
        .sort("symbol", "date")
        .with_columns(listed=pl.col("day").min().over("symbol"))
        .filter(~pl.col("paused"))
        .with_columns(
            before=pl.col("close").shift(1).over("symbol"), factor_before=pl.col("adj_factor").shift(1).over("symbol")
        )
        .with_columns(age=pl.col("day") - pl.col("listed") + 1)
        .filter((pl.col("listed") == 0) | (pl.col("age") > OLD))
        .drop_nulls()
    )
    rules, above = load_rules(), []
    places = {symbol: f"{board(symbol)} {exchange(symbol)}" for symbol in rows["symbol"].unique()}
    placed = rows.with_columns(place=pl.col("symbol").replace_strict(places))
    for (place,), stocks in placed.partition_by("place", as_dict=True).items():
        # All rows of a board and exchange as the days of one stock.
        name, market = (np.array([word]) for word in str(place).split())
        reference = reference_price(*(stocks[c].to_numpy() for c in ("before", "factor_before", "adj_factor")))
        dates, shape = stocks["date"].to_numpy(), (len(stocks), 1)
        up, down = rules.limit_rates(name, np.zeros(shape, bool), np.full(shape, 10_000, np.int32), dates)
        one_tick = rules.at_least_one_tick(market, dates)
        limit = limit_prices(reference[:, None], up, down, one_tick)[0][:, 0]
        broken = stocks.filter(pl.Series(stocks["close"].to_numpy() > limit + 0.005))
        above += [f"{symbol} {date}: {close}" for symbol, date, close in broken["symbol", "date", "close"].iter_rows()]
    print(*above, sep="\n")
    assert len(rows) > 7_000_000
    assert 0 < len(above) <= 20, above
