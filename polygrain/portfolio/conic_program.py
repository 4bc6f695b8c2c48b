"""ConicProgram: a date's linear program whose objective, or limit, knows risk and the square of trades."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from polygrain.portfolio.program import Program
from polygrain.portfolio.risk import Risk
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class ConicProgram:
    """max cost·x + constant − ½ λ |Q a|² − κ Σ (w − w⁰)², a = w − b, in the `linear` program's x, |Q a| ≤ limit.

    QᵀQ = V: the rows of Q are `root` [K, n], a root of the factors' part, and diag(`deviation`) [n]. Neither V nor Q is
    ever made. λ `risk_aversion`, κ `quadratic_cost`, b `benchmark`, w⁰ `holdings`; `limit` is inf where there is none.
    """

    linear: Program
    root: Array
    deviation: Array
    benchmark: Array
    holdings: Array
    risk_aversion: float
    quadratic_cost: float
    limit: float

    def strayed(self, x: Array) -> Array:
        """Q a [K + n]."""
        active = self.linear.weights(x) - self.benchmark
        return np.concatenate([self.root @ active, self.deviation * active])

    def tracking_error(self, x: Array) -> float:
        """|Q a|, a year."""
        return float(np.linalg.norm(self.strayed(x)))

    def returned(self, p: Array) -> Array:
        """Qᵀ p [n]."""
        factors = len(self.root)
        weights: Array = p[:factors] @ self.root + self.deviation * p[factors:]
        return weights

    def objective(self, x: Array) -> float:
        """What is maximised."""
        traded = self.linear.weights(x) - self.holdings
        stray = self.strayed(x)
        penalty = self.risk_aversion / 2 * float(stray @ stray) + self.quadratic_cost * float(traded @ traded)
        return float(self.linear.cost @ x) + self.linear.constant - penalty

    def slopes(self, x: Array, p: Array) -> Array:
        """What a unit more of each weight adds to the objective beside its cost, at multipliers p of Q a [n]."""
        traded = self.linear.weights(x) - self.holdings
        return -self.returned(self.risk_aversion * self.strayed(x) + p) - 2 * self.quadratic_cost * traded

    def tangent(self, x: Array, p: Array) -> Program:
        """The linear program whose costs are the objective's slopes at x, less p · Q a."""
        # The last is that of slacks, whose symbol is −1.
        of_symbol = np.append(self.slopes(x, p), 0.0)
        return replace(self.linear, cost=self.linear.cost + of_symbol[self.linear.symbol])


def root(risk: Risk) -> Array:
    """Lᵀ X [K, n] with L Lᵀ = F, so that its columns' products are the factors' part of V."""
    values, vectors = np.linalg.eigh(risk.covariance_KK)
    # Rounding makes the least eigenvalue of a covariance negative.
    found: Array = (vectors * np.sqrt(np.maximum(values, 0.0))).T @ risk.exposures
    return found
