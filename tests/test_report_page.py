"""The page: complete in itself, safe whatever a name holds, the same bytes again."""

import base64
import hashlib
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.offline
import polars as pl
import pytest
from reference_report import explain_rows, facts, models, write_run

from polygrain.errors import DataError
from polygrain.report.page import write_report

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}",
    "<!--",
    "&lt;script&gt;",
    "'; alert(1); '",
    "=HYPERLINK(\"x\")",
    "\u2028</script>",
]  # fmt: skip


class Page(HTMLParser):
    """Tags with their attributes, the ids, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.words = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] and self.tags[-1][0] == "script" and self.scripts[-1][1] == "":
            self.scripts[-1] = (self.scripts[-1][0], data)
        else:
            self.words += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run") / "a", count=60)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text("utf-8")


def contents(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_same_inputs_same_bytes(run: Path, tmp_path: Path) -> None:
    again = write_run(tmp_path / "b", count=60)
    write_report(again)
    assert contents(again) == contents(run)
    write_report(again)
    assert contents(again) == contents(run)


def test_it_loads_nothing_and_is_small(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data"):
            assert not re.match(r"(?i)\s*(https?:)?//", attributes.get(name) or ""), (tag, attributes)
        assert tag not in {"iframe", "object", "embed", "base"}
    assert len(html.encode()) < 5_000_000


def test_the_policy_admits_exactly_its_own_scripts(html: str) -> None:
    page = Page(html)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    running = [text.encode() for kind, text in page.scripts if kind is None]
    assert len(running) == 2
    admitted = {base64.b64encode(hashlib.sha256(text).digest()).decode() for text in running}
    admitted.add(base64.b64encode(hashlib.sha256(plotly.offline.get_plotlyjs().encode()).digest()).decode())
    assert policy is not None
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == admitted
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy


def test_nothing_from_the_run_becomes_markup(html: str, tmp_path: Path) -> None:
    clean = {tag for tag, _ in Page(html).tags}
    named = dict(zip([model["name"] for model in models()], PAYLOADS))
    hostile = [model | {"name": named[model["name"]], "description": named[model["name"]]} for model in models()]
    run = write_run(
        tmp_path / "run",
        count=30,
        name=PAYLOADS[1],
        note=PAYLOADS[2],
        models=hostile,
        headline=PAYLOADS[0],
        notes=PAYLOADS,
        missing=PAYLOADS,
        conventions=PAYLOADS,
        universes=["all", *PAYLOADS],
        data=[{"label": payload, "value": payload} for payload in PAYLOADS],
        configurations=[{"fingerprint": text, "first_run": text, "note": text} for text in PAYLOADS],
    )
    for name in ("rank_ic", "nav", "explain"):
        path = run / f"{name}.parquet"
        pl.read_parquet(path).with_columns(pl.col("model").replace(named)).write_parquet(path)
    (run / "manifest.json").write_text(json.dumps({payload: payload for payload in PAYLOADS}), "utf-8")
    page = Page(write_report(run).read_text("utf-8"))
    assert {tag for tag, _ in page.tags} <= clean
    assert len(page.scripts) == len(Page(html).scripts)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [a for _, a in page.tags if (a.get("href") or "").strip().lower().startswith("javascript:")]
    assert [payload for payload in PAYLOADS if payload not in page.words] == []
    cells = {cell for path in (run / "tables").glob("*.csv") for cell in pl.read_csv(path)["model"]}
    assert cells <= {"'" + payload if payload.startswith("=") else payload for payload in PAYLOADS}
    assert any(cell.startswith("'=") for cell in cells)


def test_figures_are_plotly_figures_and_are_on_the_page(run: Path, html: str) -> None:
    shown = json.loads(next(text for kind, text in Page(html).scripts if kind == "application/json"))
    files = sorted((run / "figures").glob("*.json"))
    # Two labels: Rank IC by model, cumulative Rank IC, five kinds for two selections before and after costs, where the
    # scores of six networks come from, and by universe of two encoders Rank ICs and, before and after costs, excess of
    # all days and of the latest year.
    assert len(files) == len(shown["figures"]) == 2 * (1 + 1 + 5 * 4 + 6 + 2 * (1 + 2 * 2))
    # Singles, or ensembles, of two encoders and the naive composite; the ensembles of one and the naive composite.
    bars = {"figure4": 7, "figure5": 7} | dict.fromkeys(["figure6", "figure7", "figure8", "figure9"], 5)
    bars |= dict.fromkeys(["figure11", "figure12", "figure13"], 3)
    for path in files:
        traces = go.Figure(json.loads(path.read_text("utf-8"))).data
        # Where scores come from: days and their sums; else all of them.
        bars |= {"origins": 2}
        assert len(traces) == bars.get(path.name.partition("_")[0], 11)
        assert len({trace.name for trace in traces}) == len(traces)


def test_bars_are_as_high_as_the_tables_say(run: Path) -> None:
    table = pl.read_csv(run / "tables" / "table6_biagru_multi.csv")
    years = pl.read_csv(run / "tables" / "figure9_top100_by_year_gross.csv")
    for leg, tail in (("gross", ""), ("net", "_net")):
        whole = bars(run, f"figure7_excess_of_combinations_top100_{leg}_10d")
        by_year = bars(run, f"figure9_excess_by_year_top100_{leg}_10d")
        for model, points in whole.items():
            of_model = (pl.col("model") == model) & pl.col("label_days").is_in([0, 10])
            # The run is too short for a year's figure.
            assert list(points.values()) == [pytest.approx(table.filter(of_model)[f"top100_{leg}_period"][0], abs=1e-5)]
            expected = years.filter(of_model)[f"2025ytd{tail}"][0]
            assert by_year[model] == {"2025ytd": pytest.approx(expected, abs=1e-5)}


def bars(run: Path, name: str) -> dict[str, dict[str, float]]:
    figure = json.loads((run / "figures" / f"{name}.json").read_text("utf-8"))
    return {trace["name"]: dict(zip(trace["x"], trace["y"])) for trace in figure["data"]}


def test_where_scores_come_from(run: Path, html: str, tmp_path: Path) -> None:
    def drawn(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / "figures" / "origins_day_biagru_5d.json").read_text("utf-8"))
        return found

    # Of feature i and day j 1 / (1 + i + j), over their sum: 25/12 + 77/60 + 57/60 = 259/60. The largest feature is on
    # top, time runs to the right, and the lightest colour is 0.
    cells, bars = drawn(run)["data"]
    assert cells["y"] == bars["y"] == ["amihud", "range", "turnover"]
    assert cells["z"][1] == [float(f"{60 / 259 / (2 + back):.3g}") for back in range(4)]
    assert bars["x"] == [round(125 / 259, 3), round(77 / 259, 3), round(57 / 259, 3)]
    assert (cells["zmin"], cells["zmax"]) == (0, cells["z"][0][0])
    layout = drawn(run)["layout"]
    assert layout["xaxis"]["autorange"] == layout["yaxis"]["autorange"] == "reversed"
    assert layout["xaxis"]["title"]["text"] == "days back"
    assert "得分来源" in html

    weeks = write_run(tmp_path / "weeks", count=30, weekly=["day"])
    write_report(weeks)
    assert drawn(weeks)["layout"]["xaxis"]["title"]["text"] == "weeks back"
    none = write_run(tmp_path / "none", count=30)
    explain_rows().clear().write_parquet(none / "explain.parquet")
    assert "得分来源" not in write_report(none).read_text("utf-8")
    (none / "explain.parquet").unlink()
    with pytest.raises(DataError, match=r"explain\.parquet: the file is missing; run the explain stage first"):
        write_report(none)


def test_the_latest_year_starts_at_the_close_before_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=160)
    write_report(run)
    figure = json.loads((run / "figures" / "figure10_latest_year_top10pct_net_5d.json").read_text("utf-8"))
    # From 2025-07-01 on 160 weekdays end in February.
    assert {trace["x"][0] for trace in figure["data"]} == {"2025-12-31"}
    assert {trace["y"][0] for trace in figure["data"]} == {1.0}
    nav = pl.read_parquet(run / "nav.parquet").filter(
        pl.col("model") == "day", pl.col("label_days") == 5, pl.col("universe") == "all", selection="top10pct"
    )
    ends = nav.filter(pl.col("date").is_in([date(2025, 12, 31), nav["date"].max()])).sort("track", "date")
    ratios = (ends["net"] / ends["benchmark"]).to_list()
    expected = sum(last / first for first, last in zip(ratios[::2], ratios[1::2])) / 5
    drawn = next(trace for trace in figure["data"] if trace["name"] == "day")
    assert drawn["y"][-1] == pytest.approx(expected, abs=1e-5)


def test_the_lines_end_where_the_tables_say(run: Path) -> None:
    table = pl.read_csv(run / "tables" / "table1_single_granularity.csv")
    figure = json.loads((run / "figures" / "rank_ic_by_model_5d.json").read_text("utf-8"))
    points = {trace["name"]: trace["x"][0] for trace in figure["data"]}
    for row in table.filter(pl.col("label_days") != 10).to_dicts():
        assert points[row["model"]] == row["rank_ic"]


def test_a_simulated_market_is_said_loudly_and_has_no_published_figures_beside_it(html: str, tmp_path: Path) -> None:
    simulated = write_report(write_run(tmp_path / "run", count=30, simulated=True)).read_text("utf-8")
    assert 'class="simulated"' in simulated
    assert 'class="published"' not in simulated
    assert 'class="simulated"' not in html
    assert 'class="published"' in html


def test_a_simulated_market_s_first_screen_says_what_is_found(html: str, tmp_path: Path) -> None:
    assert 'class="recovered"' not in html
    found = write_report(write_run(tmp_path / "a", count=40, oracle=True)).read_text("utf-8")
    first = found[found.index('<section id="overview"') : found.index('<section id="tables"')]
    table = pl.read_csv(tmp_path / "a" / "tables" / "table5_biagru_single.csv")
    row = table.row(by_predicate=(pl.col("model") == "30min_biagru") & (pl.col("label_days") == 5), named=True)
    assert re.search(rf'<th scope="row" class="model">30min_biagru</th><td>{row["oracle_share"]:.0%}</td>', first)
    assert "SIMULATED: the oracle knows" in first
    nothing = write_report(write_run(tmp_path / "b", count=40, simulated=True, predictable=False)).read_text("utf-8")
    assert "SIMULATED without any signal: nothing on this market can be predicted" in nothing
    unknown = write_report(write_run(tmp_path / "c", count=40, simulated=True)).read_text("utf-8")
    assert "SIMULATED: what can be predicted on this market is not known" in unknown


def test_every_table_has_its_conventions_and_flaws_under_it(html: str) -> None:
    articles = re.findall(r"<article.*?</article>", html, re.DOTALL)
    assert len(articles) == 14
    for article in articles:
        assert "Newey-West" in article
        assert "survivors only" in article


def test_what_is_no_longer_made_is_dropped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=30)
    write_report(run)
    assert (run / "tables" / "figure11_rank_ic_by_universe.csv").is_file()
    (run / "report_facts.json").write_text(json.dumps(facts(universes=["all"])), "utf-8")
    write_report(run)
    assert not (run / "tables" / "figure11_rank_ic_by_universe.csv").exists()


def test_no_manifest_no_report(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=30)
    (run / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"manifest\.json: the file is missing"):
        write_report(run)
    assert not (run / "tables").exists()
