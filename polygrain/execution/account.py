"""Account: one portfolio that is traded by orders, from a decision at a close to the fill that follows.

Shape suffix: S symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from polygrain.execution.ledger import total
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Filled:
    """What orders came to at one fill, as fractions of the portfolio's worth, purchases above 0.

    `ordered_S` at the prices of the fill, 0 of who left the market before; `traded_S` what was executed.
    """

    ordered_S: Array
    traded_S: Array

    @property
    def turnover(self) -> float:
        """Σ|Δw|, purchases and sales."""
        return total(np.abs(self.traded_S))


class Closes(NamedTuple):
    """At the closes of some days [days]: value before and after costs, of a start with 1, and the share of cash."""

    gross: Array
    net: Array
    cash: Array


class Account(Protocol):
    """Holdings of one portfolio, started from cash. Each call sees its day and those before it; days do not go back."""

    @property
    def shares_S(self) -> Array:
        """Shares of adjusted prices for a start with 1, as they are after the last fill."""

    def weights(self, day: int) -> tuple[Array, float]:
        """Weights [symbols] at the close of `day`, and cash; they sum to 1."""

    def orders(self, day: int, weights_S: Array) -> Array:
        """Shares to buy, or to sell below 0, so that at the close of `day` the weights would be these."""

    def fill(self, day: int, orders_S: Array) -> Filled:
        """Trade at the fill of `day` what was ordered at the decision before: sales first."""

    def closes(self, first: int, stop: int) -> Closes:
        """The closes of the days first..stop−1, before the next fill."""
