import dataclasses
import math
from datetime import date, timedelta

import numpy as np
import pytest
import reference_labels as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.samples.labels import (
    Label,
    average_ranks,
    forward_returns,
    gaussian_rank,
    shuffled,
    standardise,
    tradable,
)
from polygrain.store.panel import Array, Axes

value = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-10, 10))
tables = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=4)
)


def array(table: list[reference.Row]) -> Array:
    return np.array([[np.nan if value is None else value for value in row] for row in table], dtype=float)


def quotes(close: Array, *, up_limit: float = np.nan, factor: float = 1.0) -> Quotes:
    """Quotes whose open, high, low, close and vwap are one price; a NaN price is a suspension."""
    days, stocks = close.shape
    calendar = tuple(date(2025, 1, 6) + timedelta(days=n) for n in range(days))
    limit = np.full(close.shape, up_limit)
    return Quotes(
        axes=Axes(calendar, tuple(f"{600000 + n}.SH" for n in range(stocks))),
        open=close,
        high=close,
        low=close,
        close=close,
        vwap=close,
        amount=close,
        volume=close,
        factor=np.full(close.shape, factor),
        traded=np.isfinite(close),
        st=None,
        age=np.full(close.shape, 100, dtype=np.int32),
        up_limit=limit,
        down_limit=np.full(close.shape, np.nan),
    )


@settings(deadline=None, max_examples=200)
@given(tables)
def test_ranks_equal_plain_loops(table: list[reference.Row]) -> None:
    mask = np.ones((len(table), len(table[0])), dtype=bool)
    np.testing.assert_array_equal(average_ranks(array(table), mask), array([reference.average_ranks(r) for r in table]))
    expected = array([reference.gaussian_rank(row, 3) for row in table])
    np.testing.assert_allclose(gaussian_rank(array(table), mask, 3), expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(tables)
def test_standardise_equals_plain_loops(table: list[reference.Row]) -> None:
    # Spreads below 1e-6 lose digits to cancellation in both ways of summing; they are not scores.
    table = [[None if x is None else round(x, 6) for x in row] for row in table]
    expected = array([reference.standardise(row) for row in table])
    np.testing.assert_allclose(standardise(array(table)), expected, atol=1e-7)


def test_equal_values_standardise_to_zero() -> None:
    assert (standardise(np.full((1, 3), 0.1)) == 0).all()  # 0.1 + 0.1 + 0.1 is not 0.3


def test_gaussian_rank_by_hand() -> None:
    # N = 3, ranks 1, 2.5, 2.5: Φ⁻¹(1/6) = −.9674, Φ⁻¹(2/3) = .4307; the masked 9 counts for nothing.
    got = gaussian_rank(np.array([[1.0, 4.0, 9.0, 4.0]]), np.array([[True, True, False, True]]))
    np.testing.assert_allclose(got, [[-0.967422, 0.430727, np.nan, 0.430727]], atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.none(), st.floats(1, 100)), min_size=1, max_size=12), st.integers(0, 1), st.integers(1, 4))
def test_forward_returns_equal_plain_loops(prices: reference.Row, lag: int, horizon: int) -> None:
    got = forward_returns(array([prices]).T, lag, horizon)[:, 0]
    expected = array([[reference.forward_return(prices, day, lag, horizon) for day in range(len(prices))]])[0]
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_a_missing_end_takes_the_last_price_before_it() -> None:
    # Bought on day 1 at 10; day 3 is a suspension, so day 2's 12 counts: 12/10 − 1 = .2. Day 1's start is day 2's 12.
    prices = np.array([[9.0], [10.0], [12.0], [np.nan], [13.0]])
    got = forward_returns(prices, 1, 2)[:, 0]
    np.testing.assert_allclose(got, [0.2, 13 / 12 - 1, np.nan, np.nan, np.nan])


def test_the_mask_looks_at_the_fill_day() -> None:
    # Suspended on day 1 → not bought by day 0's decision; locked at the limit 12 on day 2 → not by day 1's.
    market = quotes(np.array([[10.0], [np.nan], [12.0], [11.0]]), up_limit=12.0)
    members = np.ones((4, 1), dtype=bool)
    assert tradable(members, market, "t1_vwap")[:, 0].tolist() == [False, False, True, False]
    assert tradable(members, market, "t0_close")[:, 0].tolist() == [True, False, False, True]
    assert not tradable(~members, market, "t1_vwap").any()


def test_targets_over_the_mask() -> None:
    rng = np.random.default_rng(1)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (12, 60)), axis=0))
    members = rng.random((12, 60)) < 0.95
    market = quotes(close)
    returns = forward_returns(close, 1, 5)
    ranked = Label().targets(market, members, 5)
    assert np.isfinite(ranked[:6]).sum(axis=1).tolist() == members[:6].sum(axis=1).tolist()
    assert np.isnan(ranked[6:]).all()
    assert (np.argsort(ranked[0][members[0]]) == np.argsort(returns[0][members[0]])).all()
    excess = Label(target="excess").targets(market, members, 5)
    np.testing.assert_allclose(np.nanmean(excess[:6], axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(excess[:6], axis=1), 1)
    raw = Label(target="raw").targets(market, members, 5)
    np.testing.assert_array_equal(raw, np.where(members & np.isfinite(returns), returns, np.nan))
    doubled = dataclasses.replace(market, factor=market.factor * 2)
    np.testing.assert_array_equal(Label(target="raw").targets(doubled, members, 5), raw)


def test_dates_with_few_stocks_have_no_targets() -> None:
    market = quotes(np.linspace(10, 20, 8 * 49).reshape(8, 49))
    assert np.isnan(Label(days=[2]).targets(market, np.ones((8, 49), dtype=bool), 2)).all()
    assert Label().purge(5) == 6
    assert math.isnan(gaussian_rank(np.zeros((1, 1)), np.zeros((1, 1), dtype=bool))[0, 0])


def test_an_unknown_fill_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown fill 't2_vwap'"):
        Label(fill="t2_vwap").purge(5)


def test_shuffled_keeps_each_dates_values_and_everything_outside_the_mask() -> None:
    values = np.arange(40.0).reshape(2, 20)
    mask = np.ones((2, 20), dtype=bool)
    mask[:, :5] = False
    mixed = shuffled(values, mask, seed=1)
    assert np.array_equal(mixed[~mask], values[~mask])
    assert np.array_equal(np.sort(mixed[mask].reshape(2, 15)), values[mask].reshape(2, 15))
    assert (mixed != values).sum() > 20
    assert np.array_equal(mixed, shuffled(values, mask, seed=1))
