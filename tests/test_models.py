import pytest
import torch
from plugin_files import example, using
from torch import Tensor

from polygrain.errors import ConfigError
from polygrain.models.encoder import Dropout, set_generator
from polygrain.models.network import NETWORKS, Network, decode, initialised, network
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single


def window(steps: int = 5, symbols: int = 9, features: int = 3) -> Tensor:
    return torch.randn(steps, symbols, features, generator=torch.Generator().manual_seed(0))


def test_every_network_builds_what_its_models_read() -> None:
    """Whatever it reads, one score per symbol, which does not depend on the others; ours and the example's."""
    with using(*example("own_model.py")):
        assert list(NETWORKS) == ["gbdt", "linear", "single", "mixed", "residual", "window_means"]
        for kind in NETWORKS.values():
            settings = kind()
            for reads in settings.models(["day", "60min"]).values():
                sized = settings.for_windows(dict(zip(reads, (5, 20))))
                module = initialised(sized, dict.fromkeys(reads, 3), seed=1).eval()
                x = {name: window(steps) for name, steps in zip(reads, (5, 20))}
                score_S = module(x).score_S
                assert score_S.shape == (9,)
                some = {name: x_LSF[:, [7, 2]] for name, x_LSF in x.items()}
                torch.testing.assert_close(module(some).score_S, score_S[[7, 2]], rtol=0, atol=1e-6)
                same = decode(settings.model_dump_json()).for_windows(dict(zip(reads, (5, 20))))
                again = initialised(same, dict.fromkeys(reads, 3), seed=1).eval()
                assert torch.equal(again(x).score_S, score_S)


def test_the_backward_half_of_last_has_read_the_whole_window() -> None:
    module = Recurrent(hidden=4, direction="bidirectional", pooling="last").build(3).eval()
    x_LSF = window()
    states, _ = module.gru.weights(x_LSF)
    expected = torch.cat([states[-1, :, :4], states[0, :, 4:]], dim=1)
    torch.testing.assert_close(module(x_LSF), expected, rtol=0, atol=1e-6)
    early = x_LSF.clone()
    early[-1] += 1  # the window's newest step moves the backward half too
    assert (module(early)[:, 4:] != expected[:, 4:]).any()


def test_initial_weights_come_from_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (initialised(Single(), {"day": 3}, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_dropout_draws_from_its_generator() -> None:
    dropout, ones = Dropout(0.25), torch.ones(400, 25)
    with pytest.raises(RuntimeError, match="needs a generator"):
        dropout(ones)
    set_generator(dropout, torch.Generator().manual_seed(1))
    first, second = dropout(ones), dropout(ones)
    assert not torch.equal(first, second)
    set_generator(dropout, torch.Generator().manual_seed(1))
    assert torch.equal(dropout(ones), first)
    assert set(first.unique().tolist()) == {0.0, 1 / 0.75} or first.unique().numel() == 2
    assert abs(first.mean().item() - 1) < 0.05  # 10,000 draws: 8 standard errors
    assert torch.equal(dropout.eval()(ones), ones)


def test_names_and_inputs_of_single() -> None:
    assert Single().models(["day", "60min"]) == {"day": ("day",), "60min": ("60min",)}
    assert Single(suffix="biagru").models(["day"]) == {"day_biagru": ("day",)}
    with pytest.raises(ConfigError, match="single reads one granularity, not day, 60min"):
        Single().build({"day": 3, "60min": 3})


def test_networks_are_decoded_by_kind() -> None:
    small = Single(encoder=Recurrent(hidden=8))
    assert decode(small.model_dump_json()) == small
    with pytest.raises(ConfigError, match=r"unknown kind 'singel'; the kinds are .*single"):
        decode('{"kind": "singel"}')


def test_a_kind_registered_twice_is_refused() -> None:
    class Other(Network):
        kind: str = "single"

    with pytest.raises(ConfigError, match=r"is registered by .*\.Single and .*\.Other; rename one"):
        network(Other)
    assert NETWORKS["single"] is Single
