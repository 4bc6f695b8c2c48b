"""The build over a store: against the oracle end to end, resumed, appended, split and damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reference_features as oracle
from ragged_bars import Ragged, memory, ragged

from polygrain.compute import Pool, pool
from polygrain.errors import ConfigError, DataError
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.library import FEATURES
from polygrain.features.panels import open_panel
from polygrain.sources.ingest import ingest
from polygrain.store.store import Store

# 36 weekdays from 2024-01-15 reach into a third month; a cross-section needs 30 stocks with a value.
MARKET = ragged(5, days=36, stocks=50, nb=4)
DAY, HOUR, WEEK = (Granularity(name=name, bar=name) for name in ("day", "60min", "week"))


def members_of(days: int) -> np.ndarray:
    return np.random.default_rng(0).random((36, 50))[:days] < 0.95


def store_of(market: Ragged, folder: Path, days: int = 36) -> Store:
    """The market's first `days` days, ingested."""
    last = market.days[days - 1]
    assert market.bars is not None
    cut = replace(
        market,
        daily=market.daily.filter(pl.col("date") <= last),
        bars=market.bars.filter(pl.col("date") <= last),
    )
    return ingest(memory(cut), folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(MARKET, tmp_path_factory.mktemp("store"))


def test_oracle(store: Store, tmp_path: Path) -> None:
    members = members_of(36)
    paths = build(store, [DAY, HOUR, WEEK], members, tmp_path, Pool(1))
    for name, m in (("day", 4), ("60min", 1), ("week", None)):
        panel = open_panel(paths[name])
        slots = panel.axes.bars
        assert panel.axes.days == MARKET.days
        assert panel.axes.symbols == MARKET.symbols
        assert panel.values.shape == (36 * slots, 50, len(panel.features))
        for f, feature in enumerate(panel.features):
            raw = [oracle.feature(feature, stock, m, 36) for stock in MARKET.stocks]
            for d in range(36):
                for slot in range(slots):
                    row = [stock[d][slot] for stock in raw]
                    slow = oracle.normalised(row, members[d].tolist(), FEATURES[feature].log)
                    fast = panel.values[d * slots + slot, :, f]
                    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-5, err_msg=f"{name} {feature} {d} {slot}")
        flat = [name for f, name in enumerate(panel.features) if not panel.values[:, :, f].any()]
        assert not flat


def test_only_what_changed_is_computed(store: Store, tmp_path: Path) -> None:
    done: list[str] = []
    first = build(store, [DAY], members_of(36), tmp_path, Pool(1), done.append)
    assert sorted(done) == [f"features of 2024-0{i}: {days} days" for i, days in ((1, 13), (2, 21), (3, 2))]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert build(store, [DAY], members_of(36), tmp_path, Pool(1), done.append) == first
    assert len(done) == 3
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    # A second granularity leaves the first one's shards alone; other members on the last day touch one month.
    build(store, [DAY, WEEK], members_of(36), tmp_path, Pool(1))
    assert (tmp_path / "day" / "2024-01.safetensors").stat().st_mtime_ns == before[tmp_path / "day/2024-01.safetensors"]
    members = members_of(36)
    members[-1] = ~members[-1]
    done.clear()
    changed = build(store, [DAY], members, tmp_path, Pool(1), done.append)
    assert done == ["features of 2024-03: 1 days"]
    assert changed != first
    assert sorted(path.name for path in tmp_path.glob("panel-day-*.npy")) == [changed["day"].name]


def test_appended_days_equal_a_rebuild(store: Store, tmp_path: Path) -> None:
    granularities = [DAY, HOUR, WEEK]
    whole = build(store, granularities, members_of(36), tmp_path / "whole", Pool(1))
    for days in (1, 30, 34, 36):
        part = store_of(MARKET, tmp_path / "store", days)
        # Until the last stocks are listed the store knows fewer of them.
        columns = [MARKET.symbols.index(symbol) for symbol in part.symbols]
        paths = build(part, granularities, members_of(days)[:, columns], tmp_path / "part", Pool(1))
        for name, path in paths.items():
            full, grown = open_panel(whole[name]), open_panel(path)
            expected = full.values[: days * full.axes.bars][:, columns]
            assert grown.values.tobytes() == np.ascontiguousarray(expected).tobytes(), f"{name} {days}"
    for shard in sorted((tmp_path / "whole").rglob("*.safetensors")):
        assert shard.read_bytes() == (tmp_path / "part" / shard.relative_to(tmp_path / "whole")).read_bytes()


