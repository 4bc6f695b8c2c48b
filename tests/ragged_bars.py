"""Ragged markets as tables and as the oracle's stocks: absent bars, one-bar days, no volume, suspensions, splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from reference_features import Stock

from polygrain.market.session import Session
from polygrain.sources.source import Source

A_SHARES = Session()
BARS = pl.Schema(
    {"symbol": pl.String(), "date": pl.Date(), "bar": pl.UInt16()}
    | dict.fromkeys(("open", "high", "low", "close"), pl.Float64())
    | {"volume": pl.Int64(), "amount": pl.Float64()}
)
DAILY = pl.Schema(
    {"symbol": pl.String(), "date": pl.Date()}
    | dict.fromkeys(("open", "high", "low", "close"), pl.Float64())
    | {"volume": pl.Int64(), "amount": pl.Float64(), "factor": pl.Float64(), "suspended": pl.Boolean()}
    | {"float_shares": pl.Float64()}
)


@dataclass
class Ragged:
    """A market of `nb` base bars a day (1: daily data alone) and the same rows as the oracle reads them."""

    days: tuple[date, ...]
    symbols: tuple[str, ...]
    nb: int
    daily: pl.DataFrame
    bars: pl.DataFrame | None
    stocks: list[Stock]
    session: Session = A_SHARES

    @property
    def base_bar(self) -> str:
        return "day" if self.bars is None else f"{self.session.minutes // self.nb}min"


class Memory(Source):
    """A market held in memory, as a source."""

    frames: dict[str, list[dict[str, object]]]
    base: str

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.frames).encode()).hexdigest()

    @property
    def base_bar(self) -> str:
        return self.base

    @property
    def session(self) -> Session:
        return Session()

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        if self.base == "day":
            return
        frame = pl.DataFrame(self.frames["bars"], schema=BARS)
        month = pl.col("date").dt.strftime("%Y-%m")
        for name in frame.select(month).to_series().unique().sort():
            yield name, frame.filter(month == name)

    def daily(self) -> pl.DataFrame:
        return pl.DataFrame(self.frames["daily"], schema=DAILY)

    def reference(self, name: str) -> pl.DataFrame | None:
        return None

    def notes(self) -> tuple[str, ...]:
        return ()


def memory(market: Ragged) -> Memory:
    """The market as a source."""
    bars = [] if market.bars is None else market.bars.to_dicts()
    return Memory(frames={"bars": bars, "daily": market.daily.to_dicts()}, base=market.base_bar)


def weekdays(count: int, first: date = date(2024, 1, 15)) -> tuple[date, ...]:
    """Consecutive weekdays."""
    days = (first + timedelta(i) for i in range(2 * count))
    return tuple([day for day in days if day.weekday() < 5][:count])


def _price(rng: np.random.Generator, near: float, ticks: int) -> float:
    return round(max(1.0, near + 0.01 * int(rng.integers(-ticks, ticks + 1))), 2)


def _bar(rng: np.random.Generator, last: float, ticks: int) -> dict[str, float]:
    opened, closed = _price(rng, last, ticks), _price(rng, last, ticks)
    high = max(opened, closed) + 0.01 * int(rng.integers(0, 3))
    low = max(0.5, min(opened, closed) - 0.01 * int(rng.integers(0, 3)))
    volume = 0 if rng.random() < 0.1 else 100 * int(rng.integers(1, 900))
    amount = round(volume * (high + low) / 2, 2)
    return {
        "open": opened,
        "high": round(high, 2),
        "low": round(low, 2),
        "close": closed,
        "volume": volume,
        "amount": amount,
    }


def _day(rng: np.random.Generator, last: float, nb: int) -> tuple[dict[str, float], dict[int, dict[str, float]]]:
    """A traded day's prices and its bars, some of which are absent; the official close may differ from the last."""
    kind = rng.random()
    there = {int(rng.integers(nb))} if kind < 0.1 else {j for j in range(nb) if rng.random() > 0.15}
    ticks = 0 if kind > 0.9 else 12
    bars: dict[int, dict[str, float]] = {}
    for j in sorted(there or {nb - 1}):
        bars[j] = _bar(rng, last, ticks)
        last = bars[j]["close"]
    if not any(bar["volume"] for bar in bars.values()):
        bar = bars[max(bars)]
        bar["volume"], bar["amount"] = 100, round(100 * bar["close"], 2)
    rows = list(bars.values())
    close = last if rng.random() < 0.7 else _price(rng, last, 2)
    row = {
        "open": rows[0]["open"],
        "high": max(close, *(r["high"] for r in rows), rows[0]["high"]),
        "low": min(close, *(r["low"] for r in rows), rows[0]["low"]),
        "close": close,
        "volume": sum(r["volume"] for r in rows),
        "amount": sum(r["amount"] for r in rows),
    }
    return row, bars


def tickers(count: int) -> tuple[str, ...]:
    """Symbols as other markets write them, sorted: AAA, AAB.B, AAC …"""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = (a + b + c for a in letters for b in letters for c in letters)
    return tuple(name + (".B" if i % 7 == 1 else "") for i, name in zip(range(count), names))


def ragged(
    seed: int,
    *,
    days: int,
    stocks: int,
    nb: int,
    session: Session = A_SHARES,
    symbols: tuple[str, ...] | None = None,
) -> Ragged:
    """A random market; the first stock is listed late, and suspensions last from one day to weeks."""
    rng = np.random.default_rng(seed)
    calendar = weekdays(days)
    symbols = symbols or tuple(f"{600000 + i}.SH" for i in range(stocks))
    daily_rows, bar_rows, oracle = [], [], []
    for number, symbol in enumerate(symbols):
        last, factor, silent = float(rng.integers(3, 60)), 1.0, 0
        daily: list[dict | None] = []
        bars: list[dict] = []
        for d, day in enumerate(calendar):
            listed = d >= (days // 2 if number == 0 else 0)
            silent = silent - 1 if silent else int(rng.integers(1, 12)) if rng.random() < 0.04 else 0
            row = None
            of_day: dict[int, dict[str, float]] = {}
            if listed and rng.random() < 0.03:
                factor = factor * float(rng.choice([2.0, 1.1, 1.0345]))
                last = round(max(1.0, last / 1.1), 2)
            if listed and not silent:
                row, of_day = _day(rng, last, nb)
                last = row["close"]
                row |= {"factor": factor, "suspended": False, "float_shares": 1e7 * (number + 1)}
            elif listed and rng.random() < 0.7:
                row = dict.fromkeys(("open", "high", "low", "close"), last)
                row |= {"volume": 0, "amount": 0.0, "factor": factor, "suspended": True, "float_shares": 1e7}
            daily.append(row)
            bars.append(of_day)
            if row is not None:
                daily_rows.append({"symbol": symbol, "date": day, **row})
            bar_rows += [{"symbol": symbol, "date": day, "bar": j, **bar} for j, bar in of_day.items()]
        oracle.append(Stock(daily, bars if nb > 1 else None, nb))
    frame = pl.DataFrame(bar_rows, schema=BARS) if nb > 1 else None
    return Ragged(calendar, symbols, nb, pl.DataFrame(daily_rows, schema=DAILY), frame, oracle, session)
