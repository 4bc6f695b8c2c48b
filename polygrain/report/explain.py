"""Explain: which features, of which days, a trained network's scores come from.

Shape suffixes: L steps, S symbols of the date, F features, T days of the look-back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from polygrain.samples.windows import Samples
from polygrain.store.panel import Array
from polygrain.training.fit import one_thread

# Midpoints of the path: the sums miss the scores by a few hundredths of their spread, for the head has kinks.
_POINTS = 16


def integrated_gradients(module: nn.Module, x: Mapping[str, Tensor], points: int = _POINTS) -> dict[str, Tensor]:
    """IG_LSF = x · ∫₀¹ ∂score/∂x(a·x) da by granularity, by the midpoint rule; Sundararajan et al. (2017).

    The baseline is 0, the mean of a normalised feature. Summed over steps, features and granularities it is the score
    less the score at the baseline. A symbol's score must depend on its own window alone.
    """
    module.eval()
    total = {name: torch.zeros_like(x_LSF) for name, x_LSF in x.items()}
    for number in range(points):
        share = (number + 0.5) / points
        at = {name: (x_LSF * share).requires_grad_() for name, x_LSF in x.items()}
        gradients = torch.autograd.grad(module(at).score_S.sum(), list(at.values()))
        for name, gradient_LSF in zip(at, gradients):
            total[name] += gradient_LSF
    return {name: total[name] * x_LSF / points for name, x_LSF in x.items()}


def attributions(module: nn.Module, samples: Samples, days: Sequence[int], stocks: int) -> dict[str, Array]:
    """Shares of the score's movement by granularity, [T, F], oldest day first: mean |Σ IG over a day's bars| over
    `days` and evenly chosen `stocks` of each; all shares of a model add up to 1.

    Sees the windows of `days`. Of weeks a row is a week.
    """
    sums: dict[str, Array] = {}
    with one_thread():
        for day in days:
            symbols = samples.scored(day)
            chosen = symbols[np.unique(np.linspace(0, len(symbols) - 1, min(stocks, len(symbols))).astype(int))]
            x = {name: x_LSF.clone() for name, x_LSF in samples.x(day, chosen).items()}
            for name, found_LSF in integrated_gradients(module, x).items():
                bars = samples.panels[name].bars
                by_day_TSF = found_LSF.view(-1, bars, *found_LSF.shape[1:]).sum(dim=1)
                values = by_day_TSF.abs().mean(dim=1).double().cpu().numpy()
                sums[name] = sums[name] + values if name in sums else values
    whole = sum(values.sum() for values in sums.values())
    return {name: values / whole for name, values in sums.items()}
