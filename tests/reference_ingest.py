"""A slow ingest in plain loops over rows of text: what a store must hold. It shares nothing with the package."""

from collections import defaultdict
from datetime import date

# End stamps of 60-minute bars of the A-share session.
ENDS_60 = {"10:30": 0, "11:30": 1, "14:00": 2, "15:00": 3}


def expected(bar_rows: list[dict], daily_rows: list[dict]) -> tuple[list[tuple], list[tuple]]:
    """(bars, daily) as sorted tuples, with `amount = "bars"`.

    bars: (date, symbol, bar, close, volume, amount); daily: (date, symbol, close, volume, amount, vwap, suspended).
    """
    bars = defaultdict(list)
    for row in bar_rows:
        day, clock = row["time"].split(" ")
        bars[date.fromisoformat(day), row["symbol"]].append((ENDS_60[clock], row))
    bar_days = {day for day, _ in bars}
    daily = {(date.fromisoformat(row["date"]), row["symbol"]): row for row in daily_rows}
    kept_bars, kept_daily = [], []
    for (day, symbol), rows in bars.items():
        own = daily.get((day, symbol))
        if own is None or own["suspended"] == "1":
            continue
        for number, row in rows:
            kept_bars.append((day, symbol, number, float(row["close"]), int(row["volume"]), float(row["amount"])))
    for (day, symbol), row in daily.items():
        traded = row["suspended"] == "0"
        rows = [row for _, row in bars.get((day, symbol), [])]
        if traded and day in bar_days and not rows:
            continue
        amount = vwap = None
        if traded and rows:
            amount = float(sum(int(r["amount"]) for r in rows))
            volume = sum(int(r["volume"]) for r in rows)
            vwap = amount / volume if volume and amount else None
        kept_daily.append((day, symbol, float(row["close"]), int(row["volume"]), amount, vwap, not traded))
    return sorted(kept_bars), sorted(kept_daily, key=lambda row: row[:2])
