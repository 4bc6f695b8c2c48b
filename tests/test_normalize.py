"""Normalisation of a cross-section against hand arithmetic, a plain-loop oracle and its invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_features import normalised

from polygrain.features.normalize import normalise


def row(values: list[float], members: list[bool] | None = None, log: float | None = None) -> np.ndarray:
    chosen = np.ones((1, len(values)), bool) if members is None else np.array([members])
    return normalise(np.array([values], float), chosen, log)[0]


def test_by_hand() -> None:
    # 0..30: median 15, MAD 8 (|x − 15| is 0, 1, 1, …, 15, 15), no clip below 35.6; mean 15, variance (31² − 1)/12 = 80.
    values = [float(i) for i in range(31)]
    np.testing.assert_allclose(row(values), (np.arange(31) - 15) / math.sqrt(80), rtol=1e-6)
    # A stranger at 1000 does not move them and is clipped at 15 + 3·1.4826·8 = 50.5824.
    z = row([*values, 1000.0], [True] * 31 + [False])
    np.testing.assert_allclose(z[:31], row(values), rtol=0)
    assert z[31] == pytest.approx((50.5824 - 15) / math.sqrt(80), rel=1e-6)


def test_edges() -> None:
    assert not row([float(i) for i in range(29)]).any()
    assert row([float(i) for i in range(30)]).any()
    assert not row([0.1] * 41).any()
    assert row([math.nan, math.inf, *range(40)])[:2].tolist() == [0.0, 0.0]
    # MAD = 0: no clip, so the one that differs keeps its distance: mean .025, std √(.025 · .975).
    z = row([0.0] * 39 + [1.0])
    assert z[39] == pytest.approx(0.975 / math.sqrt(0.025 * 0.975), rel=1e-6)
    # ln(0 + 0) is null.
    assert row([0.0, *range(1, 41)], log=0.0)[0] == 0.0
    assert normalise(np.empty((0, 3)), np.empty((0, 3), bool), None).shape == (0, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([None, 1e-3, 0.0]), st.sampled_from([0, 2, 6]))
def test_oracle(seed: int, log: float | None, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.standard_t(2, (3, 60)) * 2, decimals)
    x[rng.random(x.shape) < 0.1] = np.nan
    members = rng.random(x.shape) < 0.7
    fast = normalise(x, members, log)
    assert fast.dtype == np.float32
    for i in range(3):
        values = [None if math.isnan(v) else float(v) for v in x[i]]
        np.testing.assert_allclose(fast[i], normalised(values, members[i].tolist(), log), rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 200))
def test_neither_order_nor_company_changes_a_bit(seed: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    x, members = rng.standard_normal((2, 47)), rng.random((2, 47)) < 0.9
    alone = normalise(x, members, None)
    order = rng.permutation(47)
    assert normalise(x[:, order], members[:, order], None).tobytes() == alone[:, order].tobytes()
    wider = np.hstack([np.full((2, others), np.nan), x])
    fitted = np.hstack([np.ones((2, others), bool), members])
    assert normalise(wider, fitted, None)[:, others:].tobytes() == alone.tobytes()
    assert normalise(x[:1], members[:1], None).tobytes() == alone[:1].tobytes()
