"""The styles: one function each, of daily panels [days, symbols]; what is not finite is missing.

C adjusted close, carried over suspended days; P raw close, likewise; r log return since the last traded close, on
traded days; a amount in yuan; v volume in shares. A mean over N days needs values on half of them. Every style sees
day t's close and those before it; `standardise` makes exposures of its values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polygrain.exposures.inputs import AMOUNT, CAP, Inputs, change, log
from polygrain.exposures.standardise import orthogonal
from polygrain.plugins import Registry
from polygrain.store.panel import Array, trailing_mean

MONTH = 20
YEAR = 12 * MONTH

Function = Callable[[Inputs], Array]


@dataclass(frozen=True)
class Style:
    """A style's function and what it needs: columns of the daily table, `CAP` or `AMOUNT`."""

    name: str
    function: Function
    needs: tuple[str, ...]


STYLES: Registry[Style] = Registry("style")


def style(*, needs: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Register a function of Inputs that gives raw values [days, symbols] under its name; ConfigError where taken."""

    def register(function: Function) -> Function:
        name = function.__name__
        STYLES.register(name, Style(name, function, needs), function)
        return function

    return register


def _mean(values: Array, days: int) -> Array:
    return trailing_mean(values, days, (days + 1) // 2)


@style(needs=(CAP,))
def size(given: Inputs) -> Array:
    """ln(market value in yuan), P · total shares. 市值. CNE5: LNCAP."""
    assert given.cap is not None
    return log(given.cap)


@style(needs=(CAP,))
def mid_cap(given: Inputs) -> Array:
    """S³ − b S, S the exposure to size, b = cov(S³, S) / var(S) over U_t. Dimensionless. 中市值. CNE5: SIZENL."""
    exposure = given.standardised(size(given))
    return orthogonal(exposure**3, exposure, given.members)


@style(needs=("book_value", "total_shares"))
def valuation(given: Inputs) -> Array:
    """Book value, the company's in yuan as last announced, / (P · total shares). 估值. CNE5: BTOP."""
    ratio: Array = given.column("book_value") / (given.price * given.column("total_shares"))
    return ratio


@style()
def reversal(given: Inputs) -> Array:
    """ln(C_t / C_{t−20}): high for stocks that have risen, which tend to fall back. 反转. Jegadeesh (1990)."""
    return change(given.log_worth, MONTH)


@style()
def momentum(given: Inputs) -> Array:
    """ln(C_{t−20} / C_{t−240}): twelve months of 20 days without the last one. 动量. Jegadeesh and Titman (1993)."""
    return change(given.log_worth, YEAR, until=MONTH)


@style()
def volatility(given: Inputs) -> Array:
    """√(mean r² − (mean r)²) over 60 days, a day. 波动率. Ang, Hodrick, Xing and Zhang (2006), of total returns."""
    mean, square = _mean(given.returns, 60), _mean(given.returns**2, 60)
    deviation: Array = np.sqrt(np.maximum(square - mean**2, 0.0))
    return deviation


@style(needs=("float_shares",))
def turnover(given: Inputs) -> Array:
    """ln(mean of v / float shares over 20 days), a day. 换手率. CNE5: STOM."""
    return log(_mean(given.quotes.volume / given.column("float_shares"), 20))


@style(needs=(AMOUNT,))
def liquidity(given: Inputs) -> Array:
    """−ln(mean of |e^r − 1| / a over 20 days), a in yuan: high where an amount moves the price little. 流动性.

    Amihud (2002), whose ratio is one of illiquidity.
    """
    amount = np.where(given.quotes.amount > 0, given.quotes.amount, np.nan)
    return -log(_mean(np.abs(np.expm1(given.returns)) / amount, 20))


@style(needs=("net_profit", "book_value"))
def profitability(given: Inputs) -> Array:
    """Net profit of the last four announced quarters / book value, NaN where the book is not positive. 盈利. ROE."""
    book = given.column("book_value")
    ratio: Array = given.column("net_profit") / np.where(book > 0, book, np.nan)
    return ratio
