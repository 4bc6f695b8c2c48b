import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.evaluation.bootstrap import DRAWS, mean_interval
from polygrain.evaluation.statistics import newey_west


def _overlapping(generator: np.random.Generator, n: int, days: int = 5) -> np.ndarray:
    """Moving sums of white noise: what Rank ICs of `days`-day returns look like, mean 0."""
    return np.convolve(generator.normal(size=n + days - 1), np.ones(days), mode="valid")


def test_by_hand() -> None:
    # 1, 2, 3, 6 and blocks of 2: runs 12, 23, 36, 61 with sums 3, 5, 9, 7. The mean of two of them, drawn with equal
    # chances, is (3 … 9 + 3 … 9)/4: 1.5 has a chance of 1/16, 4.5 too, so that 2.5% and 97.5% lie on them.
    assert mean_interval(np.array([1, 2, np.nan, 3, 6.0]), 2, seed=0) == (3.0, 1.5, 4.5)
    # A constant has one mean; what is not finite is left out on either side.
    assert mean_interval(np.array([2, 2, np.nan, 2, 2.0]), 2, seed=0) == (2, 2, 2)


def test_equals_a_plain_loop() -> None:
    x = _overlapping(np.random.default_rng(3), 53)
    n, block, means = 53, 15, []
    for starts in np.random.default_rng(8).integers(0, n, size=(DRAWS, 4)).tolist():
        # The first start of a draw is that of the short run: 53 = 3 · 15 + 8.
        picked = [(starts[0] + i) % n for i in range(8)] + [(s + i) % n for s in starts[1:] for i in range(15)]
        means.append(sum(x[i] for i in picked) / n)
    expected = (x.mean(), *np.quantile(means, [0.025, 0.975]))
    # Sums of 53 numbers near 1, in another order.
    assert mean_interval(x, block, seed=8) == pytest.approx(expected, abs=1e-13)


def test_its_variance_is_newey_wests_of_the_circular_series() -> None:
    x = _overlapping(np.random.default_rng(4), 600)
    n, block = 600, 15
    centred = (x - x.mean()).tolist()
    variance = 0.0
    for step in range(-block + 1, block):
        gamma = sum(centred[t] * centred[(t + step) % n] for t in range(n)) / n
        variance += (1 - abs(step) / block) * gamma / n
    # The circle closes at one place only: the plain series' Newey-West error is the same to a few percent.
    assert newey_west(x, block - 1)[1] == pytest.approx(variance**0.5, rel=0.05)
    _, low, high = mean_interval(x, block, seed=1)
    # 40 blocks make a nearly normal mean; a quantile of 10,000 draws has an error of 2.7% of σ, the width one of 1%.
    assert (high - low) / (2 * 1.959964) == pytest.approx(variance**0.5, rel=0.04)


def _coverage(runs: int, block: int) -> float:
    generator, covered = np.random.default_rng(11), 0
    for seed in range(runs):
        _, low, high = mean_interval(_overlapping(generator, 500), block, seed)
        covered += low <= 0 <= high
    return covered / runs


def test_the_interval_covers_the_true_mean() -> None:
    # 95% meant; weights that fall with the distance lose 11% of the variance of 5-day sums and 33 blocks some more:
    # 92% expected, and 250 runs have an error of 1.7%.
    assert _coverage(250, 15) == pytest.approx(0.92, abs=0.05)
    # Blocks of two days see 1.8 of the variance's 5: 1.96 √.36 = 1.18 standard errors, 76%; 100 runs, error 4.3%.
    assert _coverage(100, 2) == pytest.approx(0.76, abs=0.12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0.1, 10))
def test_moves_and_scales_with_the_series(seed: int, shift: float, scale: float) -> None:
    x = _overlapping(np.random.default_rng(seed), 60)
    interval = mean_interval(x, 15, seed)
    assert interval == mean_interval(x, 15, seed)
    assert interval.low <= interval.high
    expected = [shift + scale * value for value in interval]
    # Rounding of sums of 60 numbers below 200.
    assert mean_interval(shift + scale * x, 15, seed) == pytest.approx(expected, abs=1e-11)


def test_no_interval_without_two_blocks() -> None:
    x = np.arange(29.0)
    assert np.isfinite(mean_interval(np.append(x, 29), 15, seed=0)).all()
    mean, low, high = mean_interval(x, 15, seed=0)
    assert mean == 14
    assert np.isnan([low, high]).all()
    assert np.isnan(mean_interval(np.array([np.nan]), 15, seed=0)).all()
