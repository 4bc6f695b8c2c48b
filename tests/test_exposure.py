"""Exposure of scores on one date: hand arithmetic, plain loops, least squares by other means, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
import reference_exposures as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from polygrain.evaluation.exposure import (
    chance_share,
    industry_means,
    industry_share,
    neutralised,
    rank_correlations,
)


def test_rank_correlations_by_hand() -> None:
    # Ranks 1 2 3 with 1 3 2: 1 − 6 · 2/24 = .5; with a constant there is none.
    found = rank_correlations(np.array([[5.0, 6, 9]]), np.array([[1.0, 8, 7], [2, 2, 2], [3, 2, 1]]))
    np.testing.assert_allclose(found, [[0.5, np.nan, -1]])
    assert np.isnan(rank_correlations(np.array([[1.0, 2]]), np.array([[1.0, 2]]))).all()


def test_industries_by_hand() -> None:
    # Industries {1, 3} and {5}, mean 3: within 2 · 1, whole 4 + 0 + 4, so 1 − 2/8. Two industries of three: 1/2.
    scores, codes = np.array([[1.0, 3, 5], [2, 2, 2]]), np.array([2, 2, 0])
    np.testing.assert_allclose(industry_means(scores, codes, 4), [[5, np.nan, 2, np.nan], [2, np.nan, 2, np.nan]])
    np.testing.assert_allclose(industry_share(scores, codes), [0.75, np.nan])
    assert chance_share(codes) == 0.5
    assert np.isnan(chance_share(np.array([1])))


def test_neutralised_by_hand() -> None:
    # One style −1 0 1 and scores 0 0 3 around 1: slope Σ(s − 1)x / Σx² = 3/2, residuals −1 −0 2 less −1.5 0 1.5.
    scores, style = np.array([[0.0, 0, 3]]), np.array([[-1.0, 0, 1]])
    one = np.zeros(3, int)
    np.testing.assert_allclose(neutralised(scores, style, one), [[0.5, -1, 0.5]])
    # Without a style, less the industry's mean.
    np.testing.assert_allclose(neutralised(scores, style[:0], np.array([0, 1, 1])), [[0, -1.5, 1.5]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_plain_loops_and_least_squares(seed: int) -> None:
    generator = np.random.default_rng(seed)
    stocks, groups, width = (
        int(generator.integers(20, 60)),
        int(generator.integers(1, 6)),
        int(generator.integers(0, 4)),
    )
    codes = generator.integers(0, groups, stocks)
    styles = np.round(generator.normal(size=(width, stocks)), 2)
    scores = np.round(generator.normal(size=(2, stocks)), 2) + 0.3 * codes + styles.sum(axis=0)
    returns = np.round(generator.normal(size=stocks), 2)
    found = neutralised(scores, styles, codes)
    dummies = (codes[:, None] == np.unique(codes)).astype(float)
    design = np.hstack([styles.T, dummies])
    for score, rest in zip(scores, found):
        plain = reference.residuals(score.tolist(), styles.tolist(), [str(code) for code in codes])
        # Rounding of 60 stocks and 9 regressors.
        np.testing.assert_allclose(rest, plain, atol=1e-9)
        slopes = np.linalg.lstsq(design, score, rcond=None)[0]
        np.testing.assert_allclose(rest, score - design @ slopes, atol=1e-9)
        share = 1 - np.var(score - dummies @ np.linalg.lstsq(dummies, score, rcond=None)[0]) / np.var(score)
        assert industry_share(score[None], codes)[0] == pytest.approx(share, abs=1e-9)
    ics = rank_correlations(scores, returns[None])[:, 0]
    for score, ic in zip(scores, ics):
        assert ic == pytest.approx(reference.spearman(score.tolist(), returns.tolist()), abs=1e-12)
        assert ic == pytest.approx(spearmanr(score, returns).statistic, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_taken_away_is_gone(seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes, styles = generator.integers(0, 4, 80), generator.normal(size=(3, 80))
    scores, order = generator.normal(size=(2, 80)), generator.permutation(80)
    rest = neutralised(scores, styles, codes)
    # Nothing in common with the styles or the industries, and a second time takes nothing more.
    np.testing.assert_allclose(rest @ styles.T, 0, atol=1e-11)
    np.testing.assert_allclose(industry_means(rest, codes, 4), 0, atol=1e-13)
    np.testing.assert_allclose(neutralised(rest, styles, codes), rest, atol=1e-12)
    # A score that is made of them alone has nothing left, and what is added of them changes nothing.
    made = np.array([[1.0, -2, 0.5]]) @ styles + np.array([3.0, 1, 4, 1])[codes]
    np.testing.assert_allclose(neutralised(made, styles, codes), 0, atol=1e-12)
    np.testing.assert_allclose(neutralised(scores + made, styles, codes), rest, atol=1e-12)
    # Twice the same style, or one that is constant within each industry, takes away no more.
    again = np.vstack([styles, styles[:1] * 2, np.array([3.0, 1, 4, 1])[None, codes]])
    np.testing.assert_allclose(neutralised(scores, again, codes), rest, atol=1e-11)
    np.testing.assert_allclose(
        neutralised(scores[:, order], styles[:, order], codes[order]), rest[:, order], atol=1e-12
    )


def test_the_share_of_noise() -> None:
    # 200 draws of noise over 100 stocks in 12 industries: 11/99, each draw with an error of about .043.
    generator = np.random.default_rng(3)
    codes = np.arange(100) % 12
    shares = industry_share(generator.normal(size=(200, 100)), codes)
    assert shares.mean() == pytest.approx(chance_share(codes), abs=4 * 0.043 / 200**0.5)
