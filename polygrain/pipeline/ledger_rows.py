"""Ledger rows: every movement of an exact ledger's cash, as ledger.parquet has them."""

from __future__ import annotations

import polars as pl

from polygrain.errors import CheckError
from polygrain.execution.exact import Trade
from polygrain.execution.exact_book import ExactBook
from polygrain.store.panel import Axes

# Shares, and amounts in fen; null shares of cash that came without an order.
_NUMBERS = ("shares", "amount", "commission", "stamp_duty", "transfer_fee", "flow")
COLUMNS: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "cause": pl.String(),
    **dict.fromkeys(_NUMBERS, pl.Int64()),
}
# A factor's fractions are paid at the open, a delisted holding at the close.
_WITHIN_A_DAY = ("fraction", "trade", "delisting")


def ledger_rows(book: ExactBook, axes: Axes, what: str) -> pl.DataFrame:
    """(date, symbol, cause, shares, amount, commission, stamp_duty, transfer_fee, flow) in the order of the movements.

    CheckError, which says `what` was kept, unless capital + Σ flow = cash, in integer fen.
    """
    moved = [(one.day, one.column, "trade", *_traded(one)) for one in book.trades]
    moved += [(one.day, one.column, one.cause, None, one.amount, 0, 0, 0, one.amount) for one in book.ledger.payments]
    moved.sort(key=lambda row: (row[0], _WITHIN_A_DAY.index(row[2])))
    total = book.capital + sum(row[-1] for row in moved)
    if total != book.ledger.cash:
        reason = f"capital and flows add up to {total} fen and the cash is {book.ledger.cash}; report it"
        raise CheckError(f"ledger of {what}: {reason}")
    rows = [(axes.days[day], axes.symbols[column], *rest) for day, column, *rest in moved]
    return pl.DataFrame(rows, schema={"date": pl.Date(), **COLUMNS}, orient="row")


def _traded(trade: Trade) -> tuple[int | None, int, int, int, int, int]:
    """Of a trade the columns after its cause."""
    paid = trade.charges
    return trade.shares, trade.amount, paid.commission, paid.stamp_duty, paid.transfer_fee, trade.flow
