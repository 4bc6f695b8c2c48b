"""The report's figures over dates, and the Rank ICs beside each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from polygrain.evaluation.statistics import year_spans
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import (
    LEG_TITLES,
    PALETTE,
    SELECTION_TITLES,
    Figure,
    Group,
    case_of,
    choices,
    label,
    layout,
    line,
    looks,
    rounded,
    shown,
)
from polygrain.report.results import Evaluation, Navs
from polygrain.report.rows import Row, factor_row
from polygrain.report.tables import in_order
from polygrain.report.words import Text
from polygrain.store.panel import Array

SYMBOLS = {"naive": "diamond", "oracle": "star"}
Points = tuple[list[str], list[float | None]]


def rank_ic_by_model(evaluation: Evaluation) -> Group:
    """Mean Rank IC with two Newey-West standard errors on each side, a row per model; one figure per label."""
    figures = []
    for label_days in evaluation.facts.label_days:
        # From the bottom: the naive composite, an oracle, then the last model of the tables up to the first.
        oracle = [(model, case_of(evaluation, model, label_days)) for model in _oracles(evaluation)]
        pairs = [*shown(evaluation, label_days), *oracle][::-1]
        pairs.sort(key=lambda pair: pair[0].kind != "naive")
        rows = [(model, factor_row(evaluation, case)) for model, case in pairs if evaluation.series(case) is not None]
        figures.append(Figure(f"rank_ic_by_model_{label_days}d", (label(label_days),), _dots(evaluation, rows)))
    return Group("rank_ic_by_model", Text("Rank IC by model", "各模型 Rank IC"), tuple(figures))


def _oracles(evaluation: Evaluation) -> list[ModelFacts]:
    return in_order(evaluation.facts.models, ("oracle",))


def _dots(evaluation: Evaluation, rows: list[tuple[ModelFacts, Row]]) -> go.Figure:
    hue = looks(evaluation.facts.models).hues
    figure = go.Figure(layout=layout("", ""))
    for position, (model, row) in enumerate(rows):
        color = PALETTE[hue[model.name]]
        error = row["rank_ic_se"]
        figure.add_scatter(
            name=model.name,
            x=[row["rank_ic"]],
            y=[position],
            mode="markers",
            marker={"color": color, "size": 10, "symbol": SYMBOLS.get(model.kind, "circle")},
            error_x={
                "array": [2 * error if isinstance(error, float) else None],
                "thickness": 2,
                "width": 0,
                "color": color,
            },
            meta={"hue": hue[model.name]},
            hovertemplate="%{x:.4f} ± %{error_x.array:.4f}",
        )
        if model.kind == "naive" and isinstance(row["rank_ic"], float):
            figure.add_vline(x=row["rank_ic"], line={"dash": "dot", "width": 1.5, "color": color})
    names = [model.name for model, _ in rows]
    figure.update_layout(
        height=90 + 30 * len(rows),
        hovermode="closest",
        showlegend=False,
        xaxis={
            "type": "linear",
            "tickformat": ".3~f",
            "title": {"text": "mean Rank IC ± 2 SE"},
            "showgrid": True,
            "rangemode": "tozero",
        },
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "title": None,
            "automargin": True,
            "tickformat": None,
            "zeroline": False,
        },
        margin={"b": 48},
    )
    return figure


def cumulative_rank_ic(evaluation: Evaluation) -> Group:
    """Running sum of the daily Rank IC, every model and the naive composite; one figure per label."""
    figures = []
    drawn, headline = looks(evaluation.facts.models), evaluation.facts.headline
    for label_days in evaluation.facts.label_days:
        figure = go.Figure(layout=layout("cumulative Rank IC", ".1f"))
        for model, case in shown(evaluation, label_days):
            series = evaluation.series(case)
            if series is None:
                continue
            days = [day.isoformat() for day in series.days]
            total = rounded(np.cumsum(np.nan_to_num(series.rank_ic)), 4)
            figure.add_trace(line(drawn, model, days, total, ".2f", headline=headline))
        figures.append(Figure(f"cumulative_rank_ic_{label_days}d", (label(label_days),), figure))
    return Group("cumulative_rank_ic", Text("Cumulative Rank IC", "累计 Rank IC"), tuple(figures))


def relative_nav(navs: Navs, leg: str) -> Array:
    """NAV_p / NAV_b − 1 by day from the base of the common span, mean over tracks."""
    ratio = navs.leg(leg) / navs.benchmark
    mean: Array = (ratio / ratio[:, :1]).mean(axis=0) - 1
    return mean


def cumulative_excess(evaluation: Evaluation) -> Group:
    """NAV of the portfolio over NAV of the benchmark, mean over tracks, after and before costs."""

    def points(navs: Navs, leg: str) -> Points:
        return [day.isoformat() for day in navs.days], rounded(relative_nav(navs, leg), 5)

    figures = _over_dates(evaluation, "cumulative_excess", layout("cumulative excess", ".0%"), ".1%", points)
    title = Text("Cumulative excess: portfolio NAV over benchmark NAV", "累计超额（组合净值 / 基准净值）")
    return Group("cumulative_excess", title, figures)


def latest_year(evaluation: Evaluation) -> Group:
    """Figure 10: the same from the last close before the latest year, whose first close is 1."""

    def points(navs: Navs, leg: str) -> Points:
        if len(navs.days) < 2:
            return [], []
        span = list(year_spans(navs.days).values())[-1]
        return [day.isoformat() for day in navs.days[span]], rounded(1 + relative_nav(navs.part(span), leg), 5)

    figures = _over_dates(evaluation, "figure10_latest_year", layout("NAV over benchmark NAV", ".2f"), ".3f", points)
    title = Text("Figure 10 · Relative NAV of the latest year", "图 10 · 最近一年相对净值")
    lacks = None if figures else Text("No portfolio of this run has two closes.", "本次运行没有收盘净值满两日的组合。")
    return Group("latest_year", title, figures, lacks)


def _over_dates(
    evaluation: Evaluation, name: str, axes: go.Layout, y_format: str, points: Callable[[Navs, str], Points]
) -> tuple[Figure, ...]:
    """A line per model for every label, selection and leg."""
    figures = []
    drawn, headline = looks(evaluation.facts.models), evaluation.facts.headline
    for label_days, selection, leg in choices(evaluation.facts.label_days):
        figure = go.Figure(layout=axes)
        for model, case in shown(evaluation, label_days):
            navs = evaluation.navs(case, selection)
            if navs is None:
                continue
            days, values = points(navs, leg)
            if days:
                figure.add_trace(line(drawn, model, days, values, y_format, headline=headline))
        if figure.data:
            choice = (label(label_days), SELECTION_TITLES[selection], LEG_TITLES[leg])
            figures.append(Figure(f"{name}_{selection}_{leg}_{label_days}d", choice, figure))
    return tuple(figures)
