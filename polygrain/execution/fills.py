"""Fills: at which price a decision is traded, and whether it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array

HALF_A_FEN = 0.005


@dataclass(frozen=True)
class Fill:
    """A decision at t's close trades on day t + `lag` at that day's `price`."""

    lag: int
    price: Literal["open", "close", "vwap"]


FILLS: dict[str, Fill] = {
    "t0_close": Fill(0, "close"),
    "t1_vwap": Fill(1, "vwap"),
    "t1_open": Fill(1, "open"),
    "t1_close": Fill(1, "close"),
}


def fill_named(name: str) -> Fill:
    """The fill of that name; ConfigError where there is none."""
    if name not in FILLS:
        raise ConfigError("fill", f"unknown fill {name!r}; the fills are {', '.join(FILLS)}")
    return FILLS[name]


def fill_price(quotes: Quotes, fill: Fill) -> Array:
    """Adjusted price [days, symbols] of a trade on day d; NaN where the stock did not trade or has no such price.

    Row d sees day d only. ConfigError where the source has no average price at all.
    """
    price = quotes.adjusted(fill.price)
    if fill.price == "vwap" and not np.isfinite(price).any():
        raise ConfigError(
            "source.daily.amount", 'amount = "none" gives no vwap to fill at; choose "typical_price" or another fill'
        )
    return price


def buyable(quotes: Quotes, fill: Fill) -> Array:
    """Whether a stock can be bought on day d [days, symbols]: it traded, has a price, is not locked at its up-limit.

    Locked: open = limit (open fills), close = limit (close fills), high = low = limit (VWAP fills), to half a fen.
    """
    lowest = quotes.low if fill.price == "vwap" else getattr(quotes, fill.price)
    return _priced(quotes, fill) & ~(_unmoved(quotes, fill) & (lowest >= quotes.up_limit - HALF_A_FEN))


def sellable(quotes: Quotes, fill: Fill) -> Array:
    """Whether a stock can be sold on fill day d [days, symbols]: the mirror of `buyable` at the down-limit."""
    highest = quotes.high if fill.price == "vwap" else getattr(quotes, fill.price)
    return _priced(quotes, fill) & ~(_unmoved(quotes, fill) & (highest <= quotes.down_limit + HALF_A_FEN))


def _priced(quotes: Quotes, fill: Fill) -> Array:
    return quotes.traded & np.isfinite(fill_price(quotes, fill))


def _unmoved(quotes: Quotes, fill: Fill) -> Array:
    """All the day's prices that the fill averages are one price."""
    if fill.price != "vwap":
        return np.ones(quotes.traded.shape, dtype=bool)
    unmoved: Array = np.abs(quotes.high - quotes.low) < HALF_A_FEN
    return unmoved
