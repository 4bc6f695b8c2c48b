"""Tables beside the broker report's: what chance explains, how a portfolio fares, how long a score lasts, and what is
style or industry in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from polygrain.evaluation import excess, statistics
from polygrain.evaluation.bootstrap import mean_interval
from polygrain.evaluation.deflated import deflated_mean, deflated_sharpe, sharpe
from polygrain.report.results import SELECTIONS, Case, Evaluation, Navs
from polygrain.report.rows import Row, annualised_excess, is_whole_year
from polygrain.report.tables import JUDGED, Table, cases, in_order, naive, table_of

_SEED = 1
PORTFOLIO_FIGURES = (
    *("net", "tracking_error", "information_ratio", "drawdown", "monthly_win_rate"),
    *("turnover", "participation"),
)


def _shown(evaluation: Evaluation) -> Iterator[Case]:
    yield from cases(evaluation, in_order(evaluation.facts.models, JUDGED))
    yield from naive(evaluation)


def significance(evaluation: Evaluation) -> Table | None:
    """Mean daily Rank IC: its bootstrap interval, its t, and what is left of it after so many configurations.

    Of the Top 10%'s daily excess after costs the Sharpe ratio, and the confidence that it is more than luck.
    """
    trials = max(1, len(evaluation.facts.configurations))
    rows: list[Row] = []
    for case in _shown(evaluation):
        values, lag = evaluation.rank_ic[case.key].rank_ic, 3 * case.rebalance
        interval = mean_interval(values, lag, _SEED)
        row: Row = {"label_days": case.label_days, "model": case.model, "rank_ic": interval.mean}
        row |= {"low": interval.low, "high": interval.high, **deflated_mean(values, lag, trials)._asdict()}
        navs = evaluation.navs(case, "top10pct")
        rows.append(_finite(row | ({} if navs is None else _sharpe(navs, trials))))
    columns = ("rank_ic", "low", "high", "t", "deflated_t", "p_value", "sharpe", "deflated_sharpe")
    title = f"What chance explains: mean daily Rank IC after {trials} configuration{'s' if trials > 1 else ''} tried"
    return table_of("significance", title, f"显著性:试过 {trials} 个配置之后", columns, rows) if rows else None


def _sharpe(navs: Navs, trials: int) -> Row:
    """Of the daily excess, mean over tracks; that of worthless trials is taken to vary by its error over the days."""
    found = sharpe(statistics.daily_excess(navs.net, navs.benchmark).mean(axis=0))
    if found.days < statistics.LEAST_DAYS:
        return {}
    confidence = deflated_sharpe(found, trials, (found.days - 1) ** -0.5)
    return {"sharpe": found.ratio * statistics.DAYS_A_YEAR**0.5, "deflated_sharpe": confidence}


def portfolios(evaluation: Evaluation) -> Table | None:
    """Of both top portfolios after costs: excess, tracking error, information ratio, drawdown, wins, turnover, and how
    much of a day's amount they trade at 100 million yuan."""
    rows: list[Row] = []
    for case in _shown(evaluation):
        row: Row = {"label_days": case.label_days, "model": case.model}
        for selection in SELECTIONS:
            navs = evaluation.navs(case, selection)
            if navs is not None:
                row |= {f"{selection}_{name}": value for name, value in _portfolio(navs).items()}
        rows.append(_finite(row))
    columns = [f"{selection}_{name}" for selection in SELECTIONS for name in PORTFOLIO_FIGURES]
    title, title_zh = "Portfolios against the benchmark, after costs", "组合相对基准的表现（费后）"
    return table_of("portfolios", title, title_zh, columns, rows) if rows else None


