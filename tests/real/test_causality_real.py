"""The proof on real 15-minute bars: nothing depends on the future, and leaks planted in the real stages are caught."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from planted_leaks import CONTROLS, LEAKS, LEAKS_INTO_SAMPLES

from polygrain.compute import pool
from polygrain.config import Experiment, load
from polygrain.features.library import FEATURES
from polygrain.prove.causality import CUTOFFS, Proof, proof_settings
from polygrain.prove.perturb import REPLACEMENTS
from polygrain.prove.sample import Sample, sample
from polygrain.sources.ingest import ingest

pytestmark = pytest.mark.skipif(
    "POLYGRAIN_REAL_DATA" not in os.environ, reason="needs real market data: set POLYGRAIN_REAL_DATA to its folder"
)
CONFIG = Path(__file__).parents[2] / "examples" / "cn_a_15min.toml"
PARTS = 2
# What these files lack, and what therefore cannot be known too early in them.
NOT_THERE = {
    "tomorrow's ST flag": "no ST column",
    "delistings known before they come": "no listings; survivors only",
    "tomorrow's industries": "industries of one later date, that hold for all days",
}


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    network = 'network={gru={kind="single",suffix="",encoder={hidden=8}}}'
    granularity = (
        '[{name="week",bar="week"},{name="day",bar="day"},{name="60min",bar="60min"},{name="30min",bar="30min"}]'
    )
    learnt = 'ensemble.attention={kind="attention",equal=0.01}'
    return proof_settings(load(CONFIG, ["label.days=[5]", network, f"granularity={granularity}", learnt]))


@pytest.fixture(scope="module")
def lean(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"network": {}})


@pytest.fixture(scope="module")
def market(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    store = ingest(experiment.source, tmp_path_factory.mktemp("store") / "store")
    return sample(store, days=42, before=30, stocks=48)


@pytest.mark.parametrize("share", range(PARTS))
def test_no_value_depends_on_the_future(experiment: Experiment, market: Sample, tmp_path: Path, share: int) -> None:
    with pool(1) as alone:
        proof = Proof(experiment, market, tmp_path, alone)
        cutoffs = list(enumerate(proof.cutoffs()))
        assert len({cutoff for _, cutoff in cutoffs}) == CUTOFFS >= 55
        mine = cutoffs[share::PARTS]
        checked = [proof.check(cutoff, how, seed=i) for i, cutoff in mine for how in REPLACEMENTS]
    assert {str(violation) for each in checked for violation in each.violations} == set()
    assert sum(each.cells for each in checked) > 50_000_000
    base_bars = {"week": 80, "day": 16, "60min": 4, "30min": 2, "15min": 1}
    # The files have no shares.
    known = [f for f in FEATURES.values() if f.needs != "float_shares"]
    assert proof.features == {(name, f.name) for name, m in base_bars.items() for f in known if f.min_bars <= m}
    assert all(proof.varied(cutoff) == proof.features for _, cutoff in mine)


def _caught(experiment: Experiment, market: Sample, folder: Path) -> bool:
    """Whether a cutoff shows anything; the first that does is the last."""
    with pool(1) as alone, np.errstate(all="ignore"):
        proof = Proof(experiment, market, folder, alone)
        return any(
            proof.check(cutoff, how, seed=i).violations
            for i, cutoff in enumerate(proof.cutoffs())
            for how in REPLACEMENTS
        )


@pytest.mark.parametrize("leak", [leak for leak in LEAKS if leak not in NOT_THERE])
def test_a_planted_leak_is_caught(
    lean: Experiment, market: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    LEAKS[leak](monkeypatch)
    assert _caught(lean, market, tmp_path)


@pytest.mark.parametrize("leak", LEAKS_INTO_SAMPLES)
def test_a_leak_planted_after_the_features_is_caught(
    experiment: Experiment, market: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    LEAKS_INTO_SAMPLES[leak](monkeypatch)
    assert _caught(experiment, market, tmp_path)


def test_the_leaks_that_are_left_out_have_nothing_to_leak(market: Sample) -> None:
    assert set(NOT_THERE) < set(LEAKS)
    assert "st" not in market.tables["daily"].columns
    assert "listings" not in market.tables


@pytest.mark.parametrize("control", CONTROLS)
def test_a_planted_control_that_sees_nothing_later_is_not_caught(
    lean: Experiment, market: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: str
) -> None:
    CONTROLS[control](monkeypatch)
    with pool(1) as alone, np.errstate(all="ignore"):
        proof = Proof(lean, market, tmp_path, alone)
        for i, cutoff in enumerate(proof.cutoffs(4)):
            for how in REPLACEMENTS:
                assert proof.check(cutoff, how, seed=i).violations == []
