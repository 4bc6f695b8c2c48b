"""The other futures: every column of every table is other data after the cutoff, and nothing known is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from polygrain.prove.cutoffs import Cutoff
from polygrain.prove.perturb import REPLACEMENTS, Replacement, replace
from polygrain.sources.synthetic import Synthetic
from polygrain.store.panel import Axes
from polygrain.store.tables import INTERVALS, SCHEMAS, check
from polygrain.universe import membership

Tables = Mapping[str, pl.DataFrame]
DAYS = 40


@pytest.fixture(scope="module")
def tables() -> Tables:
    """A simulated market with every table and column of the schemas, and one column more."""
    source = Synthetic(stocks=40, days=DAYS, bar="30min", seed=3)
    daily = source.daily()
    number = pl.col("date").dt.ordinal_day() + pl.col("close").fill_null(0.0)
    wanted = {"total_shares": 1e9 + number, "book_value": 3.0 + number, "mood": number}
    daily = daily.with_columns(value.alias(name) for name, value in wanted.items() if name not in daily.columns)
    made = {name: source.reference(name) for name in SCHEMAS if name not in ("bars", "daily")}
    days, symbols = daily["date"].unique().sort(), daily["symbol"].unique().sort()
    # Reviews among the cutoffs; the market's own lie months apart.
    reviews = pl.DataFrame({"date": days.gather([5, 20, 30])})
    held = symbols.gather(range(10)).to_frame("symbol").with_columns(weight=0.1, index=pl.lit("large"))
    made["index_weights"] = reviews.join(held, how="cross").select("index", "date", "symbol", "weight")
    starts = pl.Series("start", [*days.gather(range(0, DAYS, 2)), *days.gather(range(1, DAYS, 2))])
    made["industries"] = pl.DataFrame({"symbol": symbols, "start": starts}).with_columns(
        industry="i" + pl.int_range(pl.len()).cast(pl.String), end=pl.lit(None, pl.Date)
    )
    made["index_members"] = made["industries"].select(pl.lit("large").alias("index"), "symbol", "start", "end")
    # In a small market hardly a stock is new.
    new = pl.when(pl.col("symbol").is_in(symbols.gather_every(5).implode())).then(pl.lit(days[31]))
    listings = made["listings"]
    assert listings is not None
    made["listings"] = listings.with_columns(new.otherwise(pl.col("listed")).alias("listed"), delisted=None)
    bars = pl.concat([frame for _, frame in source.bars()])
    found = {"bars": bars, "daily": daily} | {name: table for name, table in made.items() if table is not None}
    assert set(found) == set(SCHEMAS)
    return {name: check(table, name, name) for name, table in found.items()}


@pytest.fixture(scope="module")
def cutoffs(tables: Tables) -> list[Cutoff]:
    days = tables["daily"]["date"].unique().sort()
    return [Cutoff(days[15]), Cutoff(days[18], 0), Cutoff(days[22], 3), Cutoff(days[25], 7), Cutoff(days[29])]


def _known(tables: Tables, name: str, cutoff: Cutoff) -> pl.DataFrame:
    """The dated rows that are known at the cutoff."""
    today = pl.col("date") == cutoff.day
    if name == "bars" and cutoff.bars is not None:
        today = today & (pl.col("bar") < cutoff.bars)
    elif name == "daily" and cutoff.bars is not None:
        today = pl.lit(False)
    return tables[name].filter((pl.col("date") < cutoff.day) | today)


def _other(tables: Tables, cutoff: Cutoff, how: Replacement) -> Tables:
    made = replace(tables, cutoff, how, np.random.default_rng(5))
    return {name: check(table, name, name) for name, table in made.items()}


def _changed(mine: pl.DataFrame, other: pl.DataFrame, column: str, identity: list[str]) -> bool:
    """Whether a column has another value somewhere for the same thing."""
    both = mine.select(*identity, column).join(
        other.select(*identity, column), on=identity, how="inner", nulls_equal=True, suffix=" of other"
    )
    return not both.filter(pl.col(column).ne_missing(pl.col(f"{column} of other"))).is_empty()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_of_every_table_is_changed(tables: Tables, cutoffs: list[Cutoff], name: str) -> None:
    schema, mine = SCHEMAS[name], tables[name]
    others = [_other(tables, cutoff, "another future")[name] for cutoff in cutoffs]
    wanted = len(cutoffs) if name in ("bars", "daily") else 1
    # Rows come and go: that is what a key can show.
    keys = [set(table.select(schema.key).rows()) for table in (mine, *others)]
    assert sum(other != keys[0] for other in keys[1:]) >= wanted, f"{name}: its keys"
    for column in [*schema.columns, *(["mood"] if name == "daily" else [])]:
        if column in schema.key:
            continue
        assert mine[column].dtype.is_temporal() or mine[column].null_count() < len(mine), f"no {name}.{column} here"
        # Another industry has another first day.
        identity = ["symbol"] if column == "industry" else list(schema.key)
        found = [_changed(mine, other, column, identity) for other in others]
        assert sum(found) >= wanted, f"{name}.{column}"


def test_what_is_known_stays(tables: Tables, cutoffs: list[Cutoff]) -> None:
    axes = Axes(tuple(tables["daily"]["date"].unique().sort()), tuple(tables["daily"]["symbol"].unique().sort()))
    for cutoff in cutoffs:
        rows = axes.day_number[cutoff.day] + 1
        for how in REPLACEMENTS:
            other = _other(tables, cutoff, how)
            for name in ("bars", "daily", "index_weights"):
                # Weights of a day are known at its close.
                closed = Cutoff(cutoff.day - timedelta(days=cutoff.bars is not None))
                at = closed if name == "index_weights" else cutoff
                known = _known(tables, name, at)
                assert known.equals(_known(other, name, at)), f"{name} at {cutoff} under {how}"
            for name, (start, end) in INTERVALS.items():
                mine, theirs = (_in_force(t[name], start, end, axes)[:rows] for t in (tables, other))
                assert (mine == theirs).all(), f"{name} at {cutoff} under {how}"
            lists, others = (membership(t["index_members"], axes)["large"][:rows] for t in (tables, other))
            assert np.array_equal(lists, others)


def _in_force(table: pl.DataFrame, start: str, end: str, axes: Axes) -> np.ndarray:
    """What is in force for each stock on each day, as text: its industry or board, or that it is in the list."""
    value = next((name for name in ("industry", "board") if name in table.columns), "symbol")
    panel = np.full((len(axes.days), len(axes.symbols)), "", dtype=object)
    for row in table.iter_rows(named=True):
        for i, day in enumerate(axes.days):
            if row[start] <= day and (row[end] is None or day <= row[end]):
                panel[i, axes.symbol_number[row["symbol"]]] = row[value]
    return panel


def test_of_its_own_day_an_intraday_cutoff_knows_what_was_announced(tables: Tables) -> None:
    day: date = tables["daily"]["date"].unique().sort()[22]
    announced = [c for c in tables["daily"].columns if c in ("factor", "st", "up_limit", "float_shares", "suspended")]
    today = tables["daily"].filter(pl.col("date") == day).select("symbol", *announced)
    for how in REPLACEMENTS:
        later = _other(tables, Cutoff(day, 3), how)["daily"].filter(pl.col("date") == day)
        assert later.select("symbol", *announced).equals(today), how
        assert not later["close"].equals(tables["daily"].filter(pl.col("date") == day)["close"]), how
    before = _other(tables, Cutoff(day, 0), "another future")["daily"].filter(pl.col("date") == day)
    assert 0 < len(before) < len(today)
    assert _other(tables, Cutoff(day, 0), "no future")["daily"]["date"].max() < day


def test_without_a_future_the_files_end_at_the_cutoff(tables: Tables) -> None:
    day: date = tables["daily"]["date"].unique().sort()[22]
    at_close, within = (_other(tables, Cutoff(day, bars), "no future") for bars in (None, 3))
    for name in ("bars", "daily", "index_weights"):
        assert at_close[name]["date"].max() <= day
    bars = within["bars"].filter(pl.col("date") == day)
    closed = bars.filter(pl.col("bar") < 3)
    assert closed.equals(tables["bars"].filter((pl.col("date") == day) & (pl.col("bar") < 3)))
    # One more bar of each stock that has none yet, for it is known to trade.
    assert set(bars["symbol"]) - set(closed["symbol"]) == set(bars.filter(pl.col("bar") >= 3)["symbol"])
    first = closed["symbol"][0]
    row = within["daily"].filter((pl.col("date") == day) & (pl.col("symbol") == first)).row(0, named=True)
    mine = closed.filter(pl.col("symbol") == first)
    assert (row["open"], row["close"], row["volume"]) == (mine["open"][0], mine["close"][-1], mine["volume"].sum())
    assert (row["high"], row["low"]) == (mine["high"].max(), mine["low"].min())


def test_locks_and_gaps_are_among_the_futures(tables: Tables) -> None:
    day: date = tables["daily"]["date"].unique().sort()[15]
    later = _other(tables, Cutoff(day), "another future")["daily"].filter(pl.col("date") > day)
    mine = tables["daily"].filter(pl.col("date") > day)
    traded = later.filter(~pl.col("suspended"))
    one_price = traded.filter((pl.col("high") == pl.col("low")) & (pl.col("close") == pl.col("up_limit")))
    assert len(one_price) > 10
    assert later["suspended"].sum() > mine["suspended"].sum() + 10
    assert len(mine) - len(later) > 0.1 * len(mine)
    assert len(set(mine["symbol"]) - set(later["symbol"])) >= 2
