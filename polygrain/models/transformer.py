"""The Transformer encoder, the literature's first choice for sequences.

Shape suffixes: L steps, S symbols of the date, F features, W width.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from polygrain.errors import ConfigError
from polygrain.models.encoder import Encoder, EncoderModule, encoder


@encoder
class Transformer(Encoder):
    """Linear(F → W) plus sinusoidal positions, then layers of self-attention over the steps; the last step's state.

    A layer: x + MHA(norm x), then x + W₂ relu(W₁ norm x), W₁: W → 4W. Every step sees the whole window. Vaswani et al.
    (2017), with the norms before (Xiong et al. 2020).
    """

    kind: Literal["transformer"] = "transformer"
    hidden: int = Field(default=64, ge=2)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> Transformer:
        if self.hidden % self.heads or self.hidden % 2:
            reason = f"{self.hidden} is odd or no multiple of {self.heads} heads; take another number"
            raise ConfigError("encoder.hidden", reason)
        return self

    @property
    def width(self) -> int:
        """hidden."""
        return self.hidden

    @property
    def causal(self) -> bool:
        """No: every step sees the whole window."""
        return False

    def build(self, features: int) -> EncoderModule:
        """A new module x_LSF → c_SW."""
        return TransformerModule(self, features)


class TransformerModule(EncoderModule):
    """The module of a Transformer."""

    def __init__(self, settings: Transformer, features: int) -> None:
        super().__init__()
        width = settings.hidden
        self.project = nn.Linear(features, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, settings.heads, 4 * width, settings.dropout, norm_first=True)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)

    def states(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        p_LW = positions(x_LSF.shape[0], self.project.out_features)
        h_LSW = self.project(x_LSF) + p_LW.to(x_LSF)[:, None]
        for layer in self.layers:
            h_LSW = layer(h_LSW)
        h_LSW = self.norm(h_LSW)
        return h_LSW, h_LSW[-1]


def positions(length: int, width: int) -> Tensor:
    """p_LW: sin(k / 10000^(2i/W)) in the even columns 2i and the cosine in 2i + 1, k the steps back from the last one,
    so that the newest step is the same whatever the length."""
    back_L1 = torch.arange(length - 1, -1, -1)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = back_L1 * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
