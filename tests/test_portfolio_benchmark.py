"""The index: by hand, against plain loops on random markets, and what it may see."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from random_markets import quotes_of, random_quotes, tape_of
from reference_enhancement import index

from polygrain.errors import DataError
from polygrain.execution.quotes import Quotes
from polygrain.portfolio.benchmark import Benchmark, benchmark
from polygrain.store.panel import Array

Lists = list[tuple[int, dict[str, float]]]


def table(quotes: Quotes, lists: Lists) -> pl.DataFrame:
    """Lists by the number of their day, which may be before the first one."""
    rows = [
        (quotes.axes.days[0] + timedelta(day), symbol, weight) for day, full in lists for symbol, weight in full.items()
    ]
    return pl.DataFrame(rows, schema={"date": pl.Date, "symbol": pl.String, "weight": pl.Float64}, orient="row")


def made(quotes: Quotes, lists: Lists, codes: list[int], absent: dict[str, int] | None = None) -> Benchmark:
    days = len(quotes.axes.days)
    panel = np.tile(np.array(codes, np.intp), (days, 1))
    others = {symbol: np.full(days, code) for symbol, code in (absent or {}).items()}
    return benchmark(table(quotes, lists), quotes, panel, max(codes) + 1, others)


A, B, C = "600000.SH", "600001.SH", "600002.SH"


def test_a_list_drifts_and_is_replaced_the_day_after_its_date() -> None:
    # List of day 0: A .5, B .5, of its close. Day 1: A 10 → 12, B flat: return .5 · .2 = .1, weights .6/1.1, .5/1.1.
    # The list of day 1, A .2, B .8, holds from day 2 on: A 12 → 6: return .2 · −.5 = −.1, weights .1/.9 and .8/.9.
    quotes = quotes_of(np.array([[10, 10], [12, 10], [6, 10.0]]))
    found = made(quotes, [(0, {A: 0.5, B: 0.5}), (1, {A: 0.2, B: 0.8})], [1, 1])
    assert found.first == 1
    assert found.lists == (None, date(2021, 1, 1), date(2021, 1, 2))
    np.testing.assert_allclose(found.returns, [0, 0.1, -0.1], atol=1e-15)
    np.testing.assert_allclose(found.before, [[0, 0], [0.5, 0.5], [0.2, 0.8]], atol=1e-15)
    np.testing.assert_allclose(found.after, [[0, 0], [0.6 / 1.1, 0.5 / 1.1], [0.1 / 0.9, 0.8 / 0.9]], atol=1e-15)


def test_a_dividend_is_part_of_the_return() -> None:
    # 10 → 9 with a factor of 10/9: nothing is lost.
    quotes = quotes_of(np.array([[10], [9.0]]), factor=np.array([[1], [10 / 9]]))
    np.testing.assert_allclose(made(quotes, [(0, {A: 1.0})], [1]).returns, [0, 0], atol=1e-15)


def test_members_without_data_leave_their_weight_to_their_industry() -> None:
    # X, of A's industry, has no data: A takes its .2. Y's industry has nobody else: its .1 goes to all in proportion,
    # A (.3 + .2), B .4 → over .9. B and C have no industry. Covered: .7.
    quotes = quotes_of(np.full((2, 3), 10.0))
    found = made(quotes, [(0, {A: 0.3, B: 0.4, "X": 0.2, "Y": 0.1})], [1, 0, 0], {"X": 1, "Y": 0})
    np.testing.assert_allclose(found.after[1], [0.5 / 0.9, 0.4 / 0.9, 0], atol=1e-15)
    assert found.covered.tolist() == [0.0, pytest.approx(0.7)]


def test_a_member_that_leaves_the_market_leaves_its_weight_to_its_industry() -> None:
    # A's last day is 1; A and B are one industry: from day 2 on B holds A's half too.
    close = np.array([[10, 10, 10], [10, 10, 10], [np.nan, 10, 10.0]])
    age = np.array([[9, 9, 9], [9, 9, 9], [0, 9, 9]], np.int32)
    found = made(quotes_of(close, age=age), [(0, {A: 0.5, B: 0.2, C: 0.3})], [1, 1, 2])
    np.testing.assert_allclose(found.before[1:], [[0.5, 0.2, 0.3], [0, 0.7, 0.3]], atol=1e-15)


def test_no_bit_depends_on_who_else_is_in_the_market() -> None:
    # Sums in another order differ in their last digit: 30 of 60 stocks are of the index, the others stand between them.
    rng = np.random.default_rng(1)
    close = np.cumprod(rng.uniform(0.9, 1.1, (30, 60)), axis=0)
    own = np.sort(rng.permutation(60)[:30])
    weights = rng.dirichlet(np.ones(30))
    every, alone = quotes_of(close), quotes_of(close[:, own])
    codes = rng.integers(0, 3, 60)
    found = made(every, [(0, dict(zip(np.array(every.axes.symbols)[own], weights)))], codes.tolist())
    other = made(alone, [(0, dict(zip(alone.axes.symbols, weights)))], codes[own].tolist())
    for name in ("before", "after"):
        assert getattr(found, name)[:, own].tobytes() == getattr(other, name).tobytes()
    assert found.returns.tobytes() == other.returns.tobytes()
    assert found.covered.tobytes() == other.covered.tobytes()


def test_a_list_without_any_data_is_refused() -> None:
    with pytest.raises(DataError, match=r"index_weights: 2021-01-01: no member has data"):
        made(quotes_of(np.full((2, 1), 10.0)), [(0, {"X": 1.0})], [0], {"X": 0})


@pytest.mark.parametrize("seed", range(200))
def test_equal_to_plain_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    quotes, codes, lists = random_index(generator, random_quotes(generator, 24, 12))
    found = made(quotes, lists, codes, {"X": 1, "Y": 2})
    numbers = quotes.axes.symbol_number
    plain = [(max(day, 0), {numbers.get(s, s): w for s, w in full.items()}) for day, full in lists]
    industry = {**dict(enumerate(codes)), "X": 1, "Y": 2}
    for day, expected in enumerate(index(tape_of(quotes), plain, industry)):
        assert (expected is None) == (found.lists[day] is None)
        if expected is not None:
            before, after, earned, share = expected
            # Sums of a dozen products of numbers below 1, each right to 16 digits.
            np.testing.assert_allclose(found.before[day], dense(before, 12), atol=1e-14)
            np.testing.assert_allclose(found.after[day], dense(after, 12), atol=1e-14)
            assert found.returns[day] == pytest.approx(earned, abs=1e-14)
            assert found.covered[day] == pytest.approx(share, abs=1e-14)


def test_no_row_sees_a_later_day_or_list() -> None:
    generator = np.random.default_rng(7)
    quotes, codes, lists = random_index(generator, random_quotes(generator, 24, 12))
    whole = made(quotes, lists, codes, {"X": 1, "Y": 2})
    for day in range(1, 23):
        cut = quotes_until(quotes, day)
        part = made(cut, [one for one in lists if one[0] < day], codes, {"X": 1, "Y": 2})
        assert part.after[day].tobytes() == whole.after[day].tobytes()
        assert part.returns[day] == whole.returns[day]


def quotes_until(quotes: Quotes, day: int) -> Quotes:
    """The same up to a day, without what comes later."""
    rows = slice(0, day + 1)
    names = ("open", "high", "low", "close", "vwap", "factor", "age", "amount")
    return quotes_of(
        **{name: getattr(quotes, name)[rows] for name in names}, up=quotes.up_limit[rows], down=quotes.down_limit[rows]
    )


def random_index(generator: np.random.Generator, quotes: Quotes) -> tuple[Quotes, list[int], Lists]:
    """A list at the start and some reviews, with two members that the data lacks."""
    symbols = [*quotes.axes.symbols, "X", "Y"]
    codes = generator.integers(0, 4, len(quotes.axes.symbols)).tolist()
    lists: Lists = []
    for day in (0, *sorted(generator.choice(np.arange(2, len(quotes.axes.days) - 1), 3, replace=False).tolist())):
        chosen = generator.choice(len(symbols), 9, replace=False)
        weights = generator.random(9)
        lists.append((day, {symbols[i]: float(w) for i, w in zip(chosen, weights / weights.sum())}))
    return quotes, [*codes[:-1], 3], lists


def dense(weights: dict[int, float], stocks: int) -> Array:
    return np.array([weights.get(stock, 0.0) for stock in range(stocks)])
