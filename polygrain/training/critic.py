"""Critic: how much a window's newest bar looks like what an encoder expected from the bars before it.

Shape suffixes: L steps, S symbols of the date, F features, W width of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from polygrain.models.single import SingleModule
from polygrain.samples.windows import Samples, chunks
from polygrain.training.adam import Adam

# Stocks of a date that stand against each other; B has some hundred numbers, and a date gives so many rows.
_STOCKS = 512
_EPOCHS = 3
_LEARNING_RATE = 0.01


class Critic(nn.Module):
    """pᵀ B c of an encoder that stays as it is: p the newest bar x_L, c the encoder's vector of x_1..x_{L−1}.

    B is learnt by InfoNCE, −log softmax_j(p_jᵀ B c_i) at j = i over stocks j of the same date: a stock's own newest bar
    must be told from the others'. c = 0 where there is no bar before. After van den Oord et al. (2018).
    """

    def __init__(self, module: SingleModule, samples: Samples) -> None:
        super().__init__()
        self.granularity, self.samples = module.granularity, samples
        self.width = module.width
        self.expect = nn.Linear(module.width, samples.features[module.granularity], bias=False, device=samples.device)
        nn.init.zeros_(self.expect.weight)
        # Not as a part of this module, or its weights would be learnt too.
        self._encode = module.eval().encoder.__call__

    def fit(self, days: Sequence[int], seed: int) -> None:
        """Learn B on the validation dates `days`; sees their windows and no targets."""
        optimizer = Adam(self, _LEARNING_RATE, weight_decay=0.0)
        for epoch in range(_EPOCHS):
            for number in np.random.default_rng([seed, epoch]).permutation(len(days)):
                symbols = self.samples.scored(days[number])
                chosen = np.linspace(0, len(symbols) - 1, min(_STOCKS, len(symbols))).astype(int)
                bar_SF, expected_SF = self.pair(days[number], symbols[np.unique(chosen)])
                self.zero_grad()
                (-(expected_SF @ bar_SF.T).log_softmax(dim=1).diagonal().mean()).backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    def pair(self, day: int, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """p_SF and (B c)_SF."""
        x_LSF = self.samples.x(day, symbols)[self.granularity]
        with torch.no_grad():
            c_SW = self._encode(x_LSF[:-1]) if len(x_LSF) > 1 else x_LSF.new_zeros(len(symbols), self.width)
        expected_SF: Tensor = self.expect(c_SW)
        return x_LSF[-1], expected_SF

    @torch.no_grad()
    def agreement(self, day: int, symbols: Tensor, chunk: int) -> Tensor:
        """pᵀ B c of `symbols`, [S]; a stock's does not depend on the others'."""
        parts = []
        for piece in chunks(symbols, chunk):
            bar_SF, expected_SF = self.pair(day, piece)
            parts.append((bar_SF * expected_SF).sum(dim=1))
        return torch.cat(parts)
