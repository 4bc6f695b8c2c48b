"""Risk, 风险模型: how far a portfolio is expected to stray from its index, from factors and single stocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date as Day
from typing import Protocol

import numpy as np

from polygrain.errors import DataError
from polygrain.evaluation.statistics import DAYS_A_YEAR
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.factors import Factor, loadings
from polygrain.store.panel import Array

HALF_LIFE = 120
LEAST_DAYS = 60
_SIZE = Factor("style", "size")
# A factor of fewer days is left out; its risk is then part of the stocks' own.
_LEAST_DAYS_OF_A_FACTOR = 20
# As many days as the mean of like stocks counts for beside a stock's own.
_PRIOR_DAYS = 60
_GROUPS, _LEAST_GROUP = 10, 20


class Explained(Protocol):
    """What a risk model looks at of a day's `FactorReturns`: factors, their returns [F] and what is left [S]."""

    @property
    def names(self) -> tuple[Factor, ...]: ...

    @property
    def values(self) -> Array: ...

    @property
    def residual_S(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class Risk:
    """V = Xᵀ F X + diag(D), a year, of the n stocks of a date, in its order; V itself is never made.

    F: `covariance_KK` of the `factors`' returns; X: `exposures` [K, n] to them; D: `specific_n`, the variances of what
    is left.
    """

    factors: tuple[Factor, ...]
    covariance_KK: Array
    exposures: Array
    specific_n: Array

    def variance(self, active_n: Array) -> float:
        """aᵀ V a of active weights a = w − b, a year: the square of the tracking error."""
        of_factors = self.exposures @ active_n
        return float(of_factors @ self.covariance_KK @ of_factors + self.specific_n @ active_n**2)

    def tracking_error(self, active_n: Array) -> float:
        """√(aᵀ V a), the expected standard deviation of a year's excess, 跟踪误差."""
        return float(np.sqrt(self.variance(active_n)))

    def taken(self, order: Array) -> Risk:
        """The same stocks in another order."""
        return replace(self, exposures=self.exposures[:, order], specific_n=self.specific_n[order])


def estimated_risk(
    history: Mapping[Day, Explained], symbols: Sequence[str], date: DateContext, *, half_life: float = HALF_LIFE
) -> Risk:
    """The risk of the stocks of a date from the factor returns of the days up to it, and of none after it.

    Day s counts ω_s ∝ 2^(−(t − s)/half_life), in trading days. `symbols` are the stocks of `history`, by day of return.
    Factors are those of the newest day that were there on 20 days; X is that of the date. A stock of none of the
    industries among them, or one that lacks a style, has 0 of it.

    F_kl = 242 σ_k σ_l ρ_kl (1 − λ if k ≠ l): σ² the weighted variances (unbiased), ρ the weighted correlations, and
    λ = Σ_{k≠l} Var(ρ_kl) / Σ_{k≠l} ρ_kl², in 0 … 1, the shrinkage of the least expected squared error (Schäfer and
    Strimmer, 2005, after Ledoit and Wolf, 2003). Days on which a factor is not there count for no variance of it, and
    as 0 in its correlations, so that F stays positive semidefinite. Lags do not count: no Newey-West correction.

    D_i = 242 (d_i s_i² + d₀ s_g²) / (d_i + d₀): s_i² the weighted mean of ε_i² on the d_i effective days that it has,
    s_g² that of the stocks of like size (tenths by exposure to size, of 20 stocks at least; of all without that style),
    which counts for d₀ = 60 days: a variance under its conjugate prior (Gelman et al., "Bayesian Data Analysis", 2.6),
    in place of the shrinkage by size of Menchero, Orr and Wang, "The Barra US Equity Model (USE4)", MSCI 2011.

    DataError where there are fewer than 60 days.
    """
    days = sorted(day for day in history if day <= date.day)
    if len(days) < LEAST_DAYS:
        reason = f"{len(days)} days of factor returns up to this one; a risk model needs {LEAST_DAYS}, start later"
        raise DataError(str(date.day), reason)
    known = [history[day] for day in days]
    weight_T = 0.5 ** (np.arange(len(days))[::-1] / half_life)
    weight_T /= weight_T.sum()
    factors, values_TF = _series(known)
    exposures = loadings(factors, date.exposures, date.industry, styles=date.styles, industries=date.industries)
    column = {symbol: place for place, symbol in enumerate(symbols)}
    places = np.array([column.get(symbol, len(symbols)) for symbol in date.symbols])
    square_Tn = np.array([np.append(one.residual_S, np.nan)[places] for one in known]) ** 2
    size_n = exposures[factors.index(_SIZE)] if _SIZE in factors else np.zeros(len(date.symbols))
    return Risk(
        factors,
        DAYS_A_YEAR * _covariance(values_TF, weight_T),
        exposures,
        DAYS_A_YEAR * _specific(square_Tn, weight_T, size_n),
    )


def _series(known: Sequence[Explained]) -> tuple[tuple[Factor, ...], Array]:
    """The factors and their returns [T, F], NaN on days without them."""
    by_day = [dict(zip(one.names, one.values.tolist())) for one in known]
    values_TF = np.array([[day.get(name, np.nan) for name in known[-1].names] for day in by_day])
    often = np.isfinite(values_TF).sum(axis=0) >= _LEAST_DAYS_OF_A_FACTOR
    return tuple(name for name, there in zip(known[-1].names, often) if there), values_TF[:, often]


def _covariance(values_TF: Array, weight_T: Array) -> Array:
    """σ_k σ_l ρ_kl of a day."""
    there = np.isfinite(values_TF)
    weight_TF = weight_T[:, None] * there
    weight_TF /= weight_TF.sum(axis=0)
    centred = np.where(there, values_TF - np.nansum(weight_TF * values_TF, axis=0), 0.0)
    variance_F = (weight_TF * centred**2).sum(axis=0)
    z_TF = centred / np.sqrt(np.where(variance_F > 0, variance_F, 1.0))
    mean_FF = z_TF.T @ (weight_T[:, None] * z_TF)
    square_FF = (z_TF**2).T @ (weight_T[:, None] * z_TF**2)
    apart = ~np.eye(len(mean_FF), dtype=bool)
    # 1 / the effective number of days.
    concentration = float((weight_T**2).sum())
    error = float((square_FF - mean_FF**2)[apart].sum()) * concentration / (1 - concentration)
    size = float((mean_FF**2)[apart].sum())
    shrinkage = min(1.0, error / size) if size > 0 else 1.0
    correlation = np.where(apart, (1 - shrinkage) * mean_FF, 1.0)
    deviation_F = np.sqrt(variance_F / (1 - (weight_TF**2).sum(axis=0)))
    return np.asarray(deviation_F[:, None] * correlation * deviation_F)


def _specific(square_Tn: Array, weight_T: Array, size_n: Array) -> Array:
    """D_i of a day."""
    weight_n = weight_T @ np.isfinite(square_Tn)
    total_n = weight_T @ np.nan_to_num(square_Tn, nan=0.0)
    effective_n = weight_n / float((weight_T**2).sum())
    own_n = np.divide(total_n, weight_n, out=np.zeros(len(total_n)), where=weight_n > 0)
    groups = max(1, min(_GROUPS, len(size_n) // _LEAST_GROUP))
    group_n = np.searchsorted(np.quantile(size_n, np.arange(1, groups) / groups), size_n, side="right")
    weight_G = np.bincount(group_n, weight_n, groups)
    # A group without a day among its stocks is as all are.
    mean_G = np.full(groups, total_n.sum() / max(weight_n.sum(), np.finfo(float).tiny))
    np.divide(np.bincount(group_n, total_n, groups), weight_G, out=mean_G, where=weight_G > 0)
    return np.asarray((effective_n * own_n + _PRIOR_DAYS * mean_G[group_n]) / (effective_n + _PRIOR_DAYS))
