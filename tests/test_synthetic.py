"""The simulated market as a source: its tables, how they add up, and that a seed always makes the same ones."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_panels import all_bars, traded
from pydantic import ValidationError
from reference_synthetic import add_up

import polygrain.sources
from polygrain.sources import synthetic
from polygrain.sources.source import REFERENCE
from polygrain.sources.synthetic import Synthetic
from polygrain.sources.synthetic_intraday import day_bars
from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.sources.synthetic_stocks import calendar
from polygrain.store.tables import check

Small = tuple[Synthetic, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def small() -> Small:
    source = Synthetic(stocks=80, days=200, bar="15min", seed=3)
    return source, all_bars(source), source.daily()


def test_the_numbers_are_frozen() -> None:
    """What was measured on the market holds for these numbers: no network was trained on it before they were set."""
    assert PARAMETERS.fingerprint() == "c15db0d29918bde1eff60b114a8c54235c539812c242ad8ff2c26a3d33e08e59"


def test_calendar_has_weekdays_without_holidays() -> None:
    days = calendar(date(2021, 9, 29), 5)
    # 2021-09-29 is a Wednesday; October 1 to 7 are holidays; 8 is a Friday, 9 and 10 a weekend.
    assert days == (date(2021, 9, 29), date(2021, 9, 30), date(2021, 10, 8), date(2021, 10, 11), date(2021, 10, 12))


def test_tables_keep_the_schemas(small: Small) -> None:
    source, bars, daily = small
    assert check(bars, "bars", "bars").equals(bars)
    checked = check(daily, "daily", "daily")
    assert checked.drop_nulls("vwap").height == traded(daily).height
    for name in ("float_shares", "total_shares", "book_value"):
        assert checked[name].null_count() == 0
    for name in REFERENCE:
        frame = source.reference(name)
        assert frame is not None
        check(frame, name, name)
    assert source.reference("unknown") is None


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
    rows = traded(daily)
    assert len(days) == len(rows)
    for row in rows.iter_rows(named=True):
        day = days[row["date"], row["symbol"]]
        for name in ("open", "high", "low", "close", "volume"):
            assert row[name] == day[name], (row["symbol"], row["date"], name)
        assert round(row["amount"] * 100) == day["amount"]
        assert row["vwap"] == pytest.approx(row["amount"] / row["volume"], rel=1e-12)
        assert row["low"] - 1e-9 <= row["vwap"] <= row["high"] + 1e-9


def test_prices_are_whole_fen_and_volumes_whole_lots(small: Small) -> None:
    _, bars, daily = small
    for frame in (bars, traded(daily)):
        for name in ("open", "high", "low", "close"):
            price = frame[name].to_numpy()
            assert (price == np.rint(price * 100) / 100).all()
        assert (frame["volume"].to_numpy() % 100 == 0).all()


def test_minutes_have_a_closing_auction() -> None:
    """Since 2018 no trades are made between 14:57 and the auction's single price at 15:00."""
    bars = all_bars(Synthetic(stocks=20, days=20, bar="1min", seed=1))
    assert (bars["volume"] > 0).all()
    counts = bars.group_by("symbol", "date").agg(n=pl.len(), first=pl.col("bar").min(), last=pl.col("bar").max())
    assert (counts["first"] == 0).all()
    assert (counts["last"] == 239).all()
    assert counts["n"].max() == 238
    assert not bars["bar"].is_in([237, 238]).any()


def test_same_seed_same_market(small: Small) -> None:
    source, bars, daily = small
    again = Synthetic(stocks=80, days=200, bar="15min", seed=3)
    assert again.daily().equals(daily)
    assert all_bars(again).equals(bars)
    assert again.oracle().equals(source.oracle())
    for name in REFERENCE:
        assert again.reference(name).equals(source.reference(name))  # type: ignore[union-attr, arg-type]
    assert again.fingerprint() == source.fingerprint()
    other = Synthetic(stocks=80, days=200, bar="15min", seed=4)
    assert other.fingerprint() != source.fingerprint()
    assert not other.daily().equals(daily)


def test_days_can_be_made_in_any_order(small: Small) -> None:
    _, bars, _ = small
    market = Synthetic(stocks=80, days=200, bar="15min", seed=3)._market
    for number in (150, 3, 77):
        made = day_bars(market, number, 16, 3)
        rows = bars.filter(pl.col("date") == market.days[number])
        assert made.lots[made.lots > 0].tolist() == (rows["volume"] // 100).to_list()
        assert (made.close[made.lots > 0] / 100).tolist() == rows["close"].to_list()


def test_strengths_share_everything_but_the_drift(small: Small) -> None:
    """Events, hidden states and tables of events are equal, and every return differs by the drift alone."""
    source, _, daily = small
    other = Synthetic(stocks=80, days=200, bar="15min", seed=3, strength=0.0)
    assert other.states().equals(source.states())
    same = ["symbol", "date", "factor", "suspended", "st", "float_shares", "total_shares", "book_value"]
    assert other.daily().select(same).equals(daily.select(same))
    for name in ("listings", "industries"):
        assert other.reference(name).equals(source.reference(name))  # type: ignore[union-attr, arg-type]
    ours, theirs = source._market, other._market
    half = Synthetic(stocks=80, days=200, bar="15min", seed=3, strength=0.5)._market
    drift = ours.overnight - theirs.overnight
    assert np.abs(drift).max() > 1e-4
    # Doubles differ in the last digits.
    np.testing.assert_allclose(half.overnight - theirs.overnight, drift / 2, atol=1e-15)


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


@given(
    seed=st.integers(0, 2**31),
    stocks=st.integers(10, 25),
    days=st.integers(20, 45),
    bar=st.sampled_from(["1min", "5min", "15min", "30min", "60min"]),
    strength=st.sampled_from([0.0, 1.0, 3.0]),
)
@settings(max_examples=15, deadline=None)
def test_any_market_is_consistent(seed: int, stocks: int, days: int, bar: str, strength: float) -> None:
    source = Synthetic(stocks=stocks, days=days, bar=bar, seed=seed, strength=strength)  # type: ignore[arg-type]
    bars = check(all_bars(source), "bars", "bars")
    daily = check(source.daily(), "daily", "daily")
    for name in REFERENCE:
        check(source.reference(name), name, name)  # type: ignore[arg-type]
    days_of_bars = add_up(bars.iter_rows(named=True))
    assert len(days_of_bars) == len(traded(daily))
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


@pytest.mark.parametrize(
    ("strength", "planted"),
    [
        (
            1.0,
            "with four planted signals of strength 1; 1 is unreal on purpose, a Rank IC of .30 over 5 days for who "
            "knew the signals",
        ),
        (
            0.3,
            "with four planted signals of strength 0.3; 1 is unreal on purpose, a Rank IC of .30 over 5 days for who "
            "knew the signals",
        ),
        (0.0, "without any planted signal: nothing can be predicted"),
    ],
)
def test_notes_say_that_it_is_simulated(strength: float, planted: str) -> None:
    assert Synthetic(stocks=20, strength=strength).notes() == (
        f"Simulated market of 20 stocks {planted}. No result on it says anything about real stocks.",
    )


def test_the_fingerprint_covers_every_module_of_the_market() -> None:
    folder = Path(polygrain.sources.__file__).parent
    assert {f"synthetic{part}" for part in synthetic._PARTS} == {path.stem for path in folder.glob("synthetic*.py")}
