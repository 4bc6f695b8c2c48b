import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from polygrain.config import load
from polygrain.ensembles.attention import Attention
from polygrain.ensembles.contrastive import Contrastive
from polygrain.ensembles.ensemble import ENSEMBLES, Known, Members
from polygrain.ensembles.mean import Mean, mean
from polygrain.ensembles.tree import Tree
from polygrain.errors import ConfigError
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
nan = np.nan


def known(dates: int = 20, symbols: int = 60, seed: int = 0) -> Known:
    """Two members of which the second is twice as close to the target; some stocks without a score or target."""
    rng = np.random.default_rng(seed)
    y_DS = rng.normal(size=(dates, symbols))
    score_MDS = np.stack([standardise(share * y_DS + rng.normal(size=y_DS.shape)) for share in (0.2, 0.4)])
    score_MDS[:, rng.random(y_DS.shape) < 0.1] = nan
    y_DS[rng.random(y_DS.shape) < 0.1] = nan
    return Known(Members(score_MDS), y_DS)


def test_mean_of_z_scores_by_hand() -> None:
    # (1, 3) → (−1, 1); (10, 30, 50) over the two shared stocks: z = (−1.2247, 0, 1.2247).
    got = mean(Members(np.array([[[1.0, 3.0, nan]], [[10.0, 30.0, 50.0]]])))
    np.testing.assert_allclose(got, [[(-1 - 1.224745) / 2, 0.5, nan]], atol=1e-6)


def test_scale_of_a_member_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 30))
    scaled = mean(Members(np.stack([first * 1000 + 5, second])))
    np.testing.assert_allclose(scaled, mean(Members(np.stack([first, second]))), atol=1e-12)


def test_members_by_place_and_name() -> None:
    granularities = ("day", "60min", "30min")
    assert Mean().chosen(granularities) == granularities
    assert Tree(members=["finest", "coarsest"]).chosen(granularities) == ("day", "30min")
    assert Attention(members=["60min", "coarsest"]).chosen(granularities) == ("day", "60min")
    with pytest.raises(ConfigError, match="no granularity '15min' in this run; choose among day, 60min, 30min, coars"):
        Mean(members=["15min"]).chosen(granularities)


def attention_loss(weight_M: Array, data: Known, equal: float) -> float:
    """The loss by loops over dates, with numpy's own correlation."""
    ics = []
    for day, y_S in enumerate(data.target_DS):
        score_S = sum(w * z for w, z in zip(weight_M, data.members.score_MDS[:, day]))
        there = np.isfinite(score_S) & np.isfinite(y_S)
        ics.append(np.corrcoef(score_S[there], y_S[there])[0, 1])
    return equal * sum((w - 1 / len(weight_M)) ** 2 for w in weight_M) - float(np.mean(ics))


@pytest.mark.parametrize("equal", [0.0, 0.05, 5.0])
def test_attention_finds_the_least_loss(equal: float) -> None:
    data = known()
    weight_M = Attention(equal=equal).weights(data)
    assert weight_M.sum() == pytest.approx(1, abs=1e-12)
    grid = np.linspace(0.001, 0.999, 999)
    best = min(grid, key=lambda w: attention_loss(np.array([w, 1 - w]), data, equal))
    assert weight_M[0] == pytest.approx(best, abs=0.001)  # the grid's step
    # The better member weighs more, unless it is pulled to the middle.
    assert 0.15 < weight_M[0] < 0.45 if equal < 1 else weight_M[0] == pytest.approx(0.5, abs=0.02)


def test_attention_weighs_all_dates_and_stocks_alike() -> None:
    data = known()
    weight_M = Attention().weights(data)
    combined = Attention().rule(data)(data.members)
    np.testing.assert_allclose(combined, np.tensordot(weight_M, data.members.score_MDS, axes=1))


