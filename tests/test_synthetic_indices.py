"""The simulated indices: exact counts on every day, reviews that see nothing after their close, weights that add up."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from market_panels import panel, traded
from reference_synthetic import index_lists

from polygrain.sources.synthetic import Synthetic
from polygrain.sources.synthetic_indices import INDICES, reviews
from polygrain.sources.synthetic_stocks import calendar
from polygrain.store.panel import carried

COUNTS = {"large": 60, "small": 120}


@pytest.fixture(scope="module")
def source() -> Synthetic:
    """The default market but for its bars: 300 stocks, 484 days from 2021-01-04."""
    return Synthetic(bar="60min", seed=1)


@pytest.fixture(scope="module")
def daily(source: Synthetic) -> pl.DataFrame:
    return source.daily()


@pytest.fixture(scope="module")
def days(daily: pl.DataFrame) -> list[date]:
    return daily["date"].unique().sort().to_list()


@pytest.fixture(scope="module")
def members(source: Synthetic) -> pl.DataFrame:
    table = source.reference("index_members")
    assert table is not None
    return table


@pytest.fixture(scope="module")
def weights(source: Synthetic) -> pl.DataFrame:
    table = source.reference("index_weights")
    assert table is not None
    return table


def members_on(members: pl.DataFrame, index: str, day: date) -> set[str]:
    inside = (pl.col("start") <= day) & (pl.col("end").is_null() | (pl.col("end") >= day)) & (pl.col("index") == index)
    return set(members.filter(inside)["symbol"])


def test_reviews_fall_on_the_second_friday_of_june_and_december() -> None:
    days = calendar(date(2021, 1, 4), 484)
    # June 10, the second Friday of June 2022, is one of the simulated holidays: the day before it.
    expected = [date(2021, 6, 11), date(2021, 12, 10), date(2022, 6, 9), date(2022, 12, 9)]
    assert [days[number] for number in reviews(days)] == expected
    assert reviews(calendar(date(2021, 6, 15), 60)) == []
    # A Friday after the last day is not due yet.
    assert reviews(calendar(date(2021, 5, 10), 20)) == []


def test_counts_are_exact_on_every_day_and_the_indices_share_no_stock(
    members: pl.DataFrame, daily: pl.DataFrame, days: list[date]
) -> None:
    rows = {day: set(frame["symbol"]) for (day,), frame in daily.group_by("date")}
    for day in days:
        large, small = (members_on(members, index, day) for index in INDICES)
        assert (len(large), len(small)) == (60, 120), day
        assert not large & small
        assert large | small <= rows[day], "every member is listed"


def test_a_review_sees_nothing_after_its_close(
    source: Synthetic, members: pl.DataFrame, daily: pl.DataFrame, days: list[date]
) -> None:
    listings = source.reference("listings")
    assert listings is not None
    for number in reviews(tuple(days)):
        day, after = days[number], days[number + 1]
        known = daily.filter(pl.col("date") <= day).select("date", "symbol", "close", "suspended", "st", "float_shares")
        large, small = index_lists(known.iter_rows(named=True), listings.iter_rows(named=True), day, 60, 120)
        assert members_on(members, "large", after) == set(large)
        assert members_on(members, "small", after) == set(small)


def test_the_first_lists_are_the_largest_by_the_prices_before_the_first_day(
    source: Synthetic, members: pl.DataFrame, days: list[date]
) -> None:
    market = source._market
    caps = market.stocks.price * market.events.floating[0]
    there = market.events.listed[0] & ~market.events.st[0]
    order = [market.stocks.symbols[i] for i in np.argsort(-caps) if there[i]]
    assert members_on(members, "large", days[0]) == set(order[:60])
    assert members_on(members, "small", days[0]) == set(order[60:180])


def test_a_delisted_member_is_replaced_on_the_next_trading_day(
    source: Synthetic, members: pl.DataFrame, daily: pl.DataFrame, days: list[date]
) -> None:
    """By the largest of `small` in `large`, and there by the largest stock in neither."""
    listings = source.reference("listings")
    assert listings is not None
    close = carried(panel(source, traded(daily), "close"))
    caps = close * panel(source, daily, "float_shares")
    st = panel(source, daily, "st") == 1
    symbols = sorted(listings["symbol"])
    changed = 0
    due = {days[number] for number in reviews(tuple(days))}
    for day in sorted(set(listings["delisted"].drop_nulls()) - due):
        number = days.index(day)
        before = {index: members_on(members, index, day) for index in INDICES}
        after = {index: members_on(members, index, days[number + 1]) for index in INDICES}
        gone = set(listings.filter(pl.col("delisted") == day)["symbol"])
        if not gone & (before["large"] | before["small"]):
            assert before == after
            continue
        changed += 1
        cap = dict(zip(symbols, caps[number]))
        plain = {symbol for symbol, flag in zip(symbols, st[number]) if not flag and np.isfinite(cap[symbol])}
        lost = len(before["large"] & gone)
        up = sorted((before["small"] - gone) & plain, key=lambda symbol: -cap[symbol])[:lost]
        assert after["large"] == before["large"] - gone | set(up)
        rest = before["small"] - gone - set(up)
        others = sorted(plain - before["large"] - before["small"] - gone, key=lambda symbol: -cap[symbol])
        assert after["small"] == rest | set(others[: 120 - len(rest)])
    assert changed >= 2


def test_weights_add_up_and_are_dated_before_they_are_used(
    source: Synthetic, members: pl.DataFrame, weights: pl.DataFrame, daily: pl.DataFrame, days: list[date]
) -> None:
    close = carried(panel(source, traded(daily), "close"))
    caps = close * panel(source, daily, "float_shares")
    column = {symbol: i for i, symbol in enumerate(sorted(daily["symbol"].unique()))}
    changes = {start for start in members["start"] if start != days[0]}
    dated = set(weights["date"])
    assert dated == {days[days.index(start) - 1] for start in changes} | {days[0]}
    for (index, day), rows in weights.group_by("index", "date"):
        assert isinstance(index, str)
        assert isinstance(day, date)
        number = days.index(day)
        assert len(rows) == COUNTS[index]
        assert abs(rows["weight"].sum() - 1) < 1e-12
        # The list of a day is for the members from the next day on; the first one for those of the first two days.
        assert set(rows["symbol"]) == members_on(members, index, days[number + 1])
        cap = caps[number, [column[symbol] for symbol in rows["symbol"]]]
        np.testing.assert_allclose(rows["weight"].to_numpy(), cap / cap.sum(), rtol=1e-12)


def test_the_indices_are_large_and_small(weights: pl.DataFrame) -> None:
    largest = weights.group_by("index", "date").agg(pl.col("weight").max(), total=pl.col("weight").sum())
    assert largest.filter(pl.col("index") == "large")["weight"].max() < 0.3  # type: ignore[operator]
    assert largest.filter(pl.col("index") == "small")["weight"].max() < 0.1  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(6))
def test_small_markets_have_their_counts_too(seed: int) -> None:
    source = Synthetic(stocks=10, days=140, bar="day", seed=seed)
    members = source.reference("index_members")
    assert members is not None
    for day in source._market.days:
        assert [len(members_on(members, index, day)) for index in INDICES] == [2, 4]
    assert members["start"].max() - source.start > timedelta(100)  # type: ignore[operator]
