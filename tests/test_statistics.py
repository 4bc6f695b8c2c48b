from datetime import date, timedelta

import numpy as np
import pytest

from polygrain.evaluation import statistics


def test_track_means_by_hand() -> None:
    # Tracks of R = 2: (1, 3) and (−1, 1). Means 2, 0 → 1; std √2, √2 → √2 (n − 1 = 1); wins 1, ½ → ¾.
    assert statistics.track_means(np.array([1, -1, 3, 1.0]), 2) == pytest.approx((1.0, 2**0.5, 0.75))
    # The same with a gap in the calendar and a missing value.
    values = np.array([1, -1, 3, np.nan, 1.0])
    assert statistics.track_means(values, 2, [10, 11, 12, 13, 15]) == pytest.approx((1.0, 2**0.5, 0.75))
    # One value a track has no standard deviation.
    assert np.isnan(statistics.track_means(np.array([1.0, 2.0]), 2).std)
    assert np.isnan(statistics.track_means(np.array([np.nan]), 5)).all()


def test_icir() -> None:
    assert statistics.icir(0.1, 0.1, 5) == pytest.approx(52**0.5)
    assert np.isnan(statistics.icir(0.1, 0.0, 5))


def test_newey_west_by_hand() -> None:
    # x = 1, 2, 3, 2: mean 2; γ₀ = 2/4; γ₁ = (0 + 0 + 0)/4 = 0; lag 2: γ₂ = (−1 · 1 + 0)/4, weight 1/3
    # variance = .5 + 2 · ⅓ · (−¼) = ⅓; se = √(⅓ / 4)
    mean, error = statistics.newey_west(np.array([1, 2, np.nan, 3, 2.0]), 2)
    assert mean == 2.0
    assert error == pytest.approx((1 / 12) ** 0.5, rel=1e-12)


def test_newey_west_of_lag_0_is_the_plain_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=300)
    assert statistics.newey_west(x, 0)[1] == pytest.approx(x.std() / 300**0.5, rel=1e-12)


def test_newey_west_equals_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    for n, lag in ((2, 15), (10, 15), (200, 15), (200, 30)):
        x = np.convolve(generator.normal(size=n + 4), np.ones(5), mode="valid").tolist()
        mean = sum(x) / n
        total = 0.0
        for s in range(n):
            for t in range(n):
                total += max(0.0, 1 - abs(s - t) / (lag + 1)) * (x[s] - mean) * (x[t] - mean)
        assert statistics.newey_west(np.array(x), lag) == pytest.approx((mean, total**0.5 / n), rel=1e-9)


def test_newey_west_without_enough_values() -> None:
    assert np.isnan(statistics.newey_west(np.array([np.nan]), 5)).all()
    mean, error = statistics.newey_west(np.array([3.0]), 5)
    assert mean == 3.0
    assert np.isnan(error)


def test_paired_difference_uses_common_dates() -> None:
    ours, theirs = np.array([3, np.nan, 5, 6.0]), np.array([1, 1, np.nan, 2.0])
    mean, error = statistics.paired_difference(ours, theirs, 0)
    assert (mean, error) == (3.0, pytest.approx(0.5**0.5))


def test_annualised_excess() -> None:
    # 242 returns: (1.21 − 1) − (1.1 − 1) = .11 in one track and 0 in the other.
    nav, base = np.ones((2, 243)), np.ones((2, 243))
    nav[0, -1], base[0, -1] = 1.21, 1.1
    assert statistics.annualised_excess(nav, base) == pytest.approx(0.055)
    # 121 returns: 1.21² − 1.1² = .2541
    assert statistics.annualised_excess(nav[:1, 121:], base[:1, 121:]) == pytest.approx(0.2541)
    assert statistics.annualised_excess(nav[:, -121:], base[:, -121:]) is not None
    assert statistics.annualised_excess(nav[:, -120:], base[:, -120:]) is None


def test_years_join_at_the_last_close() -> None:
    # Closes of 2020-12-30, 12-31, 2021-01-01, 01-02: portfolio 1, 1.1, 1.32, 1.21; benchmark 1, 1, 1.1, 1.
    days = [date(2020, 12, 30) + timedelta(i) for i in range(4)]
    nav, base = np.array([[1, 1.1, 1.32, 1.21]]), np.array([[1, 1, 1.1, 1.0]])
    assert statistics.year_spans(days) == {2020: slice(0, 2), 2021: slice(1, 4)}
    assert statistics.year_spans(days[1:]) == {2021: slice(0, 3)}
    for span in (slice(0, 2), slice(1, 4)):
        assert statistics.period_excess(nav[:, span], base[:, span]) == pytest.approx(0.1)
    assert statistics.period_excess(nav, base) == pytest.approx(0.21)


def test_excess_error_by_hand() -> None:
    # Daily r_p .1 0 .3 and r_b 0: two tracks of which one stands still halve them: .05 0 .15, mean 1/15.
    # Lag 0: variance (.05² + .15²)/3 − (1/15)² = .0038889, over 3 days √(.0012963) = .0360041.
    nav = np.array([[1, 1.1, 1.1, 1.43], [1, 1, 1, 1.0]])
    days, error = statistics.excess_error(nav, np.ones((2, 4)), 0)
    assert (days, error) == (3, pytest.approx(0.0360041, abs=1e-7))
    # Equal to newey_west of the plain daily differences, whatever the benchmark does.
    assert statistics.excess_error(nav * 7, nav, 2) == (3, pytest.approx(0.0))


def test_max_drawdown() -> None:
    assert statistics.max_drawdown(np.array([[1, 2, 1.5, 3, 2.4], [1, 2, 3, 4, 5]])) == pytest.approx(0.125)
