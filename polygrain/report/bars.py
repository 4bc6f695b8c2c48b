"""The report's bar figures, 4 to 9 of the broker report: excess by granularity, by combination and by year."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import plotly.graph_objects as go

from polygrain.evaluation.statistics import DAYS_A_YEAR, excess_error, period_excess
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import LEG_TITLES, PALETTE, REFERENCES, SELECTION_TITLES, Figure, hues, label, layout
from polygrain.report.results import SELECTIONS, Evaluation, Navs
from polygrain.report.rows import Cell, annualised_excess, year_row
from polygrain.report.tables import MULTI, in_order

PATTERNS = ("", "/", "x", ".", "-")
Bars = tuple[list[str], list[float | None], list[float | None]]


def _bar(evaluation: Evaluation, model: ModelFacts, bars: Bars) -> go.Bar:
    """A model's bars: its colour is the granularity or combination, its pattern the encoder, plain for the last one."""
    models = [each for each in reversed(evaluation.facts.models) if each.kind not in REFERENCES]
    suffixes = list(dict.fromkeys(each.suffix for each in models))
    pattern = "" if model.kind in REFERENCES else PATTERNS[suffixes.index(model.suffix) % len(PATTERNS)]
    hue = hues(evaluation.facts.models)[model.name]
    x, y, error = bars
    return go.Bar(
        name=model.name,
        x=x,
        y=[None if value is None else round(value, 5) for value in y],
        error_y={"array": [None if each is None else round(each, 5) for each in error], "thickness": 1.5, "width": 0},
        marker={"color": PALETTE[hue], "pattern": {"shape": pattern}},
        meta={"hue": hue},
        hovertemplate="%{y:.1%} ± %{error_y.array:.1%}",
    )


def _figures(
    evaluation: Evaluation,
    group: str,
    numbers: Sequence[int],
    kinds: Sequence[str],
    title: str,
    bars: Callable[[ModelFacts, Navs, str], Bars],
) -> list[Figure]:
    """One figure per label, selection and leg, the naive composite last; `numbers` are the broker report's."""
    made = []
    models = in_order(evaluation.facts.models, kinds)
    for label_days, (number, selection), leg in product(
        evaluation.facts.label_days, zip(numbers, SELECTIONS), LEG_TITLES
    ):
        figure = go.Figure(layout=layout(title, ".0%"))
        for model in [*models, *in_order(evaluation.facts.models, ("naive",))] if models else ():
            navs = evaluation.navs(evaluation.case(model.name, 0 if model.kind == "naive" else label_days), selection)
            if navs is not None:
                figure.add_trace(_bar(evaluation, model, bars(model, navs, leg)))
        if figure.data:
            figure.update_layout(xaxis={"type": "category", "hoverformat": None}, barmode="group", hovermode="closest")
            choice = (label(label_days), SELECTION_TITLES[selection], LEG_TITLES[leg])
            made.append(Figure(f"figure{number}_{group}_{selection}_{leg}_{label_days}d", group, choice, figure))
    return made


def _whole_span(evaluation: Evaluation, group: str, numbers: Sequence[int], kinds: Sequence[str]) -> list[Figure]:
    """Excess over all days, a year's where they are enough for one."""
    rebalance = evaluation.facts.rebalance
    annual = any(annualised_excess(navs, "gross") is not None for navs in evaluation.nav.values())

    def bars(model: ModelFacts, navs: Navs, leg: str) -> Bars:
        days, error = excess_error(navs.leg(leg), navs.benchmark, 3 * rebalance)
        if annual:
            return [model.base], [annualised_excess(navs, leg)], [DAYS_A_YEAR * error]
        return [model.base], [period_excess(navs.leg(leg), navs.benchmark)], [days * error]

    title = f"excess{' a year' if annual else ', whole span'} ± SE"
    return _figures(evaluation, group, numbers, kinds, title, bars)


def excess_of_singles(evaluation: Evaluation) -> list[Figure]:
    """Figures 4 and 5: Top 10% and Top 100 of one granularity at a time, every encoder."""
    return _whole_span(evaluation, "excess_of_singles", (4, 5), ("single",))


def excess_of_combinations(evaluation: Evaluation) -> list[Figure]:
    """Figures 6 and 7: Top 10% and Top 100 of mixed input and ensembles, every encoder."""
    return _whole_span(evaluation, "excess_of_combinations", (6, 7), MULTI)


def excess_by_year(evaluation: Evaluation) -> list[Figure]:
    """Figures 8 and 9: Top 10% and Top 100 of mixed input and ensembles by year."""

    def bars(model: ModelFacts, navs: Navs, leg: str) -> Bars:
        row = year_row(navs, evaluation.facts.rebalance)
        years = [key.removesuffix("_se") for key in row if key.endswith("_se") and key != "annualised_se"]
        tail = "_net" if leg == "net" else ""
        return years, [_number(row, f"{year}{tail}") for year in years], [_number(row, f"{year}_se") for year in years]

    return _figures(evaluation, "excess_by_year", (8, 9), MULTI, "excess ± SE", bars)


def _number(row: Mapping[str, Cell], key: str) -> float | None:
    value = row[key]
    return value if isinstance(value, float) else None


BAR_FIGURES: tuple[Callable[[Evaluation], list[Figure]], ...] = (
    excess_of_singles,
    excess_of_combinations,
    excess_by_year,
)
