"""The tables of the broker report, computed from a run: names, keys and row order of published.json.

Fractions in full precision; what could not be evaluated is null. Columns after the published ones are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from polygrain.evaluation import statistics
from polygrain.report.facts import ModelFacts
from polygrain.report.results import Case, Evaluation
from polygrain.report.rows import (
    FACTOR_COLUMNS,
    Row,
    annualised_excess,
    factor_row,
    pair_row,
    rank_ic_year_row,
    year_row,
)
from polygrain.report.words import Text

PERIODS = {5: "weekly", 10: "biweekly"}
FILLS = ("t0_close", "t1_vwap", "t1_open", "t1_close")
MULTI = ("mixed", "ensemble")
# Whatever is judged, in the order of the tables.
JUDGED = ("single", *MULTI, "residual", "given")
MODELS = ("label_days", "model")
NOTHING = Text("")


@dataclass(frozen=True)
class Table:
    """A table of the report: `name` is its file, `frame` holds the `keys` and one column per figure.

    The last of the keys names a row, those before it the block that it stands in. `said` are conventions of its own;
    the rows `beside` are there to compare the others with.
    """

    name: str
    title: str
    title_zh: str
    frame: pl.DataFrame
    keys: tuple[str, ...] = MODELS
    said: Text = NOTHING
    beside: tuple[str, ...] = ()


def table_of(
    name: str,
    title: str,
    title_zh: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    keys: tuple[str, ...] = MODELS,
    said: Text = NOTHING,
    beside: tuple[str, ...] = (),
) -> Table:
    """A table of these columns; what a row does not have, or has beside them, is null or left out."""
    schema: dict[str, type[pl.DataType]] = {key: pl.Int32 if key == "label_days" else pl.String for key in keys}
    schema |= dict.fromkeys(columns, pl.Float64)
    return Table(name, title, title_zh, pl.DataFrame(rows, schema=schema), keys, said, beside)


def in_order(models: Sequence[ModelFacts], kinds: Sequence[str]) -> list[ModelFacts]:
    """Models of these kinds, those that differ by the encoder alone beside each other: day, day_biagru, 60min."""
    chosen = [model for model in models if model.kind in kinds]
    bases = list(dict.fromkeys(model.base for model in chosen))
    return sorted(chosen, key=lambda model: bases.index(model.base))


def plain(evaluation: Evaluation, kinds: Sequence[str]) -> list[ModelFacts]:
    """Models of these kinds without a suffix: those of the network that the others stand beside, a GRU as a rule."""
    return [model for model in in_order(evaluation.facts.models, kinds) if not model.suffix]


def cases(evaluation: Evaluation, models: Sequence[ModelFacts]) -> Iterator[Case]:
    """Label by label, then the ensembles over labels."""
    for label_days in dict.fromkeys((*evaluation.facts.label_days, 0)):
        for model in models:
            case = evaluation.case(model.name, label_days)
            if evaluation.series(case) is not None:
                yield case


def naive(evaluation: Evaluation) -> list[Case]:
    """The naive composite, the last row of a table, where it was evaluated."""
    case = evaluation.naive_case()
    return [] if case is None or evaluation.series(case) is None else [case]


def _factor_table(
    evaluation: Evaluation, name: str, title: str, title_zh: str, models: Sequence[ModelFacts]
) -> Table | None:
    if not list(cases(evaluation, models)):
        return None
    shown = [*cases(evaluation, [*models, *in_order(evaluation.facts.models, ("oracle",))]), *naive(evaluation)]
    return table_of(name, title, title_zh, FACTOR_COLUMNS, [factor_row(evaluation, case) for case in shown])


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


def residual_and_beside(evaluation: Evaluation) -> list[ModelFacts]:
    """Residual networks after what they are measured against: one GRU for each granularity that they read (of runs that
    do not say which, the coarsest and the finest), and ensemble1; empty without a residual network."""
    residual = in_order(evaluation.facts.models, ("residual",))
    singles = plain(evaluation, ("single",))
    read = {granularity for model in residual for granularity in model.reads}
    members = [model for model in singles if model.granularity in read] if read else [*singles[:1], *singles[1:][-1:]]
    ensemble1 = [model for model in plain(evaluation, ("ensemble",)) if model.name == "ensemble1"]
    return [*members, *ensemble1, *residual] if residual else []


def table7(evaluation: Evaluation) -> Table | None:
    """Residual learning beside its members and ensemble1."""
    models = residual_and_beside(evaluation)
    if not models:
        return None
    title = "Table 7 · Residual learning across granularities"
    return _factor_table(evaluation, "table7_residual", title, "多颗粒度残差学习", models)


def _year_table(
    evaluation: Evaluation, name: str, title: str, title_zh: str, models: Sequence[ModelFacts], selection: str
) -> Table | None:
    """A column per year and one for them all before costs, as published; then the same after costs, and errors."""
    shown = [*cases(evaluation, models)]
    rows: list[Row] = []
    for case in [*shown, *naive(evaluation)] if shown else ():
        navs = evaluation.navs(case, selection)
        if navs is not None:
            row: Row = {"label_days": case.label_days, "model": case.model}
            rows.append(row | year_row(navs, case.rebalance))
    if not rows:
        return None
    spans = [*sorted({key for row in rows for key in row if key.endswith("_se")} - {"annualised_se"}), "annualised_se"]
    columns = [span.removesuffix("_se") + tail for tail in ("", "_net", "_se") for span in spans]
    return table_of(name, title, title_zh, columns, rows)


def table2(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year, single granularities."""
    return _year_table(
        evaluation,
        "table2_single_top10pct_by_year_gross",
        "Table 2 · Top 10% excess by year, one granularity",
        "单一颗粒度 前 10% 分年度超额",
        plain(evaluation, ("single",)),
        "top10pct",
    )


