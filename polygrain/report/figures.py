"""The run's figures as plotly figures; every trace and axis is drawn in the light palette and restyled by the page.

A trace's `meta.hue` numbers its colour: the page maps hues to the palette of the reader's theme.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from polygrain.evaluation.statistics import year_spans
from polygrain.report.facts import ModelFacts
from polygrain.report.results import SELECTIONS, Case, Evaluation, Navs
from polygrain.report.rows import factor_row
from polygrain.report.tables import JUDGED, in_order
from polygrain.store.panel import Array

# Okabe-Ito, darkened where white paper needs it: distinct for the colour-blind. Hue 0 is the naive composite's grey.
PALETTE = ("#7a7a7a", "#0072b2", "#d55e00", "#009e73", "#b5478f", "#b8860b", "#3aa0dd", "#5b5ea6")
NAIVE_HUE = 0
REFERENCES = ("naive", "oracle")
SYMBOLS = {"naive": "diamond", "oracle": "star"}
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
SELECTION_TITLES = {"top10pct": "Top 10%", "top100": "Top 100"}
LEG_TITLES = {"net": "after costs", "gross": "before costs"}


@dataclass(frozen=True)
class Figure:
    """A figure of the report: `name` is its file; on the page the figures of a `group` share one place, switched by
    their `choice`, such as ("5-day label", "net")."""

    name: str
    group: str
    choice: tuple[str, ...]
    figure: go.Figure

    def json(self) -> str:
        """Canonical JSON of data and layout, the same bytes for the same figure."""
        return json.dumps(self.figure.to_plotly_json(), sort_keys=True, ensure_ascii=False, allow_nan=False)


def label(label_days: int) -> str:
    """How a label is named among a figure's choices."""
    return f"{label_days}-day label" if label_days else "no label named"


def hues(models: Sequence[ModelFacts]) -> dict[str, int]:
    """One colour per granularity or combination, so that an encoder changes the dash and not the colour."""
    bases: dict[str, int] = {}
    found: dict[str, int] = {}
    for model in models:
        if model.kind in REFERENCES:
            found[model.name] = NAIVE_HUE
        else:
            found[model.name] = bases.setdefault(model.base, 1 + len(bases) % (len(PALETTE) - 1))
    return found


def _dashes(models: Sequence[ModelFacts]) -> dict[str, str]:
    """Solid for the last encoder of the configuration, broken for those it is measured against."""
    suffixes = list(dict.fromkeys(model.suffix for model in reversed(models) if model.kind not in REFERENCES))
    return {
        model.name: "dash" if model.kind in REFERENCES else DASHES[suffixes.index(model.suffix) % len(DASHES)]
        for model in models
    }


def layout(y_title: str, y_format: str) -> go.Layout:
    """Dates below, one value above, names under both."""
    return go.Layout(
        template="none",
        height=420,
        margin={"l": 56, "r": 12, "t": 12, "b": 36},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "top", "y": -0.12, "x": 0},
        xaxis={"type": "date", "showgrid": False, "hoverformat": "%Y-%m-%d"},
        yaxis={"title": {"text": y_title}, "tickformat": y_format, "zeroline": True},
    )


def line(evaluation: Evaluation, model: ModelFacts, x: list[str], y: list[float | None], y_format: str) -> go.Scatter:
    """A model's line over dates, in its colour and dash; that of the headline model is thicker."""
    hue = hues(evaluation.facts.models)[model.name]
    headline = model.name == evaluation.facts.headline
    return go.Scatter(
        name=model.name,
        x=x,
        y=y,
        mode="lines",
        connectgaps=True,
        line={
            "color": PALETTE[hue],
            "dash": _dashes(evaluation.facts.models)[model.name],
            "width": 3 if headline else 1.6,
        },
        meta={"hue": hue},
        hovertemplate=f"%{{y:{y_format}}}",
    )


def rounded(values: Array, digits: int) -> list[float | None]:
    """Values as a figure holds them, None where there is none."""
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]


def _shown(evaluation: Evaluation, label_days: int) -> list[tuple[ModelFacts, Case]]:
    """Every model of one label in table order, the naive composite first so that it is drawn beneath."""
    models = in_order(evaluation.facts.models, ("naive", *JUDGED))
    models.sort(key=lambda model: model.kind != "naive")
    return [(model, evaluation.case(model.name, 0 if model.kind == "naive" else label_days)) for model in models]


