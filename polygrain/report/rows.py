"""Lines of the report's tables: one evaluated case as named figures, computed from its daily series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from polygrain.evaluation import statistics
from polygrain.report.results import SELECTIONS, Case, Evaluation, Navs, Series
from polygrain.store.panel import Array

Cell = float | int | str | None
Row = dict[str, Cell]

FACTOR_COLUMNS = (
    *("rank_ic", "icir", "win_rate"),
    *("top10pct_gross", "top10pct_net", "top100_gross", "top100_net"),
    *("rank_ic_se", "periods", "vs_naive", "vs_naive_se", "rank_ic_all"),
    *("top10pct_gross_period", "top10pct_net_period", "top100_gross_period", "top100_net_period"),
    *("rank_ic_seed_std", "oracle_share", "vs_oracle", "vs_oracle_se"),
)


@dataclass(frozen=True)
class Comparison:
    """Rank ICs on the dates that two cases have: mean difference ours − theirs, its Newey-West error, their mean."""

    difference: float
    error: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Our mean over theirs; NaN where theirs is 0."""
        return (self.theirs + self.difference) / self.theirs if self.theirs else np.nan


def against(evaluation: Evaluation, case: Case, other: Case) -> Comparison | None:
    """The paired comparison of daily Rank ICs with another case's; None with fewer than two such dates."""
    ours, theirs = evaluation.series(case), evaluation.series(other)
    if ours is None or theirs is None or case == other:
        return None
    return compared(ours, theirs, 3 * case.rebalance)


def compared(ours: Series, theirs: Series, lag: int) -> Comparison | None:
    """The paired comparison of two daily series; None with fewer than two dates on which both have a Rank IC."""
    _, left, right = common(ours, theirs)
    difference, error = statistics.paired_difference(left, right, lag)
    return Comparison(difference, error, float(right.mean())) if np.isfinite(error) else None


def common(ours: Series, theirs: Series) -> tuple[tuple[date, ...], Array, Array]:
    """The dates on which both have a Rank IC, and both there."""
    at = {day: i for i, day in enumerate(theirs.days) if np.isfinite(theirs.rank_ic[i])}
    both = [(i, at[day]) for i, day in enumerate(ours.days) if day in at and np.isfinite(ours.rank_ic[i])]
    days = tuple(ours.days[i] for i, _ in both)
    return days, ours.rank_ic[[i for i, _ in both]], theirs.rank_ic[[j for _, j in both]]


def against_naive(evaluation: Evaluation, case: Case) -> Comparison | None:
    """The comparison with the naive composite."""
    naive = evaluation.naive_case()
    return None if naive is None else against(evaluation, case, naive)


def against_oracle(evaluation: Evaluation, case: Case) -> Comparison | None:
    """The comparison with the oracle of the same label: its ratio is the share of the oracle's Rank IC."""
    oracle = evaluation.facts.oracle
    return None if oracle is None else against(evaluation, case, evaluation.case(oracle, case.label_days))


def seed_std(evaluation: Evaluation, case: Case) -> float | None:
    """Standard deviation (ddof 1) over seeds of each seed's Rank IC; None with fewer than two seeds."""
    seeds = evaluation.seeds.get(case.key, ())
    if len(seeds) < 2:
        return None
    return float(np.std([statistics.track_means(seed.rank_ic, case.rebalance).mean for seed in seeds], ddof=1))


def seed_difference_std(evaluation: Evaluation, case: Case, other: Case) -> float | None:
    """Standard deviation (ddof 1) over seeds of the mean difference of their daily Rank ICs, seed by seed.

    None with fewer than two seeds that both have.
    """
    theirs = {seed.seed: seed.rank_ic for seed in evaluation.seeds.get(other.key, ())}
    pairs = [(s.rank_ic, theirs[s.seed]) for s in evaluation.seeds.get(case.key, ()) if s.seed in theirs]
    if len(pairs) < 2:
        return None
    means = [statistics.paired_difference(*pair, 3 * case.rebalance)[0] for pair in pairs]
    return float(np.std(means, ddof=1))


def pair_row(evaluation: Evaluation, case: Case, others: Sequence[Case]) -> Row:
    """A model's Rank IC less each other one's, by its name: paired by date, Newey-West error `_se`, and over seeds
    `_seed_std`."""
    row: Row = {"label_days": case.label_days, "model": case.model}
    for other in others:
        found = against(evaluation, case, other)
        if found is not None:
            spread = seed_difference_std(evaluation, case, other)
            name = other.model
            row |= {name: found.difference, f"{name}_se": found.error, f"{name}_seed_std": spread}
    return row


