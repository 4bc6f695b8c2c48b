"""One self-contained report.html with its tables and figures, from a run folder alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.offline
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from polygrain.errors import DataError
from polygrain.report.bars import A_YEAR
from polygrain.report.conventions import conventions_line, conventions_line_zh
from polygrain.report.enhancement_figures import enhancement_figures
from polygrain.report.enhancement_headings import enhancement_headings
from polygrain.report.enhancement_said import conventions, data_line, first_lines
from polygrain.report.enhancement_tables import enhancement_tables
from polygrain.report.enhancements import Enhancements, read_enhancements
from polygrain.report.facts import ReportFacts
from polygrain.report.figures import PALETTE, Group, as_json
from polygrain.report.gallery import gallery
from polygrain.report.overview import overview
from polygrain.report.quality import quality
from polygrain.report.recovered import recovered
from polygrain.report.results import Evaluation, read_evaluation
from polygrain.report.still import still
from polygrain.report.tables import Table, tables
from polygrain.report.views import View, view
from polygrain.report.words import Text, chinese
from polygrain.store.commit import commit_bytes
from polygrain.version import __version__

# Table 2 is the single-granularity part of table 4, and figures 8 and 9 are drawn: written as files, not printed.
NOT_PRINTED = (
    "table2_single_top10pct_by_year_gross",
    "figure8_top10pct_by_year_gross",
    "figure9_top100_by_year_gross",
)
# In the head: before the first paint. At the end: once the page stands.
SCRIPTS = ("tables.js", "switches.js", "charts.js")
# Pixels that a figure has on a desk.
WHOLE = 1168
_DARK = ("#9a9a9a", "#56b4e9", "#f0884a", "#2fc79b", "#e08cc0", "#e0b84a", "#8fd0f5", "#a5a8f0")


@dataclass(frozen=True)
class Slot:
    """Where the figures of one group stand; `switches` are the choices, one row of buttons each.

    `still` is its first figure as it stands until plotly has drawn it, `height` what the figure needs then;
    `published` is the first choice of which the broker report has a figure, and that figure, drawn the same way.
    """

    group: Group
    switches: tuple[tuple[str, ...], ...]
    height: int
    still: Markup
    published: tuple[tuple[str, ...], Markup] | None


def _slots(groups: Sequence[Group]) -> dict[str, Slot]:
    """By name, of the groups that have a figure or a line that says what they lack."""
    slots = {}
    for group in groups:
        switches = tuple(tuple(dict.fromkeys(options)) for options in zip(*(each.choice for each in group.figures)))
        height, drawn, published = 0, Markup(""), None
        if group.figures:
            first = group.figures[0].figure
            height, drawn = int(first.layout.height), still(first, WHOLE)
        for each in group.figures[::-1]:
            if each.published is not None:
                published = (each.choice, still(each.published, WHOLE))
        if group.figures or group.lacks:
            slots[group.name] = Slot(group, switches, height, drawn, published)
    return slots


def _payload(groups: Sequence[Group]) -> Markup:
    """The figures as one JSON text; equal date axes are kept once, and nothing in it can end the script element.

    `words` holds the Chinese of the titles of axes and of choices.
    """
    axes: list[str] = []
    options = {option for group in groups for figure in group.figures for option in figure.choice}
    words = {word: chinese(word) for word in (A_YEAR, *sorted(options)) if chinese(word)}

    def content(figure: go.Figure) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(as_json(figure))
        for trace in found["data"]:
            axis = json.dumps(trace["x"])
            if axis not in axes:
                axes.append(axis)
            trace["x"] = axes.index(axis)
        titles = [
            axis["title"].get("text") for key, axis in found["layout"].items() if "axis" in key if "title" in axis
        ]
        words.update({title: chinese(title) for title in titles if title})
        return found

    listed = [
        {"group": group.name, "choice": figure.choice, "published": None, **content(figure.figure)}
        | ({} if figure.published is None else {"published": content(figure.published)})
        for group in groups
        for figure in group.figures
    ]
    payload = {"axes": [json.loads(axis) for axis in axes], "figures": listed, "words": words}
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    # Safe inside a script element: every character that could open a tag is written as a JSON escape.
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def _plotly() -> tuple[str, str]:
    """plotly's script, compressed for the page (a third of its size), and the hash by which the policy admits it."""
    script = plotly.offline.get_plotlyjs().encode()
    packed = gzip.compress(script, compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode(), _source_hash(script)


def _source_hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _template(name: str) -> str:
    return files("polygrain.report").joinpath("templates", name).read_text("utf-8")


def manifest_text(run: Path) -> str:
    """The run's manifest.json, laid out to be read; DataError where it is missing or damaged."""
    path = run / "manifest.json"
    if not path.is_file():
        raise DataError(str(path), "the file is missing, and no figure is printed without it; rerun the run")
    try:
        return json.dumps(json.loads(path.read_bytes()), indent=2, sort_keys=True, ensure_ascii=False)
    except ValueError as error:
        raise DataError(str(path), f"is not JSON ({error}); rerun the run") from error


def score_span(evaluation: Evaluation) -> tuple[str, str, int]:
    """The first and the last score date that was evaluated, and how many there are."""
    days = {day for series in evaluation.rank_ic.values() for day in series.days}
    if not days:
        raise DataError("rank_ic.parquet", "it holds no date; nothing was evaluated")
    return min(days).isoformat(), max(days).isoformat(), len(days)


def render(template: str, content: Mapping[str, object], groups: Sequence[Group]) -> str:
    """A whole page as HTML; every text from a run is escaped, every script is admitted by its hash."""
    environment = Environment(
        loader=PackageLoader("polygrain.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["chinese"] = chinese
    packed, plotly_hash = _plotly()
    early, late = _template("head.js"), "\n".join(_template(name) for name in SCRIPTS)
    hashes = " ".join([plotly_hash, _source_hash(early.encode()), _source_hash(late.encode())])
    return environment.get_template(template).render(
        content,
        version=__version__,
        slots=_slots(groups),
        payload=_payload(groups),
        plotly=packed,
        style=Markup(_template("report.css")),
        early=Markup(early),
        late=Markup(late),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'",
        light=PALETTE,
        dark=_DARK,
    )


@dataclass(frozen=True)
class Enhanced:
    """Index-enhanced portfolios as the page shows them: lines for its first screen, tables, groups of figures.

    `data` is of one line, under each table; the conventions and the data's flaws stand above them all.
    """

    lines: tuple[Text, ...]
    views: tuple[View, ...]
    conventions: tuple[Text, ...]
    data: Text
    missing: tuple[Text, ...]
    tables: tuple[Table, ...]
    groups: tuple[Group, ...]


def _enhanced(enhancements: Enhancements | None, facts: ReportFacts) -> Enhanced:
    """Nothing of it where the run has none."""
    if enhancements is None or not enhancements.listed:
        missing = () if enhancements is None else enhancements.missing
        return Enhanced((), (), (), Text(""), missing, (), ())
    made = tuple(enhancement_tables(enhancements))
    views = tuple(view(table, facts, enhancement_headings) for table in made)
    said, groups = conventions(enhancements), tuple(enhancement_figures(enhancements, facts))
    return Enhanced(first_lines(enhancements), views, said, data_line(facts), enhancements.missing, made, groups)


def page(
    evaluation: Evaluation, made: Sequence[Table], groups: Sequence[Group], enhanced: Enhanced, manifest: str
) -> str:
    """A run's report as HTML."""
    span = score_span(evaluation)
    content = {
        "facts": evaluation.facts,
        "enhanced": enhanced,
        "overview": overview(evaluation),
        "recovered": recovered(evaluation),
        "tables": [view(table, evaluation.facts) for table in made if table.name not in NOT_PRINTED],
        "conventions": conventions_line(evaluation.facts, *span),
        "conventions_zh": conventions_line_zh(evaluation.facts, *span),
        "manifest": manifest,
    }
    return render("report.html", content, [*groups, *enhanced.groups])


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """A table as CSV; a text that a spreadsheet would run as a formula is quoted with '."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    safe = frame.with_columns(
        pl.when(pl.col(name).str.contains(r"^[=+\-@\t\r]")).then(pl.lit("'") + pl.col(name)).otherwise(name).alias(name)
        for name in texts
    )
    buffer = io.BytesIO()
    safe.write_csv(buffer)
    return buffer.getvalue()


def _write_all(folder: Path, contents: dict[str, bytes], suffix: str) -> None:
    """Commit these files, then drop those of an earlier report that are no longer made."""
    for name, content in contents.items():
        commit_bytes(folder / name, content)
    for stale in sorted(folder.glob(f"*{suffix}")):
        if stale.name not in contents:
            stale.unlink()


def write_report(run: Path) -> Path:
    """Write RUN/tables/*.csv, RUN/figures/*.json and RUN/report.html, and return the last.

    Equal inputs give equal bytes. Reads manifest.json, report_facts.json, rank_ic.parquet, seed_rank_ic.parquet,
    nav.parquet, explain.parquet and, where it is there, the folder portfolios of the run folder, nothing else.
    Errors: DataError names the file that is missing, incomplete or damaged.
    """
    evaluation, enhancements = read_evaluation(run), read_enhancements(run)
    manifest = manifest_text(run)
    made, groups = [*tables(evaluation), *quality(evaluation)], gallery(evaluation)
    enhanced = _enhanced(enhancements, evaluation.facts)
    drawn = [figure for group in (*groups, *enhanced.groups) for figure in group.figures]
    html = page(evaluation, made, groups, enhanced, manifest)
    made += enhanced.tables
    _write_all(run / "tables", {f"{table.name}.csv": csv_bytes(table.frame) for table in made}, ".csv")
    _write_all(run / "figures", {f"{figure.name}.json": figure.json().encode() for figure in drawn}, ".json")
    path = run / "report.html"
    commit_bytes(path, html.encode())
    return path
