"""The protocol of recovery: pooled errors by hand, and claims that fail where they should."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from polygrain.ensembles.ensemble import ENSEMBLES
from polygrain.models.network import NETWORKS

BENCH = Path(__file__).parents[1] / "bench"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recovery() -> ModuleType:
    return script("recovery")


@pytest.fixture(scope="module")
def models(recovery: ModuleType) -> ModuleType:
    return script("models")


def test_pooled_by_hand(recovery: ModuleType) -> None:
    # 1 3: mean 2, γ0 = 1, γ1 = −1/2 weighs 15/16: variance 1 − 15/16 = 1/16, error √(1/16 / 2). 5 5 5: error 0.
    found = recovery.pooled([np.array([1.0, np.nan, 3.0]), np.array([5.0, 5.0, 5.0])])
    assert found.mean == pytest.approx((2 * 2 + 3 * 5) / 5)
    assert found.error == pytest.approx(2 * (1 / 32) ** 0.5 / 5)
    # What one market's dates have to do with another's does not count.
    ends = [np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])]
    assert recovery.pooled(ends).error == pytest.approx(recovery.pooled(ends[::-1]).error)


def markets(recovery: ModuleType, levels: dict[str, float], fine: dict[str, float]) -> list:
    rng = np.random.default_rng(2)

    def series(means: dict[str, float]) -> dict[str, np.ndarray]:
        return {model: mean + 0.05 * rng.standard_normal(160) for model, mean in means.items()}

    return [recovery.Measured(series(levels), series(fine)) for _ in range(5)]


@pytest.mark.parametrize(("lead", "ensemble", "held"), [(0.1, 0.2, [True, True]), (0.0, 0.15, [False, False])])
def test_claims_with_signals(recovery: ModuleType, lead: float, ensemble: float, held: list[bool]) -> None:
    levels = {"day": 0.15, "30min": 0.18, "ensemble": ensemble, "naive": 0.05, "oracle": 0.3}
    fine = {"day": 0.1, "30min": 0.1 + lead, "ensemble": 0.1, "naive": 0.0, "oracle": 0.7}
    lines, claims = recovery.with_signals(markets(recovery, levels, fine))
    assert [claim[1] for claim in claims] == held
    assert len(lines) == 1 + len(levels)


@pytest.mark.parametrize(("level", "held"), [(0.0, True), (-0.03, False), (0.03, False)])
def test_the_claim_without_signals(recovery: ModuleType, level: float, held: bool) -> None:
    _, claims = recovery.without(markets(recovery, {"day": 0.0, "ensemble": level, "naive": 0.5}, {}))
    assert [claim[1] for claim in claims] == [held]


def test_every_kind_is_compared(models: ModuleType) -> None:
    experiment = models.experiment(11)
    assert {network.kind for network in experiment.network.values()} == set(NETWORKS)
    assert {ensemble.kind for ensemble in experiment.ensemble.values()} == set(ENSEMBLES)
    weights = {network.reconstruction for network in experiment.network.values() if network.kind == "residual"}
    assert weights == {0.0, 0.01, 0.1, 1.0}


@pytest.mark.parametrize(("mixed", "held"), [(0.2, True), (0.17, False)])
def test_the_claim_on_what_reads_several(models: ModuleType, mixed: float, held: bool) -> None:
    rng = np.random.default_rng(2)
    levels = {"day": 0.15, "30min_tcn": 0.19, "mixed": mixed, "ensemble": 0.21, "naive": 0.05, "oracle": 0.3}
    made = [{name: level + 0.05 * rng.standard_normal(160) for name, level in levels.items()} for _ in range(5)]
    lines, [(claim, holds)] = models.compared(made)
    assert holds == held
    assert "worse than 30min_tcn by" in claim
    # Pairs below their two headings, the best model first: antisymmetric.
    first = lines.index("difference of row and column in standard errors") + 2
    pairs = np.array([line.split()[1:] for line in lines[first : first + 4]], dtype=float)
    assert lines[1].split()[1] == "ensemble"
    np.testing.assert_array_equal(pairs, -pairs.T)
    assert pairs[0, 3] > 3
