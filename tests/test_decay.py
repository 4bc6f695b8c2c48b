from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from polygrain.evaluation import decay
from polygrain.evaluation.rank_ic import rank_ics_after
from polygrain.evaluation.ranking import ranking, within
from polygrain.execution.ledger import Market
from polygrain.store.panel import Array, carried

STEPS, ODD = (1, 3, 2), np.arange(1, 20, 2)


def rank_ic_by_horizon(
    scores: Array, prices: Array, mask: Array, lag: int, horizons: Sequence[int], days: Array
) -> Array:
    """Over a mask that the fill leaves as it is."""
    free, none = np.ones(prices.shape, bool), np.zeros(prices.shape)
    market = Market(lag, prices, carried(prices), prices, prices, free, free, none[0], none)
    rankings = [within(ranking(scores, range(len(scores))), mask)]
    return np.stack([rank_ics_after(rankings, market, mask, horizon, list(days)).tradable[0] for horizon in horizons])


def rank_autocorrelation(scores: Array, mask: Array, lags: Sequence[int], days: Array) -> Array:
    return decay.rank_autocorrelation(ranking(scores, range(len(scores))), mask, lags, days)


def _spearman(x: list[float], y: list[float]) -> float:
    if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return np.nan
    return float(spearmanr(x, y).statistic)


def test_rank_ic_by_horizon_by_hand() -> None:
    # Fill on day 1 at 10 each. Over 1 day 11, 12, 13: the ranking 1 2 3; over 2 days 13, 11, 12: 3 1 2, and the score's
    # 1 2 3 gives 1 − 6 · (4 + 1 + 1)/24 = −.5. Later dates' ends lie past the data but for day 1 over 1 day.
    prices = np.array([[9, 9, 9], [10, 10, 10], [11, 12, 13], [13, 11, 12.0]])
    scores = np.tile([1.0, 2.0, 3.0], (4, 1))
    found = rank_ic_by_horizon(scores, prices, np.ones((4, 3), dtype=bool), 1, [1, 2], np.arange(4))
    # Day 1: 11 → 13, 12 → 11, 13 → 12: +18%, −8.3%, −7.7%, ranks 3 1 2.
    assert found == pytest.approx(np.array([[1, -0.5, np.nan, np.nan], [-0.5, np.nan, np.nan, np.nan]]), nan_ok=True)


