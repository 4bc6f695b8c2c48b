"""What the first screen knows of each model: its Rank IC, how steady it is, what is left of it after trading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polygrain.evaluation import excess, stability, statistics
from polygrain.report.results import Case, Evaluation
from polygrain.report.rows import Comparison, against_naive, seed_std
from polygrain.report.tables import JUDGED, cases, in_order


@dataclass(frozen=True)
class Portfolio:
    """The Top 10% against its benchmark on `days` returns: excess before and after costs, the standard error of the
    latter, and one-sided turnover, all of a year where there are 120 days, else of the days alone; break-even cost per
    round trip."""

    days: int
    gross: float
    net: float
    error: float
    turnover: float
    break_even: float | None

    @property
    def annual(self) -> bool:
        """Whether the figures are a year's."""
        return self.days >= statistics.LEAST_DAYS


@dataclass(frozen=True)
class Candidate:
    """One model at one label as the tables evaluate it.

    `months` and `years` are (those with a mean Rank IC above 0, all of them); `change` is the second half of the dates
    less the first, with its error; `half_life` is of the ranking, in days; `by_horizon` the Rank IC by days of the
    return. None is unknown.
    """

    case: Case
    rank_ic: float
    error: float
    icir: float | None
    periods: float
    naive: Comparison | None
    seed_std: float | None
    months: tuple[int, int]
    years: tuple[int, int]
    change: tuple[float, float] | None
    half_life: float | None
    by_horizon: Mapping[int, float]
    portfolio: Portfolio | None


def candidate(evaluation: Evaluation, case: Case) -> Candidate | None:
    """The figures of a case; None where it was not evaluated on two dates."""
    series = evaluation.series(case)
    if series is None:
        return None
    mean, deviation, _ = statistics.track_means(series.rank_ic, case.rebalance)
    error = statistics.newey_west(series.rank_ic, 3 * case.rebalance)[1]
    if not np.isfinite(error):
        return None
    dates = int(np.isfinite(series.rank_ic).sum())
    annual = dates >= statistics.LEAST_DAYS and deviation > 0
    decay = evaluation.decay.get((case.model, case.label_days), {})
    return Candidate(
        case,
        mean,
        error,
        statistics.icir(mean, deviation, case.rebalance) if annual else None,
        dates / case.rebalance,
        against_naive(evaluation, case),
        seed_std(evaluation, case),
        stability.positive(series.rank_ic, [(day.year, day.month) for day in series.days], case.rebalance),
        stability.positive(series.rank_ic, [day.year for day in series.days], case.rebalance),
        stability.change(series.rank_ic, 3 * case.rebalance),
        stability.half_life({days: same for days, (_, same) in decay.items()}),
        {days: ic for days, (ic, _) in decay.items() if np.isfinite(ic)},
        _portfolio(evaluation, case),
    )


def _portfolio(evaluation: Evaluation, case: Case) -> Portfolio | None:
    navs = evaluation.navs(case, "top10pct")
    if navs is None or len(navs.days) < 3:
        return None
    days, error = statistics.excess_error(navs.net, navs.benchmark, 3 * case.rebalance)
    traded = navs.turnover[:, 1:]
    break_even = excess.break_even_cost(navs.gross, navs.benchmark, traded)
    gross, net = (statistics.annualised_excess(navs.leg(leg), navs.benchmark) for leg in ("gross", "net"))
    turnover = excess.annual_turnover(traded)
    if gross is not None and net is not None and turnover is not None:
        return Portfolio(days, gross, net, statistics.DAYS_A_YEAR * error, turnover, break_even)
    gross, net = (statistics.period_excess(navs.leg(leg), navs.benchmark) for leg in ("gross", "net"))
    return Portfolio(days, gross, net, days * error, float(np.nansum(traded, axis=1).mean()) / 2, break_even)


def candidates(evaluation: Evaluation) -> list[Candidate]:
    """Every trained model and ensemble at every label, the highest Rank IC first."""
    listed = cases(evaluation, in_order(evaluation.facts.models, JUDGED))
    found = [each for case in listed if (each := candidate(evaluation, case)) is not None]
    return sorted(found, key=lambda each: -each.rank_ic)
