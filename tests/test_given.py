"""Scores from elsewhere on a market: a run's own come back bit for bit; what is left out is named, faults refused."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import polygrain
from polygrain import pipeline
from polygrain.cli import main
from polygrain.config import Experiment, decode, load
from polygrain.errors import ConfigError, DataError
from polygrain.interop import Arrow, read_scores
from polygrain.pipeline.given import judge, place
from polygrain.pipeline.manifest import Trials
from polygrain.pipeline.market import Market
from polygrain.progress import Lines
from polygrain.report.compare import compare
from polygrain.store.commit import file_fingerprint
from polygrain.store.store import Store

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
# What tiny.toml says of the market, without what trains.
BARE = {
    "version": 1,
    "name": "market",
    "store": "store",
    "workers": 1,
    "source": load(TINY).source.model_dump(mode="json"),
    "universe": {"base": "listed >= 5 and not st"},
    "protocol": {"lookback": 5},
    "evaluation": {"universes": {"all": "all", "large": "large"}},
}
LOCK = date(2021, 7, 14)
KEY = ["model", "label_days", "rebalance", "fill", "universe", "date"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run `tiny` with its report, and of its store."""
    folder = tmp_path_factory.mktemp("runs")
    pipeline.run(load(TINY, ["workers=1"]), folder=folder / "tiny", base=folder, last="report", progress=quiet())
    return folder


def quiet() -> Lines:
    return Lines(io.StringIO())


def bare(runs: Path, **changes: object) -> Experiment:
    return decode(BARE | changes, runs)


def judged(runs: Path, scores: str | Path | Arrow, name: str, *, open_lock: bool = False, **changes: object) -> Path:
    folder = runs / name
    experiment = bare(runs, **changes)
    judge(experiment, read_scores(scores), folder=folder, base=runs, progress=quiet(), open_lock=open_lock)
    return folder


def english(texts: list[dict[str, str]]) -> list[str]:
    return [text["en"] for text in texts]


def own(runs: Path, model: str = "ensemble") -> pl.DataFrame:
    """A trained model's test scores as a long frame."""
    scores = pl.read_parquet(runs / "tiny" / "scores.parquet").filter(pl.col("segment") == "test")
    return scores.filter(pl.col("model") == model).select("date", "symbol", "score")


def market(runs: Path, until: date | None = None) -> Market:
    (store,) = (runs / "store").iterdir()
    return Market(bare(runs), Store(store, until), every_day=True)


def test_a_run_s_own_scores_are_judged_alike_bit_for_bit(runs: Path) -> None:
    """Models, oracle and naive composite; the tables of every model too, but for seeds."""
    folder = judged(runs, runs / "tiny" / "scores.parquet", "again")
    for name in ("rank_ic", "nav", "decay"):
        assert_frame_equal(
            pl.read_parquet(folder / f"{name}.parquet"),
            pl.read_parquet(runs / "tiny" / f"{name}.parquet"),
            check_exact=True,
        )
    theirs = pl.read_csv(runs / "tiny" / "tables" / "table1_single_granularity.csv").drop("rank_ic_seed_std")
    ours = pl.read_csv(folder / "tables" / "scores.csv").drop("rank_ic_seed_std")
    assert_frame_equal(ours.filter(pl.col("model") != "ensemble"), theirs, check_exact=True)
    for name in ("portfolios", "rank_ic_by_year", "model_pairs", "figure11_rank_ic_by_universe"):
        ours, theirs = (pl.read_csv(run / "tables" / f"{name}.csv") for run in (folder, runs / "tiny"))
        assert_frame_equal(ours, theirs, check_exact=True)


def written(runs: Path, layout: str, ending: str, command: Callable[..., tuple[int, str, str]]) -> Path:
    """The file in which the model `day` goes to others."""
    file = runs / f"{layout}-{ending}.{ending}"
    code, out, _ = command("scores", str(runs / "tiny"), "--format", layout, "--out", str(file), "--model", "day")
    assert (code, out) == (0, f"day (5 days): {file}\n")
    return file


