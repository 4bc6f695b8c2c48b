"""Losses of one date: scores against targets.

Shape suffix: S symbols of the date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


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


LOSSES = {"mse": Loss(mse, additive=True), "ic": Loss(ic, additive=False), "ccc": Loss(ccc, additive=False)}
