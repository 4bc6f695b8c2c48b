"""Runs side by side: a model's scores in one run against those of the same name in another, paired by date.

What differs between the runs is listed, nothing is adjusted for it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl

from polygrain.errors import DataError
from polygrain.report.answers import threshold
from polygrain.report.compare_enhanced import EnhancedPair, enhanced_frame, enhanced_pairs, enhanced_views
from polygrain.report.conventions import conventions_line, conventions_line_zh, pairs_line, pairs_line_zh
from polygrain.report.enhancements import read_enhancements
from polygrain.report.facts import FILE, ReportFacts
from polygrain.report.figures import LEG_TITLES, SELECTION_TITLES, Figure, Group, label, layout, line, looks, rounded
from polygrain.report.page import csv_bytes, manifest_text, render, score_span
from polygrain.report.paired import LEGS_ZH, paired_excess
from polygrain.report.results import SELECTIONS, Case, Evaluation, read_evaluation
from polygrain.report.rows import FACTOR_COLUMNS, Row, common, compared, factor_row, seed_std
from polygrain.report.tables import JUDGED, Table, cases, in_order, table_of
from polygrain.report.views import Heading, View, view, view_of
from polygrain.report.words import Text
from polygrain.store.commit import commit_bytes
from polygrain.store.panel import Array

KINDS = (*JUDGED, "oracle", "naive")
_BASE, _RUN, _DIFFERENCE = ("base", "基线"), ("this run", "本组"), ("difference", "之差")
_SELECTIONS_ZH = {"top10pct": "前 10% ", "top100": "前 100 只"}
_ON_TERMINAL = (
    *("dates", "rank_ic_base", "rank_ic", "rank_ic_difference", "periods", "top10pct_net_period_difference"),
    *("days", "shown_net_period_base", "shown_net_period", "shown_net_period_difference"),
)


@dataclass(frozen=True)
class Run:
    """A run that is compared, under a name that no other one has, evaluated at what all of them evaluated.

    `said` is what it says of its market, data, dates and configuration, by key.
    """

    name: str
    evaluation: Evaluation
    said: Mapping[str, str]
    manifest: str

    @property
    def facts(self) -> ReportFacts:
        """What the run says beside its numbers."""
        return self.evaluation.facts


@dataclass(frozen=True)
class Pair:
    """One model's scores for one label in two runs: `run` less `base` on the dates that both have.

    `total` [days] is the running sum of the daily difference of Rank ICs.
    """

    base: Run
    run: Run
    case: Case
    days: tuple[str, ...]
    total: Array
    row: Row

    @property
    def title(self) -> str:
        """Which run less which."""
        return f"{self.run.name} less {self.base.name}"


@dataclass(frozen=True)
class Comparison:
    """Runs, the first one the base; their pairs; those of index-enhanced portfolios; by run what stands in no pair; and
    (key, value by run) that differ."""

    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]
    enhanced: tuple[EnhancedPair, ...]
    alone: tuple[tuple[Case, ...], ...]
    differing: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def threshold(self) -> float:
        """How many standard errors a difference of Rank ICs must have: 5% over all pairs, by Bonferroni."""
        return threshold(len(self.pairs))

    @property
    def notes(self) -> tuple[Text, ...]:
        """The notes of all runs, each once."""
        return tuple(dict.fromkeys(note for run in self.runs for note in run.facts.notes))

    def blocks(self) -> list[list[Pair]]:
        """The pairs of each two runs."""
        found = [[p for p in self.pairs if p.base is base and p.run is run] for run in self.runs for base in self.runs]
        return [pairs for pairs in found if pairs]


def _names(folders: Sequence[Path], experiments: Sequence[str]) -> list[str]:
    """The experiments' names; where two are equal with the folder's name behind, or with its path."""
    short = [f"{name} ({folder.resolve().name})" for name, folder in zip(experiments, folders)]
    long = [f"{name} ({folder})" for name, folder in zip(experiments, folders)]
    return next((names for names in (list(experiments), short) if len(set(names)) == len(names)), long)


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A configuration's keys as --set names them, with their values."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False, default=str)


def _said(folder: Path, evaluation: Evaluation) -> dict[str, str]:
    path, facts = folder / "config.toml", evaluation.facts
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({error}); rerun the run") from error
    first, last, dates = score_span(evaluation)
    said = {
        "Market": "simulated" if facts.simulated else "real",
        "Score dates": f"{dates}, {first} to {last}",
        "Its report shows": f"rebalanced every {facts.rebalance} days at {facts.fill}, universe {facts.universe}",
    }
    for detail in facts.data:
        said[detail.label] = f"{said[detail.label]}; {detail.value}" if detail.label in said else detail.value
    return said | {key: value for key, value in _flat(config) if key not in {"name", "note"}}


def _setting(evaluations: Sequence[Evaluation]) -> dict[str, object]:
    """The rebalance period, fill and universe that all evaluated: the first run's shown one, or another's, or any."""
    evaluated = [dict.fromkeys(key[2:] for key in evaluation.rank_ic) for evaluation in evaluations]
    shown = [(e.facts.rebalance, e.facts.fill, e.facts.universe) for e in evaluations]
    for setting in (*shown, *evaluated[0]):
        if all(setting in each for each in evaluated):
            return dict(zip(("rebalance", "fill", "universe"), setting))
    listed = "; ".join(", ".join(f"{days} days at {fill} in {name}" for days, fill, name in each) for each in evaluated)
    raise DataError("RUN", f"no rebalance period, fill and universe was evaluated in all of them: {listed}")


def _read(folders: Sequence[Path]) -> tuple[Run, ...]:
    if len(folders) < 2:
        raise DataError("RUN", "one run cannot be compared; give two run folders or more, the base first")
    for place, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            raise DataError(str(folder), "is given twice; name every run folder once")
        if not (folder / FILE).is_file():
            raise DataError(str(folder), f"is not the folder of an evaluated run, it has no {FILE}; run it first")
    found = [read_evaluation(folder) for folder in folders]
    names, setting = _names(folders, [evaluation.facts.name for evaluation in found]), _setting(found)
    return tuple(
        Run(
            name,
            replace(evaluation, facts=evaluation.facts.model_copy(update=setting)),
            _said(folder, evaluation),
            manifest_text(folder),
        )
        for name, folder, evaluation in zip(names, folders, found)
    )


def _pair(base: Run, run: Run, case: Case) -> Pair | None:
    ours, theirs = run.evaluation.rank_ic[case.key], base.evaluation.rank_ic[case.key]
    lag = 3 * case.rebalance
    found = compared(ours, theirs, lag)
    if found is None:
        return None
    days, left, right = common(ours, theirs)
    row: Row = {
        "label_days": case.label_days,
        "model": case.model,
        "dates": len(days),
        "rank_ic_base": found.theirs,
        "rank_ic": found.theirs + found.difference,
        "rank_ic_difference": found.difference,
        "rank_ic_difference_se": found.error,
        "rank_ic_seed_std_base": seed_std(base.evaluation, case),
        "rank_ic_seed_std": seed_std(run.evaluation, case),
    }
    for selection in SELECTIONS:
        navs = [each.evaluation.navs(case, selection) for each in (base, run)]
        if navs[0] is not None and navs[1] is not None:
            row |= paired_excess(navs[0], navs[1], selection, lag)
    return Pair(base, run, case, tuple(day.isoformat() for day in days), np.cumsum(left - right), row)


def compare(folders: Sequence[Path]) -> Comparison:
    """Run folders side by side: every model and label that two of them have, paired by date with the first that has it.

    Errors: DataError where fewer than two are given, one twice, one is no evaluated run, or one shares no model and
    label with two score dates or more with any other.
    """
    runs = _read(folders)
    listed = [list(cases(run.evaluation, in_order(run.facts.models, KINDS))) for run in runs]
    pairs: list[Pair] = []
    for place, run in enumerate(runs):
        for case in listed[place]:
            found = (_pair(base, run, case) for base, theirs in zip(runs[:place], listed) if case in theirs)
            pairs += [pair for pair in found if pair is not None][:1]
    paired = {(run.name, pair.case) for pair in pairs for run in (pair.base, pair.run)}
    alone = tuple(tuple(case for case in own if (run.name, case) not in paired) for run, own in zip(runs, listed))
    for run, own, left in zip(runs, listed, alone):
        if len(left) == len(own):
            raise DataError(
                run.name,
                "has no model and label in common with another run on two score dates or more; its own are "
                f"{run.said['Score dates']}",
            )
    keys = dict.fromkeys(key for run in runs for key in run.said)
    said = [(key, tuple(run.said.get(key, "–") for run in runs)) for key in keys]
    enhanced = enhanced_pairs([(run.name, read_enhancements(folder)) for run, folder in zip(runs, folders)])
    return Comparison(runs, tuple(pairs), enhanced, alone, tuple(pair for pair in said if len(set(pair[1])) > 1))


def _headings(bound: float) -> list[Heading]:
    ic = ("Rank IC", "秩相关系数")
    spread = ("Std over seeds", "种子间标准差")
    shown = [
        Heading("dates", "Dates", "共同日数", "count"),
        Heading("rank_ic_base", *_BASE, "ic", *ic),
        Heading("rank_ic", *_RUN, "ic", *ic),
        Heading("rank_ic_difference", *_DIFFERENCE, "difference", *ic, error="rank_ic_difference_se", threshold=bound),
    ]
    for selection, title in SELECTION_TITLES.items():
        for leg, leg_zh in LEGS_ZH.items():
            name = f"{selection}_{leg}_period"
            group = (f"{title} excess, {LEG_TITLES[leg]}", f"{_SELECTIONS_ZH[selection]}{leg_zh}")
            shown.append(Heading(f"{name}_base", *_BASE, "percent", *group))
            shown.append(Heading(name, *_RUN, "percent", *group))
            difference = f"{name}_difference"
            shown.append(Heading(difference, *_DIFFERENCE, "signed_percent", *group, error=f"{difference}_se"))
    return [
        *shown,
        Heading("rank_ic_seed_std_base", *_BASE, "ic", *spread),
        Heading("rank_ic_seed_std", *_RUN, "ic", *spread),
    ]


def _conventions(pairs: Sequence[Pair], comparison: Comparison, mark: str) -> tuple[str, str]:
    """How the figures of a table of pairs were made, in both languages; `mark` is how a strong difference looks."""
    days = sorted({day for pair in pairs for day in pair.days})
    made = (pairs[0].case, days[0], days[-1], comparison.threshold, len(comparison.pairs))
    return pairs_line(*made, mark), pairs_line_zh(*made)


def _table(pairs: Sequence[Pair], headings: Sequence[Heading]) -> Table:
    """Pairs as a table with every heading's column and that of its error."""
    columns = [column for heading in headings for column in (heading.column, heading.error) if column]
    title_zh = f"{pairs[0].run.name} 减 {pairs[0].base.name}"
    return table_of("comparison", pairs[0].title, title_zh, columns, [pair.row for pair in pairs])


