"""Recurrent encoders: GRU, AGRU, BiGRU and BiAGRU.

Shape suffixes: L steps, S symbols of the date, F features, W width of the state (both directions together).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from polygrain.models.encoder import Dropout, Encoder, EncoderModule, encoder
from polygrain.models.gru import GRU, AttentionPooling


@encoder
class Recurrent(Encoder):
    """GRU over the steps, then pooling: the last state, or attention Σ α_t h_t, α = softmax_t(wᵀ tanh(W h_t + b))."""

    kind: Literal["gru"] = "gru"
    hidden: int = Field(default=64, ge=2)
    layers: int = Field(default=1, ge=1)
    direction: Literal["forward", "bidirectional"] = "forward"
    pooling: Literal["last", "attention"] = "last"
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def width(self) -> int:
        """hidden, twice that for both directions."""
        return self.hidden * (2 if self.direction == "bidirectional" else 1)

    @property
    def causal(self) -> bool:
        """Of the forward direction alone."""
        return self.direction == "forward"

    def build(self, features: int) -> EncoderModule:
        """A new module x_LSF → c_SW."""
        return RecurrentModule(self, features)


class RecurrentModule(EncoderModule):
    """The module of a Recurrent."""

    def __init__(self, settings: Recurrent, features: int) -> None:
        super().__init__()
        bidirectional = settings.direction == "bidirectional"
        self.gru = GRU(features, settings.hidden, settings.layers, bidirectional=bidirectional)
        self.attention = AttentionPooling(settings.width) if settings.pooling == "attention" else None
        self.dropout = Dropout(settings.dropout)

    def states(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        # The last state of the backward half is that of the first step: there it has read the whole window.
        h_LSW, last_SW = self.gru(x_LSF)
        return h_LSW, self.dropout(last_SW if self.attention is None else self.attention(h_LSW))
