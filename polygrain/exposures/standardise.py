"""How a style's raw values become exposures: nothing is fitted on another date, nor on the order of the stocks."""

from __future__ import annotations

import numpy as np

from polygrain.exposures.industries import Industries
from polygrain.store.cross_section import moments, ordered_sums
from polygrain.store.panel import Array

LEAST = 10
_BLOCK = 64
# Multiples of this are exact in sums of any order: exposures stay far below 2²³/(number of stocks).
_STEP = 2.0**-30


def standardised(raw: Array, members: Array, caps: Array | None) -> Array:
    """(clip(x, median ± 3·1.4826·MAD) − cap-weighted mean) / std by date of x [days, symbols], float64.

    Median, MAD, std (ddof 0, about the equal-weighted mean) and the mean by `caps` (yuan; None: equal weights) are
    those of the `members` [days, symbols] that have a value, and apply to every stock; a stock without a cap has no
    weight. MAD = 0: no clip; std = 0: 0. NaN where x is, and on dates when fewer than half of the members, or fewer
    than 10, have a value. Each row sees itself only. Source: the usual treatment of risk models, CNE5 and after.
    """
    out = np.full(raw.shape, np.nan)
    for start in range(0, len(raw), _BLOCK):
        rows = slice(start, start + _BLOCK)
        fitted = members[rows] & np.isfinite(raw[rows])
        count = fitted.sum(axis=1)
        enough = np.flatnonzero((count >= LEAST) & (2 * count >= members[rows].sum(axis=1)))
        if len(enough):
            at = start + enough
            out[at] = _standardised_rows(raw[at], fitted[enough], None if caps is None else caps[at])
    return out


def _standardised_rows(x: Array, fitted: Array, caps: Array | None) -> Array:
    fit = moments(x, fitted)
    clipped = np.clip(np.where(np.isfinite(x), x, np.nan), fit.low, fit.high)
    centre = fit.mean
    if caps is not None:
        weighted = fitted & np.isfinite(caps)
        with np.errstate(invalid="ignore"):
            centre = (ordered_sums(caps * clipped, weighted) / ordered_sums(caps, weighted))[:, None]
    exposures: Array = (clipped - centre) / fit.std
    return exposures


def orthogonal(y: Array, x: Array, members: Array) -> Array:
    """y − b x by date [days, symbols], b = cov(x, y) / var(x) over the members that have both; each row sees itself."""
    out = np.full(y.shape, np.nan)
    for start in range(0, len(y), _BLOCK):
        rows = slice(start, start + _BLOCK)
        u, v, fitted = x[rows], y[rows], members[rows] & np.isfinite(x[rows]) & np.isfinite(y[rows])
        n, su, sv = fitted.sum(axis=1), ordered_sums(u, fitted), ordered_sums(v, fitted)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (n * ordered_sums(u * v, fitted) - su * sv) / (n * ordered_sums(u * u, fitted) - su * su)
        out[rows] = v - slope[:, None] * u
    return out


def filled(exposures: Array, members: Array, listed: Array, industries: Industries) -> Array:
    """Exposures [days, symbols] as float32, those that `listed` stocks lack replaced by their industry's mean.

    The equal-weighted mean of the `members` of the industry that have one, on that date; of all members where the
    industry has none or is unknown. NaN for unlisted stocks and on dates without any exposure. Each row sees itself.
    """
    out = np.full(exposures.shape, np.nan, np.float32)
    for start in range(0, len(exposures), _BLOCK):
        rows = slice(start, start + _BLOCK)
        own, codes = exposures[rows], industries.codes[rows].astype(np.intp)
        has = np.isfinite(own)
        means = _group_means(own, has & members[rows], codes, len(industries.names))
        out[rows] = np.where(has, own, np.take_along_axis(means, codes, axis=1))
        out[rows][~listed[rows]] = np.nan
    return out


def _group_means(values: Array, fitted: Array, codes: Array, groups: int) -> Array:
    """Means [rows, groups] of the fitted values of each group; group 0 and groups without any have that of all."""
    row, column = np.nonzero(fitted)
    cell = row * groups + codes[row, column]
    size = len(values) * groups
    steps = np.rint(values[row, column] / _STEP)
    total = np.bincount(cell, steps, size).reshape(-1, groups)
    count = np.bincount(cell, minlength=size).reshape(-1, groups)
    with np.errstate(invalid="ignore"):
        means = total / count * _STEP
        whole = (total.sum(axis=1) / count.sum(axis=1) * _STEP)[:, None]
    own = count > 0
    own[:, 0] = False
    found: Array = np.where(own, means, whole)
    return found