def _views(comparison: Comparison, mark: str) -> Iterator[tuple[View, str, str]]:
    """The table of each two runs with its conventions in both languages."""
    headings = _headings(comparison.threshold)
    for pairs in comparison.blocks():
        table = _table(pairs, headings)
        filled = [heading for heading in headings if table.frame[heading.column].count()]
        yield view_of(table, pairs[0].base.facts, filled), *_conventions(pairs, comparison, mark)


def _alone(comparison: Comparison) -> Iterator[tuple[View, str, str, tuple[Text, ...]]]:
    """By run what stands in no pair, on its own dates; its conventions in both languages, and its notes."""
    for run, alone in zip(comparison.runs, comparison.alone):
        if alone:
            rows = [factor_row(run.evaluation, case) for case in alone]
            table = table_of("alone", run.name, "", FACTOR_COLUMNS, rows)
            made = (run.facts, *score_span(run.evaluation))
            yield view(table, run.facts), conventions_line(*made), conventions_line_zh(*made), tuple(run.facts.notes)


def _figures(comparison: Comparison) -> Group:
    """Running sum of the daily difference of Rank ICs, by two runs and label; over labels and naive ones in each."""
    found = []
    for pairs in comparison.blocks():
        for label_days in dict.fromkeys(pair.case.label_days for pair in pairs if pair.case.label_days) or [0]:
            figure = go.Figure(layout=layout("cumulative difference of Rank IC", ".2~f"))
            for pair in pairs:
                if pair.case.label_days in (label_days, 0):
                    model = pair.run.facts.model(pair.case.model)
                    drawn, total = looks(pair.run.facts.models), rounded(pair.total, 4)
                    headline = pair.run.facts.headline
                    figure.add_trace(line(drawn, model, pair.days, total, ".3f", headline=headline))
            choice = f"{label(label_days)}, {pairs[0].title}"
            found.append(Figure("cumulative_difference", (choice,), figure))
    title = Text("Cumulative difference of Rank IC", "累计 Rank IC 之差")
    return Group("cumulative_difference", title, tuple(found))


