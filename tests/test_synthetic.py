from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from reference_synthetic import add_up, limits
from scipy.stats import kurtosis, spearmanr

from polygrain.sources.synthetic import Synthetic
from polygrain.sources.synthetic_daily import calendar
from polygrain.store.tables import check

Small = tuple[Synthetic, pl.DataFrame, pl.DataFrame]


def all_bars(source: Synthetic) -> pl.DataFrame:
    return pl.concat([frame for _, frame in source.bars()])


def panel(source: Synthetic, frame: pl.DataFrame, column: str) -> np.ndarray:
    """[days, symbols] of one column, NaN where the frame has no row."""
    wide = frame.pivot(on="symbol", index="date", values=column).sort("date").drop("date")
    assert len(wide) == source.days
    return wide.select(sorted(wide.columns)).cast(pl.Float64).fill_null(float("nan")).to_numpy()


@pytest.fixture(scope="module")
def small() -> Small:
    source = Synthetic(stocks=80, days=200, bar="15min", seed=3)
    return source, all_bars(source), source.daily()


def test_calendar_has_weekdays_without_holidays() -> None:
    days = calendar(date(2021, 9, 29), 5)
    # 2021-09-29 is a Wednesday; October 1 to 7 are holidays; 8 is a Friday, 9 and 10 a weekend.
    assert days == (date(2021, 9, 29), date(2021, 9, 30), date(2021, 10, 8), date(2021, 10, 11), date(2021, 10, 12))


def test_tables_keep_the_schemas(small: Small) -> None:
    source, bars, daily = small
    assert check(bars, "bars", "bars").equals(bars)
    assert check(daily, "daily", "daily").drop_nulls("vwap").height == daily.filter(~pl.col("suspended")).height
    for name in ("listings", "index_members", "industries"):
        frame = source.reference(name)
        assert frame is not None
        check(frame, name, name)
    assert source.reference("index_weights") is None


def test_months_come_in_order_and_once(small: Small) -> None:
    source, bars, _ = small
    parts = list(source.bars())
    months = [month for month, _ in parts]
    assert months == sorted(set(months))
    for month, frame in parts:
        assert set(frame["date"].dt.strftime("%Y-%m")) == {month}
    assert bars["date"].n_unique() == 200


def test_bars_add_up_to_days(small: Small) -> None:
    _, bars, daily = small
    days = add_up(bars.iter_rows(named=True))
    traded = daily.filter(~pl.col("suspended"))
    assert len(days) == len(traded)
    for row in traded.iter_rows(named=True):
        day = days[row["date"], row["symbol"]]
        for name in ("open", "high", "low", "close", "volume"):
            assert row[name] == day[name], (row["symbol"], row["date"], name)
        assert round(row["amount"] * 100) == day["amount"]
        assert row["vwap"] == pytest.approx(row["amount"] / row["volume"], rel=1e-12)
        assert row["low"] - 1e-9 <= row["vwap"] <= row["high"] + 1e-9


def test_prices_are_whole_fen(small: Small) -> None:
    _, bars, daily = small
    for frame in (bars, daily.filter(~pl.col("suspended"))):
        for name in ("open", "high", "low", "close"):
            price = frame[name].to_numpy()
            assert (price == np.rint(price * 100) / 100).all()
    assert (bars["volume"].to_numpy() % 100 == 0).all()


def test_no_price_leaves_the_limits(small: Small) -> None:
    """The limits are those of the last traded close, by board and ST, in Decimal; they are touched and never passed."""
    _, _, daily = small
    before: dict[str, dict[str, float]] = {}
    rows, touched = defaultdict(int), 0
    for row in daily.sort("symbol", "date").iter_rows(named=True):
        if row["suspended"]:
            assert row["up_limit"] is None
            continue
        last = before.get(row["symbol"])
        if last is not None and row["up_limit"] is not None:
            young = row["symbol"].startswith(("300", "688"))
            percent = 20 if young else 5 if row["st"] else 10
            up, down = limits(last["close"], last["factor"], row["factor"], percent)
            assert (Decimal(str(row["up_limit"])), Decimal(str(row["down_limit"]))) == (up, down)
            assert down <= Decimal(str(row["low"])) <= Decimal(str(row["high"])) <= up
            rows[percent] += 1
            touched += row["high"] == row["up_limit"]
        before[row["symbol"]] = row
    assert min(rows[percent] for percent in (5, 10, 20)) > 50
    assert touched > 20


