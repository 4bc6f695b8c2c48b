"""The enhance stage on the tiny example: its files, what it refuses; neither workers nor kills change a bit."""

from __future__ import annotations

import io
import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polygrain import pipeline
from polygrain.compute import pool
from polygrain.config import load
from polygrain.errors import ConfigError
from polygrain.execution.exact_book import Ledger
from polygrain.interop import read_scores
from polygrain.pipeline import enhancing, holding
from polygrain.pipeline.enhancement_checks import index_lists
from polygrain.pipeline.given import judge
from polygrain.pipeline.holding import SCHEMAS, HoldTask, hold
from polygrain.pipeline.market import Market
from polygrain.portfolio.enhancement import Enhancement, Grid
from polygrain.progress import Lines
from polygrain.store.store import Store

# One test process makes what its tests share.
pytestmark = pytest.mark.xdist_group("enhancing")

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
ONE = ["workers=1"]


def enhanced(folder: Path, *changes: str) -> Path:
    pipeline.run(
        load(TINY, [*ONE, *changes]), folder=folder, base=TINY.parent, last="enhance", progress=Lines(io.StringIO())
    )
    return folder / "portfolios"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enhancing") / "tiny"
    enhanced(folder)
    return folder


def copied(run: Path, folder: Path) -> Path:
    """The run and its store, in a folder of their own."""
    shutil.copytree(run.parent, folder / "runs")
    return folder / "runs" / "tiny"


def files(portfolios: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(portfolios.iterdir())}


def test_the_files(run: Path) -> None:
    portfolios = run / "portfolios"
    assert sorted(files(portfolios)) == sorted(Path(name).name for name in enhancing.files(load(TINY)))
    for table, schema in SCHEMAS.items():
        assert pl.read_parquet_schema(portfolios / f"{table}.parquet") == schema
    grid = Grid.model_validate_json((portfolios / "grid.json").read_text())
    assert [portfolio.shown for portfolio in grid.portfolios] == [True, False]
    names = [portfolio.name for portfolio in grid.portfolios]
    assert names == ["large:stock_deviation.limit=0.02", "large:stock_deviation.limit=0.04"]
    assert (grid.models, grid.label_days) == ({"large": ("ensemble",)}, {"large": (5,)})
    # Neither what processes share nor parts are left behind.
    assert not (run / "enhancement").exists()


def test_plans_keep_to_their_limits(run: Path) -> None:
    # 1e-7 is what a certificate allows. No date of the tiny market is infeasible.
    weights = pl.read_parquet(run / "portfolios" / "weights.parquet")
    dated = weights.group_by("portfolio", "date").agg(
        pl.col("weight").sum(),
        pl.col("benchmark_weight").sum(),
        (pl.col("weight") - pl.col("benchmark_weight")).max().alias("most"),
    )
    np.testing.assert_allclose(dated["weight"], 1, atol=1e-7)
    np.testing.assert_allclose(dated["benchmark_weight"], 1, atol=1e-12)
    assert dated["date"].n_unique() >= 10
    limit = dated["portfolio"].str.extract(r"=([\d.]+)$").cast(float)
    assert (dated["most"] <= limit + 1e-7).all()
    solves = pl.read_parquet(run / "portfolios" / "solves.parquet")
    assert solves["conflict"].null_count() == solves.height
    assert solves.select(pl.max_horizontal("primal", "dual", "gap").max()).item() <= 1e-7
    assert (solves.filter(pl.col("date") > pl.col("date").min())["bought"] <= 0.3 + 1e-7).all()
    active = pl.read_parquet(run / "portfolios" / "active.parquet").with_columns(
        deviation=(pl.col("held") - pl.col("benchmark")).abs()
    )
    assert (active.filter(of="size")["deviation"] <= 0.2 + 1e-7).all()
    assert (active.filter(kind="industry")["deviation"] <= 0.02 + 1e-7).all()