@pytest.mark.parametrize("layout", ["alphalens", "qlib", "long"])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_what_is_written_for_others_comes_back_bit_for_bit(
    runs: Path, layout: str, ending: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    file = written(runs, layout, ending, command)
    ours, theirs = (place(read_scores(scores), market(runs)).scores for scores in (file, own(runs, "day")))
    assert ours.keys() == theirs.keys() == {("score", 0)}
    # Text has as many digits as single precision needs.
    assert np.isfinite(ours["score", 0]).any()
    assert ours["score", 0].astype(np.float32).tobytes() == theirs["score", 0].astype(np.float32).tobytes()


def test_what_is_written_for_others_is_judged_alike_bit_for_bit(
    runs: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    folder = judged(runs, written(runs, "qlib", "csv", command), "written")
    for name in ("rank_ic", "nav"):
        ours, theirs = (pl.read_parquet(run / f"{name}.parquet") for run in (folder, runs / "tiny"))
        assert_frame_equal(
            ours.filter(pl.col("model") == "score").drop("model", "label_days"),
            theirs.filter(pl.col("model") == "day").drop("model", "label_days"),
            check_exact=True,
        )


def test_only_the_order_of_scores_counts(runs: Path) -> None:
    """Rank IC and NAV are those of any increasing function; times 4 is exact."""
    given_so = judged(runs, own(runs), "plain")
    other = judged(runs, own(runs).with_columns(pl.col("score").cast(pl.Float64) * 4), "scaled")
    for name in ("rank_ic", "nav", "decay"):
        files = [pl.read_parquet(folder / f"{name}.parquet") for folder in (given_so, other)]
        assert_frame_equal(*files, check_exact=True)
    doubles = pl.read_parquet(other / "scores.parquet").filter(pl.col("model") == "score")["score"]
    assert doubles.dtype == pl.Float64


def test_the_run_folder(runs: Path) -> None:
    scores = pl.concat(
        [own(runs, name).with_columns(model=pl.lit(name), label_days=pl.lit(0)) for name in ("day", "60min")]
    ).with_columns(pl.col("model").replace({"60min": "hours"}))
    path = runs / "two.parquet"
    scores.write_parquet(path)
    folder = judged(runs, path, "two")
    facts = json.loads((folder / "report_facts.json").read_text())
    assert facts["name"] == "market-two"
    assert [(model["name"], model["kind"]) for model in facts["models"]] == [
        ("day", "given"), ("hours", "given"), ("naive", "naive"),
    ]  # fmt: skip
    assert (facts["headline"], facts["label_days"], facts["seeds"], facts["folds"]) == ("day", [0], [], [])
    assert any("are about networks: these scores are from elsewhere." in said for said in english(facts["missing"]))
    assert all(said["zh"] for said in (*facts["missing"], *facts["conventions"]))
    assert "One of date t counts as known at t's close" in facts["conventions"][0]["en"]
    page = (folder / "report.html").read_text()
    # The first screen answers for them as for a run's own.
    assert "Which model should I use?" in page
    assert "was not evaluated" not in page
    assert (folder / "figures" / "deciles_day_net_0d.json").is_file()
    assert "two.parquet, a long frame" in page
    assert "No label named" in page
    assert not any("seed" in said for said in english(facts["conventions"]))
    tables = {path.stem for path in (folder / "tables").iterdir()}
    assert {"scores", "scores_top10pct_by_year_gross", "rank_ic_by_year", "portfolios", "decay"} <= tables
    assert not any(name.startswith(("table1", "table2", "table4", "table5", "table6", "table7")) for name in tables)
    assert pl.read_csv(folder / "tables" / "scores.csv")["model"].to_list() == ["day", "hours", "naive"]
    assert pl.read_csv(folder / "tables" / "model_pairs.csv")["model"].to_list() == ["day", "hours"]
    # The config that is kept says all that decided.
    assert load(folder / "config.toml").protocol.lookback == 5
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(manifest["stages"]) == ["evaluate", "report", "score"]
    for stage in manifest["stages"].values():
        for name, sha in stage["outputs"].items():
            assert file_fingerprint(folder / name) == sha


def test_a_second_call_changes_no_bytes_and_other_scores_do(runs: Path) -> None:
    folder = judged(runs, own(runs), "twice")
    timed = {"manifest.json", "report_facts.json", "report.html"}
    before = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
    judged(runs, own(runs), "twice")
    after = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
    assert [name for name in before if name not in timed and before[name] != after[name]] == []
    skipped = {s["stage"]: s["skipped"] for s in json.loads(after["report_facts.json"])["stages"]}
    assert (skipped["score"], skipped["evaluate"]) == (True, True)
    judged(runs, own(runs).with_columns(-pl.col("score")), "twice")
    assert (folder / "rank_ic.parquet").read_bytes() != before["rank_ic.parquet"]


def test_every_score_counts_as_tried_by_its_content(runs: Path) -> None:
    (store,) = (runs / "store").iterdir()
    count = len(Trials(store).read())
    fresh = own(runs).with_columns(score=pl.col("score").cast(pl.Float64) + 0.125)
    both = pl.concat([fresh.with_columns(model=pl.lit("a")), fresh.with_columns(-pl.col("score"), model=pl.lit("b"))])
    both.write_parquet(runs / "both.parquet")
    judged(runs, runs / "both.parquet", "tried")
    trials = Trials(store).read()
    assert [trial["note"] for trial in trials[count:]] == [
        "market-both: a of both.parquet",
        "market-both: b of both.parquet",
    ]
    # In another order, file and spelling it is the same score.
    turned = fresh.reverse().with_columns(pl.col("symbol").str.replace(r"(\d+)\.(\w+)", "${2}${1}"))
    judged(runs, turned, "tried-again")
    assert len(Trials(store).read()) == len(trials)


def test_what_the_market_does_not_have_is_left_out_and_counted(runs: Path) -> None:
    found = market(runs)
    scores = own(runs)
    strange = scores.filter(pl.col("date") == scores["date"][0]).with_columns(symbol=pl.lit("699999.SH")).head(1)
    early = scores.head(2).with_columns(date=pl.lit(date(2020, 1, 2)))
    late = scores.head(3).with_columns(date=pl.lit(date(2022, 1, 4)))
    # On the first day nobody is in U_t, which asks for five days.
    unlisted = scores.head(4).with_columns(date=pl.lit(found.store.days[0]))
    placed = place(read_scores(pl.concat([scores, strange, early, late, unlisted])), found)
    symbols = scores["symbol"].n_unique() + 1
    assert list(placed.missing) == [
        f"scores: symbols not in the market: 1 of {symbols} (699999.SH); rows left out: 1.",
        "scores: rows of days before 2021-03-15, the market's first one, left out: 2.",
        "scores: rows of days after 2021-09-01, the market's last one, left out: 3.",
        f"scores: rows of stocks outside U_t, left out: 4 of {scores.height + 4:,}.",
    ]
    assert placed.share == 1
    assert np.isfinite(placed.scores["score", 0]).sum() == scores.height


def refused(runs: Path, scores: pl.DataFrame) -> str:
    with pytest.raises(DataError) as refusal:
        judged(runs, scores, "refused")
    assert not (runs / "refused").exists()
    return str(refusal.value)


def test_what_is_refused_on_the_market_writes_no_run(runs: Path) -> None:
    scores = own(runs)
    other = scores.with_columns(pl.col("symbol").str.replace(r"\d{6}", "999999"))
    told = refused(runs, other.unique(["date", "symbol"], keep="first", maintain_order=True))
    assert "none of its 2 symbols (999999.SZ, 999999.SH) is in the market, which has " in told
    assert told.endswith("; check the spelling and the config's source")
    symbol = scores["symbol"][0]
    code, exchange = symbol.split(".")
    spelled = scores.head(1).with_columns(symbol=pl.lit(f"{exchange}{code}"), date=pl.lit(scores["date"][-1]))
    row = scores.height + 1
    told = refused(runs, pl.concat([scores, spelled]))
    assert told == f"scores:{row}:symbol: {exchange}{code} is there in another spelling too; write it one way"
    sunday = scores.head(1).with_columns(date=pl.lit(date(2021, 7, 4)))
    told = refused(runs, pl.concat([scores, sunday]))
    reason = "is no trading day of the market (2021-07-04); date a score by the day at whose close it is known"
    assert told == f"scores:{row}:date: {reason}"
    told = refused(runs, scores.with_columns(pl.col("date") - timedelta(3650)))
    assert told == "scores: no score is of 2021-03-15 to 2021-09-01, the days of the market that may be seen"
    days = scores["date"].unique().sort()
    told = refused(runs, scores.filter(pl.col("date").dt.weekday() == 5))
    assert told.startswith("scores: no score is of 2021-06-")
    assert told.endswith(
        " trading days from 2021-06-04 on; give scores of every day, each the latest one known at its close"
    )
    halves = [scores.with_columns(model=pl.when(pl.col("date") < days[30]).then(pl.lit("a")).otherwise(pl.lit("b")))]
    told = refused(runs, pl.concat(halves))
    reason = "no day has a score of every model for a stock of U_t"
    assert told == f"scores: {reason}; judge the models one by one, or take a longer stretch"


def test_weekly_scores_as_the_page_says(runs: Path) -> None:
    """Each day has the latest score: one of Wednesday is Thursday's, and of the Tuesday after."""
    page = (TINY.parents[1] / "docs" / "how-to" / "own-scores.md").read_text()
    (code,) = [block for block in page.split("```python\n")[1:] if "join_asof" in block]
    weekly = own(runs).filter(pl.col("date").dt.weekday() == 3)
    names = {"pl": pl, "scores": weekly, "trading_days": market(runs).store.days}
    with warnings.catch_warnings():
        # Polars cannot check the order within symbols.
        warnings.simplefilter("ignore")
        exec(code.partition("```")[0], names)  # noqa: S102
    daily = names["daily"]
    assert isinstance(daily, pl.DataFrame)
    latest = dict(zip(zip(weekly["date"], weekly["symbol"]), weekly["score"]))
    for day, symbol, score in daily.sample(50, seed=1).select("date", "symbol", "score").iter_rows():
        before = max(known for known, name in latest if name == symbol and known <= day)
        assert score == latest[before, symbol]
    folder = judged(runs, daily, "weekly")
    assert pl.read_parquet(folder / "rank_ic.parquet")["date"].min() == weekly["date"].min()


def test_a_day_without_scores_is_named_and_days_of_one_model_alone_are_left_out(runs: Path) -> None:
    scores = own(runs)
    days = scores["date"].unique().sort()
    one = scores.filter(pl.col("date") != days[20]).with_columns(model=pl.lit("one"))
    two = scores.filter(pl.col("date") > days[2]).with_columns(model=pl.lit("two"))
    placed = place(read_scores(pl.concat([one, two])), market(runs))
    assert list(placed.missing) == [
        f"scores: trading days between without a score: 1 ({days[20]}); tracks whose turn it is keep their holdings.",
        "scores: days of one left out, for not every model has a score on them: 3.",
        "scores: days of two left out, for not every model has a score on them: 1.",
    ]
    for panel in placed.scores.values():
        scored = {day for day, row in zip(market(runs).score_days, panel) if np.isfinite(row).any()}
        assert scored == set(days) - {*days[:3], days[20]}
    folder = judged(runs, pl.concat([one, two]), "gap")
    assert set(pl.read_parquet(folder / "rank_ic.parquet")["date"]) == set(days) - {*days[:3], days[20]}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_placed_as_a_plain_loop_places_them(runs: Path, seed: int) -> None:
    found = market(runs)
    random = np.random.default_rng(seed)
    days, symbols = found.store.days, found.store.symbols
    # Before, nobody has been listed for five days.
    first = int(random.integers(4, 60))
    rows = [
        (model, day, str(random.choice([symbol, symbol[-2:] + symbol[:6], symbol[:6]], p=[0.8, 0.1, 0.1])))
        for model in ("a", "b")
        for day in days[first : first + 20]
        for symbol in random.choice([*symbols, "699999.SH"], 25, replace=False)
    ]
    # One spelling a symbol.
    spelling: dict[str, str] = {}
    rows = [(model, day, spelling.setdefault(text.strip(".SHZBJ"), text)) for model, day, text in rows]
    random.shuffle(rows)
    values = random.standard_normal(len(rows))
    frame = pl.DataFrame(rows, schema=["model", "date", "symbol"], orient="row").with_columns(score=values)
    placed = place(read_scores(frame), found)
    expected = {name: np.full((len(days), len(symbols)), np.nan) for name in ("a", "b")}
    for (model, day, text), value in zip(rows, values):
        for column, symbol in enumerate(symbols):
            if symbol[:6] in text and found.members[days.index(day), column]:
                expected[model][days.index(day), column] = value
    scored = [{d for d in range(len(days)) if np.isfinite(panel[d]).any()} for panel in expected.values()]
    for name, panel in expected.items():
        for day in range(len(days)):
            if not all(day in each for each in scored):
                panel[day] = np.nan
        np.testing.assert_array_equal(placed.scores[name, 0], panel)


def test_the_lock_box(runs: Path) -> None:
    """Nothing behind it is looked at, until it is opened for these scores."""
    locked = {"lookback": 5, "lock_after": LOCK}
    scores = own(runs).with_columns(score=pl.col("score").cast(pl.Float64) + 0.5)
    folder = judged(runs, scores, "locked", protocol=locked)
    for name in ("scores", "nav"):
        assert pl.read_parquet(folder / f"{name}.parquet")["date"].max() == LOCK
    facts = json.loads((folder / "report_facts.json").read_text())
    behind = scores.filter(pl.col("date") > LOCK).height
    assert f"scores: rows of days after {LOCK}, which are locked, left out: {behind:,}." in english(facts["missing"])
    assert facts["lock"]["en"].endswith("nothing here has seen them. Opened so far: 0 times.")
    # What lies behind changes nothing: not even a date that is none.
    sunday = scores.tail(1).with_columns(date=pl.lit(date(2021, 8, 1)))
    again = judged(runs, pl.concat([scores, sunday]), "locked-too", protocol=locked)
    assert (again / "nav.parquet").read_bytes() == (folder / "nav.parquet").read_bytes()

    judged(runs, scores, "locked", protocol=locked, open_lock=True)
    assert pl.read_parquet(folder / "nav.parquet")["date"].max() == date(2021, 9, 1)
    assert "was opened 1 time: " in (folder / "report.html").read_text()
    # It stays open for these scores, and shut for others.
    judged(runs, scores, "locked", protocol=locked)
    assert pl.read_parquet(folder / "nav.parquet")["date"].max() == date(2021, 9, 1)
    other = judged(runs, scores.with_columns(-pl.col("score")), "locked-other", protocol=locked)
    assert pl.read_parquet(other / "nav.parquet")["date"].max() == LOCK
    with pytest.raises(ConfigError, match=r"^--open-lock: nothing is locked"):
        judged(runs, scores, "nothing", open_lock=True)
    assert not (runs / "nothing").exists()


def test_runs_of_scores_stand_side_by_side(runs: Path) -> None:
    left = judged(runs, own(runs, "day"), "left")
    right = judged(runs, own(runs, "60min"), "right")
    found = compare([left, right])
    assert [(pair.case.model, pair.case.label_days) for pair in found.pairs] == [("score", 0), ("naive", 0)]
    assert found.pairs[1].row["rank_ic_difference"] == 0


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["polygrain", *words])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return (code, *capsys.readouterr())

    return call


def test_by_the_command_line(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]
) -> None:
    config = tmp_path / "market.toml"
    source = "\n".join(f"{key} = {json.dumps(value)}" for key, value in BARE["source"].items())  # type: ignore[attr-defined]
    config.write_text(
        f'version = 1\nname = "market"\nstore = "{runs / "store"}"\n[source]\n{source}\n[universe]\n'
        'base = "listed >= 5 and not st"\n[protocol]\nlookback = 5\n'
    )
    own(runs).write_csv(tmp_path / "my scores.csv")
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("evaluate", str(config), "--scores", "my scores.csv")
    assert (code, out) == (0, f"Report: {tmp_path}/runs/market-my_scores/report.html\n")
    # The folder of one experiment takes no other's.
    code, _, err = command("evaluate", str(config), "--scores", "my scores.csv", "--out", str(runs / "tiny"))
    assert (code, err) == (2, f"error: --out: {runs / 'tiny'} holds the run 'tiny'; choose another folder\n")
    code, _, err = command("evaluate", str(config), "--scores", "pred.pkl", "--out", "new")
    assert code == 2
    assert err.startswith("error: pred.pkl: is a pickle, which runs what it holds;")
    assert not (tmp_path / "new").exists()
    code, _, err = command("evaluate", str(config))
    reason = "is missing or empty; add one, or bring scores of your own: polygrain evaluate --scores FILE"
    assert (code, err) == (2, f"error: granularity: {reason}\n")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["market-my_scores"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.txt"], "--out: x.txt is neither .parquet nor .csv; give the file one of these endings"),
        (
            ["--out", "x.csv", "--model", "x"],
            "--model: 'x' has no scores here; choose from day, 60min, ensemble, naive",
        ),
        (["--out", "x.csv", "--label-days", "3"], "--label-days: ensemble has none of 3; choose from 5"),
    ],
)
def test_writing_is_refused(
    runs: Path, words: list[str], message: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = command("scores", str(runs / "tiny"), "--format", "long", *words)
    assert (code, err) == (2, f"error: {message}\n")


def test_as_a_library(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = own(runs)
    found = polygrain.evaluate(scores, bare(runs))
    theirs = pl.read_parquet(runs / "tiny" / "rank_ic.parquet").filter(pl.col("model") == "ensemble")
    assert_frame_equal(
        found.rank_ic.filter(pl.col("model") == "score").drop("model", "label_days"),
        theirs.drop("model", "label_days"),
        check_exact=True,
    )
    assert {"scores", "portfolios", "decay"} <= set(found.tables)
    assert found.tables["scores"]["model"].to_list() == ["score", "naive"]
    assert any("these scores are from elsewhere" in said for said in found.missing)
    assert set(found.nav["selection"]) >= {"top10pct", "top100"}
    assert found.decay["days"].min() == 1
    # Nothing is left but what is asked for: the store lies where the config says.
    assert list(tmp_path.iterdir()) == []
    assert found.report(tmp_path / "mine.html") == tmp_path / "mine.html"
    assert (tmp_path / "mine.html").read_text().startswith("<!doctype html")
    kept = polygrain.evaluate(scores, bare(runs), out=tmp_path / "kept")
    assert_frame_equal(kept.nav, pl.read_parquet(tmp_path / "kept" / "nav.parquet"))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        polygrain.nothing  # type: ignore[attr-defined]
