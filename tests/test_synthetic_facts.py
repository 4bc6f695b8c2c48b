"""The stylised facts of a market, asserted on the simulated one: tails, clusters, shapes of the day, limits."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from market_panels import adjusted, all_bars, panel, traded
from reference_synthetic import limits
from scipy.stats import kurtosis

from polygrain.sources.synthetic import Synthetic

Whole = tuple[Synthetic, pl.DataFrame]


@pytest.fixture(scope="module")
def whole() -> Whole:
    """The default market but for its bars, which no daily open, close or event depends on."""
    source = Synthetic(bar="60min")
    return source, source.daily()


@pytest.fixture(scope="module")
def returns(whole: Whole) -> np.ndarray:
    """Adjusted daily log returns from close to close [days − 1, stocks], NaN next to a day without trades."""
    return np.diff(np.log(adjusted(*whole, "close")), axis=0)


@pytest.fixture(scope="module")
def own(returns: np.ndarray) -> np.ndarray:
    """Returns less the day's median."""
    return returns - np.nanmedian(returns, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def minutes() -> tuple[Synthetic, pl.DataFrame]:
    source = Synthetic(stocks=60, days=40, bar="1min", seed=2)
    return source, all_bars(source)


def autocorrelation(values: np.ndarray, lag: int) -> float:
    """Mean over the stocks with 300 pairs of values `lag` days apart."""
    found = []
    for column in values.T:
        both = np.isfinite(column[lag:]) & np.isfinite(column[:-lag])
        if both.sum() >= 300:
            found.append(np.corrcoef(column[lag:][both], column[:-lag][both])[0, 1])
    assert len(found) > 200
    return float(np.mean(found))


def test_returns_have_fat_tails(own: np.ndarray) -> None:
    known = own[np.isfinite(own)]
    assert 0.02 < known.std() < 0.03
    assert kurtosis(known) > 4
    by_stock = [kurtosis(column[np.isfinite(column)]) for column in own.T if np.isfinite(column).sum() > 300]
    assert np.median(by_stock) > 1.5, "though the limits cut them off"


def test_volatility_clusters_and_returns_do_not(own: np.ndarray) -> None:
    size = np.abs(own)
    near, far = autocorrelation(size, 1), autocorrelation(size, 20)
    assert near > 0.1
    assert near > autocorrelation(size, 5) > 0.07
    assert near / 2 > far > 0.0
    assert abs(autocorrelation(own, 1)) < 0.03


def test_stocks_move_with_the_market_and_with_their_industry(
    whole: Whole, own: np.ndarray, returns: np.ndarray
) -> None:
    source, _ = whole
    day = np.nanmean(returns, axis=1)
    assert 0.007 < day.std() < 0.02
    assert kurtosis(day) > 1
    industry = source._market.events.industry[1:]
    # A stock's own return against the mean of the others of its industry and of another one.
    same, other = [], []
    for number in range(0, source.stocks, 7):
        for list_, shift in ((same, 0), (other, 1)):
            peers = (industry == (industry[:, [number]] + shift) % 12) & (np.arange(source.stocks) != number)
            mean = np.nanmean(np.where(peers, own, np.nan), axis=1)
            both = np.isfinite(mean) & np.isfinite(own[:, number])
            list_.append(np.corrcoef(mean[both], own[both, number])[0, 1])
    assert np.mean(same) > 0.12
    assert abs(np.mean(other)) < 0.05


def test_volume_is_a_u_over_the_day_with_an_auction_at_its_end(minutes: tuple[Synthetic, pl.DataFrame]) -> None:
    source, bars = minutes
    share = np.zeros(240)
    sums = bars.group_by("bar").agg(pl.col("volume").sum()).sort("bar")
    share[sums["bar"].to_numpy()] = sums["volume"].to_numpy() / sums["volume"].sum()
    assert 0.05 < share[239] < 0.08, "closing auction"
    assert 0.015 < share[0] < 0.04, "opening auction"
    hours = share[:237].copy()
    hours[0] = np.nan
    middle = np.nanmean(hours[90:150])
    assert np.nanmean(hours[:15]) > 1.8 * middle
    assert np.nanmean(hours[222:]) > 1.4 * middle
    assert np.nanmean(hours[:15]) > np.nanmean(hours[222:])
    by_day = traded(source.daily()).with_columns(turnover=pl.col("volume") / pl.col("float_shares"))
    assert 0.005 < by_day["turnover"].median() < 0.03


def test_volatility_is_a_u_over_the_day(minutes: tuple[Synthetic, pl.DataFrame]) -> None:
    _, bars = minutes
    size = bars.with_columns(r=(pl.col("close") / pl.col("open")).log()).group_by("bar").agg(pl.col("r").std())
    size = size.sort("bar")["r"].to_numpy()
    middle = size[90:150].mean()
    assert size[:15].mean() > 1.2 * middle
    assert size[222:237].mean() > 1.1 * middle


def test_volume_follows_moves_and_clusters(whole: Whole, own: np.ndarray) -> None:
    source, daily = whole
    volume = np.log(panel(source, traded(daily), pl.col("volume") / pl.col("float_shares")))
    assert autocorrelation(volume, 1) > 0.5
    found = []
    for column, size in zip(volume[1:].T, np.abs(own).T):
        both = np.isfinite(column) & np.isfinite(size)
        if both.sum() >= 300:
            found.append(np.corrcoef(column[both], size[both])[0, 1])
    assert np.mean(found) > 0.3


def test_no_price_leaves_the_limits(whole: Whole) -> None:
    """The limits are those of the last traded close, by board, ST and delisting period, in Decimal; they are touched
    and never passed, and there is none where the exchanges have none."""
    source, daily = whole
    listings = source.reference("listings")
    assert listings is not None
    listed = dict(listings.select("symbol", "listed").iter_rows())
    days = daily["date"].unique().sort().to_list()
    number = {day: i for i, day in enumerate(days)}
    gone = {row["symbol"]: number[row["delisted"]] for row in listings.drop_nulls("delisted").iter_rows(named=True)}
    before: dict[str, dict[str, float]] = {}
    rows: dict[int, int] = defaultdict(int)
    touched = {"up": 0, "down": 0, "free": 0}
    for row in daily.sort("symbol", "date").iter_rows(named=True):
        symbol, at = row["symbol"], number[row["date"]]
        if row["suspended"]:
            assert row["up_limit"] is None
            continue
        last = before.get(symbol)
        before[symbol] = row | {"number": at}
        if last is None:
            continue
        young = symbol.startswith(("300", "688"))
        age = at - number[listed[symbol]] + 1 if listed[symbol] in number else None
        leaving = symbol in gone and at > gone[symbol] - 15
        new = young and age is not None and age <= 5
        if new or at - last["number"] > 60 or (leaving and at == gone[symbol] - 14):
            assert row["up_limit"] is None
            assert row["down_limit"] is None
            touched["free"] += 1
            continue
        percent = 20 if young else 5 if row["st"] and not leaving else 10
        up, down = limits(last["close"], last["factor"], row["factor"], percent)
        assert (Decimal(str(row["up_limit"])), Decimal(str(row["down_limit"]))) == (up, down), (symbol, row["date"])
        assert down <= Decimal(str(row["low"])) <= Decimal(str(row["high"])) <= up
        rows[percent] += 1
        touched["up"] += row["high"] == row["up_limit"]
        touched["down"] += row["low"] == row["down_limit"]
    assert min(rows[percent] for percent in (5, 10, 20)) > 1000
    assert touched["up"] > 400
    assert touched["down"] > 400
    # 4 relistings, 8 delisting periods, and the first days of new listings on ChiNext and STAR.
    assert touched["free"] >= 4 + 8 + 4


def test_days_of_one_price_are_at_a_limit_and_thin(whole: Whole) -> None:
    _, daily = whole
    rows = traded(daily).with_columns(turnover=pl.col("volume") / pl.col("float_shares"))
    one = rows.filter((pl.col("high") == pl.col("low")) & pl.col("up_limit").is_not_null())
    at_limit = one.filter((pl.col("close") == pl.col("up_limit")) | (pl.col("close") == pl.col("down_limit")))
    assert len(at_limit) > 150
    # Stocks of a few fen may also stand still inside their limits.
    assert len(at_limit) > 0.8 * len(one)
    assert at_limit["turnover"].median() < 0.4 * rows["turnover"].median()
    for side in ("up_limit", "down_limit"):
        assert (at_limit["close"] == at_limit[side]).sum() > 50