def test_more_columns_do_not_change_a_bit() -> None:
    """Stocks that are listed later are columns without scores and targets."""
    data = known()
    empty = np.full((2, 20, 7), nan)
    wider = Known(
        Members(np.concatenate([data.members.score_MDS, empty], axis=2)),
        np.concatenate([data.target_DS, empty[0]], axis=1),
    )
    for settings in (Attention(), Tree(least_in_leaf=20), Mean()):
        narrow = settings.rule(data)(data.members)
        assert np.array_equal(settings.rule(wider)(wider.members)[:, :60], narrow, equal_nan=True)


def test_trees_learn_what_no_weights_can() -> None:
    """The target is the product of the members, which has no correlation with either."""
    rng = np.random.default_rng(3)
    score_MDS = standardise(rng.normal(size=(80, 200))).reshape(2, 40, 200)
    y_DS = score_MDS[0] * score_MDS[1] + 0.3 * rng.normal(size=(40, 200))
    half = np.arange(40) < 20
    members = Members(score_MDS)
    rule = Tree(least_in_leaf=50).rule(Known(members.at(half), y_DS[half]))
    unseen = rule(members.at(~half))
    assert np.corrcoef(unseen.ravel(), y_DS[~half].ravel())[0, 1] > 0.8
    weighed = Attention().rule(Known(members.at(half), y_DS[half]))(members.at(~half))
    assert abs(np.corrcoef(weighed.ravel(), y_DS[~half].ravel())[0, 1]) < 0.1


def test_a_tree_gives_nothing_where_a_member_is_silent() -> None:
    data = known()
    combined = Tree(least_in_leaf=20).rule(data)(data.members)
    np.testing.assert_array_equal(np.isnan(combined), np.isnan(data.members.score_MDS).any(axis=0))


def test_what_follows_the_validation_dates_changes_nothing() -> None:
    """Rules see the rows they are given: the same rule, other later scores, the same earlier ones."""
    data, later = known(), known(seed=9).members.score_MDS
    for settings in (Attention(), Tree(least_in_leaf=20)):
        rule = settings.rule(data)
        alone = rule(data.members)
        both = rule(Members(np.concatenate([data.members.score_MDS, later], axis=1)))
        assert np.array_equal(both[:20], alone, equal_nan=True)


def test_contrastive_by_hand() -> None:
    # α = softmax(0, ln 3) = (1/4, 3/4): 1/4 · 2 + 3/4 · (−2) = −1; equal agreements: the plain mean.
    members = Members(np.array([[[2.0, 2.0]], [[-2.0, 4.0]]]), np.array([[[0.0, 700.0]], [[math.log(3), 700.0]]]))
    rule = Contrastive().rule(Known(members, np.full((1, 2), nan)))
    np.testing.assert_allclose(rule(members), [[-1.0, 3.0]])


def test_what_an_ensemble_cannot_be_made_of_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ensemble.both.labels: 7 is no label of this run; choose from 5"):
        load(TINY, ["ensemble.both.kind=mean", "ensemble.both.labels=[5, 7]"])
    with pytest.raises(ConfigError, match=r"ensemble.both.labels: .* at least 2"):
        load(TINY, ["ensemble.both.kind=mean", "ensemble.both.labels=[5]"])
    linear = 'network={ linear = { kind = "linear" } }'
    with pytest.raises(ConfigError, match=r"ensemble.sure: no network is one that contrastive can combine"):
        load(TINY, [linear, "ensemble.sure.kind=contrastive"])
    with pytest.raises(ConfigError, match=r"ensemble.ensemble: kind 'sum' is unknown; choose from 'attention', 'contr"):
        load(TINY, ["ensemble.ensemble.kind=sum"])


def test_the_pages_ensembles_are_there() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "networks.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(ensemble\w*) = (\{ kind = .*\})$", page, re.MULTILINE)
    settings = [f"ensemble.{name}={line}" for name, line in lines]
    experiment = load(TINY, ["label.days=[5, 10]", *settings])
    assert {ensemble.kind for ensemble in experiment.ensemble.values()} == set(ENSEMBLES)


def test_the_global_generator_has_no_say() -> None:
    data = known()
    first = Attention().weights(data)
    torch.manual_seed(5)
    assert np.array_equal(Attention().weights(data), first)
