"""Slow oracle of the networks: stock by stock, step by step, unit by unit, gate by gate, in float64.

Shares nothing with polygrain.models, and knows of a network only its weights by their names.
Shape suffixes: L steps, F features, H units, W = H × directions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def cell(weights: Weights, end: str, x_F: Array, h_H: Array) -> Array:
    """The state after one step: r = σ(·), z = σ(·), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), (1 − z) n + z h."""
    units, after_H = len(h_H), np.zeros(len(h_H))
    for unit in range(units):
        of_x, of_h = [], []
        for gate in range(3):  # r, z, n
            row = gate * units + unit
            of_x.append(weights[f"weight_ih{end}"][row] @ x_F + weights[f"bias_ih{end}"][row])
            of_h.append(weights[f"weight_hh{end}"][row] @ h_H + weights[f"bias_hh{end}"][row])
        r, z = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
        n = math.tanh(of_x[2] + r * of_h[2])
        after_H[unit] = (1 - z) * n + z * h_H[unit]
    return after_H


def direction(weights: Weights, end: str, x_LF: Array, steps: Iterable[int]) -> Array:
    """h_LH of one direction, which reads the steps in this order from h = 0."""
    units = weights[f"weight_hh{end}"].shape[1]
    h_H, h_LH = np.zeros(units), np.full((len(x_LF), units), np.nan)
    for step in steps:
        h_H = cell(weights, end, x_LF[step], h_H)
        h_LH[step] = h_H
    return h_LH


def states(weights: Weights, x_LF: Array) -> tuple[Array, Array]:
    """h_LW of the last layer at every step, and its last states h_W = [h→ of the last step; h← of the first]."""
    h_LW, last_W, layer = x_LF, x_LF[-1], 0
    while f"weight_ih_l{layer}" in weights:
        steps = range(len(h_LW))
        halves = [direction(weights, f"_l{layer}", h_LW, steps)]
        lasts = [halves[0][-1]]
        if f"weight_ih_l{layer}_reverse" in weights:
            halves.append(direction(weights, f"_l{layer}_reverse", h_LW, reversed(steps)))
            lasts.append(halves[1][0])
        h_LW, last_W, layer = np.concatenate(halves, axis=1), np.concatenate(lasts), layer + 1
    return h_LW, last_W


def attention(weights: Weights, h_LW: Array) -> Array:
    """c = Σ_t α_t h_t, α_t = exp(e_t) / Σ exp(e), e_t = wᵀ tanh(W h_t + b)."""
    energies = []
    for h_W in h_LW:
        energy = 0.0
        for unit, row_W in enumerate(weights["project.weight"]):
            energy += weights["weigh.weight"][0, unit] * math.tanh(row_W @ h_W + weights["project.bias"][unit])
        energies.append(energy)
    total, c_W = sum(math.exp(energy) for energy in energies), np.zeros(h_LW.shape[1])
    for energy, h_W in zip(energies, h_LW):
        c_W += math.exp(energy) / total * h_W
    return c_W


def score(weights: Weights, x_LF: Array) -> float:
    """One stock's score: encoder, then Linear(h → 64) → ReLU → Linear(64 → 1)."""
    h_LW, c_W = states(under("encoder.gru.weights.", weights), x_LF)
    pooling = under("encoder.attention.", weights)
    if pooling:
        c_W = attention(pooling, h_LW)
    total = weights["head.2.bias"][0]
    for unit, row_W in enumerate(weights["head.0.weight"]):
        total += weights["head.2.weight"][0, unit] * max(row_W @ c_W + weights["head.0.bias"][unit], 0.0)
    return float(total)


def under(prefix: str, weights: Weights) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
