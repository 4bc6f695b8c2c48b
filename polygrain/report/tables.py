"""The tables of the broker report, computed from a run: names, keys and row order of published.json.

Fractions in full precision; what could not be evaluated is null. Columns after the published ones are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from polygrain.evaluation import statistics
from polygrain.report.facts import ModelFacts
from polygrain.report.results import SELECTIONS, Case, Evaluation, Navs

Cell = float | int | str | None
Row = dict[str, Cell]

FACTOR_COLUMNS = (
    *("rank_ic", "icir", "win_rate"),
    *("top10pct_gross", "top10pct_net", "top100_gross", "top100_net"),
    *("rank_ic_se", "periods", "vs_naive", "vs_naive_se", "rank_ic_all"),
    *("top10pct_gross_period", "top10pct_net_period", "top100_gross_period", "top100_net_period"),
)
PERIODS = {5: "weekly", 10: "biweekly"}
FILLS = ("t0_close", "t1_vwap", "t1_open", "t1_close")
MULTI = ("mixed", "ensemble")


@dataclass(frozen=True)
class Table:
    """A table of the report: `name` is its file, `frame` holds label_days, model and one column per figure."""

    name: str
    title: str
    title_zh: str
    frame: pl.DataFrame


def table_of(name: str, title: str, title_zh: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """A table of these columns; what a row does not have, or has beside them, is null or left out."""
    schema: dict[str, type[pl.DataType]] = {"label_days": pl.Int32, "model": pl.String}
    schema |= dict.fromkeys(columns, pl.Float64)
    return Table(name, title, title_zh, pl.DataFrame(rows, schema=schema))


def in_order(models: Sequence[ModelFacts], kinds: Sequence[str]) -> list[ModelFacts]:
    """Models of these kinds, those that differ by the encoder alone beside each other: day, day_biagru, 60min."""
    chosen = [model for model in models if model.kind in kinds]
    bases = list(dict.fromkeys(model.base for model in chosen))
    return sorted(chosen, key=lambda model: bases.index(model.base))


def plain(evaluation: Evaluation, kinds: Sequence[str]) -> list[ModelFacts]:
    """Models of these kinds whose encoder is the forward GRU (no suffix)."""
    return [model for model in in_order(evaluation.facts.models, kinds) if not model.suffix]


def _cases(evaluation: Evaluation, models: Sequence[ModelFacts]) -> Iterator[Case]:
    for label_days in evaluation.facts.label_days:
        for model in models:
            case = evaluation.case(model.name, label_days)
            if evaluation.series(case) is not None:
                yield case


def is_whole_year(first: date, last: date) -> bool:
    """Whether trading days from `first` to `last` are a whole year, the days that tracks need to start set aside."""
    return first <= date(first.year, 1, 12) and last >= date(last.year, 12, 24)


def excess_by_year(navs: Navs, leg: str) -> dict[str, float]:
    """R_p − R_b of each calendar year, mean over tracks; a year without all its days is named 2025ytd."""
    years: dict[str, float] = {}
    for year, excess in statistics.excess_by_year(navs.leg(leg), navs.benchmark, navs.days).items():
        inside = [day for day in navs.days if day.year == year]
        years[f"{year}" if is_whole_year(inside[0], inside[-1]) else f"{year}ytd"] = excess
    return years


def annualised_excess(navs: Navs, leg: str) -> float | None:
    """(1 + R_p)^(242/n) − (1 + R_b)^(242/n), mean over tracks; None below 120 days."""
    return statistics.annualised_excess(navs.leg(leg), navs.benchmark)


@dataclass(frozen=True)
class Comparison:
    """Rank IC of a model minus another's on the dates that both have: mean and Newey-West standard error."""

    difference: float
    error: float


def against_naive(evaluation: Evaluation, case: Case) -> Comparison | None:
    """The paired difference of daily Rank IC to the naive composite's; None with fewer than two such dates."""
    naive_case = evaluation.naive_case()
    if naive_case is None or naive_case == case:
        return None
    ours, naive = evaluation.series(case), evaluation.series(naive_case)
    if ours is None or naive is None:
        return None
    at = {day: i for i, day in enumerate(naive.days)}
    both = [(i, at[day]) for i, day in enumerate(ours.days) if day in at]
    left = ours.rank_ic[[i for i, _ in both]]
    right = naive.rank_ic[[j for _, j in both]]
    difference, error = statistics.paired_difference(left, right, 3 * case.rebalance)
    return Comparison(difference, error) if np.isfinite(error) else None


