"""Our GRU against torch.nn.GRU: forward, backward and Adam on the same data in the same run, one thread, in turn.

Prints the median time of each and the median of the paired ratios; results must agree to 1e-5.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import torch
from torch import Tensor, nn

from polygrain.compute import WORKER_ENVIRONMENT
from polygrain.models.gru import GRU

STEPS, SYMBOLS, FEATURES, HIDDEN, ROUNDS = 160, 950, 20, 32, 7


def seconds(module: nn.Module, optimizer: torch.optim.Optimizer, x_LSF: Tensor) -> float:
    """One training step."""
    start = time.perf_counter()
    optimizer.zero_grad()
    module(x_LSF)[0][-1].square().mean().backward()
    optimizer.step()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    x_LSF = torch.randn(STEPS, SYMBOLS, FEATURES, generator=torch.Generator().manual_seed(0))
    for bidirectional in (False, True):
        ours = GRU(FEATURES, HIDDEN, 1, bidirectional=bidirectional)
        torchs = nn.GRU(FEATURES, HIDDEN, bidirectional=bidirectional)
        torchs.load_state_dict(ours.weights.state_dict())
        torch.testing.assert_close(ours(x_LSF)[0], torchs(x_LSF)[0], rtol=0, atol=1e-5)
        optimizers = [torch.optim.Adam(module.parameters()) for module in (ours, torchs)]
        pairs = [
            (seconds(ours, optimizers[0], x_LSF), seconds(torchs, optimizers[1], x_LSF)) for _ in range(ROUNDS + 1)
        ]
        mine, theirs = (statistics.median(column) for column in zip(*pairs[1:]))
        ratio = statistics.median(b / a for a, b in pairs[1:])
        rate = STEPS * SYMBOLS / mine / 1e3
        name = "bidirectional" if bidirectional else "forward"
        print(
            f"{name}: ours {mine:.3f} s, {rate:,.0f} thousand stock-steps/s; nn.GRU {theirs:.3f} s; ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in WORKER_ENVIRONMENT.items()):
        # The allocator and polars read their settings when a process starts, and a run's workers start with these.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})
    main()
