"""Device: where networks are fitted and score, and how the same bits come out there every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from polygrain.errors import ConfigError

DeviceName = Literal["cpu", "cuda"]


def find(name: DeviceName) -> torch.device:
    """The device of this name; ConfigError where it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        reason = (
            f"torch {torch.__version__} finds no CUDA device; install its CUDA build and a driver, or set it to cpu"
        )
        raise ConfigError("protocol.device", reason)
    return torch.device(name)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Global generators that are the user's again afterwards; on CUDA deterministic kernels, and float32 products in
    full instead of TF32."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    # cuBLAS reads it when it starts; without it its sums may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    strict = torch.are_deterministic_algorithms_enabled()
    flags = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()]), flags:
            yield
    finally:
        torch.use_deterministic_algorithms(strict)
