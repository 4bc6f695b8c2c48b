"""Declared warm-up is enough: a feature that sees more days than its `history` has the same bits, one day fewer has
others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from polygrain.compute import Pool
from polygrain.features.bars import Bars
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.library import FEATURES, Feature
from polygrain.features.panels import open_panel
from polygrain.sources.ingest import ingest
from polygrain.sources.synthetic import Synthetic
from polygrain.store.store import Store

STOCKS, DAYS = 36, 84
# Bars of 15 minutes: an hour holds four, which is enough for every feature.
GRANULARITIES = [Granularity(name=bar, bar=bar) for bar in ("week", "day", "60min", "30min", "15min")]
WHOLE = 10_000
Panels = dict[tuple[str, str], np.ndarray]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five months, so that four of them begin with days behind them."""
    source = Synthetic(stocks=STOCKS, days=DAYS, bar="15min", seed=2)
    return ingest(source, tmp_path_factory.mktemp("store") / "store")


@contextmanager
def _library(features: dict[str, Feature]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, feature in features.items():
            patch.setitem(FEATURES, name, feature)
        yield


def _built(store: Store, folder: Path, features: dict[str, Feature]) -> Panels:
    """Each feature's panel [rows, stocks] by (granularity, feature), the library's features replaced by these."""
    found: Panels = {}
    with _library(features):
        paths = build(store, GRANULARITIES, np.ones((DAYS, len(store.symbols)), bool), folder, Pool(1))
        for granularity, path in paths.items():
            panel = open_panel(path)
            found |= {(granularity, name): panel.values[..., i].copy() for i, name in enumerate(panel.features)}
    return found


def _with_history(days: dict[str, int]) -> dict[str, Feature]:
    return {name: dataclasses.replace(FEATURES[name], history=history) for name, history in days.items()}


@pytest.fixture(scope="module")
def declared(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Panels:
    return _built(store, tmp_path_factory.mktemp("declared"), {})


@pytest.mark.parametrize("history", [lambda h: 2 * h, lambda h: 4 * h, lambda h: WHOLE], ids=["2W", "4W", "whole"])
def test_more_history_than_declared_changes_no_bit(store: Store, declared: Panels, tmp_path: Path, history) -> None:
    longer = _built(store, tmp_path, _with_history({name: history(f.history) for name, f in FEATURES.items()}))
    assert longer.keys() == declared.keys()
    # Week, day and hour hold all 26 features, half an hour 15, a quarter of one 12.
    assert len(declared) == 3 * 26 + 15 + 12
    for key, values in declared.items():
        assert len(np.unique(values)) > STOCKS, key
        assert values.tobytes() == longer[key].tobytes(), key


def _mean_of_days(days: int):
    """A feature that sees `days` days before its bar."""

    def function(bars: Bars) -> np.ndarray:
        now = bars.total("a")
        return np.log(now / np.concatenate([bars.history(now, days), now[:, None]], axis=1).mean(axis=1))

    return function


@pytest.mark.parametrize("days", [5, 20])
@pytest.mark.parametrize("short", [0, 1])
def test_a_feature_that_declares_a_day_too_few_is_noticed(store: Store, tmp_path: Path, days: int, short: int) -> None:
    """On amount_surge's place: days 5 and 20 are also the oldest that one week, and four, reach back to."""
    planted = dataclasses.replace(FEATURES["amount_surge"], function=_mean_of_days(days))
    found = [
        _built(store, tmp_path / str(history), {"amount_surge": dataclasses.replace(planted, history=history)})
        for history in (days - short, WHOLE)
    ]
    for granularity in GRANULARITIES:
        first, second = (panels[granularity.name, "amount_surge"] for panels in found)
        assert (first.tobytes() == second.tobytes()) == (short == 0), granularity.name
        assert len(np.unique(second)) > STOCKS, granularity.name


def test_no_declared_history_is_longer_than_what_is_seen(store: Store, declared: Panels, tmp_path: Path) -> None:
    seeing = {name: f.history for name, f in FEATURES.items() if f.history}
    assert seeing
    shorter = _built(store, tmp_path, _with_history({name: history - 1 for name, history in seeing.items()}))
    for (granularity, name), values in declared.items():
        assert (values.tobytes() == shorter[granularity, name].tobytes()) == (name not in seeing), (granularity, name)
