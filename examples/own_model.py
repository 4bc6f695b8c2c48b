"""A network of one's own, for `plugins = ["own_model.py"]`: it reads all granularities at once.

    [network]
    means = { kind = "window_means", bars = 4 }

Shape suffixes: L steps, S symbols of the date, F features.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from polygrain.models.network import Network, Prediction, network


@network
class WindowMeans(Network):
    """Mean features of each granularity's last `bars` bars, side by side → Linear(→ hidden) → ReLU → Linear(→ 1)."""

    kind: Literal["window_means"] = "window_means"
    bars: int = Field(default=5, ge=1)
    hidden: int = Field(default=16, ge=1)

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model, called means, that reads every granularity of the run."""
        return {self.named("means"): tuple(granularities)}

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for granularities with so many features."""
        return WindowMeansModule(self, features)


class WindowMeansModule(nn.Module):
    """The module of WindowMeans: x_LSF of every granularity → score_S."""

    def __init__(self, settings: WindowMeans, features: Mapping[str, int]) -> None:
        super().__init__()
        self.bars, self.granularities = settings.bars, tuple(features)
        width = sum(features.values())
        self.head = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(width, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, 1)
        )

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        means_SF = torch.cat([x[name][-self.bars :].mean(dim=0) for name in self.granularities], dim=1)
        return Prediction(score_S=self.head(means_SF).squeeze(-1))