def rank_ic_by_model(evaluation: Evaluation) -> list[Figure]:
    """Mean Rank IC with two Newey-West standard errors on each side, a row per model; one figure per label."""
    figures = []
    for label_days in evaluation.facts.label_days:
        # From the bottom: the naive composite, an oracle, then the last model of the tables up to the first.
        oracle = [
            (model, evaluation.case(model.name, label_days)) for model in in_order(evaluation.facts.models, ("oracle",))
        ]
        shown = [*_shown(evaluation, label_days), *oracle]
        shown = [pair for pair in shown if pair[0].kind == "naive"] + [
            pair for pair in shown[::-1] if pair[0].kind != "naive"
        ]
        rows = [(model, factor_row(evaluation, case)) for model, case in shown if evaluation.series(case) is not None]
        hue = hues(evaluation.facts.models)
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
        figures.append(Figure(f"rank_ic_by_model_{label_days}d", "rank_ic_by_model", (label(label_days),), figure))
    return figures


def cumulative_rank_ic(evaluation: Evaluation) -> list[Figure]:
    """Running sum of the daily Rank IC, every model and the naive composite; one figure per label."""
    figures = []
    for label_days in evaluation.facts.label_days:
        figure = go.Figure(layout=layout("cumulative Rank IC", ".1f"))
        for model, case in _shown(evaluation, label_days):
            series = evaluation.series(case)
            if series is None:
                continue
            days = [day.isoformat() for day in series.days]
            total = np.cumsum(np.nan_to_num(series.rank_ic))
            figure.add_trace(line(evaluation, model, days, rounded(total, 4), ".2f"))
        figures.append(Figure(f"cumulative_rank_ic_{label_days}d", "cumulative_rank_ic", (label(label_days),), figure))
    return figures


def relative_nav(navs: Navs, leg: str) -> Array:
    """NAV_p / NAV_b − 1 by day from the base of the common span, mean over tracks."""
    ratio = navs.leg(leg) / navs.benchmark
    mean: Array = (ratio / ratio[:, :1]).mean(axis=0) - 1
    return mean


def cumulative_excess(evaluation: Evaluation) -> list[Figure]:
    """NAV of the portfolio over NAV of the benchmark, mean over tracks, after and before costs."""
    figures = []
    for label_days in evaluation.facts.label_days:
        for selection in SELECTIONS:
            for leg in LEG_TITLES:
                figure = go.Figure(layout=layout("cumulative excess", ".0%"))
                for model, case in _shown(evaluation, label_days):
                    navs = evaluation.navs(case, selection)
                    if navs is None:
                        continue
                    days = [day.isoformat() for day in navs.days]
                    figure.add_trace(line(evaluation, model, days, rounded(relative_nav(navs, leg), 5), ".1%"))
                if figure.data:
                    name = f"cumulative_excess_{selection}_{leg}_{label_days}d"
                    choice = (label(label_days), SELECTION_TITLES[selection], LEG_TITLES[leg])
                    figures.append(Figure(name, "cumulative_excess", choice, figure))
    return figures


def latest_year(evaluation: Evaluation) -> list[Figure]:
    """Figure 10: the same from the last close before the latest year, whose first close is 1."""
    figures = []
    for label_days in evaluation.facts.label_days:
        for selection in SELECTIONS:
            for leg in LEG_TITLES:
                figure = go.Figure(layout=layout("NAV over benchmark NAV", ".2f"))
                for model, case in _shown(evaluation, label_days):
                    navs = evaluation.navs(case, selection)
                    if navs is None or len(navs.days) < 2:
                        continue
                    span = list(year_spans(navs.days).values())[-1]
                    days = [day.isoformat() for day in navs.days[span]]
                    ratio = 1 + relative_nav(navs.part(span), leg)
                    figure.add_trace(line(evaluation, model, days, rounded(ratio, 5), ".3f"))
                if figure.data:
                    name = f"figure10_latest_year_{selection}_{leg}_{label_days}d"
                    choice = (label(label_days), SELECTION_TITLES[selection], LEG_TITLES[leg])
                    figures.append(Figure(name, "latest_year", choice, figure))
    return figures


LINE_FIGURES: tuple[Callable[[Evaluation], list[Figure]], ...] = (
    rank_ic_by_model,
    cumulative_rank_ic,
    cumulative_excess,
)
