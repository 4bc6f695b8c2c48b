"""Attribution, 超额归因: which industries, styles and stocks a day's excess is from."""

from __future__ import annotations

import numpy as np

from polygrain.errors import DataError
from polygrain.portfolio.factors import MARKET, FactorReturns
from polygrain.store.panel import Array

CASH = ("cash", "")
SELECTION = ("selection", "")


def attributed(active_S: Array, found: FactorReturns) -> dict[tuple[str, str], float]:
    """The contributions to Σ_i a_i r_i of one day by (source, of); they add up to it.

    a = w − b, active weights [S] at the close before, r the day's returns.
    industry g: f_g Σ_{i∈g} a_i · style k: f_k Σ_i a_i x_ik · selection: Σ_i a_i ε_i · cash: f_market Σ_i a_i, which is
    −f_market · the share of cash where b sums to 1 and the rest of w is cash.

    DataError where a stock with an active weight has no return. Source: Brinson and Fachler (1985) for industries;
    Grinold and Kahn, "Active Portfolio Management", chapter 17, for regressions.
    """
    held = active_S != 0
    for place in np.flatnonzero(held & ~np.isfinite(found.residual_S))[:1]:
        reason = f"an active weight of {active_S[place]:g} and no return that day; give one, 0 while it does not trade"
        raise DataError(f"active:{place}", reason)
    contributions = (found.values * (found.loadings_FS @ active_S)).tolist()
    named: dict[tuple[str, str], float] = {
        CASH if factor == MARKET else (factor.source, factor.of): value
        for factor, value in zip(found.names, contributions)
    }
    return named | {SELECTION: float(active_S[held] @ found.residual_S[held])}
