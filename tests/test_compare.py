"""Runs side by side: differences by loops, a run against itself, what is refused, and the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from shutil import copytree

import numpy as np
import plotly.offline
import polars as pl
import pytest
from portfolio_files import MODELS, write_portfolios
from reference_report import facts, models, values, write_run
from test_report_page import PAYLOADS, Page

from polygrain.cli import main
from polygrain.errors import DataError
from polygrain.report.compare import Comparison, Pair, compare, lines, write

CONFIG = 'name = "x"\nnote = "y"\n[protocol]\nlookback = {}\nseeds = [1]\n'
FILES = ("rank_ic", "nav", "seed_rank_ic")


def made_up(folder: Path, *, lookback: int = 20, count: int = 60, seed: int = 7, **changes: object) -> Path:
    write_run(folder, count=count, seed=seed, **changes)  # type: ignore[arg-type]
    (folder / "config.toml").write_text(CONFIG.format(lookback), "utf-8")
    return folder


def keep(run: Path, condition: pl.Expr) -> None:
    """Leave these rows alone in a run's series."""
    for name in FILES:
        path = run / f"{name}.parquet"
        frame = pl.read_parquet(path)
        frame.filter(condition).write_parquet(path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The second run starts later and goes on longer."""
    root = tmp_path_factory.mktemp("runs")
    later = made_up(root / "b", seed=8, count=75, lookback=60, seeds=2)
    keep(later, pl.col("date") > date(2025, 7, 14))
    return [made_up(root / "a"), later]


@pytest.fixture(scope="module")
def comparison(folders: list[Path]) -> Comparison:
    return compare(folders)


def pair_of(comparison: Comparison, model: str, label_days: int) -> Pair:
    return next(p for p in comparison.pairs if (p.case.model, p.case.label_days) == (model, label_days))


def marked(comparison: Comparison) -> list[str]:
    """The models whose difference has the terminal's mark."""
    return [line.split(",")[0] for line in lines(comparison) if re.search(r"\d \*", line)]


def error_of_mean(series: list[float], lag: int) -> float:
    mean = sum(series) / len(series)
    variance = sum((x - mean) ** 2 for x in series) / len(series)
    for step in range(1, lag + 1):
        products = [(a - mean) * (b - mean) for a, b in zip(series[step:], series[:-step])]
        variance += 2 * (1 - step / (lag + 1)) * sum(products) / len(series)
    return (max(variance, 0.0) / len(series)) ** 0.5


@pytest.mark.parametrize(("model", "label_days"), [("day", 5), ("ensemble_biagru", 10), ("naive", 0)])
def test_rank_ics_by_loops(folders: list[Path], comparison: Comparison, model: str, label_days: int) -> None:
    base, run = (
        values(folder, "rank_ic", model=model, label_days=label_days, universe="all", rebalance=5) for folder in folders
    )
    days = [day for day in base if day in run]
    assert 30 < len(days) < min(len(base), len(run))
    gaps = [run[day] - base[day] for day in days]
    row = pair_of(comparison, model, label_days).row
    assert row["dates"] == len(days)
    assert row["rank_ic_base"] == pytest.approx(sum(base[day] for day in days) / len(days))
    assert row["rank_ic"] == pytest.approx(sum(run[day] for day in days) / len(days))
    assert row["rank_ic_difference"] == pytest.approx(sum(gaps) / len(gaps))
    assert row["rank_ic_difference_se"] == pytest.approx(error_of_mean(gaps, 15))
    pair = pair_of(comparison, model, label_days)
    assert pair.days == tuple(day.isoformat() for day in days)
    assert pair.total[-1] == pytest.approx(sum(gaps))


@pytest.mark.parametrize("selection", ["top10pct", "top100"])
@pytest.mark.parametrize("leg", ["gross", "net"])
def test_excess_by_loops(folders: list[Path], comparison: Comparison, selection: str, leg: str) -> None:
    tracks: list[dict[tuple[int, date], tuple[float, float]]] = []
    for folder in folders:
        nav = pl.read_parquet(folder / "nav.parquet").filter(
            model="60min", label_days=5, universe="all", selection=selection
        )
        tracks.append({(t, day): (p, b) for t, day, p, b in nav.select("track", "date", leg, "benchmark").iter_rows()})
    dates = sorted({day for _, day in tracks[0]})
    days = [day for day in dates if all((t, day) in of_run for of_run in tracks for t in range(5))]
    excess, daily = [], []
    for of_run in tracks:
        ends = [[of_run[t, days[-1]][i] / of_run[t, days[0]][i] for i in (0, 1)] for t in range(5)]
        excess.append(sum(p - b for p, b in ends) / 5)
        steps = []
        for before, day in pairwise(days):
            grown = [[of_run[t, day][i] / of_run[t, before][i] for i in (0, 1)] for t in range(5)]
            steps.append(sum(p - b for p, b in grown) / 5)
        daily.append(steps)
    row, name = pair_of(comparison, "60min", 5).row, f"{selection}_{leg}_period"
    assert row[f"{name}_base"] == pytest.approx(excess[0])
    assert row[name] == pytest.approx(excess[1])
    assert row[f"{name}_difference"] == pytest.approx(excess[1] - excess[0])
    gaps = [b - a for a, b in zip(*daily)]
    assert row[f"{name}_difference_se"] == pytest.approx(len(gaps) * error_of_mean(gaps, 15))


def test_a_run_is_no_different_from_its_copy(folders: list[Path], tmp_path: Path) -> None:
    copied = copytree(folders[0], tmp_path / "copy")
    same = compare([folders[0], copied])
    assert [run.name for run in same.runs] == ["cn_a_15min (a)", "cn_a_15min (copy)"]
    assert len(same.pairs) == 2 * 10 + 1
    assert same.alone == ((), ())
    assert same.differing == ()
    for pair in same.pairs:
        found = [value for key, value in pair.row.items() if "_difference" in key]
        assert len(found) == 2 + 4 * 2
        assert found == [0.0] * len(found)
        assert not np.any(pair.total)
    write(same, tmp_path / "same.html")
    page = (tmp_path / "same.html").read_text("utf-8")
    assert 'class="strong' not in page
    assert "Nothing in what the runs say of their data, dates and configuration." in page
    assert marked(same) == []


def test_enhanced_portfolios_by_loops(tmp_path: Path) -> None:
    runs = [made_up(tmp_path / name, seed=seed, name=name) for name, seed in (("old", 1), ("new", 2), ("none", 3))]
    write_portfolios(runs[0], ["csi500", "large"], count=40, vary={}, seed=1)
    # It begins later, rebalances less often, and calls its shown portfolio otherwise.
    vary = {"stock_deviation.limit": (0.01, 0.02)}
    write_portfolios(runs[1], ["csi500"], count=40, vary=vary, seed=2, first=date(2024, 2, 8), rebalance=10)
    found = compare([runs[2], *runs[:2]])
    assert [pair.block for pair in found.enhanced] == [("old", "new", "csi500")] * 4
    legs = []
    for run, portfolio in zip(runs, ("csi500", "csi500:stock_deviation.limit=0.01")):
        nav = pl.read_parquet(run / "portfolios" / "nav.parquet").filter(
            portfolio=portfolio, model=MODELS[1], label_days=10
        )
        legs.append({day: (net, index) for day, net, index in nav.select("date", "net", "benchmark").iter_rows()})
    days = [day for day in legs[0] if day in legs[1]]
    assert len(days) == 35
    excess = [nav[days[-1]][0] / nav[days[0]][0] - nav[days[-1]][1] / nav[days[0]][1] for nav in legs]
    daily = [[nav[b][0] / nav[a][0] - nav[b][1] / nav[a][1] for a, b in pairwise(days)] for nav in legs]
    gaps = [ours - theirs for theirs, ours in zip(*daily)]
    pair = found.enhanced[-1]
    assert (pair.row["model"], pair.row["label_days"], pair.row["days"]) == (MODELS[1], 10, 34)
    assert (pair.first, pair.last, pair.lag) == (days[0].isoformat(), days[-1].isoformat(), 30)
    assert pair.row["shown_net_period_base"] == pytest.approx(excess[0])
    assert pair.row["shown_net_period"] == pytest.approx(excess[1])
    assert pair.row["shown_net_period_difference"] == pytest.approx(excess[1] - excess[0])
    assert pair.row["shown_net_period_difference_se"] == pytest.approx(34 * error_of_mean(gaps, 30))
    write(found, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text("utf-8")
    assert "csi500 enhanced: new less old" in page
    assert f"{days[0]} 至 {days[-1]}。" in page
    assert "csi500 enhanced: new less old" in "\n".join(lines(found))
    frame = pl.read_csv(tmp_path / "c_enhancement.csv")
    assert frame.select("base", "run", "enhancement").unique().rows() == [("old", "new", "csi500")]
    assert frame["shown_net_period"][-1] == pytest.approx(excess[1])


def test_enhanced_portfolios_are_no_different_from_their_copy(tmp_path: Path) -> None:
    one = made_up(tmp_path / "one")
    write_portfolios(one, ["large"], count=40, vary={})
    same = compare([one, copytree(one, tmp_path / "two")])
    assert len(same.enhanced) == 4
    for pair in same.enhanced:
        assert [value for key, value in pair.row.items() if "_difference" in key] == [0.0] * 4


def test_runs_without_portfolios_have_no_table_of_them(comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.enhanced == ()
    write(comparison, tmp_path / "c.html")
    assert not (tmp_path / "c_enhancement.csv").exists()
    assert 'id="enhancement"' not in (tmp_path / "c.html").read_text("utf-8")


def test_a_clear_difference_is_marked(folders: list[Path], tmp_path: Path) -> None:
    better = copytree(folders[0], tmp_path / "better")
    ics = pl.read_parquet(better / "rank_ic.parquet")
    noise = pl.Series(np.random.default_rng(1).normal(0.05, 0.02, ics.height))
    raised = pl.when(pl.col("model") == "day").then(pl.col("rank_ic") + noise).otherwise("rank_ic")
    ics.with_columns(raised.alias("rank_ic")).write_parquet(better / "rank_ic.parquet")
    found = compare([folders[0], better])
    assert found.threshold == pytest.approx(3.038, abs=1e-3)
    assert marked(found) == ["day", "day"]
    write(found, tmp_path / "c.html")
    assert (tmp_path / "c.html").read_text("utf-8").count('class="strong') == 2


def test_what_differs_is_listed(comparison: Comparison) -> None:
    differing = dict(comparison.differing)
    assert differing["protocol.lookback"] == ("20", "60")
    assert differing["Score dates"] == ("60, 2025-07-01 to 2025-09-22", "65, 2025-07-15 to 2025-10-13")
    assert "protocol.seeds" not in differing
    assert "note" not in differing
    assert "Stocks" not in differing


def test_what_both_evaluated_is_compared(folders: list[Path], tmp_path: Path) -> None:
    other = made_up(tmp_path / "b", seed=8, universe="csi300", universes=["csi300"], name="narrow")
    keep(other, pl.col("universe") == "csi300")
    found = compare([folders[0], other])
    assert {pair.case.universe for pair in found.pairs} == {"csi300"}
    shown = ("rebalanced every 5 days at t1_vwap, universe all", "rebalanced every 5 days at t1_vwap, universe csi300")
    assert dict(found.differing)["Its report shows"] == shown
    assert [run.name for run in found.runs] == ["cn_a_15min", "narrow"]
    # Both were evaluated in both universes: the base's shown one.
    both = made_up(tmp_path / "c", universe="csi300", name="other")
    assert {pair.case.universe for pair in compare([folders[0], both]).pairs} == {"all"}


def test_three_runs_and_what_stands_alone(folders: list[Path], tmp_path: Path) -> None:
    gone = [made_up(tmp_path / name, seed=seed, name=name) for name, seed in (("first", 1), ("second", 2))]
    for folder, model in zip(gone, ("day", "60min")):
        listed = [each for each in models() if each["name"] != model]
        (folder / "report_facts.json").write_text(json.dumps(facts(name=folder.name, models=listed)), "utf-8")
    found = compare([*gone, folders[0]])
    titles = [pairs[0].title for pairs in found.blocks()]
    assert titles == ["second less first", "cn_a_15min less first", "cn_a_15min less second"]
    assert {pair.case.model for pair in found.blocks()[2]} == {"day"}
    assert found.alone == ((), (), ())
    two = compare(gone)
    assert [[case.model for case in alone] for alone in two.alone] == [["60min"] * 2, ["day"] * 2]
    write(two, tmp_path / "two.html")
    assert "In one run alone" in (tmp_path / "two.html").read_text("utf-8")
    text = "\n".join(lines(two))
    assert re.search(r"Not paired, first, on its own dates\n.*\n.*\n60min, 5-day label ", text)


def test_refusals(folders: list[Path], tmp_path: Path) -> None:
    a = folders[0]
    with pytest.raises(DataError, match=r"^RUN: one run cannot be compared; give two run folders or more"):
        compare([a])
    with pytest.raises(DataError, match="is given twice"):
        compare([a, a.parent / "." / "b" / ".." / "a"])
    with pytest.raises(DataError, match=r"is not the folder of an evaluated run, it has no report_facts\.json"):
        compare([a, tmp_path])
    later = made_up(tmp_path / "later", count=80, name="later")
    keep(later, pl.col("date") > date(2025, 9, 22))
    with pytest.raises(DataError, match=r"no model and label in common .* its own are 60, 2025-07-01 to 2025-09-22$"):
        compare([a, later])
    weekly = made_up(tmp_path / "weekly")
    for name in FILES:
        path = weekly / f"{name}.parquet"
        pl.read_parquet(path).with_columns(pl.lit("t0_close").alias("fill")).write_parquet(path)
    with pytest.raises(DataError, match=r"5 days at t1_vwap in all, .*; 5 days at t0_close in all, "):
        compare([a, weekly])
    (weekly / "rank_ic.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"rank_ic\.parquet: is damaged \(.*\); rerun the evaluate stage$"):
        compare([a, weekly])
    (later / "config.toml").unlink()
    with pytest.raises(DataError, match=r"config\.toml: cannot be read"):
        compare([a, later])


def test_the_page_is_whole_and_safe(folders: list[Path], tmp_path: Path) -> None:
    hostile = made_up(
        tmp_path / PAYLOADS[4], seed=9, name=PAYLOADS[9], note=PAYLOADS[2], notes=PAYLOADS, missing=PAYLOADS,
        simulated=True, data=[{"label": payload, "value": payload} for payload in PAYLOADS],
    )  # fmt: skip
    (hostile / "manifest.json").write_text(json.dumps(dict.fromkeys(PAYLOADS, 1)), "utf-8")
    out = tmp_path / "deep" / "found.html"
    write(compare([hostile, folders[1]]), out)
    page = Page(out.read_text("utf-8"))
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data"):
            assert not re.match(r"(?i)\s*((https?:)?//|javascript:)", attributes.get(name) or ""), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in {"iframe", "object", "embed", "base", "img"}
    assert [tag for tag, _ in page.tags].count("svg") == 1
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")) or ""
    running = [text.encode() for kind, text in page.scripts if kind is None]
    assert len(running) == 2
    admitted = [*running, plotly.offline.get_plotlyjs().encode()]
    hashes = {base64.b64encode(hashlib.sha256(text).digest()).decode() for text in admitted}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none';")
    assert [payload for payload in PAYLOADS if payload not in page.words] == []
    assert "are made up by a generator" in page.words
    assert "survivors only" in page.words
    drawn = json.loads(next(text for kind, text in page.scripts if kind == "application/json"))["figures"]
    assert [len(figure["data"]) for figure in drawn] == [11, 11]
    frame = pl.read_csv(out.with_suffix(".csv"))
    assert set(frame["base"]) == {"'" + PAYLOADS[9]}
    assert frame.height == 21


def test_by_the_command_line(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["polygrain", "compare", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == (2 if "nothing" in words[-1] else None)
        return capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    out, err = said(*map(str, folders))
    assert err == ""
    assert "cn_a_15min (b) less cn_a_15min (a)" in out
    assert "\x1b" not in out
    assert "  protocol.lookback: cn_a_15min (a): 20 | cn_a_15min (b): 60\n" in out
    assert "survivors only" in out
    assert out.endswith(f"Comparison: {tmp_path / 'comparison.html'}\n")
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {"comparison.html", "comparison.csv"}
    said(*map(str, folders))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == made
    out, err = said(*map(str, folders), "--out", "nothing.txt")
    assert (out, err) == ("", "error: --out: nothing.txt must end in .html; the table goes beside it as .csv\n")
