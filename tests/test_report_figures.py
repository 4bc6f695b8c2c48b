"""The figures by universe, decile and year: plain loops over the files, what is lacking, the broker report's own."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from reference_report import models, write_run

from polygrain.report.bars import Bars, bar_figure, bars_of
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import Figure, Group, looks
from polygrain.report.gallery import gallery
from polygrain.report.page import write_report
from polygrain.report.results import TENTHS, Evaluation, read_evaluation

RESIDUAL = {"name": "residual", "kind": "residual", "network": "residual", "reads": ["day", "30min"]}
PUBLISHED = json.loads(files("polygrain.report").joinpath("published_figures.json").read_text("utf-8"))
TABLES = json.loads(files("polygrain.report").joinpath("published.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the end of a year, with a residual network and portfolios by decile."""
    listed = [*models()[:-1], RESIDUAL, models()[-1]]
    folder = write_run(tmp_path_factory.mktemp("run") / "a", count=150, models=listed, headline="ensemble1")
    for name in ("rank_ic", "nav"):
        path = folder / f"{name}.parquet"
        frame = pl.read_parquet(path)
        like = frame.filter(model="ensemble_biagru").with_columns(pl.lit("residual").alias("model"))
        frame = pl.concat([frame, like])
        if name == "nav":
            top = frame.filter(pl.col("selection") == "top10pct", pl.col("universe") == "all")
            frame = pl.concat([frame, *(_decile(top, number) for number in range(1, 11))])
        frame.write_parquet(path)
    return folder


def _decile(top: pl.DataFrame, number: int) -> pl.DataFrame:
    """A portfolio that gains a little less a day, the worse its decile."""
    drift = (1 + 0.0002 * (5 - number)) ** pl.int_range(pl.len()).over("model", "label_days", "track")
    return top.with_columns(
        pl.lit(f"decile{number}").alias("selection"), pl.col("gross") * drift, pl.col("net") * drift
    )


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    return read_evaluation(run)


@pytest.fixture(scope="module")
def groups(evaluation: Evaluation) -> dict[str, Group]:
    return {group.name: group for group in gallery(evaluation)}


def chosen(group: Group, *choice: str) -> Figure:
    (found,) = (figure for figure in group.figures if set(choice) <= set(figure.choice))
    return found


def heights(figure: Figure, model: str) -> dict[str, float]:
    (trace,) = (trace for trace in figure.figure.data if trace.name == model)
    return dict(zip(trace.x, trace.y, strict=True))


def excess(run: Path, leg: str, *, since: date | None = None, annual: bool = False, **wanted: object) -> float:
    """R_p − R_b on the tracks' common closes, or from the last one before a day on; mean over tracks."""
    frame = pl.read_parquet(run / "nav.parquet")
    for column, value in wanted.items():
        frame = frame.filter(pl.col(column) == value)
    starts = [part["date"].min() for part in frame.partition_by("track")]
    found = []
    for part in frame.partition_by("track"):
        closes = [row for row in part.sort("date").iter_rows(named=True) if row["date"] >= max(starts)]
        if since is not None:
            closes = [row for row in closes if row["date"] >= max(r["date"] for r in closes if r["date"] < since)]
        power = 242 / (len(closes) - 1) if annual else 1
        ours, theirs = (closes[-1][name] / closes[0][name] for name in (leg, "benchmark"))
        found.append(ours**power - theirs**power)
    return sum(found) / len(found)


def test_rank_ic_by_universe_is_the_mean_over_tracks(run: Path, groups: dict[str, Group]) -> None:
    figure = chosen(groups["rank_ic_by_universe"], "10-day label", "biagru")
    assert [trace.name for trace in figure.figure.data] == ["ensemble_biagru", "ensemble1_biagru", "naive"]
    frame = pl.read_parquet(run / "rank_ic.parquet").filter(model="ensemble_biagru", label_days=10)
    for universe, height in heights(figure, "ensemble_biagru").items():
        values = frame.filter(universe=universe).sort("date")["rank_ic"].to_list()
        tracks = [[v for v in values[track::5] if v is not None] for track in range(5)]
        assert height == pytest.approx(sum(sum(t) / len(t) for t in tracks) / 5, abs=1e-5)
    # The headline has no suffix: its encoder's figure comes first.
    assert groups["rank_ic_by_universe"].figures[0].choice == ("5-day label", "no suffix")


