"""Adam against hand arithmetic and, bit for bit, against torch's own."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from polygrain.training.adam import Adam
from polygrain.training.fit import one_thread


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_two_steps_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False).double()
    module.weight.data.fill_(1.0)
    optimizer = Adam(module, 0.1, 0.0)
    # Step 1: m = .1·2 = .2, v = .001·4 = .004; m/(1 − .9) = 2, v/(1 − .999) = 4: θ = 1 − .1·2/2.
    module.weight.grad = torch.tensor([[2.0]], dtype=torch.float64)
    optimizer.step()
    assert module.weight.item() == pytest.approx(0.9, abs=1e-9)
    # Step 2: m = .18 − .1 = .08, v = .003996 + .001 = .004996; m/.19 = .421053, v/.001999 = 2.499250.
    module.weight.grad = torch.tensor([[-1.0]], dtype=torch.float64)
    optimizer.step()
    assert module.weight.item() == pytest.approx(0.9 - 0.1 * 0.421053 / 2.499250**0.5, abs=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_the_bits_are_torchs(weight_decay: float) -> None:
    modules = [nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    ours = Adam(modules[0], 0.01, weight_decay)
    theirs = torch.optim.Adam(modules[1].parameters(), 0.01, weight_decay=weight_decay)
    with one_thread():
        for step in range(50):
            for module in modules:
                for number, parameter in enumerate(module.parameters()):
                    # One parameter has no gradient now and then: its steps are counted apart.
                    lacking = number == 1 and step % 3 == 0
                    parameter.grad = None if lacking else drawn(*parameter.shape, seed=10 * step + number)
            ours.step()
            theirs.step()
            for left, right in zip(modules[0].parameters(), modules[1].parameters()):
                assert torch.equal(left, right)


def test_training_does_not_load_torchs_compiler() -> None:
    text = """
import sys, tempfile
from pathlib import Path
import training_data
from polygrain.training.walk_forward import train
train(training_data.write(Path(tempfile.mkdtemp())))
assert "torch._dynamo" not in sys.modules
"""
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", text], check=True, env=paths)
