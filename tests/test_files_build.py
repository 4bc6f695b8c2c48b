"""From files to panels: every base bar and granularity of three sessions against the oracle; layouts change no bit."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
import reference_features as oracle
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ragged_bars import Ragged, ragged, tickers
from ragged_files import Form, Stamp, source_of

from polygrain.compute import Pool
from polygrain.features.bars import Bars, SlotBars
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.grid import grid
from polygrain.features.library import FEATURES, compute
from polygrain.features.panels import open_panel
from polygrain.features.totals import Totals
from polygrain.features.weeks import WeekBars
from polygrain.market.session import Session
from polygrain.sources.files import Files
from polygrain.sources.ingest import ingest
from polygrain.store.store import Store

A_SHARES = Session()
NEW_YORK = Session(segments=("09:30-16:00",))
HONG_KONG = Session(segments=("09:30-12:00", "13:00-16:00"))
STOCKS = 40


def bar_length(name: str) -> Granularity:
    return Granularity(name=name, bar=name, short_last_bar=name not in ("day", "week"))


def market_of(session: Session, base: str, days: int, stocks: int = STOCKS) -> Ragged:
    nb = 1 if base == "day" else session.minutes // session.minutes_of(base)
    symbols = None if session == A_SHARES else tickers(stocks)
    return ragged(session.minutes + nb, days=days, stocks=stocks, nb=nb, session=session, symbols=symbols)


def views_of(store: Store, base: str, granularities: list[Granularity]) -> dict[str, Bars]:
    """The stored market as the Bars of each granularity, float64, before normalisation."""
    session = Session(segments=store.facts.segments)
    bars = None if base == "day" else store.bars(store.bar_months)
    totals = Totals(grid(bars, store.daily(), store.days, store.symbols, session, base))
    return {
        g.name: WeekBars(totals, 0) if g.bar == "week" else SlotBars(totals, session.minutes_of(g.bar), 0)
        for g in granularities
    }


CASES: list[tuple[Session, str, Form, Stamp, int, tuple[str, ...]]] = [
    (A_SHARES, "1min", "parquet", "end", 6, ("week", "day", "60min", "30min", "1min")),
    (A_SHARES, "5min", "csv", "start", 23, ("week", "day", "60min", "30min", "5min")),
    (A_SHARES, "15min", "parquet", "start", 23, ("week", "day", "60min", "30min", "15min")),
    (A_SHARES, "30min", "csv", "end", 23, ("week", "day", "60min", "30min")),
    (A_SHARES, "day", "csv", "end", 27, ("week", "day")),
    (NEW_YORK, "1min", "csv", "start", 6, ("week", "day", "60min", "30min", "1min", "78min")),
    (NEW_YORK, "5min", "parquet", "end", 23, ("week", "day", "60min", "30min", "5min", "65min", "130min")),
    (NEW_YORK, "15min", "csv", "end", 23, ("week", "day", "60min", "30min", "15min")),
    (NEW_YORK, "30min", "parquet", "start", 23, ("week", "day", "60min", "30min")),
    (NEW_YORK, "day", "parquet", "end", 27, ("week", "day")),
    (HONG_KONG, "30min", "csv", "start", 23, ("week", "day", "60min", "30min")),
    (HONG_KONG, "5min", "parquet", "end", 23, ("day", "60min", "55min")),
]


@pytest.mark.parametrize(
    ("session", "base", "form", "stamp", "days", "lengths"), CASES, ids=[f"{c[0].minutes}-{c[1]}-{c[2]}" for c in CASES]
)
def test_oracle(
    tmp_path: Path, session: Session, base: str, form: Form, stamp: Stamp, days: int, lengths: tuple[str, ...]
) -> None:
    market = market_of(session, base, days)
    store = ingest(source_of(market, tmp_path / "in", form, stamp=stamp), tmp_path / "store")
    assert (store.symbols, store.days) == (market.symbols, market.days)
    members = np.random.default_rng(0).random((days, STOCKS)) < 0.95
    granularities = [bar_length(name) for name in lengths]
    paths = build(store, granularities, members, tmp_path / "features", Pool(1))
    views = views_of(store, base, granularities)
    for granularity in granularities:
        panel = open_panel(paths[granularity.name])
        m = None if granularity.bar == "week" else session.bars_in(granularity.bar, base)
        slots = 1 if m is None else -(-market.nb // m)
        assert panel.values.shape == (days * slots, STOCKS, len(panel.features))
        # The last day, on which the surge has its history: the bar in its middle and its last one.
        for f, feature in enumerate(panel.features):
            fast = compute(feature, views[granularity.name])
            for slot in sorted({slots // 2, slots - 1}):
                where = f"{granularity.name} {feature} {slot}"
                at = (days - 1) * slots + slot
                row = [oracle.at(feature, stock, m, days - 1, slot) for stock in market.stocks]
                # Sums in another order: relative to values of order 1 the two differ by a few 1e-14.
                np.testing.assert_allclose(fast[at], np.array(row, float), rtol=1e-12, atol=1e-12, err_msg=where)
                slow = oracle.normalised(row, members[-1].tolist(), FEATURES[feature].log)
                # A float32 holds seven digits.
                np.testing.assert_allclose(panel.values[at, :, f], slow, rtol=1e-5, atol=1e-5, err_msg=where)
            assert np.isfinite(fast).any() or (feature == "amount_surge" and days < 11), f"{feature} is null everywhere"


By = Literal["file", "day", "month", "symbol", "lot"]
LAYOUTS = market_of(NEW_YORK, "30min", 26, 34)


def split(frame: pl.DataFrame, by: By, seed: int) -> list[pl.DataFrame]:
    """The rows in random order, in one file or one per day, month, symbol, or in files drawn by lot."""
    rng = np.random.default_rng(seed)
    frame = frame[rng.permutation(len(frame))]
    if by == "file":
        return [frame]
    day = pl.col("time" if "time" in frame.columns else "date").cast(pl.Date)
    keys = {"day": day, "month": day.dt.truncate("1mo"), "symbol": pl.col("symbol")}
    key = keys.get(by, pl.Series(rng.integers(0, 5, len(frame))))
    return frame.with_columns(key.alias("file")).partition_by("file", include_key=False)


def written(source: Files, folder: Path) -> dict[str, object]:
    """All that is made of a source up to the panels: the store's files, its facts, and every panel's bytes."""
    store = ingest(source, folder / "store")
    kept = {path.name: path.read_bytes() for path in sorted(store.folder.rglob("*.parquet"))}
    members = np.random.default_rng(0).random((len(store.days), len(store.symbols))) < 0.95
    granularities = [bar_length(name) for name in ("week", "day", "60min")]
    panels = build(store, granularities, members, folder / "features", Pool(1))
    return {
        "store": kept,
        "facts": store.facts.model_copy(update={"source": ""}),
        "panels": {name: path.read_bytes() for name, path in panels.items()},
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("one")
    return written(source_of(LAYOUTS, folder / "in", "csv"), folder)


@settings(max_examples=4, deadline=None)
@given(
    st.sampled_from(["csv", "parquet"]),
    st.sampled_from(["start", "end"]),
    st.sampled_from(["file", "day", "month", "symbol", "lot"]),
    st.sampled_from(["file", "day", "month", "symbol", "lot"]),
    st.integers(0, 2**32 - 1),
)
@example("parquet", "start", "day", "symbol", 1)
@example("csv", "end", "symbol", "month", 2)
@example("parquet", "end", "month", "lot", 3)
@example("parquet", "end", "lot", "day", 4)
def test_the_layout_of_the_files_changes_no_bit(
    expected: dict[str, object], form: Form, stamp: Stamp, by: By, daily_by: By, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        source = source_of(
            LAYOUTS,
            Path(name) / "in",
            form,
            stamp=stamp,
            split=lambda frame: split(frame, by, seed),
            daily_split=lambda frame: split(frame, daily_by, seed + 1),
        )
        assert written(source, Path(name)) == expected


def test_factors_scaled_by_a_constant_change_no_bit_of_the_panels(expected: dict[str, object], tmp_path: Path) -> None:
    # Every stock by its own constant.
    scale = pl.col("symbol").replace_strict(LAYOUTS.symbols, np.geomspace(1e-3, 37.7, 34), return_dtype=pl.Float64)
    scaled = replace(LAYOUTS, daily=LAYOUTS.daily.with_columns(pl.col("factor") * scale))
    made = written(source_of(scaled, tmp_path / "in", "csv"), tmp_path)
    assert made["store"] != expected["store"]
    assert made["panels"] == expected["panels"]