def _text(shown: View) -> Iterator[str]:
    """A view's columns for a terminal, in aligned lines."""
    kept = [place for place, heading in enumerate(shown.headings) if heading.column in _ON_TERMINAL]
    headings = [shown.headings[place] for place in kept]
    rows = [["", *(heading.group for heading in headings)], ["", *(heading.label for heading in headings)]]
    for block in shown.blocks:
        for each in block.lines:
            cells = [each.cells[place] for place in kept]
            figures = (f"{cell.text} {cell.error}".strip() + (" *" if cell.strong else "") for cell in cells)
            rows.append([f"{each.name}, {block.title}", *figures])
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison for a terminal, line by line."""
    for run in comparison.runs:
        if run.facts.simulated:
            yield f"SIMULATED market: {run.name}. Nothing here says how a model does on a real market."
    for shown, conventions, _ in _views(comparison, "*"):
        yield from ("", shown.title, *_text(shown), conventions)
    for shown, said in enhanced_views(comparison.enhanced):
        yield from ("", shown.title, *_text(shown), said.en)
    for shown, *_ in _alone(comparison):
        yield from ("", f"Not paired, {shown.title}, on its own dates", *_text(shown))
    yield from ("", "What differs" if comparison.differing else "Nothing differs in what the runs say of themselves.")
    for key, values in comparison.differing:
        yield f"  {key}: " + " | ".join(f"{run.name}: {value}" for run, value in zip(comparison.runs, values))
    yield from ("", *(note.en for note in comparison.notes))


def write(comparison: Comparison, path: Path) -> None:
    """Write the comparison as one HTML page, and its pairs as a CSV beside it, of the same name; those of
    index-enhanced portfolios as NAME_enhancement.csv.

    Errors: DataError where the path is no .html or cannot be written.
    """
    if path.suffix != ".html":
        raise DataError("--out", f"{path} must end in .html; the table goes beside it as .csv")
    enhanced = path.with_name(f"{path.stem}_enhancement.csv")
    content = {
        "runs": comparison.runs,
        "simulated": [run.name for run in comparison.runs if run.facts.simulated],
        "tables": list(_views(comparison, "bold")),
        "enhanced": list(enhanced_views(comparison.enhanced)),
        "alone": list(_alone(comparison)),
        "differing": comparison.differing,
        "notes": comparison.notes,
        "csv": path.with_suffix(".csv").name,
        "enhanced_csv": enhanced.name,
    }
    html = render("compare.html", content, [_figures(comparison)])
    names = pl.DataFrame([{"base": pair.base.name, "run": pair.run.name} for pair in comparison.pairs])
    frame = _table(comparison.pairs, _headings(comparison.threshold)).frame
    commit_bytes(path.with_suffix(".csv"), csv_bytes(pl.concat([names, frame], how="horizontal")))
    if comparison.enhanced:
        commit_bytes(enhanced, csv_bytes(enhanced_frame(comparison.enhanced)))
    commit_bytes(path, html.encode())
