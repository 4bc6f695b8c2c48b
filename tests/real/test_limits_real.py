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
    for (symbol,), stock in rows.partition_by("symbol", as_dict=True).items():
        reference = reference_price(*(stock[c].to_numpy() for c in ("before", "factor_before", "adj_factor")))
        count = len(stock)
        up, down = rules.limit_rates(
            np.array([board(symbol)]),
            np.zeros((count, 1), bool),
            np.full((count, 1), 10_000, np.int32),
            stock["date"].to_list(),
        )
        one_tick = rules.at_least_one_tick(np.array([exchange(symbol)]), stock["date"].to_list())
        limit = limit_prices(reference[:, None], up, down, one_tick)[0][:, 0]
        broken = stock.filter(pl.Series(stock["close"].to_numpy() > limit + 0.005))
        above += [f"{symbol} {date}: {close}" for date, close in broken.select("date", "close").iter_rows()]
    print(*above, sep="\n")
    assert len(rows) > 7_000_000
    assert 0 < len(above) <= 20, above
