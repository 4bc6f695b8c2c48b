"""Integrated gradients: exact where the network is linear, complete where it is not, and blind to what is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import write

from polygrain.models.linear import Linear
from polygrain.models.network import decode, initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.report.explain import attributions, integrated_gradients


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
    assert {name: values.shape for name, values in found.items()} == {
        name: (task.lookback if panel.step == 1 else task.lookback // panel.step, samples.features[name])
        for name, panel in samples.panels.items()
    }
    np.testing.assert_allclose(sum(values.sum() for values in found.values()), 1, atol=1e-12)
    assert all((values >= 0).all() for values in found.values())


def test_what_reads_the_newest_bar_alone_has_all_shares_on_the_newest_day(tmp_path: Path) -> None:
    samples = write(tmp_path).open()
    module = initialised(Linear(bars=1), samples.features, seed=1)
    shares = attributions(module, samples, [10, 11], stocks=4)["half"]
    assert shares[-1].sum() == pytest.approx(1)
    assert not shares[:-1].any()
