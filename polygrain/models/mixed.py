"""Mixed input: an encoder per granularity, one head over all of them.

Shape suffixes: L steps, S symbols of the date, F features, W width of an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from polygrain.decoding import ByKind
from polygrain.models.encoder import DEFAULT, ENCODERS, Encoder
from polygrain.models.network import Network, Prediction, network
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import head


@network
class Mixed(Network):
    """[encoder_1(x¹); …; encoder_M(x^M)] → Linear(ΣW → 64) → ReLU → Linear(64 → 1), trained at once. R88 fig. 1.

    混合输入. One model over all granularities; each has an encoder of its own with the same settings.
    """

    kind: Literal["mixed"] = "mixed"
    encoder: Annotated[Encoder, ByKind(ENCODERS, DEFAULT)] = Recurrent()

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model, mixed, that reads every granularity."""
        return {self.named("mixed"): tuple(granularities)}

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for granularities with so many features."""
        return MixedModule(self.encoder, features)


class MixedModule(nn.Module):
    """The module of a Mixed: x_LSF of every granularity → score_S."""

    def __init__(self, encoder: Encoder, features: Mapping[str, int]) -> None:
        super().__init__()
        self.granularities = tuple(features)
        self.encoders = nn.ModuleList(encoder.build(count) for count in features.values())
        self.head = head(encoder.width * len(features))

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        parts = [encode(x[name]) for name, encode in zip(self.granularities, self.encoders)]
        return Prediction(score_S=self.head(torch.cat(parts, dim=1)).squeeze(-1))
