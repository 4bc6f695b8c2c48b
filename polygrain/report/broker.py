"""The broker report's own figures, drawn as ours are: for the choices that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

import plotly.graph_objects as go

from polygrain.report.bars import A_YEAR, Bars, bar_figure, bars_of
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import LEG_TITLES, SELECTION_TITLES, Group, Looks, label, layout, line, looks
from polygrain.report.published import published
from polygrain.report.results import SELECTIONS

Row = Mapping[str, float | int | str]
Shown = tuple[str, frozenset[str], go.Figure]
"""A group, what of its choices the figure is of, and the figure."""

ENCODER = "biagru"
_TABLES = {"excess_of_singles": "table5_biagru_single", "excess_of_combinations": "table6_biagru_multi"}
# By group and selection; all are before costs.
_YEARS = {
    ("excess_by_year", "top10pct"): "figure8_biagru_top10pct_by_year_gross_label10",
    ("excess_by_year", "top100"): "figure9_biagru_top100_by_year_gross_label10",
    ("residual_by_year", "top10pct"): "figure15_residual_top10pct_by_year_gross_label5",
    ("residual_by_year", "top100"): "figure16_residual_top100_by_year_gross_label5",
}
_UNIVERSES = {
    "excess_by_universe": "figure12_top10pct_gross_by_universe_label10",
    "latest_year_by_universe": "figure13_top10pct_gross_by_universe_2023ytd_label10",
}
_RANK_IC = "figure11_rank_ic_by_universe_weekly_label10"
_NAV = "figure10_relative_nav_2022-12-30_to_2023-07-31_top10pct_gross"


@cache
def _figures() -> dict[str, list[dict[str, float | int | str]]]:
    """R88's figures as read from its charts, by name."""
    text = files("polygrain.report").joinpath("published_figures.json").read_text("utf-8")
    found: dict[str, list[dict[str, float | int | str]]] = json.loads(text)
    return found


def _model(row: Row) -> ModelFacts:
    name = str(row["model"])
    return ModelFacts(name=name, kind="single", suffix=ENCODER if name.endswith(f"_{ENCODER}") else "")


def _labels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each label, by its title."""
    days = dict.fromkeys(int(row["label_days"]) for row in rows)
    return {label(each): [row for row in rows if row["label_days"] == each] for each in days}


def _looks(rows: Sequence[Row], ours: Sequence[ModelFacts]) -> Looks:
    return looks([_model(row) for row in rows], ours)


def _bars(rows: Sequence[Row], ours: Sequence[ModelFacts], y_title: str, y_format: str = ".0%") -> go.Figure:
    """A row's figures beside each other, by column."""
    drawn = _looks(rows, ours)
    traces = []
    for row in rows:
        heights = {key: float(value) for key, value in row.items() if key not in ("label_days", "model")}
        names = [A_YEAR if key == "annualised" else key for key in heights]
        bars = Bars(names, list(heights.values()), [None] * len(names))
        traces.append(bars_of(drawn, _model(row), bars, ".3f" if y_format == ".2f" else ".1%"))
    return bar_figure(y_title, traces, y_format)


def _of_tables(ours: Sequence[ModelFacts]) -> Iterator[Shown]:
    """Figures 4 to 7: their values stand in the tables."""
    for group, table in _TABLES.items():
        for title, rows in _labels(published()[table]).items():
            for selection in SELECTIONS:
                for leg in LEG_TITLES:
                    shown = [
                        {"label_days": 0, "model": row["model"], _model(row).base: row[f"{selection}_{leg}"]}
                        for row in rows
                    ]
                    choice = frozenset({title, SELECTION_TITLES[selection], LEG_TITLES[leg]})
                    yield group, choice, _bars(shown, ours, "excess a year")


def _by_year(ours: Sequence[ModelFacts]) -> Iterator[Shown]:
    for (group, selection), name in _YEARS.items():
        for title, rows in _labels(_figures()[name]).items():
            yield (
                group,
                frozenset({title, SELECTION_TITLES[selection], LEG_TITLES["gross"]}),
                _bars(rows, ours, "excess"),
            )


def _by_universe(ours: Sequence[ModelFacts]) -> Iterator[Shown]:
    for title, rows in _labels(_figures()[_RANK_IC]).items():
        yield "rank_ic_by_universe", frozenset({title}), _bars(rows, ours, "mean Rank IC", ".2f")
    for group, name in _UNIVERSES.items():
        for title, rows in _labels(_figures()[name]).items():
            axis = "excess a year" if group == "excess_by_universe" else "excess"
            yield group, frozenset({title, LEG_TITLES["gross"]}), _bars(rows, ours, axis)


def _latest_year(ours: Sequence[ModelFacts]) -> Iterator[Shown]:
    """The days are numbered: the report's chart names no others than the first and the last."""
    for title, rows in _labels(_figures()[_NAV]).items():
        drawn = _looks(rows, ours)
        figure = go.Figure(layout=layout("NAV over benchmark NAV", ".2f"))
        axis = {
            "type": "linear",
            "hoverformat": None,
            "title": {"text": "trading days after 2022-12-30", "standoff": 6},
        }
        figure.update_layout(xaxis=axis, margin={"b": 56}, legend={"y": -0.2})
        for row in rows:
            nav = row["nav"]
            assert isinstance(nav, list)
            figure.add_trace(line(drawn, _model(row), list(range(len(nav))), nav, ".3f"))
        yield "latest_year", frozenset({title, SELECTION_TITLES["top10pct"], LEG_TITLES["gross"]}), figure


def beside(groups: Sequence[Group], models: Sequence[ModelFacts]) -> list[Group]:
    """The groups, the broker report's figure beside each one of ours that is of the same choice.

    A model has the colour that it has among `models`, those of the run.
    """
    theirs = [*_of_tables(models), *_by_year(models), *_by_universe(models), *_latest_year(models)]
    made = []
    for group in groups:
        # By universe it shows BiAGRU alone: beside ours of that encoder, where the run has it.
        encoder = {ENCODER} & {option for each in group.figures for option in each.choice}
        of_group = [(choice | encoder, figure) for name, choice, figure in theirs if name == group.name]
        paired = (
            replace(each, published=next((figure for choice, figure in of_group if choice <= set(each.choice)), None))
            for each in group.figures
        )
        made.append(replace(group, figures=tuple(paired)))
    return made
