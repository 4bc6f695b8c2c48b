"""A simulated market's tables as dense arrays, for tests that compute on them plainly."""

from __future__ import annotations

import numpy as np
import polars as pl

from polygrain.sources.synthetic import Synthetic

SIGNALS = ("slow", "every", "hour", "half_hour")


def all_bars(source: Synthetic) -> pl.DataFrame:
    return pl.concat([frame for _, frame in source.bars()])


def panel(source: Synthetic, frame: pl.DataFrame, column: str | pl.Expr) -> np.ndarray:
    """[days, symbols] of a column or expression, NaN where the frame has no row."""
    value = pl.col(column) if isinstance(column, str) else column
    wide = frame.with_columns(value=value).pivot(on="symbol", index="date", values="value").sort("date").drop("date")
    assert wide.shape == (source.days, source.stocks)
    return wide.select(sorted(wide.columns)).cast(pl.Float64).fill_null(float("nan")).to_numpy()


def traded(daily: pl.DataFrame) -> pl.DataFrame:
    return daily.filter(~pl.col("suspended"))


def adjusted(source: Synthetic, daily: pl.DataFrame, price: str) -> np.ndarray:
    """Adjusted prices [days, symbols] of the traded days."""
    return panel(source, traded(daily), pl.col(price) * pl.col("factor"))
