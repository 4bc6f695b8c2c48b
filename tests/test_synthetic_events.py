"""What befalls the simulated stocks: how often, and what each event does to the rows around it."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from market_panels import panel, traded

from polygrain.execution.quotes import Quotes, quotes
from polygrain.market.rules import load_rules
from polygrain.sources.ingest import ingest
from polygrain.sources.synthetic import Synthetic
from polygrain.sources.synthetic_books import quarter_ends

Whole = tuple[Synthetic, pl.DataFrame]


@pytest.fixture(scope="module")
def whole() -> Whole:
    """The default market but for its bars, which no event depends on."""
    source = Synthetic(bar="60min")
    return source, source.daily().sort("symbol", "date")


@pytest.fixture(scope="module")
def quoted(tmp_path_factory: pytest.TempPathFactory) -> Quotes:
    store = ingest(Synthetic(bar="day"), tmp_path_factory.mktemp("store") / "store")
    return quotes(store, load_rules())


def steps(daily: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows with the change of a column since the stock's row before."""
    return daily.with_columns(step=pl.col(column) / pl.col(column).shift(1).over("symbol") - 1)


def test_listings_and_delistings(whole: Whole) -> None:
    source, daily = whole
    listings = source.reference("listings")
    assert listings is not None
    days = daily["date"].unique().sort()
    # 6% and 2.5% of 300.
    assert (listings["listed"] >= days[0]).sum() == 18
    assert listings["delisted"].count() == 8
    spans = daily.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
    for row in listings.join(spans, on="symbol").iter_rows(named=True):
        assert row["first"] == max(row["listed"], days[0])
        assert row["last"] == (row["delisted"] or days[-1])


def test_a_delisted_stock_was_st_and_left_in_a_period_of_fifteen_days(whole: Whole) -> None:
    source, daily = whole
    listings = source.reference("listings")
    assert listings is not None
    for symbol in listings.drop_nulls("delisted")["symbol"]:
        rows = daily.filter(pl.col("symbol") == symbol)
        last, before = rows.tail(15), rows.tail(16).head(1)
        assert rows.tail(55)["st"].all()
        assert not last["suspended"].any()
        assert last["up_limit"].null_count() == 1
        assert last["up_limit"][0] is None
        if not before["suspended"].item():
            jump = abs(np.log(last["open"][0] / before["close"].item()))
            assert 0.15 < jump < 0.7, "the night's return comes on top of .26 to .47"


def test_a_relisting_ends_a_long_suspension_with_a_jump(whole: Whole, quoted: Quotes) -> None:
    _, daily = whole
    found = 0
    column = {symbol: i for i, symbol in enumerate(quoted.axes.symbols)}
    for (symbol,), rows in daily.group_by("symbol", maintain_order=True):
        away = 0
        last = None
        for row in rows.iter_rows(named=True):
            if row["suspended"]:
                away += 1
                continue
            if away >= 60:
                assert last is not None
                assert row["up_limit"] is None
                assert row["down_limit"] is None
                assert 0.15 < abs(np.log(row["open"] / last * row["factor"])) < 0.7
                at = quoted.axes.day_number[row["date"]], column[symbol]
                assert np.isnan(quoted.up_limit[at])
                assert np.isnan(quoted.down_limit[at])
                found += 1
            away, last = 0, row["close"] * row["factor"]
    assert found == 4


def test_delisting_days_without_limit_have_none_in_the_quotes_either(whole: Whole, quoted: Quotes) -> None:
    """Where the source gives no limit the quotes compute one, and drop it where the day's prices left it."""
    _, daily = whole
    free = traded(daily).filter(pl.col("up_limit").is_null() & pl.col("st"))
    assert len(free) >= 8
    for day, symbol in free.select("date", "symbol").iter_rows():
        at = quoted.axes.day_number[day], quoted.axes.symbols.index(symbol)
        assert np.isnan(quoted.up_limit[at])


def test_suspensions_and_st_spells(whole: Whole) -> None:
    _, daily = whole
    begins = daily.with_columns(before=pl.col("suspended").shift(1).over("symbol")).filter(
        pl.col("suspended") & ~pl.col("before")
    )
    assert 100 < len(begins) < 400
    assert 0.005 < daily["suspended"].mean() < 0.02  # type: ignore[operator]
    assert daily.filter(pl.col("suspended") & (pl.col("volume") > 0)).is_empty()
    spells = daily.with_columns(before=pl.col("st").shift(1).over("symbol")).filter(pl.col("st") & ~pl.col("before"))
    assert 10 < len(spells) < 60
    assert 0.01 < daily["st"].mean() < 0.06  # type: ignore[operator]


