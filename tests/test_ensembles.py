import numpy as np
import pytest

from polygrain.ensembles import Mean, mean
from polygrain.errors import ConfigError

nan = np.nan


def test_mean_of_z_scores_by_hand() -> None:
    # (1, 3) → (−1, 1); (10, 30, 50) over the two shared stocks: z = (−1.2247, 0, 1.2247).
    got = mean([np.array([[1.0, 3.0, nan]]), np.array([[10.0, 30.0, 50.0]])])
    np.testing.assert_allclose(got, [[(-1 - 1.224745) / 2, 0.5, nan]], atol=1e-6)


def test_scale_of_a_member_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 30))
    np.testing.assert_allclose(mean([first * 1000 + 5, second]), mean([first, second]), atol=1e-12)


def test_members_by_place_and_name() -> None:
    granularities = ("day", "60min", "30min")
    assert Mean().chosen(granularities) == granularities
    assert Mean(members=["finest", "coarsest"]).chosen(granularities) == ("day", "30min")
    assert Mean(members=["60min", "coarsest"]).chosen(granularities) == ("day", "60min")
    scores = {name: np.array([[1.0, 2.0, 4.0]]) ** (n + 1) for n, name in enumerate(granularities)}
    both = Mean(members=["coarsest", "finest"]).combine(scores)
    np.testing.assert_array_equal(both, mean([scores["day"], scores["30min"]]))
    with pytest.raises(ConfigError, match="no granularity '15min' in this run; choose among day, 60min, 30min, coars"):
        Mean(members=["15min"]).chosen(granularities)
