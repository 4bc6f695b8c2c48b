"""Residual learning: by hand, against loops, its gradient, and the collapse that it is guarded against."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from polygrain.errors import ConfigError
from polygrain.models.encoder import Encoder, EncoderModule
from polygrain.models.network import Prediction, initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.residual import Residual, ResidualModule


class AsItIs(Encoder):
    """States are the inputs, the vector is the last one: what a residual network adds can be followed by hand."""

    kind: Literal["as_it_is"] = "as_it_is"
    features: int = 1

    @property
    def width(self) -> int:
        return self.features

    @property
    def causal(self) -> bool:
        return True

    def build(self, features: int) -> EncoderModule:
        return AsItIsModule()


class AsItIsModule(EncoderModule):
    def states(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        return x_LSF, x_LSF[-1]


def by_hand(combination: str) -> Prediction:
    """Two units of one bar and of two, one feature, one stock; G = h/2, r = relu(c), B = 1."""
    settings = Residual(encoder=AsItIs(), combination=combination, reconstruction=2.0)
    settings = settings.for_windows({"day": 2, "half": 4})
    module = initialised(settings, {"day": 1, "half": 1}, seed=0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith(".bars"):
                parameter.zero_()
        for level in (0, 1):
            module.get_parameter(f"levels.{level}.reconstruct.weight").fill_(0.5)
            module.get_parameter(f"levels.{level}.agree.weight").fill_(1.0)
            module.get_parameter(f"levels.{level}.predict.0.weight")[0, 0] = 1.0
            module.get_parameter(f"levels.{level}.predict.2.weight")[0, 0] = 1.0
    day, half = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0, 2.0, 6.0])
    prediction: Prediction = module({"day": day.view(2, 1, 1), "half": half.view(4, 1, 1)})
    return prediction


def test_two_levels_by_hand() -> None:
    # F1 = (1, 2), h1 = F1, r1 = 2, G1 = (.5, 1). F2 = ((1 + 3)/2, (2 + 6)/2) = (2, 4), P2 = F2 − G1 = (1.5, 3), r2 = 3.
    # Penalty: 2 · ((2 − .5)² + (4 − 1)²)/2 = 2 · (2.25 + 9)/2 = 11.25.
    prediction = by_hand("mean")
    assert prediction.parts["F2"].flatten().tolist() == [2.0, 4.0]
    assert prediction.parts["G1"].flatten().tolist() == [0.5, 1.0]
    assert (prediction.score_S.item(), prediction.penalties["reconstruction"].item()) == (2.5, 11.25)
    # attention: q = (2 + 3)/2, qᵀc = 5, 7.5. confidence: p_T h_{T−1} = 2 · 1, 3 · 1.5. Both differ by 2.5:
    # α2 = 1/(1 + e^−2.5) = .9241, score = 2 + α2 = 2.9241.
    for combination in ("attention", "confidence"):
        score = by_hand(combination).score_S.item()
        assert score == pytest.approx(2 + 1 / (1 + math.exp(-2.5)), abs=1e-6)


def windows(features: tuple[int, int], symbols: int = 5, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(steps, symbols, count, generator=generator, dtype=dtype)
        for name, steps, count in (("day", 3, features[0]), ("hour", 12, features[1]))
    }


def module_of(settings: Residual, features: tuple[int, int]) -> ResidualModule:
    sized = settings.for_windows({"day": 3, "hour": 12})
    module = initialised(sized, dict(zip(("day", "hour"), features)), seed=1)
    assert isinstance(module, ResidualModule)
    return module


def test_alignment_and_contrast_in_loops() -> None:
    settings = Residual(encoder=Recurrent(hidden=4, layers=2, dropout=0.0), contrast=1.0, reconstruction=0.0)
    module, x = module_of(settings, (3, 2)), windows((3, 2))
    with torch.no_grad():
        module.get_parameter("levels.1.bars").copy_(torch.tensor([0.1, -0.4, 0.8, 0.3]))
    with torch.no_grad():
        found = module(x)
    w, a = module.get_parameter("levels.1.bars"), module.get_parameter("levels.1.align.weight")
    b = module.get_parameter("levels.1.align.bias")
    for unit in range(3):
        for stock in range(5):
            bar = sum(w[k] * x["hour"][4 * unit + k, stock] for k in range(4))
            torch.testing.assert_close(found.parts["F2"][unit, stock], a @ bar + b, rtol=0, atol=1e-6)
    total, terms = 0.0, 0
    module.requires_grad_(False)
    for level in (0, 1):
        rest = found.parts[f"F{level + 1}"] - (found.parts["G1"] if level else 0)
        states, _ = module.levels[level].encoder.states(rest)
        states = [torch.zeros(5, 4), *states]  # before the first unit there is nothing
        agree = module.get_parameter(f"levels.{level}.agree.weight")
        for unit in range(3):
            for i in range(5):
                logits = [(rest[unit, j] @ agree @ states[unit][i]).item() for j in range(5)]
                total += math.log(sum(map(math.exp, logits))) - logits[i]
                terms += 1
    # One term a unit, a stock and a level; float32.
    assert found.penalties["contrast"].item() == pytest.approx(total / terms, abs=1e-5)


@pytest.mark.parametrize("combination", ["mean", "attention", "confidence"])
def test_weights_add_up_and_stocks_stand_alone(combination: str) -> None:
    settings = Residual(encoder=Recurrent(hidden=4, layers=2), combination=combination)
    module, x = module_of(settings, (3, 3)).eval(), windows((3, 3))
    found = module(x)
    torch.testing.assert_close(found.parts["weights"].sum(dim=0), torch.ones(5))
    some = module({name: x_LSF[:, [4, 1]] for name, x_LSF in x.items()})
    torch.testing.assert_close(some.score_S, found.score_S[[4, 1]], rtol=0, atol=1e-6)


def test_gradients_by_differences() -> None:
    settings = Residual(
        encoder=Recurrent(hidden=2, layers=2, dropout=0.0), combination="attention", contrast=0.3, decay=0.1
    )
    module, x = module_of(settings, (2, 3)).double(), windows((2, 3), symbols=3, dtype=torch.float64)
    names = [name for name, _ in module.named_parameters()]

    def outcome(*values: Tensor) -> tuple[Tensor, Tensor]:
        found = functional_call(module, dict(zip(names, values)), (x,))
        return found.score_S, torch.stack(list(found.penalties.values())).sum()

    # What is held fixed is no function of the weights for autograd; by differences it is, so it is left out here.
    free = settings.model_copy(update={"reconstruction": 0.0})
    module.settings = free
    assert torch.autograd.gradcheck(outcome, tuple(module.parameters()), atol=1e-6)


def test_what_cannot_be_aligned_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a window of 7 steps of hour is not a whole number of bars .* 2 units"):
        Residual().for_windows({"day": 2, "hour": 7})
    for given in ({"contrast": 0.1}, {"combination": "confidence"}):
        with pytest.raises(ConfigError, match="a state that has read what comes next cannot be asked"):
            Residual(encoder=Recurrent(direction="bidirectional"), **given)
    assert Residual().models(["day"]) == {}


def test_the_naive_loss_collapses_and_ours_does_not() -> None:
    """The reconstruction as a sum over units and features, with F free to move, is least at F = G = 0: it eats the
    inputs of level 2. What is learnt: a mean that both levels show, and what a unit's second half adds, which the fine
    bars show alone; no stock is seen twice, so that nothing is learnt by heart."""
    generator = torch.Generator().manual_seed(0)

    def sample(stocks: int) -> tuple[dict[str, Tensor], Tensor]:
        fine_UKSD = torch.randn(6, 4, stocks, 6, generator=generator)
        coarse_USD = fine_UKSD.mean(dim=1)
        tilt_US = (fine_UKSD[:, 2:].mean(dim=1) - coarse_USD)[:, :, 0]
        # Both have a variance of 1/4 a unit; the signal's is 2 · .49 = .98.
        signal_S = 0.7 * 2 / 6**0.5 * (coarse_USD[:, :, 1] + tilt_US).sum(dim=0)
        noise_S = 0.5 * torch.randn(stocks, generator=generator)
        return {"day": coarse_USD, "hour": fine_UKSD.flatten(0, 1)}, signal_S + noise_S

    x_valid, y_valid = sample(4096)
    spread, error = {}, {}
    for form in ("ours", "naive"):
        settings = Residual(encoder=Recurrent(hidden=8, layers=2, dropout=0.0), reconstruction=1.0)
        module = initialised(settings.for_windows({"day": 6, "hour": 24}), {"day": 6, "hour": 6}, seed=1)
        optimizer = torch.optim.Adam(module.parameters(), 5e-3)
        generator.manual_seed(1)
        for _ in range(300):
            optimizer.zero_grad()
            x, y_S = sample(256)
            found = module(x)
            penalty = found.penalties["reconstruction"]
            if form == "naive":
                penalty = (found.parts["F2"] - found.parts["G1"]).square().sum(dim=(0, 2)).mean()
            ((found.score_S - y_S).square().mean() + penalty).backward()
            optimizer.step()
        with torch.no_grad():
            found = module.eval()(x_valid)
        spread[form] = found.parts["F2"].std().item()
        error[form] = (found.score_S - y_valid).square().mean().item()
    assert spread["naive"] < 0.1 * spread["ours"], (spread, error)
    assert error["naive"] > error["ours"], (spread, error)
