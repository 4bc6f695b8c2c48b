"""The oracle beside the models: the source's own scores over U_t, and none where nobody knows what will come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from market_panels import panel

from polygrain.config import load
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE, oracle_scores
from polygrain.sources.ingest import ingest
from polygrain.sources.source import SOURCES, Source
from polygrain.sources.synthetic import Synthetic

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"


def market(folder: Path, *changes: str) -> Market:
    experiment = load(TINY, ["label.days=[5, 10]", "source.stocks=30", *changes])
    return Market(experiment, ingest(experiment.source, folder))


def test_it_is_the_source_s_score_standardised_over_the_universe(tmp_path: Path) -> None:
    found = market(tmp_path)
    source = found.experiment.source
    assert isinstance(source, Synthetic)
    scores = oracle_scores(found, [5, 10])
    assert list(scores) == [(ORACLE, 5), (ORACLE, 10)]
    for (_, horizon), made in scores.items():
        plain = panel(source, source.oracle(horizon), "score")
        assert made.shape == (len(found.store.bar_days), len(found.store.symbols))
        for row, day in enumerate(found.store.bar_days):
            number = found.quotes.axes.day_number[day]
            inside = found.members[number]
            np.testing.assert_array_equal(np.isfinite(made[row]), inside)
            if inside.any():
                expected = (plain[number, inside] - plain[number, inside].mean()) / plain[number, inside].std()
                np.testing.assert_allclose(made[row, inside], expected, atol=1e-5)


def test_without_signals_or_on_a_source_of_its_own_kind_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert oracle_scores(market(tmp_path / "a", "source.strength=0"), [5]) == {}
    with_signals = market(tmp_path / "b")
    monkeypatch.setattr(Synthetic, "oracle", Source.oracle)
    assert oracle_scores(with_signals, [5]) == {}


def test_no_source_of_real_data_has_one() -> None:
    assert [name for name, kind in SOURCES.items() if kind.oracle is not Source.oracle] == ["synthetic"]
