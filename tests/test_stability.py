"""Whether a score holds, and what cost uses an excess up: by hand, by loops, and what must always be so."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_report import weekdays

from polygrain.evaluation.excess import break_even_cost
from polygrain.evaluation.stability import change, half_life, positive

VALUES = st.lists(st.floats(-1, 1) | st.just(math.nan), min_size=1, max_size=60)


def test_positive_parts_by_hand() -> None:
    values = np.array([0.1, -0.3, 0.2, math.nan, 0.1, -0.1])
    # "a": −.1; "b": .2 and a gap; "c": 0, which is not above 0.
    assert positive(values, ["a", "a", "b", "b", "c", "c"], 1) == (1, 3)
    # "b" has one value alone.
    assert positive(values, ["a", "a", "b", "b", "c", "c"], 2) == (0, 2)


@given(values=VALUES, least=st.integers(1, 6))
def test_positive_months_by_loops(values: list[float], least: int) -> None:
    months = [(day.year, day.month) for day in weekdays(date(2024, 12, 2), len(values))]
    above = counted = 0
    for month in sorted(set(months)):
        inside = [value for value, each in zip(values, months) if each == month and value == value]
        if len(inside) >= least:
            counted += 1
            above += sum(inside) / len(inside) > 1e-12
    found = positive(np.array(values), months, least)
    assert found[1] == counted
    # Sums of values around 0 may differ by their order.
    assert abs(found[0] - above) <= sum(abs(value) < 1e-9 for value in values)


def test_the_change_between_the_halves_by_hand() -> None:
    # Halves of 60 around .05 and .01, ±.01 in turn: with lag 0 each has the variance .0001.
    wave = 0.01 * (-1.0) ** np.arange(120)
    values = np.where(np.arange(120) < 60, 0.05, 0.01) + wave
    found = change(np.insert(values, 30, math.nan), 0)
    assert found is not None
    assert found == (pytest.approx(-0.04), pytest.approx((2 * 0.0001 / 60) ** 0.5))
    assert change(values[1:], 0) is None


@given(shift=st.floats(-1, 1), scale=st.floats(0.1, 3))
def test_the_change_does_not_know_the_level(shift: float, scale: float) -> None:
    values = np.random.default_rng(5).normal(0, 1, 200)
    once, again = change(values, 15), change(shift + scale * values, 15)
    assert once is not None
    assert again == pytest.approx((scale * once[0], scale * once[1]), abs=1e-12)


def test_half_life_by_hand() -> None:
    # From .7 after 2 days to .4 after 5: .5 at two thirds of the way.
    assert half_life({1: 0.9, 2: 0.7, 5: 0.4, 10: 0.6}) == pytest.approx(4)
    # From 1 on the day itself to .2 after one: .5 after 5/8 of it.
    assert half_life({1: 0.2, 5: 0.1}) == pytest.approx(0.625)
    assert half_life({1: 0.9, 20: 0.51, 30: math.nan}) == math.inf
    assert half_life({}) is None
    assert half_life({1: math.nan}) is None


@given(rate=st.floats(0.02, 0.6))
def test_half_life_of_a_geometric_decay(rate: float) -> None:
    found = half_life({day: math.exp(-rate * day) for day in range(1, 60)})
    assert found is not None
    # Measured every day: what is linear between two days lies above the curve by less than its bend, rate²/8.
    assert math.log(2) / rate <= found + 1e-9 <= math.log(2) / rate + rate / 2 + 1e-6


def test_break_even_cost_by_hand() -> None:
    # Two days of +1% and one of 0 over a flat benchmark, .4 bought and sold in all on one side: .02 / .4.
    gross = np.array([[1.0, 1.01, 1.01, 1.01 * 1.01]])
    traded = np.array([[0.6, math.nan, 0.2]])
    assert break_even_cost(gross, np.ones((1, 4)), traded) == pytest.approx(0.02 / 0.4)
    assert break_even_cost(gross, np.ones((1, 4)), np.full((1, 3), math.nan)) is None


@given(cost=st.floats(0, 0.02))
def test_paid_on_every_trade_the_break_even_cost_leaves_nothing(cost: float) -> None:
    random = np.random.default_rng(9)
    traded = np.where(np.arange(40) % 5 == 0, random.uniform(0.2, 0.8, 40), np.nan)
    market = random.normal(0, 0.01, 40)
    # A portfolio that earns `cost` a round trip more than the market on the days that it trades.
    earned = market + np.nan_to_num(traded) / 2 * cost
    gross, benchmark = (np.cumprod(np.r_[1.0, 1 + each])[None] for each in (earned, market))
    assert break_even_cost(gross, benchmark, traded[None]) == pytest.approx(cost, abs=1e-12)
