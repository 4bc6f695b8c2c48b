"""Real data through the same door: counts, exact ticks, and the flaws that have to be named."""

import os

import polars as pl
import pytest

from polygrain.sources.files import Files
from polygrain.sources.ingest import ingest

pytestmark = pytest.mark.skipif(
    "POLYGRAIN_REAL_DATA" not in os.environ, reason="needs real market data: set POLYGRAIN_REAL_DATA to its folder"
)
COLUMNS = {"factor": "adj_factor", "suspended": "paused"}
BARS = {"path": "bars_15min_2025.parquet", "bar": "15min", "stamp": "end", "columns": {"time": "datetime"}}


def test_15_minute_bars_of_2025(tmp_path):
    source = Files.model_validate(
        {
            "root": "$POLYGRAIN_REAL_DATA/cn_a",
            "bars": BARS,
            "daily": {"path": "daily_2024h2_2025.parquet", "columns": COLUMNS, "amount": "bars"},
            "index_members": {"path": "index_members.parquet"},
            "index_weights": {"path": "csi300_weights.parquet", "units": {"weight": "percent"}},
            "industries": {"path": "industry.parquet", "point_in_time": False},
        }
    )
    store = ingest(source, tmp_path / "store")
    counts = store.facts.counts
    # 242 days of one stock that the daily file lacks are left out: 3,874,400 - 242 x 16.
    assert (counts["bars"], counts["stock_days_only_in_bars"]) == (3_870_528, 242)
    assert (len(store.bar_days), len(store.symbols)) == (243, 999)
    notes = " ".join(store.facts.notes)
    assert "left out: 600355.SH." in notes
    assert "Survivors only" in notes
    assert "not point in time" in notes
    assert store.facts.point_in_time == {"index_members": True, "index_weights": True, "industries": False}
    bars = store.bars(["2025-01"])
    assert bars["bar"].unique().sort().to_list() == list(range(16))
    first = bars.filter((pl.col("symbol") == "600000.SH") & (pl.col("bar") == 0)).row(0, named=True)
    assert (first["open"], first["close"], first["volume"], first["amount"]) == (10.3, 10.32, 9_534_700, 98_669_032.0)
    traded = store.daily(["2025-06"]).filter(~pl.col("suspended"))
    # Bars are made of snapshots, so the day's VWAP can leave the official range by rounding only.
    inside = (traded["vwap"] >= traded["low"] - 0.01) & (traded["vwap"] <= traded["high"] + 0.01)
    assert inside.mean() > 0.999


def test_eleven_years_of_daily_rows(tmp_path):
    table = {"path": "daily_2011_2022h1.parquet", "columns": COLUMNS, "amount": "typical_price"}
    store = ingest(Files.model_validate({"root": "$POLYGRAIN_REAL_DATA/cn_a", "daily": table}), tmp_path / "store")
    assert (store.facts.counts["stock_days"], len(store.symbols)) == (7_993_137, 4_580)
    assert store.bar_days == store.days
    month = store.daily(["2015-07"])
    prices = month.select(pl.col("open", "high", "low", "close") * 100)
    assert (prices - prices.select(pl.all().round())).select(pl.all().abs().max()).row(0) < (1e-9,) * 4
