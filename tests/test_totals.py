"""Sums over base bars: one order of addition, whatever else is in the array."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.features.totals import add_up, add_up_products

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 250), st.integers(1, 40))


def cut(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Values of very different sizes, as a slice of a larger array that starts anywhere and in any order in memory."""
    n, k, stocks = shape
    if rng.random() < 0.2:
        return cut(rng, (n, k, stocks + 3))[:, :, rng.permutation(stocks + 3)[:stocks]]
    start = int(rng.integers(0, 4))
    values = rng.standard_normal(start + n * (k + 2) * stocks) * 10.0 ** rng.integers(-6, 6)
    return values[start:].reshape(n, k + 2, stocks)[:, 1:-1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), SHAPES)
def test_sums_are_added_up_in_order(seed: int, shape: tuple[int, int, int]) -> None:
    x = cut(np.random.default_rng(seed), shape)
    expected = x[:, 0].copy()
    for j in range(1, shape[1]):
        expected += x[:, j]
    assert add_up(x).tobytes() == expected.tobytes()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), SHAPES)
def test_a_stocks_sum_of_products_does_not_depend_on_the_others(seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    x, y = cut(rng, shape), cut(rng, shape)
    whole = add_up_products(x, y)
    # Each product is rounded once with its sum, so at most k roundings of 2⁻⁵³ on the sum of sizes.
    bound = shape[1] * 2.0**-52 * np.abs(x * y).sum(axis=1)
    assert (np.abs(whole - (x * y).sum(axis=1)) <= bound).all()
    some = rng.permutation(shape[2])[: rng.integers(1, shape[2] + 1)]
    part = add_up_products(np.ascontiguousarray(x[:, :, some]), np.ascontiguousarray(y[:, :, some]))
    assert part.tobytes() == whole[:, some].tobytes()
