"""The report's figures by universe, 11 to 13 of the broker report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from polygrain.evaluation.statistics import newey_west, track_means
from polygrain.report.bars import (
    A_YEAR,
    Bars,
    Height,
    bar_figure,
    bars_of,
    by_span,
    excess_title,
    is_annual,
    whole_span,
)
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import LEG_TITLES, REFERENCES, Figure, Group, case_of, label, looks
from polygrain.report.results import Case, Evaluation
from polygrain.report.tables import MULTI, in_order
from polygrain.report.titles import year_title
from polygrain.report.words import Text

# R88's universes, as its published figures name them.
THEIRS = (
    *("all", "csi300", "csi500", "csi800", "csi1000", "csi800_1000", "outside_csi800_1000"),
    *("cni1000", "cni2000", "cni3000", "outside_cni3000", "amount_top20pct", "amount_top80pct"),
)
PLAIN = "no suffix"


def _by_encoder(evaluation: Evaluation) -> dict[str, list[ModelFacts]]:
    """What is shown of each encoder, that of the headline first: combinations, or all models of a run without any."""
    facts = evaluation.facts
    chosen = in_order(facts.models, MULTI) or [model for model in facts.models if model.kind not in REFERENCES]
    first = facts.model(facts.headline).suffix
    suffixes = sorted(looks(chosen).encoders, key=lambda suffix: suffix != first)
    return {suffix or PLAIN: [model for model in chosen if model.suffix == suffix] for suffix in suffixes}


def _lacks(evaluation: Evaluation) -> Text | None:
    """That there is nothing to compare, or which of the broker report's universes a real market's run does not have."""
    universes = evaluation.facts.universes
    if len(universes) < 2:
        return Text(
            f"Needs two universes or more; this run evaluates one: {universes[0]}.",
            f"至少需要两个选股范围；本次运行只评价了一个：{universes[0]}。",
        )
    absent = [] if evaluation.facts.simulated else [name for name in THEIRS if name not in universes]
    if not absent:
        return None
    return Text(
        f"The broker report’s universes that this run does not evaluate: {', '.join(absent)}.",
        f"研报有而本次运行未评价的选股范围：{'、'.join(absent)}。",
    )


def _bars(evaluation: Evaluation, case: Case, height: Callable[[Case], Height]) -> Bars:
    """Of one case in every universe that the run evaluated it in."""
    found = {name: height(replace(case, universe=name)) for name in evaluation.facts.universes}
    there = {name: each for name, each in found.items() if each[0] is not None}
    return Bars(list(there), [each for each, _ in there.values()], [error for _, error in there.values()])


def _figures(
    evaluation: Evaluation, name: str, title: str, y_format: str, height: Callable[[Case], Height], leg: str = ""
) -> Iterator[Figure]:
    """A figure per label and encoder, the naive composite last."""
    if len(evaluation.facts.universes) < 2:
        return
    drawn = looks(evaluation.facts.models)
    naive = in_order(evaluation.facts.models, ("naive",))
    for label_days in evaluation.facts.label_days:
        for encoder, models in _by_encoder(evaluation).items():
            pairs = [
                (model, _bars(evaluation, case_of(evaluation, model, label_days), height))
                for model in [*models, *naive]
            ]
            traces = [bars_of(drawn, model, bars, y_format) for model, bars in pairs if bars.names]
            if traces:
                choice = (label(label_days), encoder, *([LEG_TITLES[leg]] if leg else []))
                file = "_".join([name, *([leg] if leg else []), encoder.replace(" ", "_"), f"{label_days}d"])
                yield Figure(file, choice, bar_figure(title, traces, y_format))


def rank_ic_by_universe(evaluation: Evaluation) -> Group:
    """Figure 11: mean Rank IC of combinations in every universe."""

    def height(case: Case) -> Height:
        series = evaluation.series(case)
        if series is None:
            return None, None
        mean = track_means(series.rank_ic, case.rebalance).mean
        error = newey_west(series.rank_ic, 3 * case.rebalance)[1]
        return (mean, error) if np.isfinite(error) else (None, None)

    figures = tuple(_figures(evaluation, "figure11_rank_ic_by_universe", "mean Rank IC ± SE", ".2f", height))
    title = Text("Figure 11 · Rank IC by universe", "图 11 · 不同选股范围的 Rank IC")
    return Group("rank_ic_by_universe", title, figures, _lacks(evaluation))


def excess_by_universe(evaluation: Evaluation) -> Group:
    """Figure 12: Top 10% excess of combinations in every universe, against the universe's own members."""
    annual = is_annual(evaluation)

    def height(leg: str, case: Case) -> Height:
        navs = evaluation.navs(case, "top10pct")
        return (None, None) if navs is None else whole_span(navs, leg, case.rebalance, annual)

    figures = _by_leg(evaluation, "figure12_top10pct_by_universe", excess_title(annual), height)
    title = Text("Figure 12 · Top 10% excess by universe", "图 12 · 不同选股范围 前 10% 超额")
    return Group("excess_by_universe", title, figures, _lacks(evaluation))


def latest_year_by_universe(evaluation: Evaluation) -> Group:
    """Figure 13: Top 10% excess of combinations in every universe, of the latest year alone."""
    years: set[str] = set()

    def height(leg: str, case: Case) -> Height:
        navs = evaluation.navs(case, "top10pct")
        spans = {} if navs is None else by_span(navs, leg, case.rebalance)
        spans.pop(A_YEAR, None)
        if not spans:
            return None, None
        year = list(spans)[-1]
        years.add(year)
        return spans[year]

    figures = _by_leg(evaluation, "figure13_latest_year_by_universe", "excess ± SE", height)
    year, year_zh = year_title(max(years)) if years else ("latest year", "最近一年")
    title = Text(
        f"Figure 13 · Top 10% excess by universe, {year}", f"图 13 · 不同选股范围 前 10% 超额，{year_zh or year}"
    )
    return Group("latest_year_by_universe", title, figures, _lacks(evaluation))


def _by_leg(evaluation: Evaluation, name: str, title: str, height: Callable[[str, Case], Height]) -> tuple[Figure, ...]:
    """The figures after and before costs."""
    return tuple(
        figure for leg in LEG_TITLES for figure in _figures(evaluation, name, title, ".0%", partial(height, leg), leg)
    )
