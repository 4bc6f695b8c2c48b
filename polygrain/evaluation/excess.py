"""Excess over a benchmark: its path, tracking error, information ratio, monthly wins, turnover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from polygrain.evaluation.statistics import (
    DAYS_A_YEAR,
    LEAST_DAYS,
    annualised_excess,
    daily_excess,
    period_excess,
)
from polygrain.store.panel import Array


def cumulative_excess(portfolio: Array, benchmark: Array) -> Array:
    """NAV_p / NAV_b of NAV [tracks, closes], 1 at the first close."""
    relative = portfolio / benchmark
    path: Array = relative / relative[:, :1]
    return path


def tracking_error(portfolio: Array, benchmark: Array) -> float | None:
    """std (ddof 1) of daily r_p − r_b times √242, mean over tracks, of NAV [tracks, n + 1 closes].

    None below 120 days.
    """
    excess = daily_excess(portfolio, benchmark)
    if excess.shape[1] < LEAST_DAYS:
        return None
    return float(excess.std(axis=1, ddof=1).mean() * DAYS_A_YEAR**0.5)


def information_ratio(portfolio: Array, benchmark: Array, *, whole_year: bool) -> float | None:
    """Excess / tracking error of NAV [tracks, n + 1 closes]: R_p − R_b of a whole year, else the annualised excess.

    The ratio of the means over tracks, so that it is the ratio of the figures beside it. None below 120 days, NaN where
    the tracking error is 0.
    """
    error = tracking_error(portfolio, benchmark)
    excess = period_excess(portfolio, benchmark) if whole_year else annualised_excess(portfolio, benchmark)
    if error is None or excess is None:
        return None
    return excess / error if error > 0 else np.nan


def monthly_win_rate(portfolio: Array, benchmark: Array, days: Sequence[date]) -> float:
    """Share of calendar months in which NAV_p / NAV_b rises, of NAV [tracks, closes] on `days`, mean over tracks.

    A month runs from the last close before it to its own last; the first close is the base only. Months in part count.
    """
    months = np.array([12 * day.year + day.month for day in days])
    ends = np.append(np.flatnonzero(months[1:] != months[:-1]), len(days) - 1)
    # A base that ends its month opens no month; any other opens the month that it lies in.
    closes = cumulative_excess(portfolio, benchmark)[:, np.unique(np.append(0, ends))]
    return float((closes[:, 1:] > closes[:, :-1]).mean())


def annual_turnover(traded: Array) -> float | None:
    """One-sided turnover a year: 242/n · Σ ½ Σ|Δw| over n days, mean over tracks; None below 120 days.

    `traded` [tracks, n days] is Σ|Δw| of purchases and sales on fill days and NaN elsewhere, as tracks give it; of a
    build from cash, where the days hold one, only half counts.
    """
    days = traded.shape[1]
    if days < LEAST_DAYS:
        return None
    return float(np.nansum(traded, axis=1).mean() / 2 * DAYS_A_YEAR / days)


def break_even_cost(gross: Array, benchmark: Array, traded: Array) -> float | None:
    """The cost per round trip that uses up the excess before costs: Σ (r_p − r_b) / Σ ½ Σ|Δw|, means over tracks.

    `gross` and `benchmark` are NAV [tracks, n + 1 closes], `traded` [tracks, n days] as in `annual_turnover`.
    Compounding is left aside. Negative where there is no excess, None where nothing is traded.
    """
    turnover = float(np.nansum(traded, axis=1).mean()) / 2
    return float(daily_excess(gross, benchmark).sum(axis=1).mean()) / turnover if turnover > 0 else None
