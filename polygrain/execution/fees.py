"""Fees of one order in whole fen, by the rates in force on its day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from polygrain.execution.fen import exactly, half_up
from polygrain.market.rules import Rules


@dataclass(frozen=True)
class Charges:
    """What one order costs, fen."""

    stamp_duty: int
    transfer_fee: int
    commission: int

    @property
    def total(self) -> int:
        """All three, fen."""
        return self.stamp_duty + self.transfer_fee + self.commission


@dataclass(frozen=True)
class Tariff:
    """A day's fees: exact fractions of an order's amount, and `least`, the least commission of an order, fen."""

    stamp_sell: Fraction
    transfer: Fraction
    commission: Fraction
    least: int

    def of(self, amount: int, *, sale: bool) -> Charges:
        """The charges of one order of `amount` fen, each rounded half up to the fen.

        stamp duty (印花税) = amount · rate, of a sale alone; transfer fee (过户费) = amount · rate; commission (佣金) =
        max(amount · rate, least). What exchange and regulator charge (经手费, 证管费) is part of the commission.
        """
        return Charges(
            stamp_duty=half_up(amount, self.stamp_sell) if sale else 0,
            transfer_fee=half_up(amount, self.transfer),
            commission=max(half_up(amount, self.commission), self.least),
        )


def tariff(rules: Rules, day: date, commission: float) -> Tariff:
    """The fees of a day under a broker's `commission`, a fraction of the amount.

    Until 2015-08-01 the transfer fee was no fraction of the amount and counts as 0. DataError before the first fees
    known.
    """
    fees = rules.fees(day)
    return Tariff(
        stamp_sell=exactly(fees.stamp_sell),
        transfer=exactly(fees.transfer or 0.0),
        commission=exactly(commission),
        least=half_up(100, exactly(fees.commission_least)),
    )
