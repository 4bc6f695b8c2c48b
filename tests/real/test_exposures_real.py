"""Exposures on real A-share days: what these files can give, and the styles as they are known to behave."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from polygrain.config import load
from polygrain.pipeline.exposing import gaps, neutral_sets
from polygrain.pipeline.market import Market
from polygrain.sources.ingest import ingest

pytestmark = pytest.mark.skipif(
    "POLYGRAIN_REAL_DATA" not in os.environ, reason="needs real market data: set POLYGRAIN_REAL_DATA to its folder"
)
CONFIG = Path(__file__).parents[2] / "examples" / "cn_a_daily.toml"
FUNDAMENTALS = (
    'source.daily={path="hs300_fundamentals_2020_2022h1.parquet", amount="column", '
    'columns={market_value="float_mv_est", pb="pbMRQ", turn="turn"}}'
)


def market(folder: Path, *changes: str) -> Market:
    experiment = load(CONFIG, [*changes, 'granularity=[{name="day",bar="day"}]'])
    return Market(experiment, ingest(experiment.source, folder / "store"))


def test_prices_alone(tmp_path: Path) -> None:
    daily = 'source.daily={path="daily_2024h2_2025.parquet", columns={factor="adj_factor", suspended="paused"}, '
    found = market(tmp_path, daily + 'amount="typical_price"}', "protocol.lock_after=2030-01-01")
    panels = found.exposures
    assert panels.names == ("reversal", "momentum", "volatility", "liquidity")
    assert "110 industries are put together into 30 groups." in panels.notes
    assert any(sentence.startswith("Industries are one later date's, not point in time") for sentence in panels.missing)
    assert list(neutral_sets(found)) == ["industry", "reversal+volatility+industry"]
    assert "Rank IC after neutralising lacks size, turnover." in [text.en for text in gaps(found, np.arange(300, 320))]
    # One stock of these has no industry; all have every style once there is a year of days.
    codes, members = panels.industries.codes, found.members
    assert {found.quotes.axes.symbols[s] for s in np.flatnonzero((codes[-1] == 0) & members[-1])} <= {"601026.SH"}
    for name in panels.names:
        assert np.isfinite(panels.style(name)[300:][members[300:]]).all(), name
        values = panels.style(name)[-1, members[-1]].astype(float)
        assert values.std() == pytest.approx(1, abs=0.02), name
        assert np.abs(values).max() < 6, name


def test_columns_of_the_fundamentals_serve(tmp_path: Path) -> None:
    settings = 'exposures={cap="market_value", columns={price_to_book="pb", turnover="turn"}}'
    found = market(tmp_path, FUNDAMENTALS, settings, "protocol.lock_after=2030-01-01")
    panels = found.exposures
    assert {"size", "mid_cap", "turnover", "price_to_book"} <= set(panels.names)
    last, members = found.quotes.close.shape[0] - 1, found.members[-1]
    size = panels.style("size")[last]
    # 600519 and 601398 are the largest two of the CSI 300; large caps turn over less.
    names = found.quotes.axes.symbol_number
    assert size[names["600519.SH"]] > np.quantile(size[members], 0.95)
    assert np.corrcoef(size[members], panels.style("turnover")[last, members])[0, 1] < -0.1
    # Banks stand at the lowest prices of their books.
    bank = panels.industries.codes[last] == panels.industries.names.index("银行")
    dear = panels.style("price_to_book")[last]
    assert dear[members & bank].mean() < dear[members].mean() - 0.3
