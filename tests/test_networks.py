"""The networks that come along against a slow oracle, with the settings of their how-to page.

Tolerances: in float64 the rounding of a few thousand terms, 1e-12. In float32 a unit's sum of up to a hundred terms
near 1 rounds by some 1e-6 and a gate's sigmoid by 1e-7; the gates contract, so that errors of earlier steps do not add
up, and the head adds another hundred terms: 1e-5.
"""

import tomllib
from collections.abc import Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest
import reference_networks
import torch
from torch import Tensor, nn

from polygrain.models.gru import GRU, AttentionPooling
from polygrain.models.network import initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.training.fit import one_thread

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "networks.md"
LINES = tomllib.loads(PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0])["network"]
NETWORKS = {name: Single.model_validate(line) for name, line in LINES.items()}
FORMS = [name for name in NETWORKS if name != "gru_wide"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def small(name: str, layers: int = 1, hidden: int = 6) -> Single:
    """A network of the page with fewer units."""
    network = NETWORKS[name]
    return network.model_copy(
        update={"encoder": network.encoder.model_copy(update={"layers": layers, "hidden": hidden})}
    )


def built(network: Single, features: int) -> nn.Module:
    """In evaluation mode, with weights of every sign, biases too, and gates between open and shut."""
    module, generator = initialised(network, {"day": features}, seed=1).eval(), torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5 if parameter.shape[-1] < 20 else 0.2, generator=generator)
    return module.requires_grad_(False)


def window(steps: int, stocks: int, features: int) -> Tensor:
    return torch.randn(steps, stocks, features, generator=torch.Generator().manual_seed(3))


def by_hand(module: nn.Module, x_LSF: Tensor) -> list[float]:
    weights = {name: value.double().numpy() for name, value in module.state_dict().items()}
    return [reference_networks.score(weights, x_LF) for x_LF in x_LSF.double().numpy().swapaxes(0, 1)]


def test_the_page_has_every_form() -> None:
    forms = {name: (network.encoder.direction, network.encoder.pooling) for name, network in NETWORKS.items()}
    assert forms == {
        "gru": ("forward", "last"),
        "agru": ("forward", "attention"),
        "bigru": ("bidirectional", "last"),
        "biagru": ("bidirectional", "attention"),
        "gru_wide": ("forward", "last"),
    }
    assert [network.named("day") for network in NETWORKS.values()] == [
        "day", "day_agru", "day_bigru", "day_biagru", "day_gru_wide",
    ]  # fmt: skip