def table4(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year, single and combined."""
    return _year_table(
        evaluation,
        "table4_top10pct_by_year_gross",
        "Table 4 · Top 10% excess by year",
        "前 10% 组合分年度超额",
        plain(evaluation, ("single", *MULTI)),
        "top10pct",
    )


def figure8(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year of every encoder, single and combined."""
    return _year_table(
        evaluation,
        "figure8_top10pct_by_year_gross",
        "Figure 8 · Top 10% excess by year, every network",
        "各网络 前 10% 分年度超额",
        in_order(evaluation.facts.models, ("single", *MULTI)),
        "top10pct",
    )


def figure9(evaluation: Evaluation) -> Table | None:
    """Top 100 excess by year of every encoder, single and combined."""
    return _year_table(
        evaluation,
        "figure9_top100_by_year_gross",
        "Figure 9 · Top 100 excess by year, every network",
        "各网络 前 100 只分年度超额",
        in_order(evaluation.facts.models, ("single", *MULTI)),
        "top100",
    )


def scores(evaluation: Evaluation) -> Table | None:
    """Scores from elsewhere, as table 1 shows networks."""
    models = in_order(evaluation.facts.models, ("given",))
    return _factor_table(evaluation, "scores", "Scores from elsewhere", "外来得分", models)


def scores_top10pct(evaluation: Evaluation) -> Table | None:
    """Top 10% excess by year of scores from elsewhere."""
    models = in_order(evaluation.facts.models, ("given",))
    title, title_zh = "Top 10% excess by year", "前 10% 组合分年度超额"
    return _year_table(evaluation, "scores_top10pct_by_year_gross", title, title_zh, models, "top10pct")


def scores_top100(evaluation: Evaluation) -> Table | None:
    """Top 100 excess by year of scores from elsewhere."""
    models = in_order(evaluation.facts.models, ("given",))
    title, title_zh = "Top 100 excess by year", "前 100 只组合分年度超额"
    return _year_table(evaluation, "scores_top100_by_year_gross", title, title_zh, models, "top100")


def rank_ic_by_year(evaluation: Evaluation) -> Table | None:
    """Rank IC by year of every model, the oracle of a simulated market and the naive composite."""
    models = in_order(evaluation.facts.models, (*JUDGED, "oracle"))
    rows: list[Row] = []
    for case in [*cases(evaluation, models), *naive(evaluation)]:
        row: Row = {"label_days": case.label_days, "model": case.model}
        rows.append(row | rank_ic_year_row(evaluation.rank_ic[case.key], case.rebalance))
    spans = sorted({key for row in rows for key in row if key.endswith("_se")})
    columns = [key for span in spans for key in (span.removesuffix("_se"), span)]
    return table_of("rank_ic_by_year", "Rank IC by year", "分年度 Rank IC", columns, rows) if columns else None


def model_pairs(evaluation: Evaluation) -> Table | None:
    """Every model's Rank IC less every other's of the same label, and less those over labels and the naive one's."""
    shown = list(cases(evaluation, in_order(evaluation.facts.models, JUDGED)))
    over_labels = [case for case in shown if case.label_days == 0]
    rows: list[Row] = []
    for case in shown:
        beside = [other for other in shown if other.label_days == case.label_days]
        rows.append(pair_row(evaluation, case, [*beside, *over_labels, *naive(evaluation)]))
    names = list(dict.fromkeys(case.model for case in [*shown, *naive(evaluation)]))
    if len(names) < 2:
        return None
    columns = [f"{name}{tail}" for name in names for tail in ("", "_se", "_seed_std")]
    title = "Rank IC, row less column, paired by date; bold: beyond chance at 5% over all pairs (Bonferroni)"
    title_zh = "Rank IC 之差（行减列），按日配对；粗体：全部配对 5% 显著"
    return table_of("model_pairs", title, title_zh, columns, rows)


def table3(evaluation: Evaluation) -> Table | None:
    """Rank IC by rebalance period and fill price: the published eight columns, then any other that was evaluated."""
    rows: list[Row] = []
    columns = [f"{period}_{fill}" for period in PERIODS.values() for fill in FILLS]
    for case in cases(evaluation, plain(evaluation, ("single", *MULTI, "given"))):
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
    for case in cases(evaluation, in_order(evaluation.facts.models, JUDGED)):
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
    *(scores, scores_top10pct, scores_top100),
    *(table1, table2, table3, table4, table5, table6, table7),
    *(figure8, figure9, rank_ic_by_year, model_pairs, figure11, figure12),
)


def tables(evaluation: Evaluation) -> list[Table]:
    """Every table that the run has results for, in the order of the broker report."""
    return [table for make in TABLES if (table := make(evaluation)) is not None]