def factor_row(evaluation: Evaluation, case: Case) -> Row:
    """One line of tables 1, 5, 6, 7: Rank IC with its error, and the excess of both portfolios."""
    series = evaluation.rank_ic[case.key]
    mean, deviation, win_rate = statistics.track_means(series.rank_ic, case.rebalance)
    everywhere, _, _ = statistics.track_means(series.rank_ic_all, case.rebalance)
    _, error = statistics.newey_west(series.rank_ic, 3 * case.rebalance)
    row: Row = {
        "label_days": case.label_days,
        "model": case.model,
        "rank_ic": mean,
        "icir": statistics.icir(mean, deviation, case.rebalance),
        "win_rate": win_rate,
        "rank_ic_se": error,
        "periods": float(np.isfinite(series.rank_ic).sum() / case.rebalance),
        "rank_ic_all": everywhere,
    }
    comparison = against_naive(evaluation, case)
    if comparison is not None:
        row |= {"vs_naive": comparison.difference, "vs_naive_se": comparison.error}
    for selection in SELECTIONS:
        navs = evaluation.navs(case, selection)
        if navs is None:
            continue
        for leg in ("gross", "net"):
            row[f"{selection}_{leg}"] = annualised_excess(navs, leg)
            row[f"{selection}_{leg}_period"] = statistics.period_excess(navs.leg(leg), navs.benchmark)
    return {key: None if isinstance(cell, float) and not np.isfinite(cell) else cell for key, cell in row.items()}


def _factor_table(
    evaluation: Evaluation, name: str, title: str, title_zh: str, models: Sequence[ModelFacts]
) -> Table | None:
    cases = list(_cases(evaluation, models))
    if not cases:
        return None
    naive = evaluation.naive_case()
    if naive is not None and evaluation.series(naive) is not None:
        cases.append(naive)
    return table_of(name, title, title_zh, FACTOR_COLUMNS, [factor_row(evaluation, case) for case in cases])


def _recurrent(models: Sequence[ModelFacts]) -> bool:
    """Whether all are GRUs of some encoder, as in the broker report, and none is another kind of network."""
    return all(model.network == "single" for model in models)


def table1(evaluation: Evaluation) -> Table | None:
    """One GRU per granularity."""
    models = plain(evaluation, ("single",))
    gru, gru_zh = (", GRU", " GRU ") if _recurrent(models) else ("", "")
    return _factor_table(
        evaluation,
        "table1_single_granularity",
        f"Table 1 · One granularity at a time{gru}",
        f"单一颗粒度{gru_zh}因子",
        models,
    )


def table5(evaluation: Evaluation) -> Table | None:
    """The other encoders beside the GRU, one granularity at a time."""
    models = in_order(evaluation.facts.models, ("single",))
    if not any(model.suffix for model in models):
        return None
    return _factor_table(
        evaluation,
        "table5_biagru_single",
        f"Table 5 · One granularity, {'BiAGRU beside GRU' if _recurrent(models) else 'every network'}",
        f"{'双向 AGRU 与 GRU' if _recurrent(models) else '各网络'}:单一颗粒度",
        models,
    )


def table6(evaluation: Evaluation) -> Table | None:
    """Several granularities: mixed input and output ensembles, every encoder."""
    return _factor_table(
        evaluation,
        "table6_biagru_multi",
        "Table 6 · Several granularities: mixed input and ensembles",
        "多颗粒度:混合输入与输出集成",
        in_order(evaluation.facts.models, MULTI),
    )


def table7(evaluation: Evaluation) -> Table | None:
    """Residual learning beside its members and ensemble1."""
    residual = plain(evaluation, ("residual",))
    if not residual:
        return None
    singles = plain(evaluation, ("single",))
    ends = [singles[0], singles[-1]] if len(singles) > 1 else singles
    ensemble1 = [model for model in plain(evaluation, ("ensemble",)) if model.name == "ensemble1"]
    return _factor_table(
        evaluation,
        "table7_residual",
        "Table 7 · Residual learning across granularities",
        "多颗粒度残差学习",
        [*ends, *ensemble1, *residual],
    )