def test_rank_autocorrelation_by_hand() -> None:
    # 1 2 3 then 1 3 2 then 3 2 1: lag 1 gives .5 and 1 − 6 · (4 + 1 + 1)/24 = −.5, lag 2 −1.
    scores = np.array([[1, 2, 3, 7], [1, 3, 2, 9], [3, 2, 1, 8.0]])
    mask = np.array([[True, True, True, False], [True] * 4, [True, True, True, False]])
    expected = np.array([[0.5, -0.5, np.nan], [-1, np.nan, np.nan], [np.nan] * 3, [np.nan] * 3])
    assert rank_autocorrelation(scores, mask, [1, 2, 3, 4], np.arange(3)) == pytest.approx(
        expected, nan_ok=True, abs=1e-15
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_plain_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    days, stocks, lag, longest = 9, int(generator.integers(3, 25)), int(generator.integers(0, 2)), 4
    scores = np.round(generator.normal(size=(days, stocks)), 1)
    scores[generator.random(scores.shape) < 0.1] = np.nan
    prices = np.exp(np.round(generator.normal(size=scores.shape), 1).cumsum(axis=0) / 50)
    prices[generator.random(scores.shape) < 0.1] = np.nan
    mask = generator.random(scores.shape) < 0.9
    steps = range(1, longest + 1)
    ics = rank_ic_by_horizon(scores, prices, mask, lag, steps, np.arange(days))
    same = rank_autocorrelation(scores, mask, steps, np.arange(days))
    for t in range(days):
        for step in range(1, longest + 1):
            ic, auto = np.nan, np.nan
            if t + lag + step < days:
                x, y = [], []
                for s in range(stocks):
                    known = [prices[d, s] for d in range(t + lag + step, -1, -1) if np.isfinite(prices[d, s])]
                    if mask[t, s] and np.isfinite(scores[t, s]) and np.isfinite(prices[t + lag, s]):
                        x.append(scores[t, s])
                        y.append(known[0] / prices[t + lag, s] - 1)
                ic = _spearman(x, y)
            if t + step < days:
                both = [s for s in range(stocks) if mask[t, s] and mask[t + step, s]]
                both = [s for s in both if np.isfinite(scores[t, s]) and np.isfinite(scores[t + step, s])]
                auto = _spearman([scores[t, s] for s in both], [scores[t + step, s] for s in both])
            # Rounding of a correlation of at most 25 pairs.
            assert ics[step - 1, t] == pytest.approx(ic, abs=1e-12, nan_ok=True)
            assert same[step - 1, t] == pytest.approx(auto, abs=1e-12, nan_ok=True)


def test_the_order_of_stocks_and_the_scale_of_scores_do_not_matter() -> None:
    generator = np.random.default_rng(6)
    scores, prices = generator.normal(size=(20, 30)), np.exp(generator.normal(size=(20, 30)).cumsum(axis=0) / 50)
    mask, order = generator.random((20, 30)) < 0.9, generator.permutation(30)
    ics, same = rank_ic_by_horizon(scores, prices, mask, 1, STEPS, ODD), rank_autocorrelation(scores, mask, STEPS, ODD)
    # Twice a rank is a whole number, so that the sums are exact in any order.
    moved = rank_ic_by_horizon(np.exp(scores[:, order]), prices[:, order], mask[:, order], 1, STEPS, ODD)
    np.testing.assert_array_equal(moved, ics)
    np.testing.assert_array_equal(rank_autocorrelation(3 * scores[:, order] - 1, mask[:, order], STEPS, ODD), same)


def test_a_signal_of_known_life() -> None:
    # Scores follow an AR(1) of .9 a day, so that the normal correlation over l days is .9^l and Spearman's
    # 6/π · asin(.9^l / 2). Day t + 1's return is .1 · score + noise of 1: over h days the score earns
    # .1 · Σ_{j<h} .9^j against noise of √h, and its Rank IC rises to a top, later than day one.
    generator, days, stocks = np.random.default_rng(1), 120, 2000
    scores = generator.normal(size=(days, stocks))
    for day in range(1, days):
        scores[day] = 0.9 * scores[day - 1] + (1 - 0.81) ** 0.5 * scores[day]
    returns = generator.normal(size=scores.shape)
    returns[1:] += 0.1 * scores[:-1]
    prices, mask = np.exp(returns.cumsum(axis=0) / 1000), np.ones(scores.shape, dtype=bool)
    same = np.nanmean(rank_autocorrelation(scores, mask, range(1, 6), np.arange(days)), axis=1)
    for lag in range(1, 6):
        # 120 dates of 2,000 stocks; neighbours share most of what they know: an error of about .005.
        assert same[lag - 1] == pytest.approx(6 / np.pi * np.arcsin(0.9**lag / 2), abs=0.02)
    ics = np.nanmean(rank_ic_by_horizon(scores, prices, mask, 0, range(1, 11), np.arange(days)), axis=1)
    for horizon in (1, 5, 10):
        gain = [0.1 * sum(0.9 ** (j - i) for j in range(i, horizon)) for i in range(horizon)]
        signal = 0.1 * sum(0.9**j for j in range(horizon))
        fresh = sum(0.19 * g**2 for g in gain[1:])
        correlation = signal / (signal**2 + fresh + horizon) ** 0.5
        assert ics[horizon - 1] == pytest.approx(6 / np.pi * np.arcsin(correlation / 2), abs=0.015)
    assert ics[0] < ics[4]