def test_two_steps_of_one_unit_by_hand() -> None:
    # tanh(a ln 2) = (4^a − 1)/(4^a + 1): 3/5 for a = 1, 31/33 for a = 5/2; σ(ln 3) = 3/4, σ(0) = 1/2.
    # x = 0, ln 2. W_r x = 0, ln 3, so r = 1/2, 3/4 (W_hr = 0); W_in = 1, W_hn = 0, b_hn = 2 ln 2, so
    # n = tanh(0 + 1/2 · 2 ln 2) = 3/5, tanh(ln 2 + 3/4 · 2 ln 2) = 31/33, in whichever order they are read.
    # z = σ(ln 3 + W_hz h): 3/4 at the first step that is read, where h = 0; W_hz makes it 1/2 at the second.
    # Forward: h_1 = 1/4 · 3/5 + 3/4 · 0 = 3/20; h_2 = 1/2 · 31/33 + 1/2 · 3/20 = 31/66 + 3/40.
    # Backward, from the second step: h_2 = 1/4 · 31/33 = 31/132; h_1 = 1/2 · 3/5 + 1/2 · 31/132 = 3/10 + 31/264.
    forward, backward = (3 / 20, 31 / 66 + 3 / 40), (3 / 10 + 31 / 264, 31 / 132)
    gru, x_LSF = GRU(1, 1, 1, bidirectional=True).double(), torch.tensor([[[0.0]], [[log(2)]]], dtype=torch.float64)
    weights = {}
    for end, first in (("_l0", forward[0]), ("_l0_reverse", backward[1])):
        weights[f"weight_ih{end}"] = np.array([[log(3) / log(2)], [0.0], [1.0]])
        weights[f"weight_hh{end}"] = np.array([[0.0], [-log(3) / first], [0.0]])
        weights[f"bias_ih{end}"] = np.array([0.0, log(3), 0.0])
        weights[f"bias_hh{end}"] = np.array([0.0, 0.0, 2 * log(2)])
    gru.weights.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    h_LW, last_W = reference_networks.states(weights, x_LSF[:, 0].numpy())
    assert h_LW.T.tolist() == [pytest.approx(forward, abs=1e-15), pytest.approx(backward, abs=1e-15)]
    assert last_W.tolist() == pytest.approx([forward[1], backward[0]], abs=1e-15)

    # One unit of attention that reads the forward half: u_t = tanh((h_t − h_1) ln 2 / (h_2 − h_1)) = 0, 3/5;
    # w = 5/3 ln 3, so the energies are 0 and ln 3, and α = 1/4, 3/4.
    slope = log(2) / (forward[1] - forward[0])
    pooling = {
        "project.weight": np.array([[slope, 0.0]]),
        "project.bias": np.array([-slope * forward[0]]),
        "weigh.weight": np.array([[5 / 3 * log(3)]]),
    }
    attention = AttentionPooling(2).double()
    attention.load_state_dict({name: torch.from_numpy(value) for name, value in pooling.items()})
    expected = [half[0] / 4 + 3 * half[1] / 4 for half in (forward, backward)]
    assert reference_networks.attention(pooling, h_LW).tolist() == pytest.approx(expected, abs=1e-14)

    states, last = gru(x_LSF)
    np.testing.assert_allclose(states[:, 0].detach().numpy(), h_LW, rtol=0, atol=1e-15)
    np.testing.assert_allclose(last[0].detach().numpy(), last_W, rtol=0, atol=1e-15)
    np.testing.assert_allclose(attention(states)[0].detach().numpy(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", FORMS)
def test_scores_equal_the_oracles(name: str, layers: int) -> None:
    module, x_LSF = built(small(name, layers), 5), window(7, 11, 5)
    expected = by_hand(module, x_LSF)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(module({"day": x_LSF}).score_S.numpy(), expected, rtol=0, atol=1e-5)
    score_S = module.double()({"day": x_LSF.double()}).score_S
    np.testing.assert_allclose(score_S.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*FORMS, "gru_wide"])
def test_scores_of_the_networks_as_they_are_equal_the_oracles(name: str) -> None:
    """All units of the page, 26 features, 20 days of 30-minute bars, initial weights."""
    module, x_LSF = initialised(NETWORKS[name], {"30min": 26}, seed=1).eval().requires_grad_(False), window(160, 2, 26)
    score_S = module({"30min": x_LSF}).score_S
    np.testing.assert_allclose(score_S.numpy(), by_hand(module, x_LSF), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_weights_are_loaded_by_name(name: str) -> None:
    """A file may hold them in any order; one that lacks some or holds others is refused."""
    module, x_LSF = built(small(name, 2), 5), window(7, 3, 5)
    weights = module.state_dict()
    other = initialised(small(name, 2), {"day": 5}, seed=9).eval()
    other.load_state_dict(dict(sorted(weights.items(), reverse=True)))
    assert torch.equal(other({"day": x_LSF}).score_S, module({"day": x_LSF}).score_S)
    lacking = list(weights)[3]
    with pytest.raises(RuntimeError, match=f'Missing key.* "{lacking}"'):
        other.load_state_dict({name: value for name, value in weights.items() if name != lacking})
    for foreign in set(FORMS) - {name}:
        with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key|size mismatch"):
            built(small(foreign, 2), 5).load_state_dict(weights)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", FORMS)
def test_a_stocks_score_does_not_depend_on_the_others(name: str, layers: int) -> None:
    module, x_LSF = built(small(name, layers), 5), window(7, 90, 5)

    def scored(x_LSF: Tensor) -> Tensor:
        score_S: Tensor = module({"day": x_LSF}).score_S
        return score_S

    score_S = scored(x_LSF)
    others = window(7, 90, 5).flip(0) * 9
    for place in (0, 37, 89):
        others[:, place] = x_LSF[:, place]
    for place in (0, 37, 89):  # in the same place, whatever the others are: the same bits
        assert torch.equal(scored(others)[place], score_S[place])
    assert (scored(others) != score_S).sum() > 80
    # Matrix products take their columns in blocks, and round otherwise in a block that is not full: a stock's last bits
    # may move with its place and with how many there are, by a rounding or two of a sum.
    order = torch.randperm(90, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(scored(x_LSF[:, order]), score_S[order], rtol=0, atol=2e-6)
    for size in (1, 7, 16, 50, 89):
        chunked = torch.cat([scored(chunk) for chunk in x_LSF.split(size, dim=1)])
        torch.testing.assert_close(chunked, score_S, rtol=0, atol=2e-6)


def parameters(encoder: Recurrent, features: int) -> int:
    return sum(parameter.numel() for parameter in Single(encoder=encoder).build({"day": features}).parameters())


def test_the_wide_grus_size_is_that_of_biagru() -> None:
    # BiAGRU of 64 units and 26 features: both directions 2 · 3 · 64 · (26 + 64 + 2) = 35,328, attention over 128:
    # 128 · 64 + 64 + 64 = 8,320, head 128 · 64 + 64 + 65 = 8,321. A GRU of 109: 3 · 109 · (26 + 109 + 2) = 44,799,
    # head 109 · 64 + 64 + 65 = 7,105.
    counts = {name: parameters(network.encoder, 26) for name, network in NETWORKS.items()}
    assert counts["biagru"] == 35_328 + 8_320 + 8_321
    assert counts["gru_wide"] == 44_799 + 7_105
    for hidden, wide in ((64, NETWORKS["gru_wide"].encoder.hidden), (32, 56), (16, 29)):
        wanted = parameters(NETWORKS["biagru"].encoder.model_copy(update={"hidden": hidden}), 26)
        nearest = min(range(2, 200), key=lambda units: abs(parameters(Recurrent(hidden=units), 26) - wanted))
        assert wide == nearest
        assert parameters(Recurrent(hidden=wide), 26) == pytest.approx(wanted, rel=0.002)
        fewer = parameters(NETWORKS["biagru"].encoder.model_copy(update={"hidden": hidden}), 15)
        assert parameters(Recurrent(hidden=wide), 15) == pytest.approx(fewer, rel=0.02)


def test_parameters_of_the_reports_networks() -> None:
    # GRU: 3·32·(20 + 32 + 2) = 5,184; head: 32·64 + 64 + 64 + 1 = 2,177.
    assert parameters(Recurrent(hidden=32), 20) == 5184 + 2177
