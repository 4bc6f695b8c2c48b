"""Exposures against hand arithmetic, plain loops and their invariances: no future, no order of stocks, no splits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import reference_exposures as reference
from exposure_market import COLUMNS, inputs, rough, tape_of
from hypothesis import given, settings
from hypothesis import strategies as st
from random_markets import quotes_of

from polygrain.execution.quotes import Quotes
from polygrain.exposures.build import measured
from polygrain.exposures.industries import UNKNOWN, Industries
from polygrain.exposures.inputs import Inputs
from polygrain.exposures.library import STYLES
from polygrain.exposures.standardise import filled, orthogonal, standardised
from polygrain.store.panel import Array, Axes

NAMES = (UNKNOWN, "bank", "steel", "food")


def row(values: list[float], members: list[bool] | None = None, caps: list[float] | None = None) -> list[float]:
    chosen = np.ones((1, len(values)), bool) if members is None else np.array([members])
    weights = None if caps is None else np.array([caps])
    return standardised(np.array([values], float), chosen, weights)[0].tolist()


def measure(quotes: Quotes, columns: dict[str, Array], members: Array, codes: Array) -> Array:
    """All exposures [days, symbols, styles]."""
    panel = measured(inputs(quotes, columns, members), list(STYLES.values()), Industries(codes, NAMES))
    assert panel.features == tuple(STYLES)
    return panel.values


def market(seed: int, days: int, stocks: int) -> tuple[Quotes, dict[str, Array], Array, Array]:
    quotes, columns = rough(seed, days, stocks)
    generator = np.random.default_rng(seed + 100)
    members = quotes.traded & (generator.random(quotes.traded.shape) < 0.9)
    return quotes, columns, members, generator.integers(0, 4, quotes.close.shape).astype(np.int16)


def test_standardised_by_hand() -> None:
    # 0..10: median 5, MAD 3 (5 4 3 2 1 0 1 2 3 4 5), bounds 5 ± 13.34: no clip. Mean 5, variance (11² − 1)/12 = 10.
    values = [float(i) for i in range(11)]
    assert row(values) == pytest.approx([(i - 5) / math.sqrt(10) for i in range(11)])
    # Half of the cap in the stock of 10, the other half in that of 0 and of 2: 5 + 0 + .5 = 5.5. One without a cap.
    caps = [1.0, 0, 1, *[0.0] * 6, math.nan, 2]
    assert row(values, caps=caps) == pytest.approx([(i - 5.5) / math.sqrt(10) for i in range(11)])
    # A stranger moves nothing and is clipped: (5 + 3·1.4826·3 − 5)/√10. One without a value has none.
    found = row([*values, 1000.0, math.nan], [*[True] * 11, False, True])
    assert found[11] == pytest.approx(3 * 1.4826 * 3 / math.sqrt(10))
    assert math.isnan(found[12])
    assert found[:11] == row(values)


def test_dates_when_too_few_have_a_value() -> None:
    nan = math.nan
    assert np.isnan(row([float(i) for i in range(9)])).all()
    assert np.isfinite(row([float(i) for i in range(10)])).all()
    # 10 of 20 members are half of them, 10 of 21 are not.
    assert np.isfinite(row([*range(10), *[nan] * 10])[:10]).all()
    assert np.isnan(row([*range(10), *[nan] * 11])).all()
    assert row([0.1] * 12) == [0.0] * 12


def test_filled_by_hand() -> None:
    # Two banks have 1 and 3, their mean 2; the third has none. No steel has any, so that it gets the mean of the
    # members 1, 3, 8: 4; so does the one of no industry. What is not listed has none; a stranger's value has no weight.
    own = np.array([[1.0, 3, np.nan, np.nan, np.nan, 8, np.nan, 50]])
    codes = np.array([[1, 1, 1, 2, 0, 3, 1, 1]], np.int16)
    members = np.array([[True] * 7 + [False]])
    listed = np.array([[True] * 6 + [False, True]])
    found = filled(own, members, listed, Industries(codes, NAMES))
    np.testing.assert_array_equal(found, np.array([[1, 3, 2, 4, 4, 8, np.nan, 50]], np.float32))


def test_splits_dividends_and_suspensions_by_hand() -> None:
    # 20 yuan, suspended, then 11 after a split of 1 to 2: worth 20 and 22, and 10 a share on the day between.
    close, factor = np.array([[20.0], [np.nan], [11.0]]), np.array([[1.0], [2.0], [2.0]])
    quotes = quotes_of(close, factor=factor)
    found = Inputs(quotes, quotes.traded, {}, None)
    np.testing.assert_allclose(found.price[:, 0], [20, 10, 11])
    np.testing.assert_allclose(found.returns[:, 0], [np.nan, np.nan, math.log(1.1)])


def test_momentum_leaves_the_last_month_out() -> None:
    # A price that grows by 1% a day: 220 days of it from t − 240 to t − 20, and 20 for reversal.
    quotes = quotes_of(10 * 1.01 ** np.arange(245)[:, None])
    given_ = Inputs(quotes, quotes.traded, {}, None)
    momentum = STYLES["momentum"].function(given_)[:, 0]
    assert np.isnan(momentum[:240]).all()
    np.testing.assert_allclose(momentum[240:], 220 * math.log(1.01))
    np.testing.assert_allclose(STYLES["reversal"].function(given_)[20:, 0], 20 * math.log(1.01))
    # Squares and the square of the mean cancel to rounding.
    np.testing.assert_allclose(STYLES["volatility"].function(given_)[60:, 0], 0, atol=1e-8)


def test_mid_cap_knows_nothing_of_size() -> None:
    generator = np.random.default_rng(1)
    size, members = generator.normal(size=(3, 200)), generator.random((3, 200)) < 0.8
    rest = orthogonal(size**3, size, members)
    for day in range(3):
        inside = members[day]
        assert np.corrcoef(rest[day, inside], size[day, inside])[0, 1] == pytest.approx(0, abs=1e-12)
        slope = np.polyfit(size[day, inside], size[day, inside] ** 3, 1)[0]
        np.testing.assert_allclose(rest[day], size[day] ** 3 - slope * size[day], atol=1e-10)


@pytest.mark.parametrize("seed", range(2))
def test_every_style_equals_plain_loops(seed: int) -> None:
    quotes, columns, members, codes = market(seed, 252, 24)
    found = measure(quotes, columns, members, codes)
    tape = tape_of(quotes, columns)
    listed = (quotes.age > 0) & np.isfinite(quotes.valuation)
    for day in (0, 9, 19, 20, 31, 60, 239, 240, 251):
        inside, names = members[day].tolist(), [NAMES[code] if code else None for code in codes[day]]
        caps = [tape.cap(day, stock) for stock in range(24)]
        sizes = reference.standardised([reference.raw("size", tape, day, s) for s in range(24)], inside, caps)
        for place, name in enumerate(STYLES):
            if name == "mid_cap":
                enough = any(size is not None for size in sizes)
                values = reference.mid_cap(sizes, inside) if enough else sizes
            else:
                values = [reference.raw(name, tape, day, stock) for stock in range(24)]
            own = reference.standardised(values, inside, caps)
            expected = reference.filled(own, inside, listed[day].tolist(), names)
            # float32, and for volatility the cancelling of squares.
            wanted = np.array([np.nan if x is None else x for x in expected])
            np.testing.assert_allclose(found[day, :, place], wanted, rtol=2e-6, atol=2e-6, err_msg=f"{name} {day}")
    assert np.isfinite(found[251][members[251]]).all()


def test_the_oracle_is_not_empty() -> None:
    quotes, columns, members, codes = market(0, 252, 24)
    found = measure(quotes, columns, members, codes)
    for place, name in enumerate(STYLES):
        assert np.nanstd(found[251, :, place]) > 0.5, name


def test_nothing_after_a_close_changes_an_exposure() -> None:
    quotes, columns, members, codes = market(3, 250, 20)
    found = measure(quotes, columns, members, codes)
    noise = np.random.default_rng(9)
    for last in (30, 100, 244):
        later = np.arange(250)[:, None] > last

        def other(values: Array, later: Array = later) -> Array:
            changed = np.where(noise.random(values.shape) < 0.2, np.nan, values * noise.uniform(0.3, 3, values.shape))
            return np.where(later, changed, values)

        close = other(quotes.close)
        another = dataclasses.replace(
            quotes,
            **{name: other(getattr(quotes, name)) for name in ("open", "high", "low", "vwap", "amount", "volume")},
            close=close,
            factor=np.where(later, quotes.factor * noise.uniform(1, 3, close.shape), quotes.factor),
            traded=np.where(later, np.isfinite(close), quotes.traded),
            age=np.where(later & (noise.random(close.shape) < 0.2), 0, quotes.age),
        )
        strangers = np.where(later, noise.random(close.shape) < 0.5, members)
        moved = np.where(later, noise.integers(0, 4, close.shape), codes).astype(np.int16)
        with np.errstate(all="ignore"):
            changed = measure(another, {n: other(c) for n, c in columns.items()}, strangers, moved)
        np.testing.assert_array_equal(changed[: last + 1], found[: last + 1])
        assert (changed[last + 1 :] != found[last + 1 :]).any()
        # Nor does it matter how many days there are.
        short = measure(
            _days(quotes, last + 1),
            {n: c[: last + 1] for n, c in columns.items()},
            members[: last + 1],
            codes[: last + 1],
        )
        np.testing.assert_array_equal(short, found[: last + 1])


def _days(quotes: Quotes, count: int) -> Quotes:
    panels = {f.name: getattr(quotes, f.name) for f in dataclasses.fields(quotes)}
    cut = {name: values[:count] for name, values in panels.items() if isinstance(values, np.ndarray)}
    return dataclasses.replace(quotes, axes=Axes(quotes.axes.days[:count], quotes.axes.symbols), **cut)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_stocks_and_strangers_change_no_bit(seed: int) -> None:
    quotes, columns, members, codes = market(5, 70, 40)
    generator = np.random.default_rng(seed)
    order = generator.permutation(40)
    found = measure(quotes, columns, members, codes)
    moved = measure(*_columns(quotes, columns, members, codes, order))
    np.testing.assert_array_equal(moved, found[:, order])
    # Without a stock that is never a member the others keep theirs.
    rest = np.delete(np.arange(40), 7)
    without = members.copy()
    without[:, 7] = False
    whole = measure(quotes, columns, without, codes)
    np.testing.assert_array_equal(measure(*_columns(quotes, columns, without, codes, rest)), whole[:, rest])


def _columns(
    quotes: Quotes, columns: dict[str, Array], members: Array, codes: Array, order: Array
) -> tuple[Quotes, dict[str, Array], Array, Array]:
    panels = {f.name: getattr(quotes, f.name) for f in dataclasses.fields(quotes)}
    moved = {name: values[:, order] for name, values in panels.items() if isinstance(values, np.ndarray)}
    axes = Axes(quotes.axes.days, tuple(quotes.axes.symbols[i] for i in order))
    taken = {name: values[:, order] for name, values in columns.items()}
    return dataclasses.replace(quotes, axes=axes, **moved), taken, members[:, order], codes[:, order]


def test_a_split_changes_nothing() -> None:
    quotes, columns, members, codes = market(6, 250, 20)
    # From some day on twice as many shares at half the price; powers of two, so that not a bit is rounded away.
    scale = np.where(np.arange(250)[:, None] >= np.random.default_rng(1).integers(20, 240, 20), 2.0, 1.0)
    prices = {name: getattr(quotes, name) / scale for name in ("open", "high", "low", "close", "vwap")}
    other = dataclasses.replace(quotes, **prices, volume=quotes.volume * scale, factor=quotes.factor * scale)
    # A figure that is reported before a split and carried over it would be of the old shares: all are there.
    whole = {name: np.where(np.isfinite(values), values, 1e8) for name, values in columns.items()}
    shares = {name: whole[name] * scale for name in COLUMNS[:2]}
    np.testing.assert_array_equal(
        measure(other, whole | shares, members, codes), measure(quotes, whole, members, codes)
    )


def test_every_style_is_documented() -> None:
    for one in STYLES.values():
        assert one.function.__doc__, one.name
