"""Encoder: a recurrent network over the steps of a window, pooled to one vector per symbol.

Shape suffixes: L steps, S symbols of the date, F features, H width of the state (both directions together).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from polygrain.models.gru import GRU, AttentionPooling
from polygrain.spec import Spec


class Encoder(Spec):
    """GRU over the steps, then pooling: the last state, or attention Σ α_t h_t, α = softmax_t(wᵀ tanh(W h_t + b))."""

    hidden: int = Field(default=64, ge=2)
    layers: int = Field(default=1, ge=1)
    direction: Literal["forward", "bidirectional"] = "forward"
    pooling: Literal["last", "attention"] = "last"
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def width(self) -> int:
        """Length of the pooled vector: hidden, twice that for both directions."""
        return self.hidden * (2 if self.direction == "bidirectional" else 1)

    def build(self, features: int) -> RecurrentEncoder:
        """A new module x_LSF → c_SH."""
        return RecurrentEncoder(self, features)


class Dropout(nn.Module):
    """Dropout whose masks come from `generator`, which the training loop sets for every step."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, c_SH: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return c_SH
        if self.generator is None:
            raise RuntimeError("dropout in training mode needs a generator; call set_generator first")
        kept = torch.empty_like(c_SH).bernoulli_(1 - self.rate, generator=self.generator)
        return c_SH * kept / (1 - self.rate)


def set_generator(module: nn.Module, generator: torch.Generator) -> None:
    """Let every Dropout inside `module` draw its masks from `generator`."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.generator = generator


class RecurrentEncoder(nn.Module):
    """The module of an Encoder: x_LSF → c_SH."""

    def __init__(self, settings: Encoder, features: int) -> None:
        super().__init__()
        bidirectional = settings.direction == "bidirectional"
        self.gru = GRU(features, settings.hidden, settings.layers, bidirectional=bidirectional)
        self.attention = AttentionPooling(settings.width) if settings.pooling == "attention" else None
        self.dropout = Dropout(settings.dropout)

    def forward(self, x_LSF: Tensor) -> Tensor:
        # The last state of the backward half is that of the first step: there it has read the whole window.
        h_LSH, last_SH = self.gru(x_LSF)
        c_SH: Tensor = self.dropout(last_SH if self.attention is None else self.attention(h_LSH))
        return c_SH
