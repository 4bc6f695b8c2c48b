"""The encoders beside the recurrent ones, the mixed network and the linear one, against loops."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polygrain.errors import ConfigError
from polygrain.models.encoder import ENCODERS, Encoder
from polygrain.models.linear import Linear
from polygrain.models.mixed import Mixed
from polygrain.models.network import Network, decode, initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.residual import Residual
from polygrain.models.single import Single
from polygrain.models.tcn import TCN
from polygrain.models.transformer import Transformer, positions

SMALL = [Recurrent(hidden=4), TCN(hidden=4, blocks=2), Transformer(hidden=4, heads=2, layers=2)]


def window(steps: int = 7, symbols: int = 5, features: int = 3) -> Tensor:
    return torch.randn(steps, symbols, features, generator=torch.Generator().manual_seed(0))


def test_every_encoder_is_tried_here() -> None:
    assert [type(encoder) for encoder in SMALL] == list(ENCODERS.values())


@pytest.mark.parametrize("encoder", SMALL, ids=lambda encoder: encoder.kind)
@pytest.mark.parametrize("network", [Single, Mixed])
def test_stocks_stand_alone_in_every_network(network: type[Single | Mixed], encoder: Encoder) -> None:
    settings = network(encoder=encoder)
    (reads,) = settings.models(["day"]).values()
    module = initialised(settings, dict.fromkeys(reads, 3), seed=1).eval()
    x_LSF = window()
    score_S = module({"day": x_LSF}).score_S
    assert score_S.shape == (5,)
    # Matrix products block their columns by position, so a symbol's last bits may move with its place.
    torch.testing.assert_close(module({"day": x_LSF[:, [3, 1]]}).score_S, score_S[[3, 1]], rtol=0, atol=1e-6)
    assert decode(settings.model_dump_json()) == settings
    moved = x_LSF.clone()
    moved[0] += 1  # the oldest step of a window shorter than what the encoder sees
    assert not torch.equal(module({"day": moved}).score_S, score_S)


def test_a_mixed_network_of_one_granularity_is_the_single_one() -> None:
    encoder = Recurrent(hidden=4, direction="bidirectional", pooling="attention")
    single = initialised(Single(encoder=encoder), {"day": 3}, seed=1).eval()
    mixed = initialised(Mixed(encoder=encoder), {"day": 3}, seed=2).eval()
    mixed.load_state_dict({name.replace("encoder.", "encoders.0."): v for name, v in single.state_dict().items()})
    assert torch.equal(mixed({"day": window()}).score_S, single({"day": window()}).score_S)


def test_mixed_is_one_head_over_the_encoders_side_by_side() -> None:
    assert Mixed(suffix="biagru").models(["day", "60min"]) == {"mixed_biagru": ("day", "60min")}
    module = initialised(Mixed(encoder=Recurrent(hidden=4)), {"day": 3, "60min": 2}, seed=1).eval()
    x = {"day": window(), "60min": window(28, features=2)}
    c_SW = torch.cat([module.encoders[0](x["day"]), module.encoders[1](x["60min"])], dim=1)
    assert torch.equal(module(x).score_S, module.head(c_SW).squeeze(-1))


def test_positions_count_back_from_the_newest_step() -> None:
    # k = 1 step back, W = 4: sin 1, cos 1, sin(1/100), cos(1/100); the newest step is (0, 1, 0, 1).
    expected = [[math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)], [0, 1, 0, 1]]
    torch.testing.assert_close(positions(2, 4), torch.tensor(expected))
    torch.testing.assert_close(positions(9, 4)[-2:], positions(2, 4))


def test_tcn_in_loops() -> None:
    settings = TCN(hidden=4, blocks=2, kernel=2, dropout=0.0)
    module, x_LSF = settings.build(3).eval().requires_grad_(False), window()
    state = module.state_dict()

    def block(number: int, before: list[Tensor], dilation: int) -> list[Tensor]:
        def convolved(series: list[Tensor], name: str) -> list[Tensor]:
            weight, bias = state[f"blocks.{number}.{name}.weight"], state[f"blocks.{number}.{name}.bias"]
            out = []
            for t in range(len(series)):
                value = bias.clone()
                for k in range(2):  # torch's last weight is the newest step's
                    if t - k * dilation >= 0:
                        value += weight[:, :, 1 - k] @ series[t - k * dilation]
                out.append(value)
            return out

        inner = [value.relu() for value in convolved(before, "first")]
        outer = convolved(inner, "second")
        if number:
            return [(x + h).relu() for x, h in zip(before, outer)]
        weight, bias = state["blocks.0.pass_on.weight"][:, :, 0], state["blocks.0.pass_on.bias"]
        return [(weight @ x + bias + h).relu() for x, h in zip(before, outer)]

    states_LSW, last_SW = module.states(x_LSF)
    for stock in range(5):
        series = block(1, block(0, list(x_LSF[:, stock]), 1), 2)
        torch.testing.assert_close(states_LSW[:, stock], torch.stack(series), rtol=0, atol=1e-6)
        torch.testing.assert_close(last_SW[stock], series[-1], rtol=0, atol=1e-6)


def test_linear_reads_the_newest_bars_alone() -> None:
    module = initialised(Linear(bars=2), {"day": 3}, seed=1)
    x_LSF = window()
    w, b = module.weigh.weight[0], module.weigh.bias
    expected = x_LSF[-2] @ w[:3] + x_LSF[-1] @ w[3:] + b
    torch.testing.assert_close(module({"day": x_LSF}).score_S, expected, rtol=0, atol=1e-6)
    assert Linear().models(["day"]) == {"day_linear": ("day",)}
    with pytest.raises(ConfigError, match="3 bars are more than the window's 2; take fewer"):
        Linear(bars=3).for_windows({"day": 2})


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ConfigError, match="6 is odd or no multiple of 4 heads"):
        Transformer(hidden=6, heads=4)


def test_parameters_on_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "networks.md").read_text(encoding="utf-8")
    blocks = [tomllib.loads(block.split("```")[0]).get("network", {}) for block in page.split("```toml\n")[1:]]
    networks = {name: decode(json.dumps(line)) for block in blocks for name, line in block.items()}
    said = dict(re.findall(r"^\| (\w+) \| ([\d,]+) \|$", page, re.MULTILINE))
    assert set(said) == set(networks) - {"gbdt"}
    steps = {"day": 60, "60min": 240, "30min": 480}
    for name, parameters in said.items():
        (reads, *_) = networks[name].models(list(steps)).values()
        sized = networks[name].for_windows({granularity: steps[granularity] for granularity in reads})
        module = initialised(sized, dict.fromkeys(reads, 26), seed=0)
        assert f"{sum(parameter.numel() for parameter in module.parameters()):,}" == parameters, name


@pytest.mark.parametrize("encoder", SMALL, ids=lambda encoder: encoder.kind)
@pytest.mark.parametrize("network", [Single, Mixed, Residual, Linear])
def test_nothing_stays_on_the_cpu(network: type[Network], encoder: Encoder) -> None:
    """On the device without memory: a tensor made elsewhere is an error."""
    settings = network() if network is Linear else network(encoder=encoder)
    (reads, *_) = settings.models(["day", "60min"]).values()
    steps = {name: {"day": 3, "60min": 12}[name] for name in reads}
    module = initialised(settings.for_windows(steps), dict.fromkeys(reads, 3), seed=1).to("meta").eval()
    x = {name: torch.zeros(length, 5, 3, device="meta") for name, length in steps.items()}
    assert module(x).score_S.device.type == "meta"


def test_a_transformers_layer_in_loops() -> None:
    settings = Transformer(hidden=4, heads=2, layers=1, dropout=0.0)
    module, x_LSF = settings.build(3).eval().requires_grad_(False), window(steps=5, symbols=2)
    w = {name: value.double().numpy() for name, value in module.state_dict().items()}

    def norm(v: np.ndarray, name: str) -> np.ndarray:
        return (v - v.mean()) / (v.var() + 1e-5) ** 0.5 * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(v: np.ndarray, name: str) -> np.ndarray:
        return w[f"{name}weight"] @ v + w[f"{name}bias"]

    states_LSW, last_SW = module.states(x_LSF)
    for stock in range(2):
        h = [linear(x, "project.") for x in x_LSF[:, stock].double().numpy()]
        for step in range(5):
            back = 4 - step
            h[step] = h[step] + [math.sin(back), math.cos(back), math.sin(back / 100), math.cos(back / 100)]
        qkv = [linear(norm(v, "layers.0.norm1"), "layers.0.self_attn.in_proj_") for v in h]
        after = []
        for step in range(5):
            seen = []
            for head in (slice(0, 2), slice(2, 4)):
                q, keys, values = qkv[step][:4][head], [v[4:8][head] for v in qkv], [v[8:][head] for v in qkv]
                weights = np.exp([q @ key / 2**0.5 for key in keys])
                seen += list(sum(a * value for a, value in zip(weights / weights.sum(), values)))
            mid = h[step] + linear(np.array(seen), "layers.0.self_attn.out_proj.")
            inner = np.maximum(linear(norm(mid, "layers.0.norm2"), "layers.0.linear1."), 0)
            after.append(norm(mid + linear(inner, "layers.0.linear2."), "norm"))
        # Float32 sums of at most sixteen terms near 1.
        np.testing.assert_allclose(states_LSW[:, stock].numpy(), after, rtol=0, atol=1e-5)
        np.testing.assert_allclose(last_SW[stock].numpy(), after[-1], rtol=0, atol=1e-5)
