"""Slow oracles of the price limits: Decimal arithmetic, and the rules told as plain ifs over listing dates."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

FEN = Decimal("0.01")


def limit_price(price: str, percent: int) -> Decimal:
    """round-half-up(price · (1 + percent/100), 2); a negative percent is the lower limit."""
    return (Decimal(price) * (100 + percent) / 100).quantize(FEN, rounding=ROUND_HALF_UP)


def reference_price(close: str, previous_factor: str, factor: str) -> Decimal:
    return (Decimal(close) * Decimal(previous_factor) / Decimal(factor)).quantize(FEN, rounding=ROUND_HALF_UP)


def limit_rate(board: str, exchange: str, st: bool, listed: date, age: int, day: date) -> tuple[int, int] | None:
    """The limit on the `age`-th trading day, `day`, of a stock listed on `listed`."""
    if board == "bse":
        return None if age == 1 else (30, 30)
    if board == "star":
        return None if age <= 5 else (20, 20)
    if board == "chinext":
        if listed >= date(2020, 8, 24):
            return None if age <= 5 else (20, 20)
        if age == 1:
            return None if day < date(2014, 6, 13) else (44, 36)
        if day >= date(2020, 8, 24):
            return 20, 20
        return (5, 5) if st else (10, 10)
    if listed >= date(2023, 4, 10):
        if age <= 5:
            return None
    elif age == 1:
        if day >= (date(2013, 12, 13) if exchange == "SH" else date(2014, 6, 13)):
            return 44, 36
        return None
    if not st or day >= date(2026, 7, 6) or day < date(1998, 4, 22):
        return 10, 10
    return 5, 5
