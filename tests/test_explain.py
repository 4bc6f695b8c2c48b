"""Integrated gradients: exact where the network is linear, complete where it is not, and blind to what is not read; and
the stage that writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_data import FEATURES, write

from polygrain.compute import Pool
from polygrain.models.boosted import Boosted
from polygrain.models.linear import Linear
from polygrain.models.network import Prediction, decode, initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.pipeline.explaining import SCHEMA, explicable, left_out, shares
from polygrain.progress import Lines
from polygrain.report.explain import attributions, integrated_gradients
from polygrain.training.checkpoint import save_tensors
from polygrain.training.walk_forward import TrainTask


def test_a_linear_network_by_hand() -> None:
    module = initialised(Linear(bars=2), {"day": 2}, seed=0)
    with torch.no_grad():
        module.weigh.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 0.5]]))
    # One stock, three steps, two features: IG = weight · value, and 0 for the step that is not read.
    x_LSF = torch.tensor([[[9.0, 9.0]], [[2.0, 1.0]], [[-1.0, 4.0]]])
    found_LSF = integrated_gradients(module, {"day": x_LSF})["day"]
    torch.testing.assert_close(found_LSF[:, 0], torch.tensor([[0.0, 0.0], [2.0, -2.0], [-3.0, 2.0]]))


def test_they_add_up_to_the_score_less_the_baselines() -> None:
    encoder = Recurrent(hidden=6, direction="bidirectional", pooling="attention")
    module = initialised(Single(encoder=encoder), {"day": 3}, seed=1).eval()
    x_LSF = torch.randn(8, 50, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        moved_S = module({"day": x_LSF}).score_S - module({"day": torch.zeros_like(x_LSF)}).score_S
    found_S = integrated_gradients(module, {"day": x_LSF}, points=64)["day"].sum(dim=(0, 2))
    # The head's ReLUs have kinks, each of which costs up to half of one of 64 steps of what it lets through.
    torch.testing.assert_close(found_S, moved_S, rtol=0, atol=0.03 * float(moved_S.std()))


def test_shares_add_up_to_one(tmp_path: Path) -> None:
    task = write(tmp_path)
    samples = task.open()
    module = initialised(decode(task.network), samples.features, task.seed)
    days = task.fold.test[:3]
    found = attributions(module, samples, days, stocks=4)
    assert found is not None
    assert {name: values.shape for name, values in found.items()} == {
        name: (task.lookback if panel.step == 1 else task.lookback // panel.step, samples.features[name])
        for name, panel in samples.panels.items()
    }
    np.testing.assert_allclose(sum(values.sum() for values in found.values()), 1, atol=1e-12)
    assert all((values >= 0).all() for values in found.values())


def test_what_reads_the_newest_bar_alone_has_all_shares_on_the_newest_day(tmp_path: Path) -> None:
    samples = write(tmp_path).open()
    module = initialised(Linear(bars=1), samples.features, seed=1)
    found = attributions(module, samples, [10, 11], stocks=4)
    assert found is not None
    assert found["half"][-1].sum() == pytest.approx(1)
    assert not found["half"][:-1].any()


class Careless(nn.Module):
    """Reads one of two granularities, and writes into it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        return Prediction(score_S=x["day"].mul_(self.weight).sum(dim=(0, 2)))


def test_a_network_may_write_into_what_it_reads_and_leave_a_granularity_out() -> None:
    x_LSF = torch.arange(6.0).view(3, 2, 1)
    found = integrated_gradients(Careless(), {"day": x_LSF, "60min": x_LSF})
    torch.testing.assert_close(found["day"], 2 * torch.arange(6.0).view(3, 2, 1))
    assert not found["60min"].any()


class Unwilling(Careless):
    """Lets no gradient through while it scores."""

    @torch.no_grad()
    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        return super().forward(x)


def test_without_a_gradient_there_are_no_shares(tmp_path: Path) -> None:
    x_LSF = torch.ones(3, 2, 1)
    assert not integrated_gradients(Unwilling(), {"day": x_LSF})["day"].any()
    samples = write(tmp_path).open()
    assert attributions(constant(samples.features), samples, [10, 11], stocks=4) is None


def constant(features: Mapping[str, int]) -> nn.Module:
    module = initialised(Linear(bars=1), features, seed=1)
    with torch.no_grad():
        module.weigh.weight.zero_()
    return module


def linear(folder: Path, weights: list[float], model: str = "half_linear") -> TrainTask:
    """A fitted task whose score is `weights` · the features of the newest two bars."""
    task = write(folder)
    network = Linear(bars=2).model_dump_json()
    task = TrainTask.model_validate(task.model_dump() | {"network": network, "model": model})
    module = initialised(Linear(bars=2), {"half": FEATURES}, seed=1)
    with torch.no_grad():
        module.weigh.weight.copy_(torch.tensor([weights]))
    save_tensors(task.model_file, module.state_dict(), "")
    return task


def test_the_stage_of_a_linear_network_by_hand(tmp_path: Path) -> None:
    weights = [1.0, -2.0, 0.0, 3.0, 0.5, 0.0]
    task = linear(tmp_path, weights)
    rows = shares([task], {"half": ("a", "b", "c")}, Pool(1), Lines(io.StringIO()))
    assert rows.schema == SCHEMA
    # Both bars are of the newest day. All test dates and all of their stocks are looked at: fewer than the limits.
    panel, members = np.load(tmp_path / "panel.npy"), np.load(tmp_path / "members.npy")
    sizes = dict.fromkeys("abc", 0.0)
    for day in task.fold.test:
        stocks = [stock for stock in range(members.shape[1]) if members[day, stock]]
        for number, name in enumerate("abc"):
            moved = [
                weights[number] * panel[2 * day, stock, number]
                + weights[3 + number] * panel[2 * day + 1, stock, number]
                for stock in stocks
            ]
            sizes[name] += sum(map(abs, moved)) / len(moved)
    found = {(name, back): share for name, back, share in rows.select("feature", "days_back", "share").iter_rows()}
    assert list(found) == [(name, back) for name in "abc" for back in range(task.lookback)]
    for (name, back), share in found.items():
        assert share == pytest.approx(0 if back else sizes[name] / sum(sizes.values()), rel=1e-5)


def test_what_is_explained_and_what_is_named(tmp_path: Path) -> None:
    first = linear(tmp_path, [0.0] * 6)
    kinds = {"half_linear": first.network, "half_gbdt": Boosted().model_dump_json()}
    found = [
        TrainTask.model_validate(
            first.model_dump()
            | {"model": model, "network": network, "seed": seed, "label_days": label}
            | {"fold": first.fold.model_dump() | {"number": number}}
        )
        for label in (5, 10)
        for model, network in kinds.items()
        for number in (0, 1)
        for seed in (3, 1)
    ]
    assert [task.name for task in explicable(found)] == ["half_linear-5d-f1-s3", "half_linear-10d-f1-s3"]
    rows = shares([first], {"half": ("a", "b", "c")}, Pool(1), Lines(io.StringIO()))
    assert rows.is_empty()
    assert [text.en for text in left_out(found, rows)] == [
        "Where the scores come from is not said of half_gbdt: not fitted by gradients.",
        "Where the scores come from is not said of half_linear (5 days), half_linear (10 days): no gradient says how "
        "the scores move.",
    ]
