"""Encoders: settings that build a module which turns the steps of a window into one vector per symbol.

Shape suffixes: L steps, S symbols of the date, F features, W width of the encoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from polygrain.plugins import Registry, register_kind
from polygrain.spec import Spec

DEFAULT = "gru"


class Encoder(Spec, ABC):
    """An encoder's settings; subclasses name their `kind` and build a module x_LSF → c_SW."""

    kind: str

    @property
    @abstractmethod
    def width(self) -> int:
        """W, the length of the vectors."""

    @property
    @abstractmethod
    def causal(self) -> bool:
        """Whether the state after a step has read no later step of the window."""

    @abstractmethod
    def build(self, features: int) -> EncoderModule:
        """A new module; its parameters come from torch's current generator."""


class EncoderModule(nn.Module, ABC):
    """The module of an Encoder."""

    @abstractmethod
    def states(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        """h_LSW after every step, and the one vector c_SW of the window."""

    def forward(self, x_LSF: Tensor) -> Tensor:
        """c_SW."""
        return self.states(x_LSF)[1]


ENCODERS: Registry[type[Encoder]] = Registry("encoder kind")


def encoder(kind: type[Encoder]) -> type[Encoder]:
    """Register an Encoder by its `kind`; ConfigError where it has none or the name is taken."""
    return register_kind(ENCODERS, kind)


class Dropout(nn.Module):
    """Dropout whose masks come from `generator`, which the training loop sets for every step."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, c_SW: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return c_SW
        if self.generator is None:
            raise RuntimeError("dropout in training mode needs a generator; call set_generator first")
        kept = torch.empty_like(c_SW).bernoulli_(1 - self.rate, generator=self.generator)
        return c_SW * kept / (1 - self.rate)


def set_generator(module: nn.Module, generator: torch.Generator) -> None:
    """Let every Dropout inside `module` draw its masks from `generator`."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.generator = generator
