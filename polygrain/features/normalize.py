"""Normalisation of one feature over each cross-section: nothing is fitted on another date."""

from __future__ import annotations

import numpy as np

from polygrain.store.cross_section import moments
from polygrain.store.panel import Array

MIN_VALUES = 30


def normalise(x: Array, members: Array, log: float | None) -> Array:
    """z = (clip(x, median ± 3·1.4826·MAD) − mean) / std per row of x [bars, stocks], float64 in, float32 out.

    x is ln(x + log) first where `log` is given. Median, MAD, mean and std (ddof 0) are those of the `members`
    [bars, stocks] that have a value, and apply to every stock; MAD = 0: no clip; std = 0 or fewer than 30 values: 0.
    What is not finite is 0 at last. Sees: the row alone.
    """
    if log is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log(x + log)
    finite = np.isfinite(x)
    fitted = finite & members
    count = fitted.sum(axis=1)
    rows = np.flatnonzero(count >= MIN_VALUES)
    out = np.zeros(x.shape, np.float32)
    if not len(rows):
        return out
    x, finite = x[rows], finite[rows]
    fit = moments(x, fitted[rows])
    with np.errstate(invalid="ignore"):
        z = (np.clip(x, fit.low, fit.high) - fit.mean) / fit.std
    z[~finite] = 0.0
    out[rows] = z
    return out
