"""Figures without plotly: what is drawn is as far and as high as the figures say."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest
from reference_report import write_run

from polygrain.report.figures import layout
from polygrain.report.page import write_report
from polygrain.report.still import Scale, interval, still

FIGURE = re.compile(r'<figure class="slot" data-group="(\w+)".*?</figure>', re.DOTALL)
SVG = re.compile(r'<div class="plot".*?(<svg class="still".*?</svg>)</div>', re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run") / "a", count=60)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(run: Path) -> dict[str, ElementTree.Element]:
    html = (run / "report.html").read_text("utf-8")
    return {place[1]: ElementTree.fromstring(SVG.search(place[0])[1]) for place in FIGURE.finditer(html)}


def traces(run: Path, name: str) -> list[dict]:
    found: list[dict] = json.loads((run / "figures" / f"{name}.json").read_text("utf-8"))["data"]
    return found


def straight(pixels: list[float], values: list[float]) -> None:
    """Pixels lie on a line over the values, up to their rounding."""
    first, last = values.index(min(values)), values.index(max(values))
    slope = (pixels[last] - pixels[first]) / (values[last] - values[first])
    for pixel, value in zip(pixels, values, strict=True):
        assert pixel == pytest.approx(pixels[first] + slope * (value - values[first]), abs=0.3)


def test_every_place_has_one(drawn: dict[str, ElementTree.Element], run: Path) -> None:
    groups = re.findall(r'<figure class="slot" data-group="(\w+)"', (run / "report.html").read_text("utf-8"))
    assert list(drawn) == groups
    assert len(groups) == 11


def test_dots_lie_where_the_rank_ics_are(drawn: dict[str, ElementTree.Element], run: Path) -> None:
    values = [trace["x"][0] for trace in traces(run, "rank_ic_by_model_5d")]
    straight([float(dot.attrib["cx"]) for dot in drawn["rank_ic_by_model"].iter("circle")], values)


def test_lines_end_where_the_excess_does(drawn: dict[str, ElementTree.Element], run: Path) -> None:
    found = traces(run, "cumulative_excess_top10pct_net_5d")
    lines = [path.attrib["d"] for path in drawn["cumulative_excess"].iter("path") if path.attrib["class"] == "line"]
    assert {line.count("L") for line in lines} == {len(trace["y"]) - 1 for trace in found}
    # Upwards is downwards in pixels.
    straight([-float(line.rsplit(" ", 1)[1]) for line in lines], [trace["y"][-1] for trace in found])


def test_bars_are_as_high_as_the_excess(drawn: dict[str, ElementTree.Element], run: Path) -> None:
    found = traces(run, "figure4_excess_of_singles_top10pct_net_5d")
    groups = list(dict.fromkeys(group for trace in found for group in trace["x"]))
    values = [abs(trace["y"][0]) for group in groups for trace in found if trace["x"] == [group]]
    heights = [float(bar.attrib["height"]) for bar in drawn["excess_of_singles"].iter("rect")][: len(values)]
    straight([0, *heights], [0, *values])


def test_the_darkest_cell_has_the_largest_share(drawn: dict[str, ElementTree.Element]) -> None:
    cells = [path for path in drawn["origins"].iter("path") if "fill-opacity: 1.0" in path.attrib["style"]]
    assert [path.attrib["d"].count("M") for path in cells] == [1]


def test_what_is_missing_is_left_out() -> None:
    assert still(go.Figure(layout=layout("", "")), 600) == ""
    line = go.Scatter(x=["2025-01-02"], y=[None], name="<b>", mode="lines", line={"dash": "dot"}, meta={"hue": 1})
    bar = go.Bar(x=["day"], y=[None], name="a", error_y={"array": [None]}, meta={"hue": 1})
    for trace in (line, bar):
        svg = still(go.Figure([trace], layout=layout("", ".0%")), 600)
        assert 'class="line"' not in svg
        assert "<b>" not in svg
        assert "nan" not in svg


def test_lines_over_numbered_days_have_round_ticks() -> None:
    days = list(range(140))
    trace = go.Scatter(x=days, y=days, name="a", mode="lines", line={"dash": "dot"}, meta={"hue": 1})
    svg = still(go.Figure([trace], layout=layout("", ".2f")).update_layout(xaxis={"type": "linear"}), 1168)
    assert [f">{day}<" in svg for day in (0, 50, 100, 23)] == [True, True, True, False]


def test_names_too_long_to_stand_beside_each_other_are_tilted_and_have_room() -> None:
    def drawn(names: list[str]) -> ElementTree.Element:
        bar = go.Bar(x=names, y=[0.1] * len(names), name="a", error_y={"array": [None] * len(names)}, meta={"hue": 1})
        return ElementTree.fromstring(still(go.Figure([bar], layout=layout("", ".0%")), 600))

    short, long = drawn(["all", "large"]), drawn([f"outside_csi_{number}" for number in range(9)])
    tilted = [text for text in long.iter("text") if "rotate" in text.attrib.get("transform", "")]
    assert len(tilted) == 9
    assert not any("transform" in text.attrib for text in short.iter("text"))
    # 13 letters of 8 pixels, half of it below.
    assert int(long.attrib["viewBox"].split()[3]) - int(short.attrib["viewBox"].split()[3]) == 13 * 8 // 2


def test_a_strip_reaches_as_far_as_its_error() -> None:
    svg = ElementTree.fromstring(interval(Scale(-0.1, 0.3, 10, 140), 0.1, 0.05, 2, 0.0))
    (dot,), paths = list(svg.iter("circle")), [path.attrib["d"] for path in svg.iter("path")]
    # 130 pixels for .4: .1 lies .2 from the left end, 65 pixels; .05 is 16.25.
    assert float(dot.attrib["cx"]) == 75
    assert paths == ["M42.5 0L42.5 20", "M42.5 0L42.5 20", "M58.8 10.0L91.2 10.0"]
    assert len(list(ElementTree.fromstring(interval(Scale(0, 1, 0, 100), 0.5, 0.1, 1, None)).iter("path"))) == 2


@pytest.mark.parametrize(("low", "high"), [(-0.083, 0.094), (0, 13.6), (0.97, 1.09), (0, 1e-7), (-3, 250)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert low <= ticks[0] < ticks[-1] <= high
    step = ticks[1] - ticks[0]
    assert f"{step:.0e}"[0] in "125"
    assert step == pytest.approx(float(f"{step:.0e}"))
