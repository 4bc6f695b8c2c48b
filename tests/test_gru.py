"""The fast GRU and attention pooling against torch's own modules.

Tolerances: float64 rounding of a few hundred terms, 1e-12; float32 over 160 steps, 1e-5.
"""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from polygrain.models.gru import GRU, AttentionPooling, set_precision
from polygrain.training.fit import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def built(features: int, hidden: int, layers: int, bidirectional: bool) -> GRU:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return GRU(features, hidden, layers, bidirectional=bidirectional)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_and_gradients_equal_torchs(bidirectional: bool, layers: int) -> None:
    gru, x_LSF = built(5, 4, layers, bidirectional).double(), drawn(6, 7, 5).requires_grad_()
    results = []
    for states, last in (gru(x_LSF), gru.by_torch(x_LSF)):
        objective = (states * drawn(*states.shape, seed=1)).sum() + (last * drawn(*last.shape, seed=2)).sum()
        of_last = (last * drawn(*last.shape, seed=2)).sum()
        inputs = [x_LSF, *gru.parameters()]
        gradients = torch.autograd.grad(objective, inputs, retain_graph=True)
        results.append((states, last, *gradients, *torch.autograd.grad(of_last, inputs)))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_long_windows_in_float32(bidirectional: bool) -> None:
    gru, x_LSF = built(20, 32, 1, bidirectional), drawn(160, 40, 20, dtype=torch.float32)
    results = []
    for states, last in (gru(x_LSF), gru.by_torch(x_LSF)):
        gradients = torch.autograd.grad(states.square().mean() + last.square().mean(), list(gru.parameters()))
        results.append((states, *gradients))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_last_state_of_the_backward_half_has_read_the_whole_window() -> None:
    """Torch's order of directions: forward, then backward, of the last layer."""
    gru, x_LSF = built(5, 4, 2, bidirectional=True), drawn(6, 7, 5, dtype=torch.float32)
    states, last = gru.by_torch(x_LSF)
    assert torch.equal(last, torch.cat([states[-1, :, :4], states[0, :, 4:]], dim=1))


def test_gradients_by_differences() -> None:
    gru, x_LSF = built(3, 2, 2, bidirectional=True).double(), drawn(3, 2, 3).requires_grad_()
    names = [name for name, _ in gru.named_parameters()]

    def run(x_LSF: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = torch.func.functional_call(gru, dict(zip(names, parameters)), (x_LSF,))
        return result

    assert torch.autograd.gradcheck(run, (x_LSF, *gru.parameters()), fast_mode=True)


def test_states_without_gradients_are_the_same_bits() -> None:
    gru, x_LSF = built(5, 4, 2, bidirectional=True), drawn(6, 7, 5, dtype=torch.float32)
    with torch.no_grad():
        states, last = gru(x_LSF)
    for left, right in zip((states, last), gru(x_LSF)):
        assert torch.equal(left, right)


def test_attention_equals_its_equation() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        pooling = AttentionPooling(8).double()
    h_LSW = drawn(6, 7, 8).requires_grad_()
    alpha = pooling.weigh(torch.tanh(pooling.project(h_LSW))).softmax(dim=0)
    results = []
    for c_SW in (pooling(h_LSW), pooling.by_torch(h_LSW), (alpha * h_LSW).sum(dim=0)):
        gradients = torch.autograd.grad((c_SW * drawn(7, 8, seed=1)).sum(), [h_LSW, *pooling.parameters()])
        results.append((c_SW, *gradients))
    for values in zip(*results):
        for ours in values[:-1]:
            torch.testing.assert_close(ours, values[-1], rtol=0, atol=1e-12)


def test_bf16_rounds_the_factors_of_a_product() -> None:
    """One symbol, one unit, one step from h = 0: W_hh has no say, W_ih and x are rounded to 8 bits."""
    gru = built(1, 1, 1, bidirectional=False)
    set_precision(gru, "bf16")
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.zero_()
        gru.weights.weight_ih_l0[2, 0] = 0.5 + 2**-12  # n's; bf16: .5
        # z = σ(0) = .5, n = tanh(.5 · x), x = 1 + 2⁻¹⁰ is 1 in bf16: h = .5 · tanh(.5) = .231059.
        states, _ = gru(torch.full((1, 1, 1), 1 + 2**-10))
        assert states.item() == pytest.approx(0.2310586, abs=1e-6)
        set_precision(gru, "float32")
        exact, _ = gru(torch.full((1, 1, 1), 1 + 2**-10))
        assert exact.item() == pytest.approx(0.5 * math.tanh((0.5 + 2**-12) * (1 + 2**-10)), abs=1e-6)
        assert exact.item() > states.item() + 1e-4


@pytest.mark.parametrize("bidirectional", [False, True])
def test_bf16_is_near_float32(bidirectional: bool) -> None:
    """Relative error of a product's rounded factors and result 3 · 2⁻⁹; gradients, sums over steps, within 2%."""
    gru, pooling = built(20, 32, 2, bidirectional), AttentionPooling(64 if bidirectional else 32)
    x_LSF = drawn(60, 40, 20, dtype=torch.float32)
    parameters = [*gru.parameters(), *pooling.parameters()]
    results = []
    for precision in ("float32", "bf16"):
        set_precision(nn.ModuleList([gru, pooling]), precision)
        c_SW = pooling(gru(x_LSF)[0])
        results.append((c_SW.detach(), *torch.autograd.grad(c_SW.square().mean(), parameters)))
    assert not torch.equal(results[0][0], results[1][0])
    for exact, rounded in zip(*results):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() < 0.02 * exact.norm()