@pytest.mark.parametrize(("leg", "said"), [("gross", "before costs"), ("net", "after costs")])
def test_excess_by_universe_of_all_days_and_of_the_latest_year(
    run: Path, groups: dict[str, Group], leg: str, said: str
) -> None:
    for universe in ("all", "csi300"):
        wanted = {"model": "ensemble", "label_days": 5, "universe": universe, "selection": "top10pct"}
        figure = chosen(groups["excess_by_universe"], "5-day label", "no suffix", said)
        assert heights(figure, "ensemble")[universe] == pytest.approx(excess(run, leg, annual=True, **wanted), abs=1e-5)
        figure = chosen(groups["latest_year_by_universe"], "5-day label", "no suffix", said)
        since = excess(run, leg, since=date(2026, 1, 1), **wanted)
        assert heights(figure, "ensemble")[universe] == pytest.approx(since, abs=1e-5)
    assert groups["latest_year_by_universe"].title.en.endswith("2026 part")


def test_deciles_by_loops(run: Path, groups: dict[str, Group]) -> None:
    figure = chosen(groups["deciles"], "10-day label", "30min_biagru", "before costs")
    found = heights(figure, "30min_biagru")
    assert list(found) == [str(number) for number in range(1, 11)]
    for number, tenth in enumerate(TENTHS, start=1):
        wanted = {"model": "30min_biagru", "label_days": 10, "universe": "all", "selection": tenth}
        assert found[str(number)] == pytest.approx(excess(run, "gross", annual=True, **wanted), abs=1e-5)
    assert sorted(found.values(), reverse=True) == list(found.values())
    # The headline's stands first.
    assert groups["deciles"].figures[0].choice == ("5-day label", "ensemble1", "after costs")


def test_residual_stands_beside_what_it_reads(run: Path, groups: dict[str, Group]) -> None:
    figure = chosen(groups["residual_by_year"], "5-day label", "Top 100", "after costs")
    assert figure.name == "figure16_residual_by_year_top100_net_5d"
    assert [trace.name for trace in figure.figure.data] == ["day", "30min", "ensemble1", "residual", "naive"]
    found = heights(figure, "residual")
    wanted = {"model": "residual", "label_days": 5, "universe": "all", "selection": "top100"}
    assert list(found) == ["2025ytd", "2026ytd", "a year"]
    assert found["2026ytd"] == pytest.approx(excess(run, "net", since=date(2026, 1, 1), **wanted), abs=1e-5)
    assert found["a year"] == pytest.approx(excess(run, "net", annual=True, **wanted), abs=1e-5)
    assert groups["residual_by_year"].lacks is None


def test_short_runs_annualise_no_bar(tmp_path: Path) -> None:
    groups = {group.name: group for group in gallery(read_evaluation(write_run(tmp_path / "a", count=60)))}
    figure = chosen(groups["excess_by_year"], "5-day label", "Top 10%", "after costs")
    assert list(heights(figure, "ensemble")) == ["2025ytd"]
    axis = chosen(groups["excess_by_universe"], "5-day label", "biagru", "after costs").figure.layout.yaxis
    assert axis.title.text == "excess, whole span ± SE"


def test_what_a_figure_needs_is_named_in_its_place(evaluation: Evaluation, tmp_path: Path) -> None:
    singles = [model for model in models() if model["name"] in ("day", "60min", "naive")]
    run = write_run(tmp_path / "a", count=30, models=singles, headline="day", universes=["all"], simulated=True)
    groups = {group.name: group for group in gallery(read_evaluation(run))}
    said = {
        "deciles": "This run has no portfolios by decile.",
        "excess_of_singles": "This run has one encoder: none stands beside it.",
        "excess_of_combinations": "Not in this run: mixed, ensemble, ensemble1.",
        "excess_by_year": "Not in this run: mixed, ensemble, ensemble1.",
        "rank_ic_by_universe": "Needs two universes or more; this run evaluates one: all.",
        "excess_by_universe": "Needs two universes or more; this run evaluates one: all.",
        "latest_year_by_universe": "Needs two universes or more; this run evaluates one: all.",
        "residual_by_year": "Not in this run: ensemble1, residual.",
    }
    assert {name: group.lacks.en for name, group in groups.items() if group.lacks} == said
    assert all(group.lacks.zh for group in groups.values() if group.lacks)
    html = write_report(run).read_text("utf-8")
    for line in said.values():
        assert line in html
    drawn = {name for name, group in groups.items() if group.figures}
    assert drawn == {
        "rank_ic_by_model",
        "cumulative_rank_ic",
        "cumulative_excess",
        "excess_of_singles",
        "latest_year",
        "origins",
    }

    # No combination: every model is shown by universe. On a real market the broker report's universes are named.
    more = read_evaluation(write_run(tmp_path / "b", count=30, models=singles, headline="day"))
    by_universe = next(group for group in gallery(more) if group.name == "rank_ic_by_universe")
    assert [trace.name for trace in by_universe.figures[0].figure.data] == ["day", "60min", "naive"]
    assert by_universe.lacks is not None
    assert by_universe.lacks.en.startswith(
        "The broker report’s universes that this run does not evaluate: csi500, csi800"
    )

    # A portfolio that was not evaluated is no bar, and breaks nothing.
    kept = {key: navs for key, navs in evaluation.nav.items() if key[4] == "all" and key[0] != "day"}
    less = {group.name: group for group in gallery(replace(evaluation, nav=kept))}
    figure = chosen(less["excess_by_universe"], "5-day label", "biagru", "after costs")
    assert {trace.x for trace in figure.figure.data} == {("all",)}
    figure = chosen(less["residual_by_year"], "5-day label", "Top 10%", "after costs")
    assert [trace.name for trace in figure.figure.data] == ["30min", "ensemble1", "residual", "naive"]


