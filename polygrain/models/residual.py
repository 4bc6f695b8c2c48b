"""Residual learning across granularities: each level learns from what the coarser ones leave unexplained.

Shape suffixes: U units of alignment (bars of the coarsest granularity), K bars in a unit, S symbols of the date, D
features of the coarsest granularity, W width of an encoder, M levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor, nn

from polygrain.decoding import ByKind
from polygrain.errors import ConfigError
from polygrain.models.encoder import DEFAULT, ENCODERS, Encoder
from polygrain.models.network import Network, Prediction, network
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import head


@network
class Residual(Network):
    """Levels m = 1..M from coarse to fine: F^m − G^{m−1} → encoder → a prediction r^m and what it explains, G^m.

    多颗粒度残差学习, R88 §4, after MRLF. With X^m the bars of a unit and w^m a weight per bar, shared by the features:
    F^m = A^m Σ_k w^m_k X^m_k (A^m: D_m → D, left out where D_m = D); P^1 = F^1, P^m = F^m − G^{m−1};
    h^m = encoder^m(P^m), r^m = Linear(W → 64)-ReLU-Linear(64 → 1) of its vector, G^m = Linear(W → D) of every state.

    score = mean of r^m; or Σ α_m r^m with α = softmax_m(qᵀc_m / √W), q the mean of the vectors c_m ("attention"), or
    α = softmax_m(p_Tᵀ B^m h_{T−1}), p_T the level's newest input P^m_T, h_0 = 0 ("confidence").

    Loss beside the scores': λ1 · mean over m ≥ 2, units and features of (F^m − G^{m−1})² with F^m held fixed, plus λ2 ·
    InfoNCE, −log softmax_j(p_{t,j}ᵀ B^m h_{t−1,i}) at j = i over the stocks j of the batch, plus λθ/2 ‖Θ‖².
    `reconstruction` is λ1, `contrast` λ2, `decay` λθ. R88 gives no values.

    Departures: F^m is held fixed in the reconstruction, whose least value would else be at F = G = 0, and the loss is a
    mean instead of a sum, which would swamp the prediction's. A score does not depend on the other stocks; with
    `contrast` the training loss does, on those of the same chunk.
    """

    kind: Literal["residual"] = "residual"
    encoder: Annotated[Encoder, ByKind(ENCODERS, DEFAULT)] = Recurrent(layers=2)
    combination: Literal["mean", "attention", "confidence"] = "mean"
    reconstruction: float = Field(default=0.1, ge=0)
    contrast: float = Field(default=0.0, ge=0)
    decay: float = Field(default=0.0, ge=0)
    # Bars of a unit by granularity, which the windows decide.
    _bars: dict[str, int] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _forward_only(self) -> Residual:
        if (self.contrast or self.combination == "confidence") and not self.encoder.causal:
            reason = "a state that has read what comes next cannot be asked how well it expects it"
            raise ConfigError("combination", f"{reason}; take a forward encoder, or mean or attention without contrast")
        return self

    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """One model, residual, that reads every granularity; none where there is one granularity."""
        return {self.named("residual"): tuple(granularities)} if len(granularities) > 1 else {}

    def for_windows(self, steps: Mapping[str, int]) -> Residual:
        """For units of the coarsest granularity's bars; ConfigError where a window does not hold whole units."""
        units = next(iter(steps.values()))
        for name, length in steps.items():
            if length % units:
                reason = f"a window of {length} steps of {name} is not a whole number of bars for each of {units} units"
                raise ConfigError("network.residual", f"{reason}; leave {name} out or change the look-back")
        sized = self.model_copy()
        sized._bars = {name: length // units for name, length in steps.items()}
        return sized

    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for granularities with so many features, coarse to fine; `for_windows` comes first."""
        return ResidualModule(self, self._bars, features)


class ResidualModule(nn.Module):
    """The module of a Residual: x_LSF of every granularity → score_S, with F^m, G^m and r^m as parts."""

    def __init__(self, settings: Residual, bars: Mapping[str, int], features: Mapping[str, int]) -> None:
        super().__init__()
        self.settings = settings
        depth = next(iter(features.values()))
        self.granularities = tuple(features)
        self.levels = nn.ModuleList(
            _Level(settings.encoder, count, bars[name], depth) for name, count in features.items()
        )

    def forward(self, x: Mapping[str, Tensor]) -> Prediction:
        parts: dict[str, Tensor] = {}
        vectors, scores, confidences, losses, contrasts = [], [], [], [], []
        explained_USD: Tensor | None = None
        for number, (name, level) in enumerate(zip(self.granularities, self.levels), 1):
            assert isinstance(level, _Level)
            input_USD = rest_USD = level.aligned(x[name])
            if explained_USD is not None:
                rest_USD = input_USD - explained_USD
                losses.append((input_USD.detach() - explained_USD).square().mean())
            states_USW, vector_SW = level.encoder.states(rest_USD)
            explained_USD = level.reconstruct(states_USW)
            vectors.append(vector_SW)
            scores.append(level.predict(vector_SW).squeeze(-1))
            before_USW = torch.cat([torch.zeros_like(states_USW[:1]), states_USW[:-1]])
            confidences.append(level.agreement(rest_USD[-1], before_USW[-1]))
            if self.training and self.settings.contrast:
                contrasts.append(level.info_nce(rest_USD, before_USW))
            parts |= {f"F{number}": input_USD, f"G{number}": explained_USD, f"r{number}": scores[-1]}
        weights_MS = self._weights(torch.stack(vectors), torch.stack(confidences))
        score_S = (weights_MS * torch.stack(scores)).sum(dim=0)
        return Prediction(score_S, self._penalties(losses, contrasts), parts | {"weights": weights_MS})

    def _weights(self, vectors_MSW: Tensor, confidences_MS: Tensor) -> Tensor:
        levels = vectors_MSW.shape[0]
        if self.settings.combination == "mean":
            return torch.full_like(confidences_MS, 1 / levels)
        if self.settings.combination == "confidence":
            return confidences_MS.softmax(dim=0)
        query_SW = vectors_MSW.mean(dim=0)
        return ((vectors_MSW * query_SW).sum(dim=-1) / math.sqrt(vectors_MSW.shape[2])).softmax(dim=0)

    def _penalties(self, losses: Sequence[Tensor], contrasts: Sequence[Tensor]) -> dict[str, Tensor]:
        penalties = {"reconstruction": self.settings.reconstruction * torch.stack(list(losses)).mean()}
        if contrasts:
            penalties["contrast"] = self.settings.contrast * torch.stack(list(contrasts)).mean()
        if self.settings.decay:
            squares = torch.stack([parameter.square().sum() for parameter in self.parameters()])
            penalties["decay"] = self.settings.decay / 2 * squares.sum()
        return penalties


class _Level(nn.Module):
    """One granularity: what aligns it with the coarsest, its encoder, its two heads, and B of its confidence."""

    def __init__(self, encoder: Encoder, features: int, bars: int, depth: int) -> None:
        super().__init__()
        self.bars = nn.Parameter(torch.full((bars,), 1 / bars))
        self.align = nn.Linear(features, depth) if features != depth else nn.Identity()
        self.encoder = encoder.build(depth)
        self.predict = head(encoder.width)
        self.reconstruct = nn.Linear(encoder.width, depth)
        self.agree = nn.Linear(encoder.width, depth, bias=False)

    def aligned(self, x_LSF: Tensor) -> Tensor:
        """F_USD; the weights come before A, which is linear too and then runs over units instead of bars."""
        steps, symbols, features = x_LSF.shape
        x_UKN = x_LSF.reshape(steps // len(self.bars), len(self.bars), symbols * features)
        aligned_USD: Tensor = self.align(torch.matmul(self.bars, x_UKN).view(-1, symbols, features))
        return aligned_USD

    def agreement(self, input_SD: Tensor, before_SW: Tensor) -> Tensor:
        """pᵀ B h of each stock."""
        expected_SD: Tensor = self.agree(before_SW)
        return (input_SD * expected_SD).sum(dim=-1)

    def info_nce(self, input_USD: Tensor, before_USW: Tensor) -> Tensor:
        """−log softmax_j(p_jᵀ B h_i) at j = i, mean over units and stocks."""
        logits_USS = torch.matmul(self.agree(before_USW), input_USD.transpose(1, 2))
        return -logits_USS.log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean()