def _year_table(
    evaluation: Evaluation, name: str, title: str, title_zh: str, models: Sequence[ModelFacts]
) -> Table | None:
    rows: list[Row] = []
    for case in _cases(evaluation, models):
        navs = evaluation.navs(case, "top10pct")
        if navs is not None:
            row: Row = {"label_days": case.label_days, "model": case.model}
            rows.append(row | excess_by_year(navs, "gross") | {"annualised": annualised_excess(navs, "gross")})
    if not rows:
        return None
    years = sorted({key for row in rows for key in row} - {"label_days", "model", "annualised"})
    return table_of(name, title, title_zh, [*years, "annualised"], rows)


def table2(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year, single granularities."""
    return _year_table(
        evaluation,
        "table2_single_top10pct_by_year_gross",
        "Table 2 · Top 10% excess by year before costs, one granularity",
        "单一颗粒度 前 10% 分年度超额（费前）",
        plain(evaluation, ("single",)),
    )


def table4(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year, single and combined."""
    return _year_table(
        evaluation,
        "table4_top10pct_by_year_gross",
        "Table 4 · Top 10% excess by year, before costs",
        "前 10% 组合分年度超额（费前）",
        plain(evaluation, ("single", *MULTI)),
    )


def table3(evaluation: Evaluation) -> Table | None:
    """Rank IC by rebalance period and fill price: the published eight columns, then any other that was evaluated."""
    rows: list[Row] = []
    columns = [f"{period}_{fill}" for period in PERIODS.values() for fill in FILLS]
    for case in _cases(evaluation, plain(evaluation, ("single", *MULTI))):
        row: Row = {"label_days": case.label_days, "model": case.model}
        for key, series in evaluation.rank_ic.items():
            model, label_days, rebalance, fill, universe = key
            if (model, label_days, universe) != (case.model, case.label_days, case.universe):
                continue
            assert isinstance(rebalance, int)
            column = f"{PERIODS.get(rebalance, f'{rebalance}d')}_{fill}"
            columns += [] if column in columns else [column]
            mean, _, _ = statistics.track_means(series.rank_ic, rebalance)
            row[column] = mean if np.isfinite(mean) else None
        rows.append(row)
    if not rows:
        return None
    return table_of(
        "table3_rank_ic_by_rebalance_and_price",
        "Table 3 · Rank IC by rebalance period and fill price",
        "不同调仓周期与成交价的 Rank IC",
        columns,
        rows,
    )


def _universe_table(
    evaluation: Evaluation, name: str, title: str, title_zh: str, figure: Callable[[Case], float | None]
) -> Table | None:
    universes = evaluation.facts.universes
    if len(universes) < 2:
        return None
    rows: list[Row] = []
    for case in _cases(evaluation, in_order(evaluation.facts.models, ("single", *MULTI, "residual"))):
        row: Row = {"label_days": case.label_days, "model": case.model}
        for universe in universes:
            row[universe] = figure(Case(case.model, case.label_days, case.rebalance, case.fill, universe))
        rows.append(row)
    return table_of(name, title, title_zh, universes, rows)


def figure11(evaluation: Evaluation) -> Table | None:
    """Rank IC in every universe."""

    def rank_ic(case: Case) -> float | None:
        series = evaluation.series(case)
        if series is None:
            return None
        mean, _, _ = statistics.track_means(series.rank_ic, case.rebalance)
        return mean if np.isfinite(mean) else None

    return _universe_table(
        evaluation, "figure11_rank_ic_by_universe", "Figure 11 · Rank IC by universe", "不同选股范围的 Rank IC", rank_ic
    )


def figure12(evaluation: Evaluation) -> Table | None:
    """Top 10% excess in every universe, against the universe's own members."""

    annual = any(
        annualised_excess(navs, "gross") is not None for key, navs in evaluation.nav.items() if key[-1] == "top10pct"
    )

    def excess(case: Case) -> float | None:
        navs = evaluation.navs(case, "top10pct")
        if navs is None:
            return None
        return annualised_excess(navs, "gross") if annual else statistics.period_excess(navs.gross, navs.benchmark)

    return _universe_table(
        evaluation,
        "figure12_top10pct_gross_by_universe",
        f"Figure 12 · Top 10% excess by universe, before costs, {'annualised' if annual else 'whole span'}",
        "不同选股范围 前 10% 超额（费前）",
        excess,
    )


TABLES: tuple[Callable[[Evaluation], Table | None], ...] = (
    *(table1, table2, table3, table4, table5, table6, table7),
    *(figure11, figure12),
)


def tables(evaluation: Evaluation) -> list[Table]:
    """Every table that the run has results for, in the order of the broker report."""
    return [table for make in TABLES if (table := make(evaluation)) is not None]
