"""Factor returns and the attribution of an excess: by hand, against constrained least squares, and their laws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.errors import DataError
from polygrain.portfolio.attribution import attributed
from polygrain.portfolio.factors import MARKET, Factor, FactorReturns, factor_returns
from polygrain.store.panel import Array

STYLES = ("size", "value", "momentum")
NO_STYLES = np.zeros((0, 4))
SEEDS = st.integers(0, 10**6)


def test_two_industries_by_hand() -> None:
    # Banks (1, 3)%: their own return is 2%; airports (2, 6)%: 4%. Equal weights: the market 3%, so that banks −1%.
    found = factor_returns(
        np.array([0.01, 0.03, 0.02, 0.06]), NO_STYLES, np.array([0, 0, 1, 1]), styles=(), industries=("banks", "air")
    )
    assert found.names == (MARKET, Factor("industry", "banks"), Factor("industry", "air"))
    np.testing.assert_allclose(found.values, [0.03, -0.01, 0.01], atol=1e-17)
    np.testing.assert_allclose(found.residual_S, [-0.01, 0.01, -0.02, 0.02], atol=1e-17)
    # a = (.1, −.3, .2, −.1) sums to −.1, which is cash: −.1 · 3%. Banks −.2 · −1%, airports .1 · 1%. Selection
    # (−.1 − .3 − .4 − .2)% = −1%. Together −.3 + .2 + .1 − 1 = −1%, as are .1 − .9 + .4 − .6.
    parts = attributed(np.array([0.1, -0.3, 0.2, -0.1]), found)
    assert parts == pytest.approx(
        {("cash", ""): -0.003, ("industry", "banks"): 0.002, ("industry", "air"): 0.001, ("selection", ""): -0.01},
        abs=1e-17,
    )


def test_market_values_weigh_by_their_roots_in_the_fit_and_in_full_in_the_market() -> None:
    # Values 1, 9, 25, 25: roots 1, 3, 5, 5. Banks (1 + 3·3)/4 = 2.5%, airports 4%. Shares of value 1/6 and 5/6: the
    # market 2.5/6 + 20/6 = 3.75%, banks −1.25%, airports .25%.
    found = factor_returns(
        np.array([0.01, 0.03, 0.02, 0.06]),
        NO_STYLES,
        np.array([0, 0, 1, 1]),
        np.array([1.0, 9, 25, 25]),
        styles=(),
        industries=("banks", "air"),
    )
    np.testing.assert_allclose(found.values, [0.0375, -0.0125, 0.0025], atol=1e-17)


def test_a_style_by_hand() -> None:
    # One industry, exposures −1, −1, 1, 1 and returns 1, 3, 4, 8%: the market is their mean, 4%, and size pays what a
    # unit more has gained, (6 − 2)/2 = 2%.
    found = factor_returns(
        np.array([0.01, 0.03, 0.04, 0.08]),
        np.array([[-1.0, -1, 1, 1]]),
        np.zeros(4, int),
        styles=("size",),
        industries=("all",),
    )
    np.testing.assert_allclose(found.values, [0.04, 0, 0.02], atol=1e-17)
    np.testing.assert_allclose(found.residual_S, [-0.01, 0.01, -0.02, 0.02], atol=1e-17)


@dataclass(frozen=True)
class Day:
    """A random day of some stocks; industry 5 and code −1 may be empty."""

    returns: Array
    styles: Array
    industry: Array
    caps: Array

    @classmethod
    def of(cls, generator: np.random.Generator, stocks: int = 80) -> Day:
        return cls(
            0.02 * generator.standard_normal(stocks),
            generator.standard_normal((3, stocks)),
            generator.integers(-1, 5, stocks),
            generator.exponential(1e10, stocks),
        )

    def taken(self, places: Array) -> Day:
        return Day(self.returns[places], self.styles[:, places], self.industry[places], self.caps[places])

    def regressed(self) -> FactorReturns:
        industries = ("a", "b", "c", "d", "e", "empty")
        return factor_returns(self.returns, self.styles, self.industry, self.caps, styles=STYLES, industries=industries)


def by_elimination(day: Day) -> list[float]:
    """The market's, industries' and styles' returns; the last industry's is put in terms of the others'."""
    codes = sorted(set(day.industry.tolist()), key=lambda code: (code < 0, code))
    value = [float(sum(day.caps[day.industry == code])) for code in codes]
    rows, targets = [], []
    for place in range(len(day.returns)):
        dummies = [float(day.industry[place] == code) for code in codes[:-1]]
        if day.industry[place] == codes[-1]:
            dummies = [-v / value[-1] for v in value[:-1]]
        root = float(day.caps[place]) ** 0.25
        rows.append([root * x for x in [1.0, *dummies, *day.styles[:, place].tolist()]])
        targets.append(root * float(day.returns[place]))
    found = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0].tolist()
    last = -sum(v * f for v, f in zip(value, found[1 : len(codes)])) / value[-1]
    return [*found[: len(codes)], last, *found[len(codes) :]]


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_equals_least_squares_with_the_condition_eliminated(seed: int) -> None:
    day = Day.of(np.random.default_rng(seed))
    # Two ways of rounding, of returns near .02 and a system whose condition is below 1e3.
    np.testing.assert_allclose(day.regressed().values, by_elimination(day), atol=1e-14)


