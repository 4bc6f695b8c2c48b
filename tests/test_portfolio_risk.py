"""The risk model: by hand, against plain loops, against a market whose risk is known; it sees nothing later."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date as Day
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_portfolios import context

from polygrain.errors import DataError
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.factors import MARKET, Factor, FactorReturns, factor_returns
from polygrain.portfolio.risk import Risk, estimated_risk
from polygrain.store.panel import Array

STYLES = ("size", "momentum")
START = Day(2023, 10, 2)


def test_tracking_error_by_hand() -> None:
    # Active .1, −.1; exposures 1 and 3 to one factor of variance .04: (.1 − .3)² · .04 = .0016; specific .09 and .16:
    # .01 · .25 = .0025. √.0041.
    risk = Risk((MARKET,), np.array([[0.04]]), np.array([[1.0, 3.0]]), np.array([0.09, 0.16]))
    assert risk.variance(np.array([0.1, -0.1])) == pytest.approx(0.0041, abs=1e-17)
    assert risk.tracking_error(np.array([0.1, -0.1])) == pytest.approx(math.sqrt(0.0041), abs=1e-16)


def market(generator: np.random.Generator, stocks: int, days: int) -> tuple[dict[Day, FactorReturns], DateContext]:
    """Days of simulated returns from 2023-10-02 on, and a date whose day is the last of them but ten."""
    styles = generator.standard_normal((2, stocks))
    industry = generator.integers(-1, 3, stocks)
    own = generator.uniform(0.01, 0.03, stocks)
    history = {}
    for number in range(days):
        returns = 0.01 * generator.standard_normal() + np.array([0.004, 0.002]) * generator.standard_normal(2) @ styles
        returns = returns + own * generator.standard_normal(stocks)
        returns[generator.random(stocks) < 0.1] = np.nan
        history[START + timedelta(number)] = factor_returns(
            returns,
            # Momentum begins late; the industry c has no stocks on some days.
            np.where((np.arange(2)[:, None] == 1) & (number < days // 3), np.nan, styles),
            np.where((industry == 2) & (number % 7 == 0), 1, industry),
            styles=STYLES,
            industries=("a", "b", "c"),
        )
    date = context(np.zeros(stocks), np.full(stocks, 1 / stocks), exposures=styles, styles=STYLES)
    date = replace(date, day=START + timedelta(days - 11), industries=("c", "a", "b"), industry=(industry + 1) % 3)
    return history, replace(date, industry=np.where(industry < 0, -1, date.industry))


def slowly(history: dict[Day, FactorReturns], date: DateContext, half_life: float) -> tuple[list[list[float]], Array]:
    """F and D as the docstring says them, number by number; the symbols are those of the history, in its order."""
    days = sorted(day for day in history if day <= date.day)
    weight = [0.5 ** ((len(days) - 1 - t) / half_life) for t in range(len(days))]
    total = sum(weight)
    weight = [w / total for w in weight]
    tables = [dict(zip(history[day].names, history[day].values)) for day in days]
    names = [name for name in history[days[-1]].names if sum(name in table for table in tables) >= 20]
    deviation, z = {}, {}
    for name in names:
        mine = [(w, table[name]) for w, table in zip(weight, tables) if name in table]
        mass = sum(w for w, _ in mine)
        mean = sum(w * f for w, f in mine) / mass
        variance = sum(w * (f - mean) ** 2 for w, f in mine) / mass
        deviation[name] = math.sqrt(variance / (1 - sum((w / mass) ** 2 for w, _ in mine)))
        z[name] = [(table[name] - mean) / math.sqrt(variance) if name in table else 0.0 for table in tables]
    concentration = sum(w * w for w in weight)
    rho, errors, squares = {}, 0.0, 0.0
    for one in names:
        for two in names:
            products = [a * b for a, b in zip(z[one], z[two])]
            rho[one, two] = sum(w * p for w, p in zip(weight, products))
            if one != two:
                spread = sum(w * (p - rho[one, two]) ** 2 for w, p in zip(weight, products))
                # Where days are missing the weights still sum to 1: those days' products are 0.
                errors += spread * concentration / (1 - concentration)
                squares += rho[one, two] ** 2
    kept = 1 - min(1.0, errors / squares)
    f = [[242 * deviation[a] * deviation[b] * (1.0 if a == b else kept * rho[a, b]) for b in names] for a in names]
    size = date.exposures[0].tolist()
    groups = max(1, min(10, len(size) // 20))
    edges = [float(np.quantile(size, g / groups)) for g in range(1, groups)]
    group = [sum(s >= edge for edge in edges) for s in size]
    squared = [[(w, float(history[d].residual_S[i]) ** 2) for w, d in zip(weight, days)] for i in range(len(size))]
    squared = [[(w, e) for w, e in one if math.isfinite(e)] for one in squared]
    like = {}
    for g in set(group):
        pooled = [pair for i, one in enumerate(squared) if group[i] == g for pair in one]
        like[g] = sum(w * e for w, e in pooled) / sum(w for w, _ in pooled)
    d = []
    for i, one in enumerate(squared):
        mass = sum(w for w, _ in one)
        own = sum(w * e for w, e in one) / mass if one else 0.0
        effective = mass / concentration
        d.append(242 * (effective * own + 60 * like[group[i]]) / (effective + 60))
    return f, np.array(d)


@given(seed=st.integers(0, 10**6), half_life=st.sampled_from([15.0, 60.0, 500.0]))
@settings(max_examples=15, deadline=None)
def test_equals_plain_loops(seed: int, half_life: float) -> None:
    history, date = market(np.random.default_rng(seed), 60, 90)
    found = estimated_risk(history, date.symbols, date, half_life=half_life)
    f, d = slowly(history, date, half_life)
    np.testing.assert_allclose(found.covariance_KK, f, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.specific_n, d, rtol=1e-12)
    assert np.linalg.eigvalsh(found.covariance_KK).min() > 0
    # By name: the date numbers the industries in another way than the history.
    of_c = found.exposures[found.factors.index(Factor("industry", "c"))]
    assert of_c.tolist() == (date.industry == 0).tolist()


def test_sees_nothing_after_the_date_and_nothing_of_the_stocks_order() -> None:
    history, date = market(np.random.default_rng(1), 60, 90)
    found = estimated_risk(history, date.symbols, date)
    past = {day: one for day, one in history.items() if day <= date.day}
    assert len(past) == len(history) - 10
    alone = estimated_risk(past, date.symbols, date)
    for one, two in ((found.covariance_KK, alone.covariance_KK), (found.specific_n, alone.specific_n)):
        assert one.tobytes() == two.tobytes()
    order = np.random.default_rng(2).permutation(60)
    shuffled, taken = estimated_risk(history, date.symbols, date.taken(order)), found.taken(order)
    assert shuffled.exposures.tobytes() == taken.exposures.tobytes()
    # Sums over the stocks of a group are made in another order.
    np.testing.assert_allclose(shuffled.specific_n, taken.specific_n, rtol=1e-14)


def test_a_stock_without_history_has_the_mean_of_those_of_like_size() -> None:
    history, date = market(np.random.default_rng(3), 60, 90)
    unknown = estimated_risk(history, ("x", *date.symbols[1:]), date).specific_n
    for one in history.values():
        one.residual_S[0] = np.nan
    np.testing.assert_allclose(unknown, slowly(history, date, 120)[1], rtol=1e-12)


def test_young_factors_are_left_out_and_short_histories_refused() -> None:
    history, date = market(np.random.default_rng(4), 60, 90)
    for young, there in ((20, True), (19, False)):
        first = date.day - timedelta(young - 1)
        late = {day: one if day >= first else without(one, "momentum") for day, one in history.items()}
        found = estimated_risk(late, date.symbols, date)
        assert (Factor("style", "momentum") in found.factors) == there
        assert len(found.exposures) == len(found.covariance_KK) == len(found.factors)
    early = replace(date, day=START + timedelta(58))
    with pytest.raises(DataError) as refused:
        estimated_risk(history, date.symbols, early)
    assert str(refused.value) == (
        "2023-11-29: 59 days of factor returns up to this one; a risk model needs 60, start later"
    )


def without(one: FactorReturns, style: str) -> FactorReturns:
    keep = [place for place, name in enumerate(one.names) if name.of != style]
    return replace(one, names=tuple(one.names[place] for place in keep), values=one.values[keep])


def test_foresees_the_tracking_error_of_a_simulated_market() -> None:
    """300 days of a factor of 20% a year and stocks of 30% of their own: each variance to its own sampling error."""
    generator = np.random.default_rng(8)
    stocks, days = 200, 300
    exposure = generator.standard_normal(stocks)
    history = {}
    for number in range(days):
        returns = 0.2 / math.sqrt(242) * generator.standard_normal() * exposure
        returns = returns + 0.3 / math.sqrt(242) * generator.standard_normal(stocks)
        history[START + timedelta(number)] = factor_returns(
            returns, exposure[None], np.zeros(stocks, int), styles=("size",), industries=("all",)
        )
    date = context(np.zeros(stocks), np.full(stocks, 1 / stocks), exposures=exposure[None], styles=("size",))
    date = replace(date, day=START + timedelta(days), industries=("all",))
    found = estimated_risk(history, date.symbols, date, half_life=10_000)
    active = generator.standard_normal(stocks) / stocks
    active -= active.mean()
    true = math.sqrt(0.04 * (active @ exposure) ** 2 + 0.09 * active @ active)
    # A variance of 300 days is known to √(2/300) = 8%, three of which are 12% of the deviation.
    assert found.tracking_error(active) == pytest.approx(true, rel=0.12)
    # The mean specific variance rests on 60,000 residuals: √(2/60,000) = .6%; 2 of 200 degrees a day are the fit's.
    assert found.specific_n.mean() == pytest.approx(0.09 * 198 / 200, rel=0.02)
