"""The critic of contrastive ensembles: what it expects, from which bars, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
import training_data

from polygrain.models.network import decode, initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single, SingleModule
from polygrain.samples.windows import Samples
from polygrain.training.critic import Critic
from polygrain.training.walk_forward import agreements, read_predictions, train

BIAGRU = Single(encoder=Recurrent(hidden=4, direction="bidirectional", pooling="attention"))


def made(folder: Path, network: Single = BIAGRU) -> tuple[SingleModule, Samples]:
    task = training_data.write(folder).model_copy(update={"network": network.model_dump_json()})
    samples = task.open()
    module = initialised(decode(task.network), samples.features, seed=3)
    assert isinstance(module, SingleModule)
    return module, samples


def test_agreement_by_loops(tmp_path: Path) -> None:
    module, samples = made(tmp_path)
    critic = Critic(module, samples)
    torch.nn.init.normal_(critic.expect.weight, generator=torch.Generator().manual_seed(1))
    symbols = samples.scored(7)
    found = critic.agreement(7, symbols, chunk=5)
    x_LSF = samples.x(7, symbols)["half"].clone()
    with torch.no_grad():
        c_SW = module.encoder(x_LSF[:-1])
    for s in range(len(symbols)):
        by_hand = sum(
            (x_LSF[-1, s, f] * critic.expect.weight[f, w] * c_SW[s, w]).item()
            for f in range(x_LSF.shape[2])
            for w in range(c_SW.shape[1])
        )
        assert found[s].item() == pytest.approx(by_hand, abs=1e-5)


def test_a_stock_stands_alone(tmp_path: Path) -> None:
    module, samples = made(tmp_path)
    critic = Critic(module, samples)
    critic.fit(range(20, 25), seed=1)
    symbols = samples.scored(7)
    whole = critic.agreement(7, symbols, chunk=1000)
    torch.testing.assert_close(critic.agreement(7, symbols, chunk=3), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(critic.agreement(7, symbols[[4, 1]], chunk=3), whole[[4, 1]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("foretold", [True, False])
def test_it_learns_what_bars_foretell(tmp_path: Path, foretold: bool) -> None:
    """A stock's bars are all the same, or nothing foretells them."""
    task = training_data.write(tmp_path)
    rng = np.random.default_rng(0)
    bars = rng.standard_normal((1 if foretold else 60, training_data.SYMBOLS, 3)).astype(np.float32)
    np.save(tmp_path / "panel.npy", np.broadcast_to(bars, (60, training_data.SYMBOLS, 3)))
    samples = task.open()
    module = initialised(Single(encoder=Recurrent(hidden=16)), samples.features, seed=3)
    assert isinstance(module, SingleModule)
    critic = Critic(module, samples)
    critic.fit(range(5, 25), seed=1)
    shares = []
    for day in range(25, 30):
        bar_SF, expected_SF = critic.pair(day, samples.scored(day))
        logits_SS = expected_SF @ bar_SF.T
        shares.append((logits_SS.diagonal()[:, None] > logits_SS).float().mean().item())
    # The share of other stocks' bars that look less expected than a stock's own: half of them by chance, give or take
    # what five dates of 36 stocks can be off.
    assert np.mean(shares) > 0.8 if foretold else 0.35 < np.mean(shares) < 0.6


def test_predictions_hold_agreements_where_they_are_asked_for(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    train(task)
    assert read_predictions(task.predictions_file).agreement is None
    asked = task.model_copy(update={"critic": True})
    assert not train(asked).fitted  # the model is kept, its predictions are made again
    found = read_predictions(task.predictions_file)
    assert found.agreement is not None
    np.testing.assert_array_equal(np.isnan(found.agreement), np.isnan(found.scores))
    again = read_predictions(train(asked).predictions).agreement
    assert np.array_equal(again, found.agreement, equal_nan=True)


def test_one_bar_has_none_before_it(tmp_path: Path) -> None:
    task = training_data.write(tmp_path, bars=1).model_copy(update={"lookback": 1})
    samples = task.open()
    module = initialised(decode(task.network), samples.features, seed=3)
    found = agreements(module, samples, (20, 21), (25,), chunk=100, seed=1)
    assert (found[np.isfinite(found)] == 0).all()
