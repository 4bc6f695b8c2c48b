"""Exposure of scores on one date: what they have in common with styles and industries, and what is left without them.

Arrays have stocks last: scores [scores, stocks], styles [styles, stocks], industry codes [stocks]; all are finite.
"""

from __future__ import annotations

import numpy as np

from polygrain.evaluation.ranking import ordered
from polygrain.store.panel import Array

# Directions in which the regressors' squares add up to less than this share of the largest are rounding.
_LEAST_SQUARES = 1e-11


def rank_correlations(scores: Array, others: Array) -> Array:
    """Spearman correlation [scores, others] with average ranks of each score with each of `others` [others, stocks].

    NaN where there are fewer than 3 stocks or either side is constant.
    """
    x, y = _centred_ranks(scores), _centred_ranks(others)
    scale = np.sqrt(np.outer((x * x).sum(axis=1), (y * y).sum(axis=1)))
    defined = (scale > 0) & (scores.shape[1] >= 3)
    correlations: Array = np.where(defined, (x @ y.T) / np.where(defined, scale, 1.0), np.nan)
    return correlations


def _centred_ranks(values: Array) -> Array:
    # Twice a rank minus the mean rank is a whole number, so that sums of products are exact.
    return np.array([ordered(row).ranks(len(row)) for row in values])


def industry_means(scores: Array, codes: Array, industries: int) -> Array:
    """Mean score [scores, industries] of the stocks with each code from 0; NaN where there are none."""
    count = np.bincount(codes, minlength=industries)
    total = np.stack([np.bincount(codes, score, industries) for score in scores])
    means: Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def industry_share(scores: Array, codes: Array) -> Array:
    """R² [scores] of each score on industry dummies: 1 − Σ(s − its industry's mean)² / Σ(s − mean)².

    NaN where a score is constant. Noise has (industries − 1)/(stocks − 1) on average.
    """
    within = ((scores - _own_industry(scores, codes)) ** 2).sum(axis=1)
    whole = ((scores - scores.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    varied = scores.max(axis=1) > scores.min(axis=1)
    share: Array = np.where(varied, 1.0 - within / np.where(varied, whole, 1.0), np.nan)
    return share


def chance_share(codes: Array) -> float:
    """What `industry_share` is of noise on average: (industries − 1) / (stocks − 1); NaN for a single stock."""
    return (len(np.unique(codes)) - 1) / (len(codes) - 1) if len(codes) > 1 else np.nan


def neutralised(scores: Array, styles: Array, codes: Array) -> Array:
    """Residuals [scores, stocks] of each score on the styles and a dummy a code, by least squares with equal weights.

    One code for all is an intercept alone. A style that is constant within the industries, or a combination of others,
    takes nothing more away.
    """
    residuals, regressors = (values - _own_industry(values, codes) for values in (scores, styles))
    inverse = np.linalg.pinv(regressors @ regressors.T, rcond=_LEAST_SQUARES, hermitian=True)
    # The second time takes away what the rounding of the normal equations has left.
    for _ in range(2):
        residuals = residuals - residuals @ regressors.T @ inverse @ regressors
    return residuals


def _own_industry(values: Array, codes: Array) -> Array:
    """For each stock the mean value of its industry."""
    if not len(values):
        return values
    return industry_means(values, codes, int(codes.max()) + 1)[:, codes]
