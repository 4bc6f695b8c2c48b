"""Inputs: the daily panels that styles are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from polygrain.execution.quotes import Quotes
from polygrain.exposures.standardise import standardised
from polygrain.store.panel import Array

CAP = "market value"
AMOUNT = "amount"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Daily panels float64 [days, symbols]; row t holds what is known at t's close, NaN where there is nothing.

    `quotes` are those of the store, `members` is U_t, `columns` are columns of the daily table, carried forward over
    days without a value: float_shares, total_shares (shares), book_value, net_profit (the company's, yuan) and those
    that a configuration names. `cap` is the market value in yuan, None where the data has none.
    """

    quotes: Quotes
    members: Array
    columns: Mapping[str, Array]
    cap: Array | None

    def column(self, name: str) -> Array:
        """A column of the daily table as last known; only one that the style says it needs."""
        return self.columns[name]

    @cached_property
    def price(self) -> Array:
        """Yuan a share at the close, raw; of a suspended stock its last close over what the factor has grown since."""
        return price(self.quotes)

    @cached_property
    def log_worth(self) -> Array:
        """ln of the last adjusted close: its differences are log returns, whatever splits and dividends do."""
        return np.log(self.quotes.valuation)

    @cached_property
    def returns(self) -> Array:
        """Log return since the stock's last traded close, dividends included; NaN on days that it did not trade."""
        return np.where(self.quotes.traded, change(self.log_worth, 1), np.nan)

    def standardised(self, raw: Array) -> Array:
        """Raw values as exposures, NaN where a stock has none of its own."""
        return standardised(raw, self.members, self.cap)

    def has(self, need: str) -> bool:
        """Whether the data has any value of a column, of CAP or of AMOUNT."""
        values = {CAP: self.cap, AMOUNT: self.quotes.amount}.get(need, self.columns.get(need))
        return values is not None and bool(np.isfinite(values).any())


def price(quotes: Quotes) -> Array:
    """`Inputs.price` of these quotes."""
    worth: Array = quotes.valuation / quotes.factor
    return worth


def change(values: Array, days: int, until: int = 0) -> Array:
    """values[t − until] − values[t − days] by row t; NaN where row t − days does not exist."""
    difference = np.full(values.shape, np.nan)
    stop = len(values) - until
    difference[days:] = values[days - until : stop] - values[: max(len(values) - days, 0)]
    return difference


def log(values: Array) -> Array:
    """ln, NaN where the value is not positive."""
    return np.log(np.where(values > 0, values, np.nan))
