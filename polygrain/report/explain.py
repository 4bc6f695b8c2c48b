"""Explain: which features, of which days, a trained network's scores come from.

Shape suffixes: L steps, S symbols of the date, F features, T days of the look-back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from polygrain.samples.windows import Samples, open_samples
from polygrain.store.panel import Array
from polygrain.training.fit import one_thread
from polygrain.training.walk_forward import TrainTask, load_model

# Of a fold's test dates and of each one's stocks: seconds a model, whatever the market's size. On the demo no feature's
# total is more than 7% off the one over all 163 dates and 300 stocks, which takes 30 to 40 times as long.
DATES = 8
STOCKS = 64
# Midpoints of the path: the sums miss the scores by a few hundredths of their spread, for the head has kinks.
_POINTS = 16


def integrated_gradients(module: nn.Module, x: Mapping[str, Tensor], points: int = _POINTS) -> dict[str, Tensor]:
    """IG_LSF = x · ∫₀¹ ∂score/∂x(a·x) da by granularity, by the midpoint rule; Sundararajan et al. (2017).

    The baseline is 0, the mean of a normalised feature. Summed over steps, features and granularities it is the score
    less the score at the baseline. A symbol's score must depend on its own window alone. What the score does not
    depend on, or through what torch knows no gradient, has 0.
    """
    module.eval()
    total = {name: torch.zeros_like(x_LSF) for name, x_LSF in x.items()}
    for number in range(points):
        share = (number + 0.5) / points
        at = {name: (x_LSF * share).requires_grad_() for name, x_LSF in x.items()}
        # A copy: a network may write into its input, but not into what gradients are taken by.
        score = module({name: x_LSF.clone() for name, x_LSF in at.items()}).score_S.sum()
        if not score.requires_grad:
            continue
        gradients = torch.autograd.grad(score, list(at.values()), materialize_grads=True)
        for name, gradient_LSF in zip(at, gradients):
            total[name] += gradient_LSF
    return {name: total[name] * x_LSF / points for name, x_LSF in x.items()}


def attributions(module: nn.Module, samples: Samples, days: Sequence[int], stocks: int) -> dict[str, Array] | None:
    """Shares of the score's movement by granularity, [T, F], oldest day first: mean |Σ IG over a day's bars| over
    `days`, each with stocks of U_t, and evenly chosen `stocks` of each; all shares of a model add up to 1. None where
    no gradient says how the scores move.

    Sees the windows of `days`. Of weeks a row is a week.
    """
    sums: dict[str, Array] = {}
    with one_thread():
        for day in days:
            symbols = samples.scored(day)
            x = samples.x(day, symbols[_evenly(len(symbols), stocks)])
            for name, found_LSF in integrated_gradients(module, x).items():
                bars = samples.panels[name].bars
                by_day_TSF = found_LSF.view(-1, bars, *found_LSF.shape[1:]).sum(dim=1)
                values = by_day_TSF.abs().mean(dim=1).double().cpu().numpy()
                sums[name] = sums[name] + values if name in sums else values
    whole = sum(float(values.sum()) for values in sums.values())
    if not 0 < whole < math.inf:
        return None
    return {name: values / whole for name, values in sums.items()}


def explain(task: TrainTask) -> dict[str, Array] | None:
    """The `attributions` of the task's fitted model on evenly chosen test dates of its fold; sees their windows alone.

    On the CPU, wherever it was fitted: cuDNN gives a recurrent network no gradient while it only scores.
    """
    samples = open_samples(task.panels, Path(task.targets), Path(task.members), task.lookback)
    days = [day for day in task.fold.test if len(samples.scored(day))]
    chosen = [days[number] for number in _evenly(len(days), DATES)]
    return attributions(load_model(task, samples), samples, chosen, STOCKS)


def _evenly(count: int, most: int) -> Array:
    """At most `most` of 0..count − 1, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