def _portfolio(navs: Navs) -> Row:
    net, benchmark = navs.net, navs.benchmark
    whole = navs.days[0].year == navs.days[-1].year and is_whole_year(navs.days[0], navs.days[-1])
    return {
        "net": annualised_excess(navs, "net"),
        "tracking_error": excess.tracking_error(net, benchmark),
        "information_ratio": excess.information_ratio(net, benchmark, whole_year=whole),
        "drawdown": statistics.max_drawdown(excess.cumulative_excess(net, benchmark)),
        "monthly_win_rate": excess.monthly_win_rate(net, benchmark, navs.days),
        "turnover": excess.annual_turnover(navs.turnover[:, 1:]),
        "participation": _participation(navs),
    }


def _participation(navs: Navs) -> float:
    """Mean over all yuan traded by all tracks."""
    traded = np.isfinite(navs.participation)
    weight = navs.turnover[traded]
    return float((weight * navs.participation[traded]).sum() / weight.sum()) if traded.any() else np.nan


def decay(evaluation: Evaluation) -> Table | None:
    """Rank IC by horizon, and the correlation of a score's ranking with its own so many days later."""
    rows: list[Row] = []
    for case in _shown(evaluation):
        row: Row = {"label_days": case.label_days, "model": case.model}
        for days, (rank_ic, same) in evaluation.decay.get((case.model, case.label_days), {}).items():
            row |= {f"rank_ic_{days}d": rank_ic, f"autocorrelation_{days}d": same}
        rows.append(_finite(row))
    known = sorted({days for by_days in evaluation.decay.values() for days in by_days})
    columns = [f"{name}_{days}d" for name in ("rank_ic", "autocorrelation") for days in known]
    title, title_zh = "How long a score lasts", "得分的衰减"
    return table_of("decay", title, title_zh, columns, rows) if rows and known else None


def exposure(evaluation: Evaluation) -> Table | None:
    """Rank IC without styles and industries, rank correlations with the styles, and what industries explain."""
    shown = [*_measured(evaluation, "rank_ic"), *_measured(evaluation, "correlation")]
    shown += _measured(evaluation, "industry_share")
    return _exposures(evaluation, "exposure", "Exposure to styles and industries", "风格与行业暴露", shown)


def exposure_by_industry(evaluation: Evaluation) -> Table | None:
    """Mean score of each industry's stocks."""
    shown = sorted(_measured(evaluation, "mean_score"))
    return _exposures(evaluation, "exposure_by_industry", "Mean score by industry", "各行业平均得分", shown)


def _measured(evaluation: Evaluation, measure: str) -> list[tuple[str, str]]:
    """The measure with everything that it is of, in the order of exposure.parquet."""
    return list(dict.fromkeys(key for found in evaluation.exposure.values() for key in found if key[0] == measure))


def _exposures(
    evaluation: Evaluation, name: str, title: str, title_zh: str, shown: Sequence[tuple[str, str]]
) -> Table | None:
    """Means over dates of what is shown, with Newey-West errors: a date is R days after the one before, so lag 3."""
    rows: list[Row] = []
    for case in _shown(evaluation):
        row: Row = {"label_days": case.label_days, "model": case.model}
        found = evaluation.exposure.get((case.model, case.label_days), {})
        for measure, of in (key for key in shown if key in found):
            column = f"{measure}_{of}"
            row[column], row[f"{column}_se"] = statistics.newey_west(found[measure, of], 3)
        rows.append(_finite(row))
    # The share of noise stands beside an industry share, and says more than its error.
    suffixes = {measure: ("",) if measure == "industry_share" else ("", "_se") for measure, _ in shown}
    columns = [f"{measure}_{of}{suffix}" for measure, of in shown for suffix in suffixes[measure]]
    return table_of(name, title, title_zh, columns, rows) if rows and columns else None


def _finite(row: Row) -> Row:
    return {key: None if isinstance(cell, float) and not np.isfinite(cell) else cell for key, cell in row.items()}


def quality(evaluation: Evaluation) -> list[Table]:
    """Every table of these that the run has results for."""
    made = (make(evaluation) for make in (significance, portfolios, decay, exposure, exposure_by_industry))
    return [table for table in made if table is not None]
