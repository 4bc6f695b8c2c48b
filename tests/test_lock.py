"""The lock box: nothing after ingest sees a day behind protocol.lock_after until it is opened, and that is counted."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from polygrain import pipeline
from polygrain.compute import Pool
from polygrain.config import load
from polygrain.errors import ConfigError
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.plan import available
from polygrain.pipeline.manifest import Trials
from polygrain.pipeline.market import Market
from polygrain.pipeline.training import folds
from polygrain.progress import Lines
from polygrain.prove.sample import Held
from polygrain.sources.ingest import ingest
from polygrain.sources.synthetic import Synthetic
from polygrain.store.store import Store
from polygrain.store.tables import INTERVALS

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
LOCK = date(2021, 7, 14)  # a Wednesday in the middle of a month, in the second of three folds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    source = Synthetic(stocks=60, days=90, bar="30min", seed=3, start=date(2021, 4, 12))
    return ingest(source, tmp_path_factory.mktemp("whole"))


def of_that_day(store: Store, day: date) -> dict[str, pl.DataFrame]:
    """The tables of a store as files of that day hold them, row by row."""
    tables = {"bars": store.bars(store.bar_months), "daily": store.daily()}
    kept = {name: table.filter(pl.col("date") <= day) for name, table in tables.items()}
    for name in ("index_members", "industries", "listings", "index_weights"):
        table = store.table(name)
        assert table is not None
        rows = []
        for row in table.iter_rows(named=True):
            start, end = INTERVALS.get(name, ("date", "none"))
            if row[start] > day:
                continue
            if row.get(end) is not None and row[end] > day:
                row[end] = None
            rows.append(row)
        kept[name] = pl.DataFrame(rows, table.schema)
    return kept


def test_a_store_until_a_day_is_the_store_of_that_day(whole: Store, tmp_path: Path) -> None:
    then = Store(whole.folder, LOCK)
    source = Held(
        held_session=Synthetic().session,
        held_limits="cn_a",
        bar="30min",
        amount="column",
        tables=of_that_day(whole, LOCK),
    )
    made = ingest(source, tmp_path / "then")
    assert LOCK in then.days
    assert then.days[-1] == LOCK < whole.days[-1]
    assert (then.days, then.bar_days, then.months, then.bar_months) == (
        *(made.days, made.bar_days),
        *(made.months, made.bar_months),
    )
    assert_frame_equal(then.bars(then.bar_months), made.bars(made.bar_months))
    assert_frame_equal(then.daily(), made.daily())
    for name in ("index_members", "industries", "listings", "index_weights"):
        ours, theirs = then.table(name), made.table(name)
        assert ours is not None
        assert theirs is not None
        assert_frame_equal(ours, theirs)
    for month in made.bar_months:
        for names in (["close"], ["date", "symbol", "bar", "volume"]):
            assert_frame_equal(then.bar_columns(month, names), made.bars([month]).select(names))
        assert then.day_digests(month) == made.day_digests(month)
    assert then.fingerprint() not in (whole.fingerprint(), Store(whole.folder, date(2021, 7, 13)).fingerprint())


def test_a_lock_before_a_months_first_day_leaves_the_month_out(whole: Store) -> None:
    # 2021-05-01 to 05-03 are no trading days: nothing of May is known, and the newest month is April.
    then = Store(whole.folder, date(2021, 5, 3))
    assert then.months == then.bar_months == ("2021-04",)
    assert available(then) == available(whole) == {"amount", "float_shares"}


def test_features_until_a_day_are_those_of_that_day(whole: Store, tmp_path: Path) -> None:
    def panel(store: Store, name: str) -> bytes:
        members = np.ones((len(store.bar_days), len(store.symbols)), bool)
        files = build(store, [Granularity(name="60min", bar="60min")], members, tmp_path / name, Pool(1))
        return np.load(files["60min"])[: 4 * len(Store(whole.folder, LOCK).bar_days)].tobytes()

    assert panel(Store(whole.folder, LOCK), "then") == panel(whole, "now")


def run(folder: Path, *changes: str, last: str = "evaluate", open_lock: bool = False) -> str:
    """What a call says."""
    out = io.StringIO()
    experiment = load(TINY, ["workers=1", f"protocol.lock_after={LOCK}", *changes])
    pipeline.run(experiment, folder=folder, base=TINY.parent, last=last, progress=Lines(out), open_lock=open_lock)
    return out.getvalue()


def last_days(folder: Path) -> set[date]:
    """The last days in what a run wrote."""
    return {
        pl.read_parquet(folder / name)["date"].max()
        for name in ("scores.parquet", "seed_scores.parquet", "nav.parquet")
    }


def test_locked_opened_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "tiny"
    run(folder, last="report")
    assert last_days(folder) == {LOCK}
    # A label of 5 days from the next day's VWAP ends 6 days after its date.
    judged = pl.read_parquet(folder / "rank_ic.parquet").filter(pl.col("rank_ic").is_not_nan())
    assert judged["date"].max() == date(2021, 7, 6)
    assert "are locked: nothing here has seen them. Opened so far: 0 times." in (folder / "report.html").read_text()
    # The fold that the explanations look at ends there too.
    assert json.loads((folder / "report_facts.json").read_text())["folds"][-1]["last_test"] == LOCK.isoformat()
    assert not pl.read_parquet(folder / "explain.parquet").is_empty()
    locked = {path.name: path.read_bytes() for path in (folder / "models").iterdir()}

    run(folder, last="report", open_lock=True)
    (store,) = (tmp_path / "runs" / "store").iterdir()
    assert last_days(folder) == {Store(store).days[-1]}
    opened = [trial["opened"] for trial in Trials(store).read()]
    assert opened == [date.today().isoformat()]
    page = (folder / "report.html").read_text()
    assert f"The lock box of this data was opened 1 time: {opened[0]}." in page
    # The models of folds that end before the lock are the same ones.
    kept = {name for name, content in locked.items() if (folder / "models" / name).read_bytes() == content}
    assert {name for name in locked if "-f0-" in name or "-f1-" in name} <= kept

    # Once opened it stays open for this configuration, and is not counted again.
    for again in (False, True):
        assert "(up to date)" in run(folder, open_lock=again).splitlines()[-1]
    assert [trial["opened"] for trial in Trials(store).read()] == opened

    other = tmp_path / "runs" / "other"
    run(other, "protocol.seeds=[2]")
    assert last_days(other) == {LOCK}
    assert [trial["opened"] for trial in Trials(store).read()] == [*opened, None]


def test_nothing_to_open_is_refused(tmp_path: Path) -> None:
    experiment = load(TINY)
    with pytest.raises(ConfigError, match=r"--open-lock: nothing is locked: the config has no protocol\.lock_after"):
        pipeline.run(
            experiment,
            folder=tmp_path / "r",
            base=TINY.parent,
            last="ingest",
            progress=Lines(io.StringIO()),
            open_lock=True,
        )
    assert list(tmp_path.iterdir()) == []


def test_tests_start_on_the_first_day_asked_for_that_has_bars(whole: Store) -> None:
    # 2021-07-03 is a Saturday.
    market = Market(load(TINY, ["protocol.first_test=2021-07-03"]), whole)
    assert whole.bar_days[folds(market, 5)[0].test[0]] == date(2021, 7, 5)
    market = Market(load(TINY, ["protocol.first_test=2021-07-15"]), Store(whole.folder, LOCK))
    with pytest.raises(
        ConfigError, match=r"^protocol\.first_test: 2021-07-15 .* end on 2021-07-14; take an earlier day$"
    ):
        folds(market, 5)
