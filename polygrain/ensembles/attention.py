"""One weight per member, learnt by the IC of their sum.

Shape suffixes: M members, D dates, S symbols, N symbols of one date with scores and a target.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from polygrain.ensembles.ensemble import Ensemble, Known, Members, Rule, ensemble
from polygrain.store.panel import Array

_STEPS = 100


@ensemble
class Attention(Ensemble):
    """Σ_m w_m z_m, w = softmax(a): a maximises mean_t corr(Σ_m w_m z_tm, y_t) − equal · ‖w − 1/M‖² on validation dates.

    corr is Pearson's over M_t. `equal` pulls the weights together: an IC's mean over some hundred dates has an error of
    .01 or more, which weights that follow it freely would learn.
    """

    kind: Literal["attention"] = "attention"
    equal: float = Field(default=0.05, ge=0)

    def rule(self, known: Known) -> Rule:
        """Find the fold's weights."""
        weight_M = self.weights(known)

        def combined(members: Members) -> Array:
            # Member by member: a matrix product's order of addition may depend on how many columns there are.
            total: Array = sum(weight * z_DS for weight, z_DS in zip(weight_M, members.score_MDS))
            return total

        return combined

    def weights(self, known: Known) -> Array:
        """w, float64 [M]; they add up to 1."""
        found = [_moments(*pair) for pair in _dates(known)]
        with_y_DM, among_DMM = (torch.from_numpy(np.stack(part)) for part in zip(*found))
        logit_M = torch.zeros(len(known.members.score_MDS), dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([logit_M], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            search.zero_grad()
            weight_M = logit_M.softmax(dim=0)
            variance_D = torch.einsum("m,dmn,n->d", weight_M, among_DMM, weight_M)
            ic_D = (with_y_DM @ weight_M) / variance_D.clamp_min(1e-12).sqrt()
            value: Tensor = self.equal * (weight_M - 1 / len(weight_M)).square().sum() - ic_D.mean()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        search.step(loss)  # type: ignore[no-untyped-call]
        weights: Array = logit_M.detach().softmax(dim=0).numpy()
        return weights


def _dates(known: Known) -> list[tuple[Array, Array]]:
    """Scores [M, N] and targets [N] of each date that has two or more; columns without either are left out, so that
    no sum depends on how many there are."""
    rows_DS = known.learnable_DS
    return [
        (known.members.score_MDS[:, day, row_S], known.target_DS[day, row_S])
        for day, row_S in enumerate(rows_DS)
        if row_S.sum() > 1 and np.ptp(known.target_DS[day, row_S]) > 0
    ]


def _moments(score_MN: Array, y_N: Array) -> tuple[Array, Array]:
    """cov(z_m, y)/std(y) [M] and cov(z_m, z_n) [M, M] of one date."""
    score_MN = score_MN - score_MN.mean(axis=1, keepdims=True)
    y_N = (y_N - y_N.mean()) / y_N.std()
    return score_MN @ y_N / len(y_N), score_MN @ score_MN.T / len(y_N)
