"""Figures of index-enhanced portfolios: cumulative excess, exposures through time, shadow prices of constraints."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go
import polars as pl

from polygrain.report.enhancements import HARD, EnhancedIndex, Enhancements, of
from polygrain.report.facts import ReportFacts
from polygrain.report.figures import DASHES, LEG_TITLES, PALETTE, Figure, Group, label, layout, line, looks, rounded
from polygrain.report.lines import relative_nav
from polygrain.report.words import Text
from polygrain.store.panel import Array

# As many lines as there are colours but the naive composite's.
MOST_LINES = len(PALETTE) - 1
STYLES, INDUSTRIES = "active styles", "active industry weights"
PRICES, BINDING = "shadow price", "rows and weights at a limit"


def cumulative_excess(enhancements: Enhancements, facts: ReportFacts) -> Group:
    """NAV of the shown portfolio over the index's, every model; one figure per enhancement, label and leg."""
    drawn, figures = looks(facts.models), []
    for each in enhancements.listed:
        for label_days in each.label_days:
            for leg in LEG_TITLES:
                figure = go.Figure(layout=layout("cumulative excess", ".0%"))
                for model in each.models:
                    held = enhancements.held.get((each.shown.name, model, label_days))
                    if held is not None:
                        days = [day.isoformat() for day in held.navs.days]
                        values = rounded(relative_nav(held.navs, leg), 5)
                        named = facts.model(model)
                        figure.add_trace(line(drawn, named, days, values, ".1%", headline=each.models[0]))
                name = f"enhancement_excess_{_file(each)}_{leg}_{label_days}d"
                if figure.data:
                    figures.append(Figure(name, (each.called, label(label_days), LEG_TITLES[leg]), figure))
    title = Text("Cumulative excess: portfolio NAV over index NAV", "累计超额（组合净值 / 指数净值）")
    return Group("enhancement_excess", title, tuple(figures))


def _file(each: EnhancedIndex) -> str:
    # Quoted: the name is part of a file's.
    return quote(each.called, safe="")


def exposures(enhancements: Enhancements) -> Group:
    """The targets' styles and industry weights less the index's, date by date, of the shown portfolio.

    Of many industries those that differ most.
    """
    figures = []
    for each in enhancements.listed:
        active = of(enhancements.active, each.key).with_columns(value=pl.col("held") - pl.col("benchmark"))
        for kind, choice, axis, y_format in (
            ("style", STYLES, "exposure less the index’s", ".2f"),
            ("industry", INDUSTRIES, "weight less the index’s", ".1%"),
        ):
            found = _series(active.filter(pl.col("kind") == kind), "of", "value")
            largest = sorted(found, key=lambda name: -float(np.nanmean(np.abs(found[name]))))[:MOST_LINES]
            figure = _over_dates(active, {name: found[name] for name in found if name in largest}, axis, y_format)
            if figure.data:
                figures.append(Figure(f"enhancement_{kind}_{_file(each)}", (each.called, choice), figure))
    title = Text("Exposures against the index", "相对指数的暴露")
    note = Text(
        f"Targets of the shown portfolio, date by date; of industries the {MOST_LINES} that differ most. All of them: "
        "portfolios/active.parquet",
        f"所示组合各决策日的目标权重；行业只画差别最大的 {MOST_LINES} 个，全部见 portfolios/active.parquet",
    )
    return Group("enhancement_exposures", title, tuple(figures), note=note if figures else None)


def prices(enhancements: Enhancements) -> Group:
    """What more room in each constraint would add to the portfolio's score, and how many of its limits bind, date by
    date, of the shown portfolio. Those that never bind are left out, and those that no config can change."""
    figures = []
    for each in enhancements.listed:
        frame = of(enhancements.prices, each.key).filter(~pl.col("part").is_in(HARD))
        for column, choice, axis, name in (
            ("price", PRICES, "score gained a unit of room", "prices"),
            ("binding", BINDING, "rows and weights at a limit", "binding"),
        ):
            found = {part: np.nan_to_num(values) for part, values in _series(frame, "part", column).items()}
            felt = {part: values for part, values in found.items() if values.any()}
            figure = _over_dates(frame, felt, axis, ".3~g")
            if figure.data:
                figures.append(Figure(f"enhancement_{name}_{_file(each)}", (each.called, choice), figure))
    title = Text("What constraints cost: shadow prices", "约束的代价：影子价格")
    note = Text(
        "A price is what Σ μw, in standard deviations of the score, gains for a unit more of room in all rows and "
        "bounds of a constraint at once: 0.01 more of room adds a hundredth of it.",
        "价格为某约束的所有行与界同时放宽一个单位时 Σ μw（以得分标准差计）的增量：放宽 0.01 得其百分之一。",
    )
    return Group("enhancement_prices", title, tuple(figures), note=note if figures else None)


def _series(frame: pl.DataFrame, key: str, value: str) -> dict[str, Array]:
    """By name the values on all of the frame's dates, NaN where there is none."""
    dates = frame.select(pl.col("date").unique().sort())
    found = {}
    for (name,), part in frame.partition_by(key, as_dict=True, maintain_order=True).items():
        column = dates.join(part.select("date", value), on="date", how="left").sort("date")[value]
        found[str(name)] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return found


def _over_dates(frame: pl.DataFrame, found: Mapping[str, Array], title: str, y_format: str) -> go.Figure:
    """A line per name over the frame's dates, in the order that they are given."""
    days = [day.isoformat() for day in frame["date"].unique().sort()]
    figure = go.Figure(layout=layout(title, y_format))
    for place, (name, values) in enumerate(found.items()):
        hue = 1 + place % MOST_LINES
        figure.add_scatter(
            name=name,
            x=days,
            y=_short(values),
            mode="lines",
            line={"color": PALETTE[hue], "dash": DASHES[place // MOST_LINES % len(DASHES)], "width": 1.6},
            meta={"hue": hue},
            hovertemplate=f"%{{y:{y_format}}}",
        )
    return figure


def _short(values: Array) -> list[float | None]:
    """Four significant digits: a page holds many of them."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values]


def enhancement_figures(enhancements: Enhancements, facts: ReportFacts) -> list[Group]:
    """Every group that has a figure."""
    made = (cumulative_excess(enhancements, facts), exposures(enhancements), prices(enhancements))
    return [group for group in made if group.figures]