def test_the_events_of_a_real_market_occur(small: Small) -> None:
    source, _, daily = small
    listings = source.reference("listings")
    assert listings is not None
    spans = daily.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
    joined = listings.join(spans, on="symbol")
    assert len(joined) == 80
    days = daily["date"].unique().sort()
    for row in joined.iter_rows(named=True):
        assert row["first"] == max(row["listed"], days[0])
        assert row["last"] == (row["delisted"] or days[-1])
    assert (joined["listed"] > days[0]).sum() >= 1
    assert joined["delisted"].is_not_null().sum() >= 1
    assert daily["suspended"].sum() > 20
    assert 0 < daily["st"].mean() < 0.15
    one_price = daily.filter(
        (pl.col("high") == pl.col("low")) & ~pl.col("suspended") & pl.col("up_limit").is_not_null()
    )
    assert len(one_price) >= 3
    steps = daily.sort("symbol", "date").with_columns(pl.col("factor").pct_change().over("symbol").alias("step"))
    assert (steps["step"] > 0.15).sum() >= 1, "bonus issues"
    assert steps["step"].is_between(0.002, 0.04).sum() >= 10, "dividends"
    assert not (steps["step"] < 0).any()


def test_absent_bars_are_those_without_trades() -> None:
    bars = all_bars(Synthetic(stocks=20, days=20, bar="1min", seed=1))
    assert (bars["volume"] > 0).all()
    counts = bars.group_by("symbol", "date").agg(n=pl.len(), first=pl.col("bar").min(), last=pl.col("bar").max())
    assert (counts["first"] == 0).all()
    assert (counts["last"] == 239).all()
    assert counts["n"].max() == 240


def test_index_has_a_third_and_one_review(small: Small) -> None:
    source, _, daily = small
    members = source.reference("index_members")
    assert members is not None
    days = daily["date"].unique().sort().to_list()
    assert set(members["start"]) == {days[0], days[100]}
    for number, day in enumerate(days):
        inside = members.filter((pl.col("start") <= day) & (pl.col("end").is_null() | (pl.col("end") >= day)))
        # 80 / 3 = 27, less those delisted since the last review.
        assert 25 <= len(inside) <= 27, number


def test_stylised_facts(small: Small) -> None:
    source, bars, daily = small
    adjusted = panel(source, daily.with_columns(value=pl.col("close") * pl.col("factor")), "value")
    returns = np.diff(np.log(adjusted), axis=0)
    known = returns[np.isfinite(returns)]
    assert 0.015 < known.std() < 0.04
    assert kurtosis(known) > 1.0
    size = np.abs(returns)
    lagged = np.isfinite(size[5:]) & np.isfinite(size[:-5])
    assert spearmanr(size[5:][lagged], size[:-5][lagged])[0] > 0.1, "volatility clusters"
    by_bar = bars.group_by("bar").agg(pl.col("volume").sum()).sort("bar")["volume"].to_numpy()
    assert by_bar[0] > by_bar[-1] > 1.2 * by_bar[7:9].mean(), "volume is a U over the day"


def test_same_seed_same_market(small: Small) -> None:
    source, bars, daily = small
    again = Synthetic(stocks=80, days=200, bar="15min", seed=3)
    assert again.daily().equals(daily)
    assert all_bars(again).equals(bars)
    assert again.oracle().equals(source.oracle())
    assert again.fingerprint() == source.fingerprint()
    other = Synthetic(stocks=80, days=200, bar="15min", seed=4)
    assert other.fingerprint() != source.fingerprint()
    assert not other.daily().equals(daily)


def test_days_do_not_depend_on_the_bar_length(small: Small) -> None:
    _, _, daily = small
    same = ["symbol", "date", "open", "close", "volume", "factor", "suspended", "st", "up_limit", "float_shares"]
    for bar in ("60min", "day"):
        assert Synthetic(stocks=80, days=200, bar=bar, seed=3).daily().select(same).equals(daily.select(same))


