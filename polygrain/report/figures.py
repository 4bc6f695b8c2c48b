"""What the report's figures share: a group's place on the page, colours, dashes, axes.

Every trace and axis is drawn in the light palette and restyled by the page: a trace's `meta.hue` numbers its colour,
which the page maps to the palette of the reader's theme.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import plotly.graph_objects as go

from polygrain.report.facts import ModelFacts
from polygrain.report.results import SELECTIONS, Case, Evaluation
from polygrain.report.tables import JUDGED, in_order
from polygrain.report.words import Text
from polygrain.store.panel import Array

# Okabe-Ito, darkened where white paper needs it: distinct for the colour-blind. Hue 0 is the naive composite's grey.
PALETTE = ("#7a7a7a", "#0072b2", "#d55e00", "#009e73", "#b5478f", "#b8860b", "#3aa0dd", "#5b5ea6")
NAIVE_HUE = 0
REFERENCES = ("naive", "oracle")
PATTERNS = ("", "/", "x", ".", "-")
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
SELECTION_TITLES = {"top10pct": "Top 10%", "top100": "Top 100"}
LEG_TITLES = {"net": "after costs", "gross": "before costs"}


@dataclass(frozen=True)
class Figure:
    """A figure of the report: `name` is its file; among those of its group it is found by its `choice`, such as
    ("5-day label", "net"). `published` is the broker report's own, where it shows that choice."""

    name: str
    choice: tuple[str, ...]
    figure: go.Figure
    published: go.Figure | None = None

    def json(self) -> str:
        """Canonical JSON of data and layout, the same bytes for the same figure."""
        return as_json(self.figure)


@dataclass(frozen=True)
class Group:
    """Figures that share one place on the page; `lacks` says in one line what they need and the run does not have.

    A group without figures stands there with that line alone, and without the line not at all.
    """

    name: str
    title: Text
    figures: tuple[Figure, ...]
    lacks: Text | None = None
    note: Text | None = None


def as_json(figure: go.Figure) -> str:
    """Canonical JSON of a plotly figure."""
    return json.dumps(figure.to_plotly_json(), sort_keys=True, ensure_ascii=False, allow_nan=False)


def label(label_days: int) -> str:
    """How a label is named among a figure's choices."""
    return f"{label_days}-day label" if label_days else "no label named"


def choices(label_days: Sequence[int]) -> list[tuple[int, str, str]]:
    """Every label, selection and leg, in the order of a figure's switches."""
    return list(product(label_days, SELECTIONS, LEG_TITLES))


@dataclass(frozen=True)
class Looks:
    """How models are drawn: a colour per granularity or combination by model name, a dash or a pattern per encoder.

    `encoders` are suffixes, the last one of the configuration first: it is solid, and those that it is measured against
    are broken.
    """

    hues: Mapping[str, int]
    encoders: tuple[str, ...]

    def dash(self, model: ModelFacts) -> str:
        """How a model's line is broken."""
        return "dash" if model.kind in REFERENCES else DASHES[self.encoders.index(model.suffix) % len(DASHES)]

    def pattern(self, model: ModelFacts) -> str:
        """What a model's bars are filled with; "" is plain."""
        return "" if model.kind in REFERENCES else PATTERNS[self.encoders.index(model.suffix) % len(PATTERNS)]


def looks(models: Sequence[ModelFacts], others: Sequence[ModelFacts] = ()) -> Looks:
    """How models are drawn, in the colours and dashes that `others` have, which are drawn elsewhere on the page."""
    bases: dict[str, int] = {}
    hues: dict[str, int] = {}
    for model in (*others, *models):
        if model.kind in REFERENCES:
            hues[model.name] = NAIVE_HUE
        else:
            hues[model.name] = bases.setdefault(model.base, 1 + len(bases) % (len(PALETTE) - 1))
    suffixes = [model.suffix for model in (*others[::-1], *models[::-1]) if model.kind not in REFERENCES]
    return Looks(hues, tuple(dict.fromkeys(suffixes)))


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


def line(
    drawn: Looks,
    model: ModelFacts,
    x: Sequence[str | int],
    y: Sequence[float | None],
    y_format: str,
    *,
    headline: str = "",
) -> go.Scatter:
    """A model's line over dates or numbers; that of the headline is thicker."""
    hue = drawn.hues[model.name]
    return go.Scatter(
        name=model.name,
        x=x,
        y=y,
        mode="lines",
        connectgaps=True,
        line={"color": PALETTE[hue], "dash": drawn.dash(model), "width": 3 if model.name == headline else 1.6},
        meta={"hue": hue},
        hovertemplate=f"%{{y:{y_format}}}",
    )


def rounded(values: Array, digits: int) -> list[float | None]:
    """Values as a figure holds them, None where there is none."""
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]


def shown(evaluation: Evaluation, label_days: int) -> list[tuple[ModelFacts, Case]]:
    """Every model of one label in table order, the naive composite first so that it is drawn beneath."""
    models = in_order(evaluation.facts.models, ("naive", *JUDGED))
    models.sort(key=lambda model: model.kind != "naive")
    return [(model, case_of(evaluation, model, label_days)) for model in models]


def case_of(evaluation: Evaluation, model: ModelFacts, label_days: int) -> Case:
    """A model's case at a label; the naive composite has the same scores for all of them."""
    return evaluation.case(model.name, 0 if model.kind == "naive" else label_days)