def factor_row(evaluation: Evaluation, case: Case) -> Row:
    """One line of tables 1, 5, 6, 7: Rank IC with its error, and the excess of both portfolios."""
    series = evaluation.rank_ic[case.key]
    mean, deviation, win_rate = statistics.track_means(series.rank_ic, case.rebalance)
    everywhere, _, _ = statistics.track_means(series.rank_ic_all, case.rebalance)
    _, error = statistics.newey_west(series.rank_ic, 3 * case.rebalance)
    dates = int(np.isfinite(series.rank_ic).sum())
    row: Row = {
        "label_days": case.label_days,
        "model": case.model,
        "rank_ic": mean,
        "icir": statistics.icir(mean, deviation, case.rebalance) if dates >= statistics.LEAST_DAYS else None,
        "win_rate": win_rate,
        "rank_ic_se": error,
        "periods": dates / case.rebalance,
        "rank_ic_all": everywhere,
        "rank_ic_seed_std": seed_std(evaluation, case),
    }
    naive, oracle = against_naive(evaluation, case), against_oracle(evaluation, case)
    if naive is not None:
        row |= {"vs_naive": naive.difference, "vs_naive_se": naive.error}
    if oracle is not None:
        row |= {"oracle_share": oracle.ratio, "vs_oracle": oracle.difference, "vs_oracle_se": oracle.error}
    for selection in SELECTIONS:
        navs = evaluation.navs(case, selection)
        if navs is None:
            continue
        for leg in ("gross", "net"):
            row[f"{selection}_{leg}"] = annualised_excess(navs, leg)
            row[f"{selection}_{leg}_period"] = statistics.period_excess(navs.leg(leg), navs.benchmark)
    return {key: None if isinstance(cell, float) and not np.isfinite(cell) else cell for key, cell in row.items()}


def is_whole_year(first: date, last: date) -> bool:
    """Whether trading days from `first` to `last` are a whole year, the days that tracks need to start set aside."""
    return first <= date(first.year, 1, 12) and last >= date(first.year, 12, 24)


def rank_ic_year_row(series: Series, rebalance: int) -> Row:
    """Rank IC of the dates of each calendar year, mean over tracks, its Newey-West error as `_se`, and of all dates.

    A year without all its dates is named 2025ytd. A date's Rank IC ends R days and the fill's lag later.
    """
    row: Row = {}
    known = np.isfinite(series.rank_ic)
    spans = {"all": known} | {
        str(year): known & np.array([day.year == year for day in series.days])
        for year in sorted({day.year for day in series.days})
    }
    for name, inside in spans.items():
        if not inside.any():
            continue
        dates = [series.days[i] for i in np.flatnonzero(inside)]
        # What the year's last dates earn lies in the next one, and where the data ends there they have none.
        whole = name == "all" or is_whole_year(dates[0], dates[-1] + timedelta(days=2 * rebalance))
        values, span = series.rank_ic[inside], name if whole else f"{name}ytd"
        row[span] = statistics.track_means(values, rebalance, np.flatnonzero(inside).tolist()).mean
        error = statistics.newey_west(values, 3 * rebalance)[1]
        row[f"{span}_se"] = error if np.isfinite(error) else None
    return row


def annualised_excess(navs: Navs, leg: str) -> float | None:
    """(1 + R_p)^(242/n) − (1 + R_b)^(242/n), mean over tracks; None below 120 days."""
    return statistics.annualised_excess(navs.leg(leg), navs.benchmark)


def year_row(navs: Navs, rebalance: int) -> Row:
    """R_p − R_b of each calendar year and a year's over all days: before costs, after them as `_net`, error `_se`.

    A year without all its days is named 2025ytd; a year's figure over all days needs 120 of them.
    """
    row: Row = {}
    for year, span in statistics.year_spans(navs.days).items():
        part = navs.part(span)
        inside = [day for day in part.days if day.year == year]
        name = f"{year}" if is_whole_year(inside[0], inside[-1]) else f"{year}ytd"
        for leg, tail in (("gross", ""), ("net", "_net")):
            row[f"{name}{tail}"] = statistics.period_excess(part.leg(leg), part.benchmark)
        days, error = statistics.excess_error(part.gross, part.benchmark, 3 * rebalance)
        row[f"{name}_se"] = days * error if np.isfinite(error) else None
    annual = annualised_excess(navs, "gross")
    _, error = statistics.excess_error(navs.gross, navs.benchmark, 3 * rebalance)
    row["annualised"], row["annualised_net"] = annual, annualised_excess(navs, "net")
    row["annualised_se"] = None if annual is None else statistics.DAYS_A_YEAR * error
    return row


def finite(row: Row) -> Row:
    """The row with None for every figure that is no number."""
    return {key: None if isinstance(cell, float) and not np.isfinite(cell) else cell for key, cell in row.items()}
