"""Losses of one date, scores against targets, and their weighted sum.

Shape suffix: S symbols of the date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

LossName = Literal["mse", "ic", "ccc"]


@dataclass(frozen=True)
class Loss:
    """A date's loss; `additive` where it is the mean of one term per stock, so that chunks of stocks add up exactly."""

    value: Callable[[Tensor, Tensor], Tensor]
    additive: bool


def mse(score_S: Tensor, y_S: Tensor) -> Tensor:
    """mean (score − y)²."""
    return (score_S - y_S).square().mean()


def ic(score_S: Tensor, y_S: Tensor) -> Tensor:
    """−corr(score, y) (Pearson); the small constant keeps a constant score's gradient finite."""
    score, y = score_S - score_S.mean(), y_S - y_S.mean()
    return -(score * y).mean() / (score.square().mean() * y.square().mean() + 1e-12).sqrt()


def ccc(score_S: Tensor, y_S: Tensor) -> Tensor:
    """1 − 2 cov / (var(score) + var(y) + (mean(score) − mean(y))²): one minus the concordance correlation."""
    score, y = score_S - score_S.mean(), y_S - y_S.mean()
    gap = (score_S.mean() - y_S.mean()).square()
    return 1 - 2 * (score * y).mean() / (score.square().mean() + y.square().mean() + gap)


LOSSES: dict[LossName, Loss] = {
    "mse": Loss(mse, additive=True),
    "ic": Loss(ic, additive=False),
    "ccc": Loss(ccc, additive=False),
}


@dataclass(frozen=True)
class WeightedLoss:
    """Σ w_k L_k of one date over named losses."""

    weights: Mapping[LossName, float]

    @property
    def additive(self) -> bool:
        """Whether every loss of it is."""
        return all(LOSSES[name].additive for name in self.weights)

    def terms(self, score_S: Tensor, y_S: Tensor) -> dict[str, Tensor]:
        """w_k L_k by name."""
        return {name: weight * LOSSES[name].value(score_S, y_S) for name, weight in self.weights.items()}
