"""Statistics of Rank IC and NAV: means over tracks, standard errors, excess returns, drawdowns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from polygrain.store.panel import Array

DAYS_A_YEAR = 242
ICIR_DAYS_A_YEAR = 260
LEAST_DAYS = 120
"""Nothing is annualised below this many daily returns."""


class TrackMeans(NamedTuple):
    """Mean, standard deviation (ddof 1) and share above 0 of a daily series by track, averaged over tracks."""

    mean: float
    std: float
    win_rate: float


def track_means(values: Array, rebalance: int, days: Sequence[int] | None = None) -> TrackMeans:
    """Statistics of `values` [dates] over R = `rebalance` tracks, those of dates ≡ k mod R; NaN values are left out.

    `days` are the dates' numbers in the trading calendar (default 0, 1, 2, …). All NaN where no value is finite;
    no standard deviation where a track has one value.
    """
    number = np.arange(len(values)) if days is None else np.asarray(days)
    present = np.isfinite(values)
    kept, track = values[present], number[present] % rebalance
    parts = [part for part in (kept[track == k] for k in range(rebalance)) if len(part)]
    if not parts:
        return TrackMeans(np.nan, np.nan, np.nan)
    return TrackMeans(
        mean=float(np.mean([part.mean() for part in parts])),
        std=float(np.mean([part.std(ddof=1) if len(part) > 1 else np.nan for part in parts])),
        win_rate=float(np.mean([(part > 0).mean() for part in parts])),
    )


def icir(mean: float, std: float, rebalance: int) -> float:
    """ICIR = mean / std · √(260/R); NaN where std is 0."""
    return mean / std * (ICIR_DAYS_A_YEAR / rebalance) ** 0.5 if std > 0 else np.nan


def newey_west(values: Array, lag: int) -> tuple[float, float]:
    """Mean of a series [dates] and its standard error with Bartlett weights 1 − l/(lag+1); NaN values are left out.

    se² = (γ₀ + 2 Σ_l w_l γ_l) / n, γ_l = Σ (x_t − x̄)(x_{t−l} − x̄) / n. The rule for R-day returns is lag 3R. The error
    is NaN for fewer than 2 values.
    """
    x = values[np.isfinite(values)]
    n = len(x)
    if n == 0:
        return np.nan, np.nan
    mean = float(x.mean())
    if n < 2:
        return mean, np.nan
    centred = x - mean
    variance = float((centred**2).sum()) / n
    for step in range(1, min(lag, n - 1) + 1):
        variance += 2 * (1 - step / (lag + 1)) * float((centred[step:] * centred[:-step]).sum()) / n
    return mean, (max(variance, 0.0) / n) ** 0.5


def paired_difference(ours: Array, theirs: Array, lag: int) -> tuple[float, float]:
    """Mean of ours − theirs [dates] where both are there, and its Newey-West standard error."""
    return newey_west(ours - theirs, lag)


def period_excess(portfolio: Array, benchmark: Array) -> float:
    """R_p − R_b from the first close to the last, mean over tracks, of NAV [tracks, closes]; the first is the base."""
    return float((portfolio[:, -1] / portfolio[:, 0] - benchmark[:, -1] / benchmark[:, 0]).mean())


def annualised_excess(portfolio: Array, benchmark: Array) -> float | None:
    """(1 + R_p)^(242/n) − (1 + R_b)^(242/n) of NAV [tracks, n + 1 closes], mean over tracks; None below 120 days."""
    ours, theirs = _annual_growth(portfolio), _annual_growth(benchmark)
    return None if ours is None or theirs is None else float((ours - theirs).mean())


def _annual_growth(nav: Array) -> Array | None:
    days = nav.shape[1] - 1
    if days < LEAST_DAYS:
        return None
    growth: Array = (nav[:, -1] / nav[:, 0]) ** (DAYS_A_YEAR / days)
    return growth


def year_spans(days: Sequence[date]) -> dict[int, slice]:
    """Rows of each calendar year of closes on `days`, from the last close before it.

    The first close is the base, and its year is left out where it holds no return.
    """
    years = np.array([day.year for day in days])
    spans = {}
    for year in sorted({day.year for day in days[1:]}):
        rows = np.flatnonzero(years == year)
        spans[year] = slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 1)
    return spans


def daily_excess(portfolio: Array, benchmark: Array) -> Array:
    """r_p − r_b [tracks, n days] of NAV [tracks, n + 1 closes]."""
    excess: Array = portfolio[:, 1:] / portfolio[:, :-1] - benchmark[:, 1:] / benchmark[:, :-1]
    return excess


def excess_error(portfolio: Array, benchmark: Array, lag: int) -> tuple[int, float]:
    """Number of days n, and the standard error of the mean daily r_p − r_b, of NAV [tracks, n + 1 closes].

    Newey-West over days of the mean over tracks. n times it is the error of R_p − R_b, compounding left aside.
    """
    excess = daily_excess(portfolio, benchmark).mean(axis=0)
    return len(excess), newey_west(excess, lag)[1]


def max_drawdown(nav: Array) -> float:
    """Largest fall from a running top, a fraction ≥ 0, of NAV [tracks, closes], mean over tracks.

    The drawdown of an excess is that of NAV_p / NAV_b.
    """
    return float((1.0 - nav / np.maximum.accumulate(nav, axis=1)).max(axis=1).mean())
