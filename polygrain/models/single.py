"""Single: one granularity, one encoder, one head.

Shape suffixes: L steps, S symbols of the date, F features, W width of the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from torch import Tensor, nn

from polygrain.decoding import ByKind
from polygrain.errors import ConfigError
from polygrain.models.encoder import DEFAULT, ENCODERS, Encoder
from polygrain.models.network import Network, Prediction, network
from polygrain.models.recurrent import Recurrent


@network
class Single(Network):
    """Encoder → Linear(W → 64) → ReLU → Linear(64 → 1), a model per granularity. R88 §1."""

    kind: Literal["single"] = "single"
    encoder: Annotated[Encoder, ByKind(ENCODERS, DEFAULT)] = Recurrent()

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model per granularity, named by it: day, 60min_biagru."""
        return {self.named(granularity): (granularity,) for granularity in granularities}

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for the one granularity of `features`."""
        if len(features) != 1:
            raise ConfigError("network.kind", f"single reads one granularity, not {', '.join(features) or 'none'}")
        ((granularity, count),) = features.items()
        return SingleModule(granularity, self.encoder, count)


def head(width: int) -> nn.Sequential:
    """Linear(W → 64) → ReLU → Linear(64 → 1)."""
    return nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 1))


class SingleModule(nn.Module):
    """The module of a Single: x_LSF of its granularity → score_S."""

    def __init__(self, granularity: str, encoder: Encoder, features: int) -> None:
        super().__init__()
        self.granularity = granularity
        self.width = encoder.width
        self.encoder = encoder.build(features)
        self.head = head(encoder.width)

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        c_SW = self.encoder(x[self.granularity])
        return Prediction(score_S=self.head(c_SW).squeeze(-1))
