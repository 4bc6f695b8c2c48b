"""Factor returns: what a day paid for being in the market, in an industry, and for each style (Barra, CNE5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polygrain.errors import DataError
from polygrain.portfolio.context import NO_INDUSTRY
from polygrain.store.panel import Array


class Factor(NamedTuple):
    """What a return is of: `source` market, industry or style, and which one, "" for the market."""

    source: str
    of: str


MARKET = Factor("market", "")
# Styles are float32: a combination of them that varies less than this, beside the others, is rounding.
_TOGETHER = 1e-6


@dataclass(frozen=True, eq=False)
class FactorReturns:
    """r_i = Σ_f loadings_fi values_f + residual_i of one day, for every stock with a return.

    `names` and `values` [F]: the market, the industries, the styles. `residual_S` is NaN where a stock has no return.
    `styles_KS` and `industry_S` are as they were given, with their names.
    """

    names: tuple[Factor, ...]
    values: Array
    residual_S: Array
    styles_KS: Array
    industry_S: Array
    styles: tuple[str, ...]
    industries: tuple[str, ...]

    @property
    def loadings_FS(self) -> Array:
        """`loadings` of the day's factors; made anew, as those of years would fill the memory."""
        return loadings(self.names, self.styles_KS, self.industry_S, styles=self.styles, industries=self.industries)


def factor_returns(
    returns_S: Array,
    styles_KS: Array,
    industry_S: Array,
    weight_S: Array | None = None,
    *,
    styles: Sequence[str],
    industries: Sequence[str],
) -> FactorReturns:
    """One day's returns, regressed on exposures that were known at the close before.

    min Σ_i √v_i ε_i²,   r_i = f_market + f_g(i) + Σ_k x_ik f_k + ε_i,   Σ_g c_g f_g = 0,   c_g = Σ_{i∈g} v_i / Σ_i v_i

    v market values in yuan (`weight_S`; None: all equal). Every stock is in one industry, so that the market and the
    industries explain the same: the last condition tells them apart. It makes the market that return which the
    industries' own, f_market + f_g, have as their mean by value. Dimensionless, as the returns are.

    `styles_KS` by `styles`, `industry_S` places in `industries`, −1 for none, which is an industry too. Fitted are the
    stocks with a return, all exposures and v > 0: v = 0 or NaN keeps a stock out of the fit alone. A style that no
    stock has and an industry without a fitted stock are no factors of the day. An exposure that is NaN loads with 0,
    the market's. Styles that make each other up share their return (least Σ f_k²). DataError where nothing is fitted.

    Source: Menchero, Orr and Wang, "The Barra China Equity Model (CNE5)", MSCI 2012; Heston and Rouwenhorst (1994).
    """
    given = np.flatnonzero(np.isfinite(styles_KS).any(axis=1)).tolist()
    x_KS, code_S = styles_KS[given], np.where(industry_S < 0, len(industries), industry_S)
    v_S = np.ones(len(returns_S)) if weight_S is None else np.where(weight_S > 0, weight_S, 0.0)
    fitted = np.isfinite(returns_S) & np.isfinite(x_KS).all(axis=0) & (v_S > 0)
    if not fitted.any():
        raise DataError("factor returns", "no stock has a return, all exposures and a weight; leave the day out")
    present, group = np.unique(code_S[fitted], return_inverse=True)
    own_G, style_K = _regressed(returns_S[fitted], x_KS[:, fitted], group, np.sqrt(v_S[fitted]))
    share_G = np.bincount(group, v_S[fitted])
    market = float(share_G @ own_G / share_G.sum())
    values = np.concatenate([[market], own_G - market, style_K])
    named = (*industries, NO_INDUSTRY)
    names = (
        MARKET,
        *(Factor("industry", named[code]) for code in present),
        *(Factor("style", styles[place]) for place in given),
    )
    explained_S = values @ loadings(names, styles_KS, industry_S, styles=styles, industries=industries)
    residual_S = np.where(np.isfinite(returns_S), returns_S - explained_S, np.nan)
    return FactorReturns(names, values, residual_S, styles_KS, industry_S, tuple(styles), tuple(industries))


def loadings(
    factors: Sequence[Factor], styles_KS: Array, industry_S: Array, *, styles: Sequence[str], industries: Sequence[str]
) -> Array:
    """How much of each factor each stock has [F, S]: 1 of the market, 1 or 0 of an industry, its exposure to a style.

    0 of an industry and of a style that is not there, and where an exposure is NaN.
    """
    place_of = {name: place for place, name in enumerate(styles)}
    code_of = {NO_INDUSTRY: -1} | {name: code for code, name in enumerate(industries)}
    found = np.zeros((len(factors), len(industry_S)))
    for row, factor in zip(found, factors):
        if factor == MARKET:
            row[:] = 1.0
        elif factor.source == "industry" and factor.of in code_of:
            row[:] = industry_S == code_of[factor.of]
        elif factor.source == "style" and factor.of in place_of:
            row[:] = np.nan_to_num(styles_KS[place_of[factor.of]], nan=0.0)
    return found


def _regressed(r_S: Array, x_KS: Array, group_S: Array, weight_S: Array) -> tuple[Array, Array]:
    """The industries' own returns [G] and the styles' [K] by weighted least squares.

    The styles' are those within industries: what is left of returns and exposures without the industries' means
    (Frisch, Waugh and Lovell), a regression on K columns instead of G + K.
    """
    total_G = np.bincount(group_S, weight_S)
    means_G = np.array([np.bincount(group_S, weight_S * row) / total_G for row in (r_S, *x_KS)])
    within = np.vstack([r_S, x_KS]) - means_G[:, group_S]
    root_S = np.sqrt(weight_S)
    style_K: Array = np.linalg.lstsq((within[1:] * root_S).T, within[0] * root_S, rcond=_TOGETHER)[0]
    return means_G[0] - style_K @ means_G[1:], style_K