def test_dividends_bonus_issues_and_unlocks(whole: Whole) -> None:
    """Total shares grow by the bonus, the factor by the bonus and the dividend, float shares also by an unlock."""
    _, daily = whole
    counts: dict[str, int] = defaultdict(int)
    for _, rows in daily.group_by("symbol", maintain_order=True):
        last = None
        for row in rows.iter_rows(named=True):
            if last is not None:
                bonus = row["total_shares"] / last["total_shares"]
                factor = row["factor"] / last["factor"]
                floating = row["float_shares"] / last["float_shares"]
                counts["bonus"] += bonus > 1
                assert round(bonus, 6) in (1.0, 1.2, 1.3, 1.4, 1.5, 2.0)
                # A dividend of 0 to 3% of the price; factors have six decimals.
                assert bonus * (1 - 1e-5) <= factor <= bonus / 0.97 * (1 + 1e-5)
                counts["dividends"] += factor / bonus > 1.002
                assert factor == 1 or 5 <= row["date"].month <= 7
                # Whole shares.
                assert floating >= bonus * (1 - 1e-6)
                counts["unlocks"] += floating / bonus > 1.0001
            assert 0 < row["float_shares"] <= row["total_shares"]
            last = row
    assert 30 < counts["bonus"] < 120
    assert 200 < counts["dividends"] < 600
    assert 100 < counts["unlocks"] < 400


def test_adjusted_returns_are_the_simulated_ones(whole: Whole) -> None:
    """Where no limit cuts a price off, ln(C f / C₋ f₋) is the drawn return, on ex-days as on others.

    Three prices are rounded to the fen and the reference to one more, the factor to six decimals: 2.5 fen of the price.
    """
    source, daily = whole
    market = source._market
    rows = traded(daily)
    close, factor = panel(source, rows, "close"), panel(source, rows, "factor")
    drawn = market.overnight + market.intraday
    bound = np.isfinite(market.up_limit) & (
        (market.open >= market.up_limit)
        | (market.open <= market.down_limit)
        | (market.close >= market.up_limit)
        | (market.close <= market.down_limit)
    )
    last = np.full(source.stocks, np.nan)
    worst, checked, ex_days = 0.0, 0, 0
    for t in range(source.days):
        now = close[t] * factor[t]
        known = np.isfinite(now) & np.isfinite(last) & ~bound[t]
        error = np.abs(np.log(now / last) - drawn[t])[known] * (close[t] * 100)[known]
        worst = max(worst, float(error.max(initial=0.0)))
        checked += int(known.sum())
        if t:
            ex_days += int((known & (market.events.factor[t] != market.events.factor[t - 1])).sum())
        last = np.where(np.isfinite(now), now, last)
    assert checked > 130_000
    assert ex_days > 300
    assert worst < 2.5


def test_book_value_is_positive_and_known_after_its_announcement(whole: Whole) -> None:
    """A quarter's figure never shows before its announcement, and always before the latest date for it."""
    _, daily = whole
    days = daily["date"].unique().sort().to_list()
    ends = quarter_ends(days[0], days[-1])
    assert ends[:5] == [date(2020, 3, 31), date(2020, 6, 30), date(2020, 9, 30), date(2020, 12, 31), date(2021, 3, 31)]
    assert ends[-1] == date(2022, 9, 30)
    least = {3: 10, 6: 30, 9: 10, 12: 60}
    most = {3: 30, 6: 62, 9: 31, 12: 110}
    may = {day: sum(end + timedelta(least[end.month]) < day for end in ends) for day in days}
    must = {day: sum(end + timedelta(most[end.month]) < day for end in ends) for day in days}
    for (symbol,), rows in daily.group_by("symbol", maintain_order=True):
        values, first = rows["book_value"].to_list(), rows["date"][0]
        assert min(values) > 0
        new, last = 0, values[0]
        for day, value in zip(rows["date"], values):
            new, last = new + (value != last), value
            # What stands on the first row may be of any quarter between those two counts.
            assert new <= may[day] - must[first], (symbol, day)
            # A year's figure is never seen where the next quarter's comes before it: two years end in the span.
            assert new >= must[day] - may[first] - 2, (symbol, day)
    capital = traded(daily).select(pl.col("book_value") / pl.col("close") / pl.col("total_shares")).to_series()
    assert 0.3 < capital.median() < 0.9  # type: ignore[operator]


def test_industries_are_twelve_with_a_few_changes(whole: Whole) -> None:
    source, _ = whole
    table = source.reference("industries")
    assert table is not None
    assert table["industry"].n_unique() == 12
    assert 3 <= len(table) - table["symbol"].n_unique() <= 9
    for (_,), rows in table.group_by("symbol"):
        if len(rows) == 2:
            rows = rows.sort("start")
            assert rows["industry"][0] != rows["industry"][1]
            days = list(source._market.days)
            assert days.index(rows["end"][0]) + 1 == days.index(rows["start"][1])
        assert rows.sort("start")["end"][-1] is None


def test_a_span_too_short_for_a_relisting_has_none(tmp_path: Path) -> None:
    source = Synthetic(stocks=40, days=60, bar="day", seed=3)
    assert not source._market.events.free[:, source._market.stocks.last == 59].any()
    ingest(source, tmp_path / "store")
