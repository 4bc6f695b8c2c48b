"""Small markets as CSV and Parquet files, for the tests of reading and ingesting."""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

import polars as pl

CLOCKS = ("10:30", "11:30", "14:00", "15:00")
BARS = ["symbol", "time", "open", "high", "low", "close", "volume", "amount"]
DAILY = ["symbol", "date", "open", "high", "low", "close", "volume", "factor", "suspended"]


def market(seed: int, *, stocks: int = 4, days: int = 25, first: date = date(2025, 1, 20)) -> tuple[list, list]:
    """(bar rows, daily rows) as text, ragged: absent bars, suspensions, stock-days in one table only."""
    draw = random.Random(seed)
    bars, daily = [], []
    trading = [day for day in (first + timedelta(n) for n in range(2 * days)) if day.weekday() < 5][:days]
    for stock in range(stocks):
        symbol = f"{600000 + stock}.SH"
        cents = draw.randint(500, 3000)
        for day in trading:
            state = draw.choices(["both", "suspended", "bars only", "daily only", "neither"], [85, 5, 3, 3, 4])[0]
            own = []
            for clock in CLOCKS if state in ("both", "bars only") else ():
                if own and draw.random() < 0.1:
                    continue
                start = cents
                cents = max(100, cents + draw.randint(-20, 20))
                low, high = min(start, cents) - draw.randint(0, 3), max(start, cents) + draw.randint(0, 3)
                volume = draw.randint(0, 50) * 100
                prices = [f"{value / 100:.2f}" for value in (start, high, low, cents)]
                row = [symbol, f"{day} {clock}", *prices, str(volume), str(volume * cents // 100)]
                own.append(dict(zip(BARS, row)))
            bars += own
            price = f"{cents / 100:.2f}"
            if state == "suspended":
                daily.append(dict(zip(DAILY, [symbol, str(day), *[price] * 4, "0", "1.5", "1"])))
            elif state in ("both", "daily only"):
                volume = str(sum(int(row["volume"]) for row in own) or 100)
                daily.append(dict(zip(DAILY, [symbol, str(day), *[price] * 4, volume, "1.5", "0"])))
    return bars, daily


def write_csv(
    path: Path, rows: list[dict], columns: list[str] | None = None, *, bom: bool = False, end: str = "\n"
) -> None:
    """Rows as CSV."""
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: list[dict]) -> None:
    """Rows as Parquet with the usual types: float32 prices, whole volumes, times."""
    frame = pl.DataFrame(rows)
    types = dict.fromkeys(("open", "high", "low", "close", "factor"), pl.Float32) | {"volume": pl.Int64}
    casts = [pl.col(name).cast(dtype) for name, dtype in types.items() if name in frame.columns]
    if "time" in frame.columns:
        casts.append(pl.col("time").str.to_datetime("%Y-%m-%d %H:%M", time_unit="ms"))
        casts.append(pl.col("amount").cast(pl.Int64))
    if "date" in frame.columns:
        casts.append(pl.col("date").str.to_date())
        casts.append(pl.col("suspended") == "1")
    frame.with_columns(casts).write_parquet(path)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its name below the folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