def test_a_new_day_costs_a_day(tmp_path: Path) -> None:
    done: list[str] = []
    build(store_of(MARKET, tmp_path / "store", 34), [DAY, WEEK], members_of(34), tmp_path / "f", Pool(1), done.append)
    done.clear()
    grown = store_of(MARKET, tmp_path / "store", 35)
    columns = [MARKET.symbols.index(symbol) for symbol in grown.symbols]
    build(grown, [DAY, WEEK], members_of(35)[:, columns], tmp_path / "f", Pool(1), done.append)
    assert done == ["features of 2024-03: 1 days"]


def test_a_restated_day_is_computed_anew_with_the_days_after_it(store: Store, tmp_path: Path) -> None:
    # Day 10 is 2024-01-29. The amounts of the 20 days before enter each day's surge; before March they are February's.
    assert MARKET.bars is not None
    day = pl.col("date") == MARKET.days[10]
    restated = replace(MARKET, bars=MARKET.bars.with_columns(amount=pl.when(day).then(1e6).otherwise("amount")))
    done: list[str] = []
    build(store, [HOUR], members_of(36), tmp_path / "part", Pool(1))
    changed = store_of(restated, tmp_path / "store")
    part = build(changed, [HOUR], members_of(36), tmp_path / "part", Pool(1), done.append)
    assert done == [f"features of 2024-0{month}: {days} days" for month, days in ((1, 3), (2, 21))]
    whole = build(changed, [HOUR], members_of(36), tmp_path / "whole", Pool(1))
    assert part["60min"].read_bytes() == whole["60min"].read_bytes()
    assert not np.array_equal(
        open_panel(whole["60min"]).values,
        open_panel(build(store, [HOUR], members_of(36), tmp_path, Pool(1))["60min"]).values,
    )


def test_half_precision_rounds_the_panel_and_nothing_else(store: Store, tmp_path: Path) -> None:
    single = build(store, [HOUR], members_of(36), tmp_path, Pool(1))["60min"]
    values = open_panel(single).values.copy()
    done: list[str] = []
    half = build(store, [HOUR], members_of(36), tmp_path, Pool(1), done.append, precision="half")["60min"]
    assert done == []
    assert open_panel(half).values.dtype == np.float16
    assert np.array_equal(open_panel(half).values, values.astype(np.float16))
    # 11 significant bits: at most 2⁻¹¹ of the value.
    assert (np.abs(open_panel(half).values - values) <= 2.0**-11 * np.abs(values) + 1e-7).all()


def test_two_processes_write_the_same_bytes(store: Store, tmp_path: Path) -> None:
    alone = build(store, [DAY], members_of(36), tmp_path / "one", Pool(1))
    with pool(2) as two:
        both = build(store, [DAY], members_of(36), tmp_path / "two", two)
    assert alone["day"].read_bytes() == both["day"].read_bytes()


def test_daily_data_alone(tmp_path: Path) -> None:
    market = ragged(9, days=30, stocks=31, nb=1)
    store = ingest(memory(market), tmp_path / "store")
    panels = build(store, [DAY, WEEK], np.ones((30, 31), bool), tmp_path / "features", Pool(1))
    assert len(open_panel(panels["week"]).features) == 26
    assert len(open_panel(panels["day"]).features) == 12
    with pytest.raises(ConfigError, match="60min is not a whole number of base bars of day"):
        build(store, [HOUR], np.ones((30, 31), bool), tmp_path / "features", Pool(1))


def test_damage_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"members: holds \(3, 50\), not 36 days × 50 symbols"):
        build(store, [DAY], members_of(3), tmp_path, Pool(1))
    path = build(store, [DAY], members_of(36), tmp_path, Pool(1))["day"]
    shard = tmp_path / "day" / "2024-02.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(bytes(content))
    path.unlink()
    with pytest.raises(DataError, match="no panel there; build the features first"):
        open_panel(path)
    with pytest.raises(DataError, match=r"2024-02\.safetensors: is damaged"):
        build(store, [DAY], members_of(36), tmp_path, Pool(1))
    shard.unlink()
    assert build(store, [DAY], members_of(36), tmp_path, Pool(1))["day"] == path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="is damaged; remove it and build the features again"):
        open_panel(path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DataError, match=r"panel-day-\w+\.json: is damaged"):
        open_panel(path)
