"""Figures as plain SVG: what stands on the page until plotly has drawn them, and stays where scripts are off.

Colours are the style sheet's, so that they follow the reader's theme: `--hue-N` is a trace's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

# In pixels: of a letter, of a name in the legend, of one of its rows, of the room for figures beside an axis.
_LETTER, _NAME, _ROW, _LEFT = 8, 165, 24, 72
# Points of a line; a page is about this many pixels wide.
_POINTS = 400
_SHADES = 12
_DASHES = {"solid": "", "dot": "2 3", "dash": "9 7", "dashdot": "8 4 2 4", "longdash": "14 6"}


@dataclass(frozen=True)
class Scale:
    """Where a value lies between two pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Some five round values within the scale."""
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        unit = 10 ** math.floor(math.log10(span / 4))
        step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 6)
        return [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def still(figure: go.Figure, width: int) -> Markup:
    """The figure, `width` pixels wide, as an SVG element."""
    kinds = {trace.type for trace in figure.data}
    if not kinds:
        return Markup("")
    if "heatmap" in kinds:
        body, height = _origins(figure, width), int(figure.layout.height)
    elif figure.layout.showlegend is False:
        body, height = _dots(figure, width), int(figure.layout.height)
    else:
        below = _tilted(figure, width) if "bar" in kinds else 0
        body = _bars(figure, width, below) if "bar" in kinds else _lines(figure, width)
        rows = math.ceil(len(figure.data) / _columns(width))
        body, height = body + _legend(figure, width, below), int(figure.layout.height) + below + _ROW * rows
    return Markup('<svg class="still" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(width, height, body)


def interval(scale: Scale, value: float, reach: float, hue: int, reference: float | None) -> Markup:
    """A value and how far its error reaches, as a strip to stand in a row; 0 and the reference are lines across."""
    width, height = round(scale.start + scale.end), 20
    drawn = _stroke(scale(0), 0, scale(0), height)
    if reference is not None:
        drawn += _stroke(scale(reference), 0, scale(reference), height, "stroke: var(--hue-0); stroke-dasharray: 2 3")
    line = f"stroke: var(--hue-{hue}); stroke-width: 2"
    drawn += _stroke(scale(value - reach), height / 2, scale(value + reach), height / 2, line)
    drawn += Markup('<circle cx="{}" cy="{}" r="4" style="fill: var(--hue-{})"/>').format(scale(value), height / 2, hue)
    template = '<svg class="still strip" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{2}</svg>'
    return Markup(template).format(width, height, drawn)


def _text(x: float, y: float, said: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, said)


def _stroke(x: float, y: float, to_x: float, to_y: float, style: str = "", kind: str = "") -> Markup:
    template = '<path class="{}" d="M{} {}L{} {}" style="{}"/>'
    return Markup(template).format(kind or "grid", x, y, to_x, to_y, style)


def _rectangle(x: float, y: float, width: float, height: float, hue: int, opacity: float = 1) -> Markup:
    template = '<rect x="{}" y="{}" width="{}" height="{}" style="fill: var(--hue-{}); fill-opacity: {}"/>'
    return Markup(template).format(*(round(number, 1) for number in (x, y, width, height)), hue, round(opacity, 3))


def _hue(trace: Any, width: float = 2, dash: str = "") -> str:
    return f"stroke: var(--hue-{trace.meta['hue']}); stroke-width: {width}; stroke-dasharray: {dash or 'none'}"


def _solid(bar: Any) -> float:
    """Paler where plotly draws a pattern."""
    return 0.5 if bar.marker.pattern.shape else 1


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _number(value: float, form: str | None) -> str:
    if form and form.endswith("%"):
        return f"{value:.0%}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


def _range(values: Iterable[float]) -> tuple[float, float]:
    """From the least to the largest and a little more; 0 where there are none."""
    found = [value for value in values if value is not None and math.isfinite(value)] or [0.0]
    room = 0.04 * (max(found) - min(found)) or 1.0
    return min(found) - room, max(found) + room


def _frame(figure: go.Figure, width: int, values: Iterable[float]) -> tuple[Scale, Scale, Markup]:
    """The pixels across as 0 to 1, the scale of the values upwards, and the lines of its ticks."""
    margin, axis = figure.layout.margin, figure.layout.yaxis
    across = Scale(0, 1, _LEFT, width - margin.r)
    up = Scale(*_range(values), figure.layout.height - margin.b, margin.t)
    drawn = Markup("")
    for tick in up.ticks():
        drawn += _stroke(across.start, up(tick), across.end, up(tick))
        drawn += _text(_LEFT - 6, up(tick) + 4, _number(tick, axis.tickformat), "end")
    return across, up, drawn


def _lines(figure: go.Figure, width: int) -> Markup:
    values = (value for trace in figure.data for value in trace.y if value is not None)
    across, up, drawn = _frame(figure, width, values)
    dated = figure.layout.xaxis.type == "date"
    place = _ordinal if dated else int
    days = [place(day) for trace in figure.data for day in trace.x]
    time = Scale(min(days), max(days), across.start, across.end)
    below = figure.layout.height - figure.layout.margin.b + 18
    if dated:
        days = [round(time.low + (time.high - time.low) * sixth / 6) for sixth in range(1, 6)]
        drawn += _joined(_text(time(day), below, date.fromordinal(day).isoformat()) for day in days)
    else:
        drawn += _joined(_text(time(tick), below, f"{tick:g}") for tick in time.ticks())
    for trace in figure.data:
        points = [(place(day), value) for day, value in zip(trace.x, trace.y) if value is not None]
        step = max(1, len(points) // _POINTS)
        path = "L".join(f"{time(day)} {up(y)}" for day, y in points[::-step][::-1])
        style = _hue(trace, trace.line.width, _DASHES[trace.line.dash])
        drawn += Markup('<path class="line" d="M{}" style="{}"/>').format(path, style) if path else ""
    return drawn


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _tilted(figure: go.Figure, width: int) -> int:
    """The room that names below bars need where they are too long to stand beside each other; 0 where they are not."""
    names = {name for trace in figure.data for name in trace.x}
    longest = _LETTER * max(map(len, names), default=0)
    return longest // 2 if longest * len(names) > width - _LEFT else 0


def _bars(figure: go.Figure, width: int, tilted: int) -> Markup:
    found = [
        (group, trace, y, error or 0)
        for trace in figure.data
        for group, y, error in zip(trace.x, trace.y, trace.error_y.array)
        if y is not None
    ]
    across, up, drawn = _frame(figure, width, [0, *(y + sign * error for *_, y, error in found for sign in (-1, 1))])
    groups = list(dict.fromkeys(group for group, *_ in found))
    below = figure.layout.height - figure.layout.margin.b + 18
    for place, group in enumerate(groups):
        bars = [bar[1:] for bar in found if bar[0] == group]
        room = (across.end - across.start) / len(groups)
        start, bar = across.start + room * (place + 0.1), 0.8 * room / len(bars)
        middle = round(start + 0.4 * room, 1)
        if tilted:
            template = Markup('<text x="{0}" y="{1}" text-anchor="end" transform="rotate(-30 {0} {1})">{2}</text>')
            drawn += template.format(middle + 6, below, group)
        else:
            drawn += _text(middle, below, group)
        for number, (trace, y, error) in enumerate(bars):
            middle, box = round(start + bar * (number + 0.5), 1), (0.95 * bar, abs(up(y) - up(0)))
            drawn += _rectangle(start + bar * number, min(up(y), up(0)), *box, trace.meta["hue"], _solid(trace))
            drawn += _stroke(middle, up(y - error), middle, up(y + error), kind="error-bar")
    return drawn


def _dots(figure: go.Figure, width: int) -> Markup:
    axis, margin = figure.layout.yaxis, figure.layout.margin
    ends = [(trace.x[0], trace.error_x.array[0] or 0) for trace in figure.data if trace.x[0] is not None]
    low, high = _range([0, *(x + sign * error for x, error in ends for sign in (-1, 1))])
    left = 8 + _LETTER * max((len(name) for name in axis.ticktext), default=0)
    along = Scale(min(low, 0) if low < -0.01 else 0, high, left, width - margin.r)
    bottom = figure.layout.height - margin.b
    step = (bottom - margin.t) / max(1, len(axis.ticktext))
    drawn = _text((left + width) / 2, bottom + 38, figure.layout.xaxis.title.text)
    for tick in along.ticks():
        drawn += _stroke(along(tick), margin.t, along(tick), bottom)
        drawn += _text(along(tick), bottom + 18, _number(tick, None))
    for place, (trace, name) in enumerate(zip(figure.data, axis.ticktext)):
        y, x, error = round(bottom - step * (place + 0.5), 1), trace.x[0], trace.error_x.array[0] or 0
        drawn += _text(left - 6, y + 4, name, "end")
        if x is not None:
            drawn += _stroke(along(x - error), y, along(x + error), y, _hue(trace))
            dot = Markup('<circle cx="{}" cy="{}" r="5" style="fill: var(--hue-{})"/>')
            drawn += dot.format(along(x), y, trace.meta["hue"])
    return drawn


def _origins(figure: go.Figure, width: int) -> Markup:
    """Cells of days, beside them the bars of their sums, one granularity below the other."""
    layout = figure.layout
    top, bottom = layout.margin.t, layout.height - layout.margin.b
    left = 8 + _LETTER * max(len(name) for trace in figure.data for name in trace.y)
    whole, drawn = Scale(0, 1, left, width - layout.margin.r), Markup("")
    for cells, bars in zip(figure.data[::2], figure.data[1::2]):
        axes = [layout[f"{name[0]}axis{name[1:]}"] for name in (cells.xaxis, bars.xaxis, cells.yaxis)]
        days, sums = (Scale(0, 1, *map(whole, axis.domain)) for axis in axes[:2])
        head = bottom - axes[2].domain[1] * (bottom - top)
        row = (axes[2].domain[1] - axes[2].domain[0]) * (bottom - top) / len(cells.y)
        cell = (days.end - days.start) / len(cells.x)
        drawn += _text(left, round(head - 8, 1), cells.name, "start")
        drawn += _shaded(cells, days.end, head, cell, row)
        for number, (name, total) in enumerate(zip(cells.y, bars.x)):
            y = head + row * number
            drawn += _text(left - 6, round(y + row / 2 + 4, 1), name, "end")
            length = (sums.end - sums.start) * total / (axes[1].range[1] or 1)
            drawn += _rectangle(sums.start, y, length, row - 3, cells.meta["hue"])
        drawn += _text((days.start + days.end) / 2, round(head + row * len(cells.y) + 20, 1), axes[0].title.text)
    return drawn


def _shaded(cells: Any, right: float, head: float, cell: float, row: float) -> Markup:
    """The cells from the page's background to the hue: one path per shade, for there are thousands of them."""
    paths: dict[int, str] = {}
    for number, shares in enumerate(cells.z):
        for back, share in enumerate(shares):
            shade = math.ceil(_SHADES * share / (cells.zmax or 1))
            corner = f"M{right - cell * (back + 1):.1f} {head + row * number:.1f}"
            paths[shade] = paths.get(shade, "") + f"{corner}h{cell - 1:.1f}v{row - 1:.1f}h{1 - cell:.1f}"
    template = Markup('<path d="{}" style="fill: var(--hue-{}); fill-opacity: {}"/>')
    return _joined(template.format(path, cells.meta["hue"], shade / _SHADES) for shade, path in sorted(paths.items()))


def _columns(width: int) -> int:
    return max(1, (width - _LEFT) // _NAME)


def _legend(figure: go.Figure, width: int, below: int) -> Markup:
    columns = _columns(width)
    parts: list[Markup] = []
    for number, trace in enumerate(figure.data):
        x = _LEFT + _NAME * (number % columns)
        y = figure.layout.height + below + 8 + _ROW * (number // columns)
        if trace.type == "scatter":
            parts.append(_stroke(x, y, x + 28, y, _hue(trace, 3, _DASHES[trace.line.dash])))
        else:
            parts.append(_rectangle(x, y - 5, 28, 10, trace.meta["hue"], _solid(trace)))
        parts.append(_text(x + 36, y + 4, trace.name, "start"))
    return _joined(parts)
