"""Ragged markets as CSV and Parquet files of any layout, and the source that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl
from ragged_bars import Ragged

from polygrain.sources.files import Files

Form = Literal["csv", "parquet"]
Stamp = Literal["start", "end"]
Split = Callable[[pl.DataFrame], list[pl.DataFrame]]
_PRICES = ("open", "high", "low", "close")


def minutes_of(segments: tuple[str, ...]) -> list[int]:
    """Every minute of trading in order, as the clock minute at which it begins."""
    found: list[int] = []
    for segment in segments:
        start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in segment.split("-"))
        found += range(start, end)
    return found


def stamped(market: Ragged, stamp: Stamp) -> pl.DataFrame:
    """The bars with naive exchange-local times in the place of date and number."""
    assert market.bars is not None
    minutes = minutes_of(market.session.segments)
    length = len(minutes) // market.nb
    clocks = [minutes[j * length] if stamp == "start" else minutes[(j + 1) * length - 1] + 1 for j in range(market.nb)]
    clock = pl.col("bar").replace_strict(range(market.nb), clocks, return_dtype=pl.Int64)
    time = pl.col("date").cast(pl.Datetime("us")) + pl.duration(minutes=clock)
    return market.bars.with_columns(time.alias("time")).drop("date", "bar")


def write(frame: pl.DataFrame, path: Path, form: Form) -> None:
    """CSV with times as text, or Parquet with float32 prices."""
    if form == "csv":
        times = [pl.col(name).dt.to_string("%Y-%m-%d %H:%M") for name in ("time",) if name in frame.columns]
        flags = [pl.col(name).cast(pl.Int8) for name in ("suspended",) if name in frame.columns]
        frame.with_columns(*times, *flags).write_csv(path.with_suffix(".csv"))
    else:
        frame.with_columns(pl.col(*_PRICES).cast(pl.Float32)).write_parquet(path.with_suffix(".parquet"))


def whole(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return [frame]


def source_of(
    market: Ragged, folder: Path, form: Form, *, stamp: Stamp = "end", split: Split = whole, daily_split: Split = whole
) -> Files:
    """The market written below `folder`, each table split into files, as a source."""
    text = not market.symbols[0].endswith(".SH")
    symbols = "text" if text else "coded"
    tables: dict[str, object] = {"daily": {"path": "daily", "symbols": symbols}}
    frames = {"daily": daily_split(market.daily)}
    if market.bars is not None:
        tables["bars"] = {"path": "bars", "symbols": symbols, "bar": market.base_bar, "stamp": stamp}
        frames["bars"] = split(stamped(market, stamp))
    for name, parts in frames.items():
        (folder / name).mkdir(parents=True)
        for number, part in enumerate(parts):
            write(part, folder / name / f"{number:04d}", form)
    settings = {"root": str(folder), "session": list(market.session.segments), "limits": "none" if text else "cn_a"}
    return Files.model_validate(settings | tables)
