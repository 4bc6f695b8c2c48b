"""Linear: what a linear model on the newest bars is worth, beside which recurrence is judged.

Shape suffixes: L steps, S symbols of the date, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from polygrain.errors import ConfigError
from polygrain.models.network import Network, Prediction, network


@network
class Linear(Network):
    """score = Σ_k w_kᵀ x_{L−k} + b over the last `bars` bars, a model per granularity."""

    kind: Literal["linear"] = "linear"
    suffix: str = "linear"
    bars: int = Field(default=1, ge=1)

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model per granularity: day_linear."""
        return {self.named(granularity): (granularity,) for granularity in granularities}

    def for_windows(self, steps: Mapping[str, int]) -> Linear:
        """Itself; ConfigError where a window has fewer bars than are read."""
        shortest = min(steps.values())
        if shortest < self.bars:
            raise ConfigError("network.bars", f"{self.bars} bars are more than the window's {shortest}; take fewer")
        return self

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for the one granularity of `features`."""
        if len(features) != 1:
            raise ConfigError("network.kind", f"linear reads one granularity, not {', '.join(features) or 'none'}")
        ((granularity, count),) = features.items()
        return LinearModule(granularity, self.bars, count)


class LinearModule(nn.Module):
    """The module of a Linear: x_LSF of its granularity → score_S."""

    def __init__(self, granularity: str, bars: int, features: int) -> None:
        super().__init__()
        self.granularity, self.bars = granularity, bars
        self.weigh = nn.Linear(bars * features, 1)

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        newest_SF = x[self.granularity][-self.bars :].transpose(0, 1).flatten(1)
        return Prediction(score_S=self.weigh(newest_SF).squeeze(-1))
