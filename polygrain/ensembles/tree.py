"""Boosted trees on the members' scores.

Shape suffixes: M members, D dates, S symbols.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from polygrain.ensembles.ensemble import Ensemble, Known, Members, Rule, ensemble
from polygrain.models.boosted import lightgbm_for
from polygrain.store.panel import Array


@ensemble
class Tree(Ensemble):
    """score = Σ of regression trees over (z_1, …, z_M), least squared error on the validation dates. Needs `gbdt`.

    Few small trees with full leaves: some hundred validation dates are all that there is to learn from. LightGBM, Ke et
    al. (2017).
    """

    kind: Literal["tree"] = "tree"
    trees: int = Field(default=50, ge=1)
    leaves: int = Field(default=7, ge=2)
    shrinkage: float = Field(default=0.05, gt=0, le=1)
    least_in_leaf: int = Field(default=500, ge=1)

    def made_with(self) -> str:
        """lightgbm and its version."""
        return f"lightgbm {lightgbm_for('ensemble.kind', 'tree').__version__}"

    def rule(self, known: Known) -> Rule:
        """Grow the fold's trees."""
        lightgbm = lightgbm_for("ensemble.kind", "tree")
        rows_DS = known.learnable_DS
        settings = {
            "objective": "l2",
            "num_leaves": self.leaves,
            "learning_rate": self.shrinkage,
            "min_data_in_leaf": self.least_in_leaf,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(known.members.score_MDS[:, rows_DS].T, known.target_DS[rows_DS])
        booster = lightgbm.train(settings, data, self.trees)

        def combined(members: Members) -> Array:
            there_DS = np.isfinite(members.score_MDS).all(axis=0)
            score_DS = np.full(there_DS.shape, np.nan)
            if there_DS.any():
                score_DS[there_DS] = booster.predict(members.score_MDS[:, there_DS].T, num_threads=1)
            return score_DS

        return combined
