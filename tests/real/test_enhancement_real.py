"""Index enhancement on real names: the index as its publisher has it, and plans that keep to limits and members."""

from __future__ import annotations

import io
import os
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polygrain.compute import pool
from polygrain.config import load
from polygrain.pipeline.enhancing import enhance
from polygrain.pipeline.market import Market
from polygrain.progress import Lines
from polygrain.sources.ingest import ingest

pytestmark = pytest.mark.skipif(
    "POLYGRAIN_REAL_DATA" not in os.environ, reason="needs real market data: set POLYGRAIN_REAL_DATA to its folder"
)
CONFIG = Path(__file__).parents[2] / "examples" / "cn_a_daily.toml"
CHANGES = [
    'granularity=[{name="day",bar="day"}]',
    "protocol.lock_after=2030-01-01",
    'universe.base="csi300 and not st"',
    'source.daily={path="hs300_fundamentals_2020_2022h1.parquet", amount="column", '
    'columns={st="isST", value="float_mv_est"}}',
    'source.index_weights={path="csi300_weights.parquet", units={weight="percent"}}',
    'exposures.cap="value"',
    'enhancement.csi300={index="SH000300", rebalance=10, constraints=['
    '{kind="stock_deviation", limit=0.01}, {kind="industry_deviation", limit=0.01}, '
    '{kind="style_deviation", limits={size=0.1}}, {kind="turnover", limit=0.3}]}',
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Some 292 names, the CSI 300 of late 2025, without adjustment: the file has no factor."""
    experiment = load(CONFIG, CHANGES)
    return Market(experiment, ingest(experiment.source, tmp_path_factory.mktemp("real") / "store"), every_day=True)


@pytest.fixture(scope="module")
def portfolios(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held is what fell over the last twenty days."""
    run, quotes = tmp_path_factory.mktemp("run"), market.quotes
    fallen = np.full(quotes.close.shape, np.nan)
    fallen[20:] = -(quotes.valuation[20:] / quotes.valuation[:-20] - 1)
    day, column = np.nonzero(market.members & np.isfinite(fallen) & (np.arange(len(fallen)) >= 60)[:, None])
    pl.select(
        segment=pl.lit("test"),
        model=pl.lit("reversal"),
        label_days=pl.lit(5, pl.Int32),
        date=pl.Series(quotes.axes.days, dtype=pl.Date).gather(day),
        symbol=pl.Series(quotes.axes.symbols).gather(column),
        score=pl.Series(fallen[day, column], dtype=pl.Float32),
    ).write_parquet(run / "scores.parquet")
    with pool(1) as workers:
        enhance(market, run, "0" * 64, workers, Lines(io.StringIO()))
    return run / "portfolios"


def test_the_index_moves_as_its_publisher_says(portfolios: Path) -> None:
    # 85 to 93% of its weight has data, the rest is its industries'; neither has dividends. That names are survivors
    # makes ours the better one in the long run, not from day to day.
    levels = pl.read_parquet(Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a" / "index_levels.parquet")
    official = levels.filter(symbol="SH000300").select("date", "close")
    both = pl.read_parquet(portfolios / "nav.parquet").join(official, on="date", validate="1:1")
    assert both.height > 500
    ours, theirs = (np.diff(np.log(both[name].to_numpy().astype(float))) for name in ("benchmark", "close"))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.997
    assert (ours - theirs).std() * np.sqrt(242) < 0.015
    assert pl.read_parquet(portfolios / "solves.parquet")["covered"].is_between(0.8, 0.95).all()


def test_plans_keep_to_members_and_limits(market: Market, portfolios: Path) -> None:
    solves = pl.read_parquet(portfolios / "solves.parquet")
    assert solves.height > 50
    assert solves.select(pl.max_horizontal("primal", "dual", "gap").max()).item() <= 1e-7
    members = pl.read_parquet(Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a" / "index_members.parquet")
    stays = {
        (symbol[2:] + "." + symbol[:2], start, end or date.max)
        for symbol, start, end in members.filter(index="csi300").select("symbol", "start", "end").iter_rows()
    }
    weights = pl.read_parquet(portfolios / "weights.parquet")
    dates = sorted(weights["date"].unique())
    before: set[str] = set()
    for day in dates:
        held = weights.filter(pl.col("date") == day, pl.col("weight") > 1e-9)
        for symbol in set(held["symbol"]) - before:
            assert any(name == symbol and start <= day <= end for name, start, end in stays), (symbol, day)
        before = set(held["symbol"])
    kept = solves.filter(pl.col("conflict").is_null())["date"].implode()
    active = pl.read_parquet(portfolios / "active.parquet").filter(pl.col("date").is_in(kept))
    deviation = active.with_columns(pl.col("held").sub("benchmark").abs().alias("by"))
    assert deviation.filter(of="size")["by"].max() <= 0.1 + 1e-7
    assert deviation.filter(kind="industry")["by"].max() <= 0.01 + 1e-7
