"""Boosted trees on summaries of the window: LightGBM, the tabular baseline.

Shape suffixes: L steps, S symbols of the date, F features, C columns, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from polygrain.errors import ConfigError
from polygrain.models.network import Losses, Network, Prediction, SelfFitted, network
from polygrain.samples.windows import Samples
from polygrain.store.panel import Array


@network
class Boosted(Network, SelfFitted):
    """score = Σ of regression trees over each feature's newest value, mean and standard deviation over the window.

    A model per granularity; squared error; early stop on the validation dates. Ke et al. (2017). Needs the extra
    `gbdt`. Memory: 3 · F · 4 bytes for every training and validation sample.
    """

    kind: Literal["gbdt"] = "gbdt"
    suffix: str = "gbdt"
    trees: int = Field(default=500, ge=1)
    leaves: int = Field(default=31, ge=2)
    shrinkage: float = Field(default=0.05, gt=0, le=1)
    least_in_leaf: int = Field(default=200, ge=1)
    patience: int = Field(default=50, ge=1)

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model per granularity: day_gbdt."""
        return {self.named(granularity): (granularity,) for granularity in granularities}

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module without trees for the one granularity of `features`."""
        if len(features) != 1:
            raise ConfigError("network.kind", f"gbdt reads one granularity, not {', '.join(features) or 'none'}")
        (granularity,) = features
        return BoostedModule(granularity)

    def made_with(self) -> str:
        """lightgbm and its version."""
        return f"lightgbm {_lightgbm().__version__}"

    def fit_itself(
        self, module: nn.Module, samples: Samples, train: Sequence[int], valid: Sequence[int], seed: int
    ) -> list[Losses]:
        """Grow the trees; the losses of every round up to the best one."""
        lightgbm = _lightgbm()
        assert isinstance(module, BoostedModule)
        parts = [lightgbm.Dataset(*_rows(module.granularity, samples, days)) for days in (train, valid)]
        losses: dict[str, dict[str, list[float]]] = {}
        settings: dict[str, Any] = {
            "objective": "l2",
            "num_leaves": self.leaves,
            "learning_rate": self.shrinkage,
            "min_data_in_leaf": self.least_in_leaf,
            "seed": seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        booster = lightgbm.train(
            settings,
            parts[0],
            self.trees,
            valid_sets=parts,
            valid_names=["train", "valid"],
            callbacks=[lightgbm.early_stopping(self.patience, verbose=False), lightgbm.record_evaluation(losses)],
        )
        module.grow(booster.model_to_string(num_iteration=booster.best_iteration))
        curves = [losses[name]["l2"][: booster.best_iteration] for name in ("train", "valid")]
        return [Losses(*pair) for pair in zip(*curves)]


class BoostedModule(nn.Module):
    """The module of a Boosted: x_LSF of its granularity → score_S; its trees are LightGBM's text, as bytes."""

    text: Tensor

    def __init__(self, granularity: str) -> None:
        super().__init__()
        self.granularity = granularity
        self.register_buffer("text", torch.zeros(0, dtype=torch.uint8))
        self._booster: Any = None

    def grow(self, text: str) -> None:
        """Take these trees."""
        self.text = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.text.device)
        self._booster = None

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *_: object) -> None:
        # torch refuses a buffer of another length, which the text of other trees has.
        self.grow(bytes(state[f"{prefix}text"].tolist()).decode())

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        if not len(self.text):
            return Prediction(score_S=x[self.granularity].new_zeros(x[self.granularity].shape[1]))
        if self._booster is None:
            self._booster = _lightgbm().Booster(model_str=bytes(self.text.tolist()).decode())
        columns_SC = summaries(x[self.granularity])
        scores = self._booster.predict(columns_SC.cpu().numpy(), num_threads=1)
        return Prediction(score_S=torch.from_numpy(np.asarray(scores, dtype=np.float32)).to(columns_SC.device))


def summaries(x_LSF: Tensor) -> Tensor:
    """Newest value, mean and standard deviation (ddof 0) over the window of every feature, side by side, [S, 3F]."""
    return torch.cat([x_LSF[-1], x_LSF.mean(dim=0), x_LSF.std(dim=0, correction=0)], dim=1)


def _rows(granularity: str, samples: Samples, days: Sequence[int]) -> tuple[Array, Array]:
    """Columns float32 [N, C] and targets [N] of every stock with a target on `days`."""
    batches = [samples.batch(day) for day in days]
    rows = [summaries(samples.x(batch.day, batch.symbols)[granularity]).cpu().numpy() for batch in batches]
    return np.concatenate(rows), np.concatenate([batch.y_S.cpu().numpy() for batch in batches])


def lightgbm_for(key: str, kind: str) -> ModuleType:
    """LightGBM; ConfigError at `key` where it is not installed and `kind` needs it."""
    try:
        import lightgbm
    except ImportError:
        raise ConfigError(key, f"{kind} needs LightGBM; pip install 'polygrain[gbdt]'") from None
    return lightgbm


def _lightgbm() -> ModuleType:
    return lightgbm_for("network.kind", "gbdt")
