from dataclasses import replace

import numpy as np
import reference_naive as reference
from random_markets import random_quotes

from polygrain.evaluation.naive import naive_composite
from polygrain.store.panel import Array


def rows(values: Array) -> list[list[float | None]]:
    return [[None if np.isnan(x) else float(x) for x in row] for row in values]


def test_equals_the_oracle() -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        quotes = random_quotes(generator, 75, 12)
        members = quotes.traded & (generator.random(quotes.traded.shape) < 0.9)
        result = naive_composite(quotes, members)
        assert result.missing == ()
        close, high, low = rows(quotes.adjusted("close")), rows(quotes.high), rows(quotes.low)
        amount = rows(quotes.amount)
        for day in (3, 9, 10, 21, 30, 60, 74):
            inside = np.flatnonzero(members[day]).tolist()
            parts = [reference.components(close, high, low, amount, day, stock) for stock in inside]
            expected = np.full(12, np.nan)
            expected[inside] = [np.nan if x is None else x for x in reference.composite(parts, 5)]
            np.testing.assert_allclose(result.values[day], expected, rtol=1e-9, atol=1e-9)


def test_a_component_without_data_is_named() -> None:
    quotes = random_quotes(np.random.default_rng(1), 70, 10)
    without = replace(quotes, amount=np.full(quotes.amount.shape, np.nan))
    result = naive_composite(without, quotes.traded)
    assert result.missing == ("amount5/amount60",)
    assert np.isfinite(result.values[60][quotes.traded[60]]).all()


def test_a_day_sees_nothing_later() -> None:
    quotes = random_quotes(np.random.default_rng(4), 75, 10)
    noise = np.random.default_rng(5).uniform(0.5, 2, quotes.close.shape)
    noise[:70] = 1.0
    later = replace(quotes, close=quotes.close * noise, high=quotes.high * noise * 2, amount=quotes.amount * noise)
    first, second = naive_composite(quotes, quotes.traded), naive_composite(later, quotes.traded)
    np.testing.assert_array_equal(first.values[:70], second.values[:70])
    assert (first.values[70:] != second.values[70:]).any()
