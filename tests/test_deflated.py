import numpy as np
import pytest
from scipy import integrate, stats

from polygrain.evaluation.deflated import (
    Sharpe,
    deflated_mean,
    deflated_sharpe,
    expected_maximum,
    probabilistic_sharpe,
    sharpe,
)
from polygrain.evaluation.statistics import newey_west


def test_expected_maximum_by_hand() -> None:
    assert expected_maximum(1) == 0
    # N = 10: .4227843 · Φ⁻¹(.9) + .5772157 · Φ⁻¹(1 − .0367879) = .4227843 · 1.2815516 + .5772157 · 1.7892
    assert expected_maximum(10) == pytest.approx(0.4227843 * 1.2815516 + 0.5772157 * 1.7892, abs=2e-4)


@pytest.mark.parametrize(("trials", "rel"), [(2, 0.08), (3, 0.026), (5, 0.026), (50, 0.013), (1000, 0.005)])
def test_expected_maximum_against_the_integral(trials: int, rel: float) -> None:
    # E[max] = ∫ x N φ(x) Φ(x)^(N−1) dx; the tolerance is the approximation's own error, which its docstring states.
    exact, _ = integrate.quad(
        lambda x: x * trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (trials - 1), -10, 12, limit=200
    )
    assert expected_maximum(trials) == pytest.approx(exact, rel=rel)


def test_sharpe_by_hand() -> None:
    # .01, 0, .02, .05: mean .02; deviations −.01, −.02, 0, .03; squares 1, 4, 0, 9 (e−4), sum 14e−4.
    # std = √(14e−4/3); m₂ = 3.5e−4; m₃ = (−1 − 8 + 27)e−6/4 = 4.5e−6; m₄ = (1 + 16 + 81)e−8/4 = 24.5e−8
    expected = (0.02 / (14e-4 / 3) ** 0.5, 4, 4.5e-6 / 3.5e-4**1.5, 24.5e-8 / 3.5e-4**2)
    assert sharpe(np.array([0.01, np.nan, 0.0, 0.02, 0.05])) == pytest.approx(expected, rel=1e-12)


def test_sharpe_equals_scipy() -> None:
    x = np.random.default_rng(0).standard_t(5, size=400) / 100
    found = sharpe(x)
    assert found.skewness == pytest.approx(stats.skew(x), rel=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(x, fisher=False), rel=1e-10)


def test_undefined_sharpe() -> None:
    for returns in (np.array([0.1]), np.full(10, 0.1), np.array([])):
        found = sharpe(returns)
        assert np.isnan(found.ratio)
        assert np.isnan(probabilistic_sharpe(found, 0.0))


