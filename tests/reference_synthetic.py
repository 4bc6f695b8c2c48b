"""Slow oracles for the synthetic market in plain Python: bars added up to days, and limit prices in Decimal."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

FEN = Decimal("0.01")
Row = Mapping[str, Any]


def add_up(bars: Iterable[Row]) -> dict[tuple[Any, str], dict[str, Any]]:
    """(date, symbol) → the day's open, high, low, close, volume and amount in whole fen; bars come in order."""
    days: dict[tuple[Any, str], dict[str, Any]] = {}
    for bar in bars:
        key = (bar["date"], bar["symbol"])
        amount = round(bar["amount"] * 100)
        if key not in days:
            days[key] = {name: bar[name] for name in ("open", "high", "low", "close", "volume")} | {"amount": amount}
            continue
        day = days[key]
        day["high"] = max(day["high"], bar["high"])
        day["low"] = min(day["low"], bar["low"])
        day["close"] = bar["close"]
        day["volume"] += bar["volume"]
        day["amount"] += amount
    return days


def limits(close: float, close_factor: float, factor: float, percent: int) -> tuple[Decimal, Decimal]:
    """Up and down limit from the last traded close; both roundings half up to the fen."""
    exact = Decimal(repr(close)) * Decimal(repr(close_factor)) / Decimal(repr(factor))
    reference = exact.quantize(FEN, ROUND_HALF_UP)
    share = Decimal(percent) / 100
    return (
        (reference * (1 + share)).quantize(FEN, ROUND_HALF_UP),
        (reference * (1 - share)).quantize(FEN, ROUND_HALF_UP),
    )


def index_lists(
    rows: Iterable[Row], listings: Iterable[Row], day: Any, large: int, small: int
) -> tuple[list[str], list[str]]:
    """The members that a review at the close of `day` chooses, from daily rows up to it and the last days announced.

    Stocks that are there on the day after, ST ones behind the others, by last traded close times float shares.
    """
    gone = {row["symbol"] for row in listings if row["delisted"] is not None and row["delisted"] <= day}
    close: dict[str, float] = {}
    today: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["date"]):
        assert row["date"] <= day
        if not row["suspended"]:
            close[row["symbol"]] = row["close"]
        if row["date"] == day:
            today[row["symbol"]] = row
    ranking = sorted(
        (row["st"], -close[symbol] * row["float_shares"], symbol)
        for symbol, row in today.items()
        if symbol not in gone and symbol in close
    )
    names = [symbol for _, _, symbol in ranking]
    return names[:large], names[large : large + small]
