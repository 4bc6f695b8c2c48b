"""The temporal convolutional encoder.

Shape suffixes: L steps, S symbols of the date, F features, W width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from polygrain.models.encoder import Dropout, Encoder, EncoderModule, encoder


@encoder
class TCN(Encoder):
    """Blocks of causal convolutions over the steps, dilated by 1, 2, 4, …; the last step's state. Bai et al. (2018).

    A block: relu(x + conv(relu(conv(x)))), conv_t = Σ_k W_k x_{t − k·dilation} + b for k < `kernel`, and weights on the
    bare x where the widths differ. The last state sees 1 + 2 (kernel − 1)(2^blocks − 1) steps.
    """

    kind: Literal["tcn"] = "tcn"
    hidden: int = Field(default=32, ge=2)
    blocks: int = Field(default=4, ge=1)
    kernel: int = Field(default=3, ge=2)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def width(self) -> int:
        """hidden."""
        return self.hidden

    @property
    def causal(self) -> bool:
        """Yes."""
        return True

    def build(self, features: int) -> EncoderModule:
        """A new module x_LSF → c_SW."""
        return TCNModule(self, features)


class TCNModule(EncoderModule):
    """The module of a TCN."""

    def __init__(self, settings: TCN, features: int) -> None:
        super().__init__()
        widths = [features, *[settings.hidden] * settings.blocks]
        self.blocks = nn.ModuleList(
            _Block(into, out, settings.kernel, 2**i) for i, (into, out) in enumerate(pairwise(widths))
        )
        self.dropout = Dropout(settings.dropout)

    def states(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        h_SFL = x_LSF.permute(1, 2, 0)
        for block in self.blocks:
            h_SFL = block(h_SFL)
        h_LSW = h_SFL.permute(2, 0, 1)
        return h_LSW, self.dropout(h_LSW[-1])


class _Block(nn.Module):
    def __init__(self, into: int, out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.before = (kernel - 1) * dilation
        self.first = nn.Conv1d(into, out, kernel, dilation=dilation)
        self.second = nn.Conv1d(out, out, kernel, dilation=dilation)
        self.pass_on = nn.Conv1d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x_SFL: Tensor) -> Tensor:
        h = self.first(nn.functional.pad(x_SFL, (self.before, 0))).relu()
        h = self.second(nn.functional.pad(h, (self.before, 0)))
        return torch.relu(self.pass_on(x_SFL) + h)