@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_returns_that_factors_made_are_found_again(seed: int) -> None:
    generator = np.random.default_rng(seed)
    day = Day.of(generator)
    planted = day.regressed()
    true = 0.01 * generator.standard_normal(len(planted.names))
    inside = [place for place, name in enumerate(planted.names) if name.source == "industry"]
    share = np.array([day.caps[planted.loadings_FS[place] == 1].sum() for place in inside])
    true[inside] -= share @ true[inside] / share.sum()
    found = Day(true @ planted.loadings_FS, day.styles, day.industry, day.caps).regressed()
    np.testing.assert_allclose(found.values, true, atol=1e-14)
    np.testing.assert_allclose(found.residual_S, 0, atol=1e-14)


@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_returns_are_their_factors_and_the_attribution_adds_up(seed: int) -> None:
    generator = np.random.default_rng(seed)
    day = Day.of(generator)
    day.styles[1, 3:9] = np.nan
    day.caps[5:12] = np.nan
    day.returns[20] = np.nan
    found = day.regressed()
    known = np.isfinite(day.returns)
    whole = found.values @ found.loadings_FS + found.residual_S
    np.testing.assert_allclose(whole[known], day.returns[known], atol=1e-17)
    assert np.isnan(found.residual_S).tolist() == (~known).tolist()
    weights, benchmark = generator.exponential(1, 80), generator.exponential(1, 80)
    weights[20] = benchmark[20] = 0
    active = 0.97 * weights / weights.sum() - benchmark / benchmark.sum()
    parts = attributed(active, found)
    assert sum(parts.values()) == pytest.approx(float(active[known] @ day.returns[known]), abs=1e-15)
    assert parts["cash", ""] == pytest.approx(-0.03 * found.values[0], abs=1e-15)


def test_what_is_missing_keeps_a_stock_out_of_the_fit() -> None:
    day = Day.of(np.random.default_rng(3))
    day.returns[0], day.styles[2, 1], day.caps[2] = np.nan, np.nan, np.nan
    found, without = day.regressed(), day.taken(np.arange(3, 80)).regressed()
    assert found.values.tobytes() == without.values.tobytes()
    # What it loads with all the same: the exposure that it lacks counts as 0.
    assert found.loadings_FS[:, 1].tolist()[-1] == 0
    expected = day.returns[1] - found.values[:-1] @ found.loadings_FS[:-1, 1]
    assert found.residual_S[1] == pytest.approx(expected, abs=1e-17)


def test_what_no_stock_has_is_no_factor() -> None:
    day = Day.of(np.random.default_rng(4))
    gone = Day(day.returns, np.where(np.arange(3)[:, None] == 1, np.nan, day.styles), day.industry, day.caps)
    assert [name.of for name in gone.regressed().names] == ["", "a", "b", "c", "d", "e", "none", "size", "momentum"]
    # Nor is an industry of which no stock is fitted: its stocks' returns are the market's, their styles' and their own.
    day.caps[day.industry == 2] = 0
    found = day.regressed()
    assert Factor("industry", "c") not in found.names
    assert (found.loadings_FS[1:-3, day.industry == 2] == 0).all()


def test_styles_that_are_the_same_share_their_return() -> None:
    day = Day.of(np.random.default_rng(5))
    twice = Day(day.returns, day.styles[[0, 0, 2]], day.industry, day.caps).regressed()
    once = Day(day.returns, np.vstack([day.styles[0], np.full(80, np.nan), day.styles[2]]), day.industry, day.caps)
    np.testing.assert_allclose(twice.values[-3:-1], once.regressed().values[-2] / 2, atol=1e-14)


def test_the_order_of_the_stocks_changes_nothing_but_rounding() -> None:
    generator = np.random.default_rng(6)
    day, order = Day.of(generator), generator.permutation(80)
    np.testing.assert_allclose(day.taken(order).regressed().values, day.regressed().values, atol=1e-15)


def test_refusals_say_what_to_do() -> None:
    day = Day.of(np.random.default_rng(7))
    with pytest.raises(DataError, match=r"no stock has a return, all exposures and a weight; leave the day out"):
        Day(day.returns, day.styles, day.industry, np.zeros(80)).regressed()
    day.returns[2] = np.nan
    with pytest.raises(DataError, match=r"active:2: an active weight of 0.5 and no return that day; give one, 0 while"):
        attributed(np.where(np.arange(80) == 2, 0.5, 0), day.regressed())