def test_the_attribution_adds_up_to_the_excess(run: Path) -> None:
    nav = pl.read_parquet(run / "portfolios" / "nav.parquet").filter(portfolio="large:stock_deviation.limit=0.02")
    assert nav.row(0, named=True) | {"date": None} == {
        **nav.row(0, named=True),
        "date": None,
        "gross": 1.0,
        "net": 1.0,
        "benchmark": 1.0,
        "cash": 1.0,
        "turnover": None,
    }
    excess = nav.select("date", excess=pl.col("net").pct_change() - pl.col("benchmark").pct_change()).drop_nulls()
    parts = pl.read_parquet(run / "portfolios" / "attribution.parquet")
    assert parts["portfolio"].unique().to_list() == ["large:stock_deviation.limit=0.02"]
    assert set(parts["source"]) == {"industry", "style", "selection", "cash", "trading", "cost"}
    found = (
        parts.group_by("date", maintain_order=True).agg(pl.col("value").sum()).join(excess, on="date", validate="1:1")
    )
    assert found.height == excess.height
    # Some thirty terms of at most .1, each right to 16 digits.
    np.testing.assert_allclose(found["value"], found["excess"], atol=1e-14)


def test_the_shares_held_are_the_shares_bought(run: Path) -> None:
    # Shares after a fill, from the trades alone: shares before + traded · worth / price. Worth and price cancel out in
    # what is sold to nothing: a name is held after a fill if and only if its trades since have not sold it all.
    trades = pl.read_parquet(run / "portfolios" / "trades.parquet")
    held = pl.read_parquet(run / "portfolios" / "holdings.parquet")
    both = held.join(trades, on=["portfolio", "date", "symbol"], how="full", coalesce=True)
    assert (both.filter(pl.col("shares").is_null())["traded"] <= 0).all()
    first = both.filter(pl.col("date") == pl.col("date").min().over("portfolio"))
    assert first.filter(pl.col("traded") > 0)["shares"].null_count() == 0
    assert float(first["traded"].sum()) == pytest.approx(2, abs=0.05)


def test_tracks_that_start_a_day_apart_are_one_portfolio(run: Path, tmp_path: Path) -> None:
    whole = copied(run, tmp_path / "whole")
    enhanced(whole, "enhancement.large.tracks=5")
    tracks = pl.read_parquet(whole / "portfolios" / "tracks.parquet")
    nav = pl.read_parquet(whole / "portfolios" / "nav.parquet")
    assert tracks["track"].unique().to_list() == [0, 1, 2, 3, 4]
    for (portfolio,), path in nav.group_by("portfolio"):
        days = path["date"].to_list()
        # A fifth of the capital each, which is cash until its track starts; cash earns nothing.
        net = []
        for _, track in tracks.filter(portfolio=portfolio).group_by("track", maintain_order=True):
            known = dict(track.select("date", "net").iter_rows())
            net.append([known.get(day, 1.0) for day in days])
        np.testing.assert_allclose(path["net"], np.mean(net, axis=0), rtol=1e-14)
        started = tracks.filter(portfolio=portfolio).group_by("track").agg(pl.col("date").min()).sort("track")
        assert started["date"].to_list() == days[:5]
        # Four fifths are cash after the first fill, but for what a purchase of that track left or drifted to.
        assert path["cash"].to_list()[:2] == [1.0, pytest.approx(0.8, abs=0.02)]
        assert path["turnover"][1] == pytest.approx(0.2, abs=0.01)
    excess = nav.filter(portfolio=nav["portfolio"][0]).select(
        "date", excess=pl.col("net").pct_change() - pl.col("benchmark").pct_change()
    )
    parts = pl.read_parquet(whole / "portfolios" / "attribution.parquet").group_by("date").agg(pl.col("value").sum())
    both = parts.join(excess.drop_nulls(), on="date", validate="1:1")
    assert both.height == excess.height - 1
    np.testing.assert_allclose(both["value"], both["excess"], atol=1e-14)


