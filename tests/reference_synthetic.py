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
