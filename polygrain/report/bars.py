"""The report's bar figures of the whole universe, 4 to 9, 15 and 16 of the broker report: excess by model and year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from polygrain.evaluation.statistics import DAYS_A_YEAR, excess_error, period_excess
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import (
    LEG_TITLES,
    PALETTE,
    SELECTION_TITLES,
    Figure,
    Group,
    Looks,
    case_of,
    choices,
    label,
    layout,
    looks,
)
from polygrain.report.results import SELECTIONS, Evaluation, Navs
from polygrain.report.rows import Cell, annualised_excess, year_row
from polygrain.report.tables import MULTI, in_order, residual_and_beside
from polygrain.report.words import Text

A_YEAR = "a year"
COMBINATIONS = ("mixed", "ensemble", "ensemble1")
# Of the room between two names below, as the figures without plotly have it too.
_FILLED = 0.8


Height = tuple[float | None, float | None]
"""Of a bar, and its standard error; None where there is none."""


@dataclass(frozen=True)
class Bars:
    """A model's bars: the names below them, heights and standard errors, None where there is none."""

    names: Sequence[str]
    heights: Sequence[float | None]
    errors: Sequence[float | None]


def bars_of(drawn: Looks, model: ModelFacts, bars: Bars, y_format: str = ".1%") -> go.Bar:
    """A model's bars: its colour is the granularity or combination, its pattern the encoder, plain for the last one."""
    hue = drawn.hues[model.name]
    errors = [_short(each) for each in bars.errors]
    plain = f"%{{y:{y_format}}}"
    return go.Bar(
        name=model.name,
        x=list(bars.names),
        y=[_short(each) for each in bars.heights],
        error_y={"array": errors, "thickness": 1.5, "width": 0},
        marker={"color": PALETTE[hue], "pattern": {"shape": drawn.pattern(model)}},
        meta={"hue": hue},
        hovertemplate=f"{plain} ± %{{error_y.array:{y_format}}}" if any(errors) else plain,
    )


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def bar_figure(y_title: str, traces: Sequence[go.Bar], y_format: str = ".0%") -> go.Figure:
    """Bars side by side over each name, those that there are in the middle of its room."""
    axis = {"type": "category", "hoverformat": None}
    figure = go.Figure(list(traces), layout=layout(y_title, y_format))
    figure.update_layout(xaxis=axis, barmode="group", hovermode="closest", legend={"yanchor": "bottom", "y": 1.02})
    over = {name: [trace for trace in traces if name in trace.x] for name in dict.fromkeys(_names(traces))}
    # plotly makes room for every model over every name, also where a name has one model alone.
    if any(len(each) < len(traces) for each in over.values()):
        for trace in figure.data:
            shares = [_FILLED / len(over[name]) for name in trace.x]
            places = [[each.name for each in over[name]].index(trace.name) for name in trace.x]
            offsets = [share * place - _FILLED / 2 for share, place in zip(shares, places)]
            trace.update(width=shares, offset=offsets)
    return figure


def _names(traces: Sequence[go.Bar]) -> list[str]:
    return [name for trace in traces for name in trace.x]


def lacking(evaluation: Evaluation, bases: Sequence[str]) -> Text | None:
    """Which of these granularities or combinations no model of the run is."""
    known = {model.base for model in evaluation.facts.models}
    absent = [base for base in bases if base not in known]
    if not absent:
        return None
    return Text(f"Not in this run: {', '.join(absent)}.", f"本次运行没有：{'、'.join(absent)}。")


def is_annual(evaluation: Evaluation) -> bool:
    """Whether any portfolio of the run has days enough for a year's figure: else none is annualised."""
    return any(annualised_excess(navs, "gross") is not None for navs in evaluation.nav.values())


def excess_title(annual: bool) -> str:
    """What stands beside the axis of an excess over all days."""
    return f"excess{' a year' if annual else ', whole span'} ± SE"


def whole_span(navs: Navs, leg: str, rebalance: int, annual: bool) -> Height:
    """Excess over all days and its standard error, both of a year where `annual`."""
    days, error = excess_error(navs.leg(leg), navs.benchmark, 3 * rebalance)
    if annual:
        return annualised_excess(navs, leg), DAYS_A_YEAR * error
    return period_excess(navs.leg(leg), navs.benchmark), days * error