def test_a_track_is_the_portfolio_of_scores_that_start_a_day_later(run: Path, tmp_path: Path) -> None:
    whole = copied(run, tmp_path / "whole")
    later = on_days(run, tmp_path / "later", 2, None)
    enhanced(whole, "enhancement.large.tracks=5")
    alone = pl.read_parquet(later / "nav.parquet").select("portfolio", "date", "gross", "net", "benchmark")
    track = pl.read_parquet(whole / "portfolios" / "tracks.parquet").filter(track=2).select(alone.columns)
    assert track.equals(alone)
    weights = pl.read_parquet(later / "weights.parquet")
    among = pl.read_parquet(whole / "portfolios" / "weights.parquet").filter(
        pl.col("date").is_in(weights["date"].unique().implode())
    )
    assert among.equals(weights)


def test_workers_change_no_bit(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    shutil.rmtree(other / "portfolios")
    assert files(enhanced(other, "workers=2")) == files(run / "portfolios")


def test_what_a_killed_call_finished_is_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = copied(run, tmp_path)
    shutil.rmtree(other / "portfolios")
    done: list[str] = []

    def killed_after_one(task: HoldTask) -> None:
        if done:
            raise KeyboardInterrupt
        hold(task)
        done.append(task.portfolio)

    monkeypatch.setattr(enhancing, "hold", killed_after_one)
    with pytest.raises(KeyboardInterrupt):
        enhanced(other)
    assert done == ["large:stock_deviation.limit=0.02"]
    monkeypatch.undo()
    walked: list[str] = []

    def noted(known: object, *given: object, **settings: object) -> object:
        walked.append("walk")
        return walk(known, *given, **settings)

    walk = holding.walk
    monkeypatch.setattr(holding, "walk", noted)
    assert files(enhanced(other)) == files(run / "portfolios")
    assert walked == ["walk"]


def test_a_second_call_does_nothing_and_a_new_setting_all(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    before = files(other / "portfolios")
    enhanced(other)
    assert files(other / "portfolios") == before
    assert json.loads((other / "manifest.json").read_text())["stages"]["enhance"]["seconds"] > 0
    after = files(enhanced(other, "enhancement.large.cost=0.006"))
    assert after["weights.parquet"] == before["weights.parquet"]
    assert after["nav.parquet"] != before["nav.parquet"]


def test_portfolios_are_of_the_look_back_too(run: Path) -> None:
    # It says who is of U_t, on days before the first score too, whose factor returns a risk model is of.
    made = []
    with pool(1) as workers:
        for lookback in (5, 5, 4):
            experiment = load(TINY, [*ONE, f"protocol.lookback={lookback}"])
            job = pipeline.Job(experiment, run, TINY.parent, workers, Lines(io.StringIO()), False)
            made.append(job.enhanced_from)
    assert made[0] == made[1] != made[2]


def test_what_the_grid_says_of_the_settings(run: Path) -> None:
    grid = Grid.model_validate_json((run / "portfolios" / "grid.json").read_text())
    settings = load(TINY).enhancement["large"]
    # Of the portfolio that is shown: the first value of the list.
    assert [one["kind"] for one in grid.constraints["large"]] == [one.kind for one in settings.constraints]
    assert grid.constraints["large"][0]["limit"] == 0.02
    assert grid.order["large"] == tuple(map(tuple, settings.order))
    assert grid.tradability == {"large": "known"}


def test_random_scores_stand_beside_the_shown_portfolio_alone(run: Path, tmp_path: Path) -> None:
    portfolios = enhanced(copied(run, tmp_path), "enhancement.large.random_scores=2")
    nav = pl.read_parquet(portfolios / "nav.parquet")
    keys = nav.select("portfolio", "model", "label_days").unique(maintain_order=True).rows()
    shown, other = "large:stock_deviation.limit=0.02", "large:stock_deviation.limit=0.04"
    assert keys == [(shown, "ensemble", 5), (shown, "random 1", 0), (shown, "random 2", 0), (other, "ensemble", 5)]
    ends = nav.filter(portfolio=shown).group_by("model").agg(pl.col("net").last())["net"]
    assert ends.n_unique() == 3
    grid = Grid.model_validate_json((portfolios / "grid.json").read_text())
    assert (grid.models, grid.random_scores) == ({"large": ("ensemble",)}, {"large": 2})
    for table in ("attribution", "contributions"):
        assert pl.read_parquet(portfolios / f"{table}.parquet")["model"].unique().to_list() == ["ensemble"]


def test_portfolios_that_the_config_has_no_more_are_removed(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    experiment = load(TINY, ONE).model_copy(update={"enhancement": {}})

    def again(last: str) -> dict[str, object]:
        pipeline.run(experiment, folder=other, base=TINY.parent, last=last, progress=Lines(io.StringIO()))
        stages: dict[str, object] = json.loads((other / "manifest.json").read_text())["stages"]
        return stages

    # A call that ends before the stage leaves them.
    assert "enhance" in again("evaluate")
    assert (other / "portfolios").is_dir()
    assert "enhance" not in again("report")
    assert not (other / "portfolios").exists()
    assert 'id="enhancement"' not in (other / "report.html").read_text("utf-8")


def test_portfolios_of_other_scores_are_removed(run: Path, tmp_path: Path) -> None:
    experiment, folder = load(TINY, [*ONE, f"store={run.parent / 'store'}"]), tmp_path / "given"
    table = pl.read_parquet(run / "scores.parquet").filter(model="ensemble")

    def judged(sign: int, *, enhance: bool = False) -> None:
        given = read_scores(table.with_columns(pl.col("score") * sign))
        judge(experiment, given, folder=folder, base=tmp_path, progress=Lines(io.StringIO()), enhance=enhance)

    judged(1, enhance=True)
    before = files(folder / "portfolios")
    judged(1)
    assert files(folder / "portfolios") == before
    judged(-1)
    assert not (folder / "portfolios").exists()


def test_what_the_data_does_not_have_is_refused(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    for change, said in (
        (
            "enhancement.large.index=csi500",
            "enhancement.large.index: the data has no weights of 'csi500'; choose from large, small",
        ),
        (
            'enhancement.large.models=["x"]',
            "enhancement.large.models: 'x' is no model of this run; choose from 60min, day, ensemble",
        ),
        ("enhancement.large.label_days=[7]", "enhancement.large.label_days: 7 is no label of this run; choose from 5"),
    ):
        with pytest.raises(ConfigError) as refusal:
            enhanced(other, change)
        assert str(refusal.value) == said
    assert files(other / "portfolios") == files(run / "portfolios")


def test_scores_that_a_file_does_not_have_are_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    given = read_scores(pl.read_parquet(run / "scores.parquet").filter(model="ensemble"))
    for change, said in (
        ('models=["day"]', "models: 'day' has no scores; choose from ensemble"),
        ("label_days=[10]", "label_days: 10 has no scores; choose from 5"),
    ):
        experiment = load(TINY, [*ONE, f"store={run.parent / 'store'}", f"enhancement.large.{change}"])
        with pytest.raises(ConfigError) as refusal:
            judge(experiment, given, folder=tmp_path, base=tmp_path, progress=Lines(io.StringIO()), enhance=True)
        assert str(refusal.value) == f"enhancement.large.{said}"
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        # Optional or not: a name that is none would be left out of every portfolio in silence.
        ('{ kind = "style_deviation", limits = { sise = 0 }, optional = true }', "style_deviation: 'sise' is no style"),
        ('{ kind = "linear", name = "mine", column = "sise", upper = 0.0 }', "mine: 'sise' is no style"),
        (
            '{ kind = "holding_weight", maximum = 0.0, symbols = ["000001"] }',
            "holding_weight: the data has no '000001'; write it as 002000.SZ, or leave it out",
        ),
        (
            '{ kind = "linear", coefficients = { "1.SZ" = 1.0 }, upper = 0.0 }',
            "linear: the data has no '1.SZ'; write it as 002000.SZ, or leave it out",
        ),
    ],
)
def test_a_constraint_on_what_there_is_not_is_refused_first(
    run: Path, tmp_path: Path, constraint: str, said: str
) -> None:
    # In a folder of its own, before anything is fitted.
    changes = (
        f"enhancement.large.constraints=[{constraint}]",
        "enhancement.large.vary={}",
        f"store={run.parent / 'store'}",
    )
    with pytest.raises(ConfigError) as refusal:
        enhanced(tmp_path / "new", *changes)
    if "no style" in said:
        said += (
            "; choose from size, mid_cap, valuation, reversal, momentum, volatility, turnover, liquidity, "
            "profitability, or name its column in exposures.columns"
        )
    assert str(refusal.value) == f"enhancement.large.constraints.{said}"
    assert not (tmp_path / "new" / "scores.parquet").exists()


def on_days(run: Path, folder: Path, first: int, stop: int | None, *changes: str) -> Path:
    """The portfolios of a part of the run's days with scores."""
    other = copied(run, folder)
    scores = pl.read_parquet(other / "scores.parquet").filter(segment="test")
    days = scores["date"].unique().sort()[first:stop]
    scores.filter(pl.col("date").is_in(days.implode())).write_parquet(other / "scores.parquet")
    market = Market(load(TINY, changes), Store(next(other.parent.glob("store/*"))))
    with pool(1) as workers:
        enhancing.enhance(market, other, "0" * 64, workers, Lines(io.StringIO()))
    return other / "portfolios"


def test_one_day_with_scores_is_too_few_where_it_is_filled_on_the_next(run: Path, tmp_path: Path) -> None:
    said = "enhancement.large: 1 days with scores from 2021-06-03 on are too few for t1_vwap; score more days, or leave"
    with pytest.raises(ConfigError, match=said):
        on_days(run, tmp_path / "vwap", 0, 1)
    weights = pl.read_parquet(
        on_days(run, tmp_path / "close", 0, 1, "enhancement.large.fill=t0_close") / "weights.parquet"
    )
    assert weights["date"].unique().to_list() == [date(2021, 6, 3)]


def test_the_capital_of_a_ledger_is_that_of_all_tracks(run: Path, tmp_path: Path) -> None:
    ledger = "enhancement.large.ledger={ capital = 1e7, commission = 0.0 }"
    portfolios = on_days(run, tmp_path, 0, 7, ledger, "enhancement.large.tracks=5", "enhancement.large.vary={}")
    grid = Grid.model_validate_json((portfolios / "grid.json").read_text())
    assert grid.cost == {"large": Ledger(capital=1e7, commission=0.0)}
    # A track buys for a fifth, 2 · 10⁸ fen, less at most a lot of each of some 30 names.
    trades = pl.read_parquet(portfolios / "ledger.parquet").filter(cause="trade")
    spent = trades.group_by("date").agg(pl.col("amount").sum()).sort("date")["amount"]
    assert spent.len() == 5 + 1
    assert spent.head(5).is_between(1.9e8, 2e8).all()


def test_an_index_whose_lists_have_ended_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first list alone, and dated 2020-12-30: 198 days before 2021-07-16, 205 before 2021-07-23.
    def ended(store: Store, name: str, settings: Enhancement) -> pl.DataFrame:
        lists = index_lists(store, name, settings)
        first = lists.filter(pl.col("date") == pl.col("date").min())
        return first.with_columns(date=pl.lit(date(2020, 12, 30)))

    monkeypatch.setattr(enhancing, "index_lists", ended)
    portfolios = on_days(run, tmp_path, 0, None)
    days = pl.read_parquet(portfolios / "weights.parquet")["date"].unique().sort().to_list()
    late = [day for day in days if day >= date(2021, 7, 23)]
    assert (len(days), len(late), date(2021, 7, 16) in days) == (13, 6, True)
    ((said, said_zh),) = Grid.model_validate_json((portfolios / "grid.json").read_text()).missing
    assert said == (
        "Enhancement large: the newest list of large is more than 200 days old on 6 / 13 decisions from 2021-07-23 on, "
        "the last one of 2020-12-30; reviews since then are not in the index."
    )
    assert "自 2021-07-23 起 6 / 13 个决策日" in said_zh
    assert Grid.model_validate_json((run / "portfolios" / "grid.json").read_text()).missing == ()


def test_enhance_without_an_enhancement_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "none.toml"
    config.write_text(TINY.read_text().partition("[enhancement")[0])
    with pytest.raises(ConfigError, match=r"^enhancement: is missing or empty; add one"):
        pipeline.run(
            load(config), folder=tmp_path / "run", base=tmp_path, last="enhance", progress=Lines(io.StringIO())
        )
