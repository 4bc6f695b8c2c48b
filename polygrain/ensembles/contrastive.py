"""Members weighed, stock by stock, by how well each expected what it then read."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from polygrain.ensembles.ensemble import Ensemble, Known, Members, Rule, ensemble
from polygrain.models.network import Network
from polygrain.store.panel import Array


@ensemble
class Contrastive(Ensemble):
    """Σ_m α_m z_m, α = softmax_m(p_mᵀ B_m c_m): the residual network's confidence, over networks trained apart.

    p_m is member m's newest bar, c_m its encoder's vector of the bars before it, B_m its critic, learnt by InfoNCE on
    the fold's validation dates (training/critic.py). Of networks of the kind `single`, which have an encoder.
    """

    asks_agreement: ClassVar[bool] = True

    kind: Literal["contrastive"] = "contrastive"

    def takes(self, network: Network) -> bool:
        """Networks with one encoder a model."""
        return network.kind == "single"

    def rule(self, known: Known) -> Rule:
        """What was learnt of the fold is in the agreements."""
        return _weighed


def _weighed(members: Members) -> Array:
    assert members.agreement_MDS is not None
    share_MDS = np.exp(members.agreement_MDS - members.agreement_MDS.max(axis=0))
    score_DS: Array = (share_MDS / share_MDS.sum(axis=0) * members.score_MDS).sum(axis=0)
    return score_DS
