"""How the shown portfolio of an enhancement fares with the scores of every model, and with random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from polygrain.evaluation import excess, statistics
from polygrain.evaluation.bootstrap import mean_interval
from polygrain.report import enhancement_notes as notes
from polygrain.report.enhancement_grid import file_name
from polygrain.report.enhancement_titles import of_all_models
from polygrain.report.enhancements import EnhancedIndex, Enhancements, Held, Key, mean_of, of
from polygrain.report.rows import Row, annualised_excess, finite
from polygrain.report.tables import Table, table_of

_SEED = 1
_INTERVAL = ("net_se", "low", "high")
_FIGURES = (
    *("net", "gross", "net_period", "gross_period"),
    *("tracking_error", "information_ratio", "max_drawdown", "monthly_win_rate"),
    *("turnover", "cash", "names", "covered"),
)
_STARTS = "net_starts"


def figures(enhancements: Enhancements, each: EnhancedIndex) -> Table:
    """How the shown portfolio fares with every model and label: excess, risk, turnover, what it holds.

    Random scores are one row, with means over them, their standard errors, and the deviation of one's excess.
    """
    rows = []
    for key in shown_keys(enhancements, each):
        row: Row = {"label_days": key[2], "model": key[1]}
        rows.append(row | _figures(enhancements, key) | interval(enhancements.held[key], each.rebalance))
    random = random_row(enhancements, each)
    named, named_zh = of_all_models(each)
    columns = [_FIGURES[0], *_INTERVAL, *([_STARTS] if each.tracks > 1 else []), *_FIGURES[1:]]
    if random is not None:
        rows.append(random)
        columns += [column for column in random if column.endswith(("_se", "_std")) and column not in columns]
    return table_of(
        file_name(each.called, None, "figures"),
        f"{named}: every model, after costs",
        f"{named_zh}：各模型（费后）",
        columns,
        rows,
        said=notes.figures(enhancements, each, random),
        beside=() if random is None else (str(random["model"]),),
    )


def shown_keys(enhancements: Enhancements, each: EnhancedIndex) -> Iterator[Key]:
    """The shown portfolio's, label by label."""
    for label_days in each.label_days:
        for model in each.models:
            if (each.shown.name, model, label_days) in enhancements.held:
                yield each.shown.name, model, label_days


def _figures(enhancements: Enhancements, key: Key) -> Row:
    held, solves = enhancements.held[key], of(enhancements.solves, key)
    navs = held.navs
    row: Row = {leg: annualised_excess(navs, leg) for leg in ("net", "gross")}
    row |= {f"{leg}_period": statistics.period_excess(navs.leg(leg), navs.benchmark) for leg in ("net", "gross")}
    row |= {
        "tracking_error": excess.tracking_error(navs.net, navs.benchmark),
        "information_ratio": excess.information_ratio(navs.net, navs.benchmark, whole_year=False),
        "max_drawdown": statistics.max_drawdown(excess.cumulative_excess(navs.net, navs.benchmark)),
        "monthly_win_rate": excess.monthly_win_rate(navs.net, navs.benchmark, navs.days),
        "turnover": excess.annual_turnover(navs.turnover[:, 1:]),
        # Before the first fill all is cash.
        "cash": float(held.cash[1:].mean()),
        "names": mean_of(solves["names"]),
        "covered": mean_of(solves["covered"]),
    }
    return finite(row | _starts(held))


def _starts(held: Held) -> Row:
    """How far the year's excess after costs of portfolios that start a day apart lies around its mean, ddof 1, over the
    days that all of them have; none of a portfolio that is one alone."""
    if held.starts is None:
        return {}
    net, benchmark = held.starts
    found = [statistics.annualised_excess(one[None], other[None]) for one, other in zip(net, benchmark)]
    known = [value for value in found if value is not None]
    return {_STARTS: float(np.std(known, ddof=1)) if len(known) == len(found) else None}


def interval(held: Held, rebalance: int) -> Row:
    """A year's excess after costs, its Newey-West error, and its 95% interval: as far from it as the mean daily excess'
    own, by the circular block bootstrap, times 242. All None below 120 days."""
    navs = held.navs
    net = annualised_excess(navs, "net")
    if net is None:
        return dict.fromkeys(("net", *_INTERVAL))
    daily = statistics.daily_excess(navs.net, navs.benchmark)[0]
    found = mean_interval(daily, 3 * rebalance, _SEED)
    low, high = (net + statistics.DAYS_A_YEAR * (end - found.mean) for end in (found.low, found.high))
    error = statistics.DAYS_A_YEAR * statistics.newey_west(daily, 3 * rebalance)[1]
    return finite({"net": net, "net_se": error, "low": low, "high": high})


def random_row(enhancements: Enhancements, each: EnhancedIndex) -> Row | None:
    """Means over the random scores, standard errors behind them, and the standard deviation of one's excess; None where
    there are none. A figure that one of them lacks is left out."""
    keys = [key for key in each.random_keys if key in enhancements.held]
    if not keys:
        return None
    every = [_figures(enhancements, key) for key in keys]
    row: Row = {"label_days": 0, "model": f"{len(keys)} random score{'s' if len(keys) > 1 else ''}"}
    for column in _FIGURES:
        values = [value for one in every if isinstance(value := one[column], float)]
        if len(values) == len(keys):
            row |= _moments(column, values)
    return row


def _moments(column: str, values: Sequence[float]) -> Row:
    """Mean, standard error of it, and of an excess the deviation of one value, which one value alone does not have."""
    row: Row = {column: float(np.mean(values))}
    if len(values) > 1:
        deviation = float(np.std(values, ddof=1))
        row[f"{column}_se"] = deviation / len(values) ** 0.5
        row |= {f"{column}_std": deviation} if column in ("net", "net_period") else {}
    return row