def _figures(
    evaluation: Evaluation,
    group: str,
    numbers: Sequence[int],
    models: Sequence[ModelFacts],
    title: str,
    bars: Callable[[ModelFacts, Navs, str], Bars],
) -> tuple[Figure, ...]:
    """One figure per label, selection and leg, the naive composite last; `numbers` are the broker report's."""
    made = []
    number = dict(zip(SELECTIONS, numbers))
    drawn = looks(evaluation.facts.models)
    naive = in_order(evaluation.facts.models, ("naive",))
    for label_days, selection, leg in choices(evaluation.facts.label_days):
        traces = []
        for model in [*models, *naive] if models else ():
            navs = evaluation.navs(case_of(evaluation, model, label_days), selection)
            if navs is not None:
                traces.append(bars_of(drawn, model, bars(model, navs, leg)))
        if traces:
            choice = (label(label_days), SELECTION_TITLES[selection], LEG_TITLES[leg])
            name = f"figure{number[selection]}_{group}_{selection}_{leg}_{label_days}d"
            made.append(Figure(name, choice, bar_figure(title, traces)))
    return tuple(made)


def _whole_span(
    evaluation: Evaluation, group: str, numbers: Sequence[int], models: Sequence[ModelFacts]
) -> tuple[Figure, ...]:
    """Excess over all days, a year's where they are enough for one."""
    annual = is_annual(evaluation)

    def bars(model: ModelFacts, navs: Navs, leg: str) -> Bars:
        excess, error = whole_span(navs, leg, evaluation.facts.rebalance, annual)
        return Bars([model.base], [excess], [error])

    return _figures(evaluation, group, numbers, models, excess_title(annual), bars)


def _by_year(
    evaluation: Evaluation, group: str, numbers: Sequence[int], models: Sequence[ModelFacts]
) -> tuple[Figure, ...]:
    """Excess of each year, and last a year's over all days where they are enough for one."""

    def bars(model: ModelFacts, navs: Navs, leg: str) -> Bars:
        spans = by_span(navs, leg, evaluation.facts.rebalance)
        return Bars(list(spans), [excess for excess, _ in spans.values()], [error for _, error in spans.values()])

    return _figures(evaluation, group, numbers, models, "excess ± SE", bars)


def by_span(navs: Navs, leg: str, rebalance: int) -> dict[str, Height]:
    """Excess and its standard error by year, in order, and last those of a year over all days where they are enough."""
    row = year_row(navs, rebalance)
    tail = "_net" if leg == "net" else ""
    spans = [key.removesuffix("_se") for key in row if key.endswith("_se")]
    return {
        A_YEAR if span == "annualised" else span: (_number(row[f"{span}{tail}"]), _number(row[f"{span}_se"]))
        for span in spans
        if row[span] is not None
    }


def _number(cell: Cell) -> float | None:
    return cell if isinstance(cell, float) else None


def excess_of_singles(evaluation: Evaluation) -> Group:
    """Figures 4 and 5: Top 10% and Top 100 of one granularity at a time, every encoder."""
    models = in_order(evaluation.facts.models, ("single",))
    figures = _whole_span(evaluation, "excess_of_singles", (4, 5), models)
    lacks = None
    if not figures:
        lacks = Text("This run has no portfolio of one granularity.", "本次运行没有单一颗粒度的组合。")
    elif len({model.suffix for model in models}) == 1:
        lacks = Text("This run has one encoder: none stands beside it.", "本次运行只有一种编码器，无从并列比较。")
    title = Text("Figures 4 and 5 · Excess, one granularity", "图 4、5 · 单一颗粒度超额")
    return Group("excess_of_singles", title, figures, lacks)


def excess_of_combinations(evaluation: Evaluation) -> Group:
    """Figures 6 and 7: Top 10% and Top 100 of mixed input and ensembles, every encoder."""
    models = in_order(evaluation.facts.models, MULTI)
    figures = _whole_span(evaluation, "excess_of_combinations", (6, 7), models)
    title = Text("Figures 6 and 7 · Excess, several granularities", "图 6、7 · 多颗粒度超额")
    return Group("excess_of_combinations", title, figures, lacking(evaluation, COMBINATIONS))


def excess_by_year(evaluation: Evaluation) -> Group:
    """Figures 8 and 9: Top 10% and Top 100 of mixed input and ensembles by year."""
    figures = _by_year(evaluation, "excess_by_year", (8, 9), in_order(evaluation.facts.models, MULTI))
    title = Text("Figures 8 and 9 · Excess by year, several granularities", "图 8、9 · 多颗粒度分年度超额")
    return Group("excess_by_year", title, figures, lacking(evaluation, COMBINATIONS))


def residual_by_year(evaluation: Evaluation) -> Group:
    """Figures 15 and 16: Top 10% and Top 100 of residual learning, its members and ensemble1 by year."""
    models = residual_and_beside(evaluation)
    figures = _by_year(evaluation, "residual_by_year", (15, 16), models)
    title = Text("Figures 15 and 16 · Residual learning by year", "图 15、16 · 多颗粒度残差学习分年度超额")
    read = [granularity for model in models for granularity in model.reads if model.kind == "residual"]
    return Group(
        "residual_by_year", title, figures, lacking(evaluation, [*dict.fromkeys(read), "ensemble1", "residual"])
    )