def test_daily_source_has_no_bars() -> None:
    source = Synthetic(stocks=20, days=30, bar="day")
    assert source.base_bar == "day"
    assert list(source.bars()) == []
    assert (source.daily()["high"] > source.daily()["low"]).mean() > 0.9


@pytest.mark.parametrize(("strength", "low", "high"), [(1.0, 0.25, 0.35), (0.0, -0.03, 0.03)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_oracle_rank_ic(strength: float, low: float, high: float, seed: int) -> None:
    """5-day Rank IC of t+1 VWAP labels; its standard error over 300 days is about .011 (300 stocks, overlapping)."""
    source = Synthetic(stocks=300, days=300, bar="60min", strength=strength, seed=seed)
    daily = source.daily().with_columns(value=pl.col("vwap") * pl.col("factor"))
    price, score = panel(source, daily, "value"), panel(source, source.oracle(), "score")
    found = []
    for t in range(300 - 6):
        outcome = price[t + 6] / price[t + 1]
        known = np.isfinite(outcome) & np.isfinite(score[t])
        found.append(spearmanr(score[t][known], outcome[known])[0])
    assert low < np.mean(found) < high


def test_the_pressure_shows_in_days_and_bars() -> None:
    """Late volume, the dip and a quiet day each follow the pressure, none above the .71 that their noise leaves."""
    source = Synthetic(stocks=200, days=60, bar="30min", seed=5)
    shares = (
        all_bars(source)
        .group_by("date", "symbol")
        .agg(
            late=pl.col("amount").filter(pl.col("bar") >= 6).sum() / pl.col("amount").sum(),
            rise=pl.col("close").log().filter(pl.col("bar").is_between(4, 6)).mean()
            - pl.col("close").log().filter(pl.col("bar") < 3).mean(),
            volume=pl.col("volume").sum(),
        )
    )
    seen = (
        shares.join(source.daily(), on=["date", "symbol"])
        .join(source.oracle(), on=["date", "symbol"])
        .with_columns(
            quiet=-(pl.col("volume") / pl.col("float_shares")).log(),
            # The afternoon's bars end four eighths of a day after the morning's.
            dip=pl.col("rise") - (pl.col("close") / pl.col("open")).log() / 2,
        )
        .drop_nulls(["late", "dip", "quiet"])
        .sort("date", "symbol")
    )
    for name, least, most in (("late", 0.1, 0.5), ("dip", 0.15, 0.65), ("quiet", 0.05, 0.4)):
        assert least < spearmanr(seen[name], seen["score"])[0] < most, name


@given(
    seed=st.integers(0, 2**31),
    stocks=st.integers(10, 25),
    days=st.integers(20, 45),
    bar=st.sampled_from(["5min", "15min", "30min", "60min"]),
)
@settings(max_examples=12, deadline=None)
def test_any_market_is_consistent(seed: int, stocks: int, days: int, bar: str) -> None:
    source = Synthetic(stocks=stocks, days=days, bar=bar, seed=seed)  # type: ignore[arg-type]
    bars = check(all_bars(source), "bars", "bars")
    daily = check(source.daily(), "daily", "daily")
    days_of_bars = add_up(bars.iter_rows(named=True))
    assert sum(day["volume"] for day in days_of_bars.values()) == daily["volume"].sum()
    joined = bars.join(daily.select("date", "symbol", "up_limit", "down_limit"), on=["date", "symbol"])
    assert not (joined["high"] > joined["up_limit"] + 1e-9).any()
    assert not (joined["low"] < joined["down_limit"] - 1e-9).any()


@pytest.mark.parametrize(
    "field",
    [{"stocks": 5}, {"days": 10}, {"strength": -0.1}, {"bar": "7min"}, {"seed": -1}, {"start": date(2010, 1, 4)}],
)
def test_settings_out_of_range_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Synthetic.model_validate(field)


def test_notes_say_that_it_is_simulated() -> None:
    assert Synthetic(stocks=20).notes() == (
        "Simulated market of 20 stocks with one planted signal of strength 1: "
        "no result on it says anything about real stocks.",
    )
