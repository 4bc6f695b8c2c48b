"""Trailing means against plain loops; their bits depend on the window alone."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.store.cross_section import ordered_sums
from polygrain.store.panel import Axes, interval, trailing_mean


def test_trailing_mean_by_hand() -> None:
    values = np.array([[1.0], [np.nan], [4], [6], [np.inf]])
    # Of three rows with two values: none, none, (1 + 4)/2, (4 + 6)/2, (4 + 6)/2.
    np.testing.assert_array_equal(trailing_mean(values, 3, 2)[:, 0], [np.nan, np.nan, 2.5, 5, 5])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
def test_trailing_mean_equals_loops_whatever_lies_before(seed: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.where(generator.random((40, 3)) < 0.2, np.nan, generator.normal(size=(40, 3)) * 1e6)
    least, start = int(generator.integers(1, rows + 1)), int(generator.integers(0, 40))
    found = trailing_mean(values, rows, least)
    for row in range(40):
        for column in range(3):
            known = [x for x in values[max(row - rows + 1, 0) : row + 1, column] if np.isfinite(x)]
            expected = sum(known) / len(known) if len(known) >= least else np.nan
            # Rounding of at most 40 numbers of a million.
            assert found[row, column] == pytest.approx(expected, abs=1e-8, nan_ok=True)
    # The rows of a window give the same bits on whichever row it ends, and whatever is not in it.
    again = trailing_mean(values[start:], rows, least)[rows - 1 :]
    np.testing.assert_array_equal(again, found[start + rows - 1 :])


def test_sums_know_neither_order_nor_strangers() -> None:
    generator = np.random.default_rng(1)
    values, order = generator.normal(size=(4, 300)) * 10.0 ** generator.integers(-8, 8, (4, 300)), np.arange(300)
    fitted = generator.random((4, 300)) < 0.7
    sums = ordered_sums(values, fitted)
    np.testing.assert_allclose(sums, [row[inside].sum() for row, inside in zip(values, fitted)], rtol=1e-12)
    generator.shuffle(order)
    np.testing.assert_array_equal(ordered_sums(values[:, order], fitted[:, order]), sums)
    wide = np.hstack([values, values]), np.hstack([fitted, np.zeros_like(fitted)])
    np.testing.assert_array_equal(ordered_sums(*wide), sums)


def test_intervals_hold_both_their_days() -> None:
    axes = Axes(tuple(date(2021, 1, 4) + timedelta(2 * i) for i in range(5)), ("A",))
    days = [date(2021, 1, 4) + timedelta(i) for i in range(10)]
    assert interval(axes, days[2], days[4]) == slice(1, 3)
    assert interval(axes, days[1], days[3]) == slice(1, 2)
    assert interval(axes, date(1990, 1, 1), None) == slice(0, 5)
    assert interval(axes, days[9], None) == slice(5, 5)
