import warnings

import numpy as np
import pandas as pd
import pytest
from alphalens.performance import factor_information_coefficient
from alphalens.utils import get_clean_factor_and_forward_returns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from polygrain.evaluation.rank_ic import rank_ic
from polygrain.samples.labels import forward_returns


def test_by_hand() -> None:
    # Ranks 1 2 3 and 1 3 2: 1 − 6 · (0 + 1 + 1) / (3 · 8) = .5; reversed: −1; the fourth stock is outside the mask.
    scores = np.array([[1, 2, 3, 9.0], [1, 2, 3, 9.0]])
    returns = np.array([[1, 3, 2, 0.0], [3, 2, 1, 9.0]])
    mask = np.array([[True, True, True, False]] * 2)
    assert rank_ic(scores, returns, mask) == pytest.approx([0.5, -1.0], abs=1e-15)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    days, stocks = 3, int(generator.integers(3, 60))
    scores = np.round(generator.normal(size=(days, stocks)), int(generator.integers(0, 4)))
    returns = np.round(generator.normal(size=(days, stocks)), int(generator.integers(0, 4)))
    scores[generator.random((days, stocks)) < 0.1] = np.nan
    returns[generator.random((days, stocks)) < 0.1] = np.nan
    mask = generator.random((days, stocks)) < 0.9
    result = rank_ic(scores, returns, mask)
    for day in range(days):
        both = mask[day] & np.isfinite(scores[day]) & np.isfinite(returns[day])
        x, y = scores[day, both], returns[day, both]
        if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
            assert np.isnan(result[day])
        else:
            assert result[day] == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_undefined_days_are_nan() -> None:
    scores = np.array([[1, 2, np.nan, np.nan], [1, 1, 1, 1], [1, 2, 3, 4.0]])
    returns = np.array([[1, 2, 3, 4.0], [1, 2, 3, 4.0], [np.nan] * 4])
    assert np.isnan(rank_ic(scores, returns, np.ones((3, 4), dtype=bool))).all()


def test_a_day_sees_itself_only() -> None:
    generator = np.random.default_rng(1)
    scores, returns = generator.normal(size=(2, 150, 20))
    mask = np.ones(scores.shape, dtype=bool)
    whole = rank_ic(scores, returns, mask)
    assert rank_ic(scores[70:71], returns[70:71], mask[70:71])[0] == whole[70]


def test_equals_alphalens() -> None:
    """On prices that are all there: it would fill a missing one with the day's before."""
    generator = np.random.default_rng(4)
    days, stocks, horizon = pd.bdate_range("2021-01-04", periods=40), 60, 5
    prices = np.exp(generator.normal(0, 0.02, (len(days), stocks)).cumsum(axis=0))
    scores = np.round(generator.normal(size=prices.shape), 1)
    scores[generator.random(scores.shape) < 0.1] = np.nan
    names = [f"{600000 + i}.SH" for i in range(stocks)]
    factor = pd.DataFrame(scores, days, names).stack().rename_axis(["date", "asset"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = get_clean_factor_and_forward_returns(
            factor, pd.DataFrame(prices, days, names), quantiles=5, periods=(horizon,), max_loss=1.0
        )
        theirs = factor_information_coefficient(clean)
    ours = rank_ic(scores, forward_returns(prices, 0, horizon), np.ones(scores.shape, bool))
    assert len(theirs) == len(days) - horizon
    # Two ways to round one correlation.
    np.testing.assert_allclose(ours[: len(theirs)], theirs.to_numpy()[:, 0], rtol=0, atol=1e-12)
