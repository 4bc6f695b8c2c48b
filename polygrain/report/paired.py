"""The excess of two portfolios over their benchmarks, on the closes that both have, and its difference."""

from __future__ import annotations

from datetime import date

import numpy as np

from polygrain.evaluation import statistics
from polygrain.report.results import Navs
from polygrain.report.rows import Row

LEGS_ZH = {"gross": "区间超额（费前）", "net": "区间超额（费后）"}


def _on(navs: Navs, days: set[date]) -> Navs:
    """The NAVs at some of the closes."""
    kept = [day in days for day in navs.days]
    panels = (navs.gross, navs.net, navs.benchmark, navs.turnover, navs.participation)
    return Navs(tuple(sorted(days)), *(panel[:, kept] for panel in panels))


def paired_excess(base: Navs, run: Navs, selection: str, lag: int) -> Row:
    """Excess of both from the first to the last close that both have, and its difference with its standard error."""
    days = set(base.days) & set(run.days)
    row: Row = {}
    if len(days) < 2:
        return row
    theirs, ours = _on(base, days), _on(run, days)
    for leg in LEGS_ZH:
        name = f"{selection}_{leg}_period"
        left, right = (statistics.period_excess(navs.leg(leg), navs.benchmark) for navs in (ours, theirs))
        daily = [statistics.daily_excess(navs.leg(leg), navs.benchmark).mean(axis=0) for navs in (ours, theirs)]
        error = statistics.paired_difference(daily[0], daily[1], lag)[1]
        row |= {f"{name}_base": right, name: left, f"{name}_difference": left - right}
        row[f"{name}_difference_se"] = (len(days) - 1) * error if np.isfinite(error) else None
    return row