def test_the_papers_example() -> None:
    # Bailey and López de Prado (2014), the numerical example: annual 2.5 over 1,250 days of 250 a year, skewness −3,
    # kurtosis 10, annual variance over trials ½: the bar is .1132, DSR .9004 for N = 100 and .9505 for N = 46; of
    # normal returns N = 88 gives .9505. Printed to four digits.
    found, deviation = Sharpe(2.5 / 250**0.5, 1250, -3.0, 10.0), (0.5 / 250) ** 0.5
    assert deviation * expected_maximum(100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(found, 100, deviation) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(found, 46, deviation) == pytest.approx(0.9505, abs=5e-5)
    normal = found._replace(skewness=0.0, kurtosis=3.0)
    assert deflated_sharpe(normal, 88, deviation) == pytest.approx(0.9505, abs=5e-5)
    # One trial is not deflated.
    assert deflated_sharpe(found, 1, deviation) == probabilistic_sharpe(found, 0.0)


def test_probabilistic_sharpe_is_calibrated() -> None:
    # Skewed returns whose true ratio is .1: confidence in more than .1 must be even between 0 and 1.
    generator = np.random.default_rng(7)
    returns = generator.gamma(4, size=(1500, 500))
    returns = 0.1 - (returns - 4) / 2  # skewness −1, kurtosis 4.5
    confidence = [probabilistic_sharpe(sharpe(row), 0.1) for row in returns]
    # 1,500 shares have an error of 1.3% at the most, and the normal approximation one of about 1/√500 · ¼.
    for level in (0.05, 0.5, 0.95):
        assert np.mean(np.array(confidence) < level) == pytest.approx(level, abs=0.03)
    # Without the moments the error would be too small: √(1 + .1 + 3.5/4 · .01) against √(1 + .1²/2).
    naive = [probabilistic_sharpe(sharpe(row)._replace(skewness=0, kurtosis=3), 0.1) for row in returns]
    assert np.mean(np.array(naive) < 0.05) > np.mean(np.array(confidence) < 0.05)


def test_deflated_mean_by_hand() -> None:
    # 1, 3, 1, 3 at lag 0: mean 2, se √(1/4) = .5, t = 4; N = 3: 1 − (1 − 3.1671e−5)³ = 9.5011e−5
    x = np.array([1, np.nan, 3, 1, 3.0])
    t, deflated_t, p_value = deflated_mean(x, 0, 3)
    assert t == pytest.approx(4, rel=1e-12)
    assert deflated_t == pytest.approx(4 - expected_maximum(3), rel=1e-12)
    assert p_value == pytest.approx(9.5011e-5, rel=1e-4)
    # The configuration at hand is one, whatever was counted before it.
    assert deflated_mean(x, 0, 0) == deflated_mean(x, 0, 1) == pytest.approx((4, 4, 3.1671e-5), rel=1e-4)


def test_deflated_p_value_against_plain_arithmetic() -> None:
    x = np.random.default_rng(2).normal(0.02, 0.1, size=300)
    mean, error = newey_west(x, 15)
    for trials in (1, 2, 40):
        expected = 1 - stats.norm.cdf(mean / error) ** trials
        assert deflated_mean(x, 15, trials).p_value == pytest.approx(expected, rel=1e-9)
        # A mean below 0 is worse than chance, the more so with trials.
        assert deflated_mean(-x, 15, trials).p_value == pytest.approx(1 - stats.norm.cdf(-mean / error) ** trials)
    # Far out, where Φ(t) rounds to 1: N times the tail.
    far = np.tile([0.9, 1.1], 100)
    t, _, p_value = deflated_mean(far, 15, 12)
    assert t > 9
    assert p_value == pytest.approx(12 * stats.norm.sf(t), rel=1e-9, abs=1e-320)
    assert np.isnan(deflated_mean(np.ones(30), 15, 12)).all()
    assert np.isnan(deflated_mean(np.array([1.0]), 15, 12)).all()


def test_the_best_of_worthless_configurations_is_found_out() -> None:
    # 20 null series of 400 dates, 600 times; the best t is deflated. Its p must be even, 5% below .05, its deflated t 0
    # on average. Undeflated, the best of 20 passes 5% in 1 − .95²⁰ = 64% of the markets.
    generator = np.random.default_rng(9)
    runs, trials = 600, 20
    found, alone = [], []
    for _ in range(runs):
        series = generator.normal(size=(trials, 400))
        best = series[series.mean(axis=1).argmax()]
        found.append(deflated_mean(best, 0, trials))
        alone.append(deflated_mean(best, 0, 1).p_value)
    p_values = np.array([each.p_value for each in found])
    # 600 shares have errors of .9% at 5% and 2% at 50%.
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values < 0.5) == pytest.approx(0.5, abs=0.07)
    assert np.mean(np.array(alone) < 0.05) == pytest.approx(1 - 0.95**20, abs=0.07)
    # The best t has a standard deviation of .53: an error of .02, and the formula is 1.8% of 1.87 high.
    assert np.mean([each.deflated_t for each in found]) == pytest.approx(-0.034, abs=0.08)
