"""The figure of where a network's scores come from: features by days of the look-back, beside them their sums."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go

from polygrain.report.figures import PALETTE, Figure, Group, label, looks
from polygrain.report.results import Evaluation, Shares
from polygrain.report.words import Text
from polygrain.store.panel import Array

NOTE = Text(
    "A network’s own scores, by integrated gradients: a cell is the share that a feature of one day of the look-back "
    "has in how far they move, a bar the feature’s share over all days; the shares of a model add up to 100%. How many "
    "dates and stocks are looked at stands under Conventions. A share says nothing of the sign, nor of whether the "
    "scores are any good. File: explain.parquet",
    "用积分梯度法看单个网络自身的打分：一格表示回看期内某一天的某个特征对打分变动的贡献占比，横条是该特征在各天的合计；"
    "一个模型的占比之和为 100%。考察了多少日期和股票，见口径一节。占比不说明方向，也不说明打分好不好。"
    "文件：explain.parquet",
)
# In pixels: a feature's row, and what lies between two granularities (a row of dates, the next one's name).
_ROW, _GAP, _TOP, _BELOW = 17, 70, 34, 100
# Across: the days, and the bars beside them.
_DAYS, _SUMS = (0.0, 0.74), (0.78, 1.0)


def origins(evaluation: Evaluation) -> Group:
    """A figure per label and model, one granularity below the other; the largest features of each stand on top."""
    hue = looks(evaluation.facts.models).hues
    figures = []
    for label_days in evaluation.facts.label_days:
        for model in evaluation.facts.models:
            shares = evaluation.origins.get((model.name, label_days))
            if shares:
                # Quoted: the name is part of a file's.
                name = f"origins_{quote(model.name, safe='')}_{label_days}d"
                figure = _figure(shares, hue[model.name], evaluation.facts.weekly)
                figures.append(Figure(name, (label(label_days), model.name), figure))
    return Group("origins", Text("Where the scores come from", "得分来源"), tuple(figures), note=NOTE)


def _figure(shares: Sequence[Shares], hue: int, weekly: Sequence[str]) -> go.Figure:
    height = sum(_ROW * len(each.features) for each in shares) + _GAP * (len(shares) - 1)
    # One scale for all granularities, of the cells and of the bars.
    most = max(float(each.values.max()) for each in shares)
    longest = 1.05 * max(float(each.values.sum(axis=1).max()) for each in shares)
    figure = go.Figure(
        layout={
            "template": "none",
            "height": height + _TOP + _BELOW,
            "margin": {"l": 56, "r": 12, "t": _TOP, "b": _BELOW},
            "hovermode": "closest",
            "showlegend": False,
            "bargap": 0.25,
        }
    )
    top = 1.0
    for number, each in enumerate(shares):
        bottom = max(0.0, top - _ROW * len(each.features) / height)
        unit = "weeks" if each.granularity in weekly else "days"
        figure.add_traces(_traces(each, number, hue, most, unit, height))
        figure.update_layout(_axes(each, number, (bottom, top), unit, longest))
        said = each.granularity if len(shares) == 1 else f"{each.granularity}: {each.values.sum():.0%}"
        place = {"x": 0, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        figure.add_annotation(text=said, showarrow=False, font={"size": 14}, **place)
        top = bottom - _GAP / height
    return figure


def _traces(shares: Shares, number: int, hue: int, most: float, unit: str, height: int) -> tuple[go.Heatmap, go.Bar]:
    """The days from 0, the page's background, to the model's largest share; the bars beside them."""
    sums = shares.values.sum(axis=1)
    order = np.argsort(-sums, kind="stable")
    features = [shares.features[feature] for feature in order]
    vertical = f"y{_suffix(number)}"
    cells = go.Heatmap(
        name=shares.granularity,
        x=list(range(shares.values.shape[1])),
        y=features,
        z=[_short(row) for row in shares.values[order]],
        zmin=0,
        zmax=_short(np.array([most]))[0],
        xgap=1,
        ygap=1,
        # Light to dark whatever the hue, so that it reads without seeing colours.
        colorscale=[[0, "#ffffff"], [0.6, PALETTE[hue]], [1, "#1d2126"]],
        showscale=number == 0,
        colorbar={
            "orientation": "h",
            "x": _DAYS[0],
            "xanchor": "left",
            "y": -52 / height,
            "yanchor": "top",
            "len": _DAYS[1],
            "thickness": 8,
            "xpad": 0,
            "ypad": 0,
            "outlinewidth": 0,
            "tickformat": ".1%",
            "nticks": 4,
        },
        meta={"hue": hue},
        hovertemplate=f"%{{y}}, %{{x}} {unit} back: %{{z:.2%}}",
        xaxis=f"x{_suffix(2 * number)}",
        yaxis=vertical,
    )
    bars = go.Bar(
        name=f"{shares.granularity}, all {unit}",
        x=_short(sums[order]),
        y=features,
        orientation="h",
        marker={"color": PALETTE[hue]},
        meta={"hue": hue},
        hovertemplate="%{y}: %{x:.1%}",
        xaxis=f"x{_suffix(2 * number + 1)}",
        yaxis=vertical,
    )
    return cells, bars


def _axes(
    shares: Shares, number: int, domain: tuple[float, float], unit: str, longest: float
) -> dict[str, dict[str, object]]:
    """Time runs to the right, to the date that is scored."""
    days = shares.values.shape[1]
    below = {"anchor": f"y{_suffix(number)}", "showgrid": False, "zeroline": False, "ticks": ""}
    return {
        f"xaxis{_suffix(2 * number)}": {
            **below,
            "domain": _DAYS,
            "autorange": "reversed",
            "tick0": 0,
            "dtick": 1 if days <= 12 else 5 if days <= 40 else 10,
            "title": {"text": f"{unit} back", "standoff": 6},
        },
        f"xaxis{_suffix(2 * number + 1)}": {
            **below,
            "domain": _SUMS,
            "showgrid": True,
            "range": [0, longest],
            "tickformat": ".0%",
            "title": {"text": f"all {unit}", "standoff": 6},
        },
        f"yaxis{_suffix(number)}": {
            "anchor": f"x{_suffix(2 * number)}",
            "domain": domain,
            "type": "category",
            "autorange": "reversed",
            "dtick": 1,
            "tickfont": {"size": 12},
            "showgrid": False,
            "zeroline": False,
            "ticks": "",
            "automargin": True,
        },
    }


def _suffix(number: int) -> str:
    """How plotly numbers axes: x, x2, x3."""
    return "" if number == 0 else str(number + 1)


def _short(values: Array) -> list[float]:
    """Three significant digits: a page holds many of them."""
    return [float(f"{value:.3g}") for value in values]