def test_bars_stand_in_the_middle_of_their_name() -> None:
    shown = [ModelFacts(**model) for model in models() if model["name"] in ("day", "day_biagru", "naive")]
    drawn = looks(shown)
    traces = [bars_of(drawn, model, Bars([model.base], [0.1], [None])) for model in shown]
    two, other, alone = bar_figure("excess", traces).data
    # Of the .8 of a place that bars fill, each of two has a half, one on its own all of it.
    assert (two.width[0], two.offset[0], other.offset[0]) == pytest.approx((0.4, -0.4, 0.0))
    assert (alone.width[0], alone.offset[0]) == pytest.approx((0.8, -0.4))
    # Where every name has every model plotly arranges them itself, also when one is hidden.
    assert bar_figure("excess", traces[:1]).data[0].offset is None


def test_the_broker_reports_figures_stand_beside_the_same_choice(groups: dict[str, Group]) -> None:
    def theirs(name: str, *choice: str) -> dict[str, dict[str, float]]:
        figure = chosen(groups[name], *choice).published
        assert figure is not None
        return {trace.name: dict(zip(trace.x, trace.y, strict=True)) for trace in figure.data}

    for title, number in (("Top 10%", "15"), ("Top 100", "16")):
        (key,) = (key for key in PUBLISHED if key.startswith(f"figure{number}_"))
        found = theirs("residual_by_year", "5-day label", title, "before costs")
        assert list(found) == ["day", "30min", "ensemble1", "residual"]
        for row in PUBLISHED[key]:
            assert found[row["model"]]["2021"] == row["2021"]
            assert found[row["model"]]["a year"] == row["annualised"]
    for name, number, choice in (
        ("rank_ic_by_universe", 11, ()),
        ("excess_by_universe", 12, ("before costs",)),
        ("latest_year_by_universe", 13, ("before costs",)),
    ):
        (key,) = (key for key in PUBLISHED if key.startswith(f"figure{number}_"))
        found = theirs(name, "10-day label", "biagru", *choice)
        assert found["mixed_biagru"]["csi300"] == PUBLISHED[key][0]["csi300"]
        assert list(found["mixed_biagru"]) == list(PUBLISHED[key][0])[2:]
    row = next(r for r in TABLES["table5_biagru_single"] if (r["model"], r["label_days"]) == ("60min_biagru", 5))
    found = theirs("excess_of_singles", "5-day label", "Top 100", "after costs")
    assert found["60min_biagru"] == {"60min": row["top100_net"]}
    nav = theirs("latest_year", "10-day label", "Top 10%", "before costs")["ensemble1_biagru"]
    assert (len(nav), nav[0], nav[139]) == (140, 0.9998, 1.1618)

    for name, choice in (
        ("latest_year", ("10-day label", "Top 100", "before costs")),
        ("excess_by_year", ("5-day label", "Top 10%", "before costs")),
        ("excess_by_universe", ("10-day label", "biagru", "after costs")),
        ("rank_ic_by_universe", ("10-day label", "no suffix")),
        ("deciles", ("10-day label", "30min", "before costs")),
    ):
        assert chosen(groups[name], *choice).published is None


def test_a_model_has_one_colour_on_the_page(groups: dict[str, Group]) -> None:
    figure = chosen(groups["excess_of_combinations"], "5-day label", "Top 10%", "after costs")
    assert figure.published is not None
    ours, theirs = (
        {trace.name: trace.meta["hue"] for trace in each.data} for each in (figure.figure, figure.published)
    )
    assert {name: theirs[name] for name in ours if name != "naive"} == {n: h for n, h in ours.items() if n != "naive"}
    # What only they have has a colour of its own.
    assert theirs["mixed"] not in ours.values()


def test_a_simulated_market_has_none_of_the_broker_reports_figures(evaluation: Evaluation) -> None:
    made_up = replace(evaluation, facts=evaluation.facts.model_copy(update={"simulated": True}))
    assert {figure.published for group in gallery(made_up) for figure in group.figures} == {None}
