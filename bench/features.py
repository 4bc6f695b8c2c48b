"""The feature build against the bare Parquet scan of the same bars, and per feature against group-bys of polars and
DuckDB: a SIMULATED market of 1,000 stocks × 60 days of 1-minute bars, one thread for all, in turn in the same run.

The bare scan is polars reading all columns of the bars into memory, from Parquet files as it writes them by default,
a file a month; beside it stands the scan of the store's own files, which are laid out to be read faster. Prints
processor seconds and the medians of the ratios round by round, then the peak memory of builds over 3 and 24 months.
DuckDB is left out, by name, where it is not installed (`pip install duckdb`).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.compute import WORKER_ENVIRONMENT, Pool
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.month import raw_features
from polygrain.features.plan import plans
from polygrain.features.reader import MonthReader
from polygrain.features.schedule import Schedule
from polygrain.sources.ingest import ingest
from polygrain.sources.synthetic import Synthetic
from polygrain.store.panel import Array
from polygrain.store.store import Store

ROUNDS = 5
GRANULARITIES = [Granularity(name=name, bar=name) for name in ("day", "60min", "30min")]
# Thirteen of the features as aggregates of the half-hour bars of a frame that has r, a column per feature.
AGGREGATES = {
    "range": "ln(max(high) / min(low))",
    "log_amount": "ln(1 + sum(amount))",
    "close_to_vwap": "ln(last(close) / (sum(amount) / sum(volume)))",
    "amount_concentration": "count(*) * sum(amount * amount) / (sum(amount) * sum(amount))",
    "realized_vol": "sqrt(sum(r * r))",
    "realized_skew": "sqrt(count(*)) * sum(r * r * r) / pow(sum(r * r), 1.5)",
    "realized_kurt": "count(*) * sum(r * r * r * r) / (sum(r * r) * sum(r * r))",
    "downside_share": "sum(CASE WHEN r < 0 THEN r * r ELSE 0 END) / sum(r * r)",
    "path_efficiency": "abs(sum(r)) / sum(abs(r))",
    "price_volume_corr": "corr(close, volume)",
    "return_volume_corr": "corr(r, volume)",
    "volume_weighted_tilt": "sum(amount * r) / sum(amount) - sum(r) / count(*)",
    "close_ret": "sum(r)",
}


def polars_features(bars: pl.DataFrame) -> pl.DataFrame:
    """The thirteen by one group-by of a sorted frame; r is 0 in a day's first bar, which makes it easier than ours."""
    a, v, c, r = (pl.col(name) for name in ("amount", "volume", "close", "r"))
    r2, m = (r * r).sum(), pl.len()
    same = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("date") == pl.col("date").shift(1))
    return (
        bars.lazy()
        .with_columns(pl.when(same).then((c / c.shift(1)).log()).otherwise(0.0).alias("r"), slot=pl.col("bar") // 30)
        .group_by("date", "symbol", "slot")
        .agg(
            (pl.col("high").max() / pl.col("low").min()).log().alias("range"),
            a.sum().log1p().alias("log_amount"),
            (c.last() / (a.sum() / v.sum())).log().alias("close_to_vwap"),
            (m * (a * a).sum() / a.sum() ** 2).alias("amount_concentration"),
            r2.sqrt().alias("realized_vol"),
            (m.sqrt() * (r * r * r).sum() / r2**1.5).alias("realized_skew"),
            (m * (r * r * r * r).sum() / r2**2).alias("realized_kurt"),
            ((r * r * (r < 0)).sum() / r2).alias("downside_share"),
            (r.sum().abs() / r.abs().sum()).alias("path_efficiency"),
            pl.corr("close", "volume").alias("price_volume_corr"),
            pl.corr("r", "volume").alias("return_volume_corr"),
            ((a * r).sum() / a.sum() - r.sum() / m).alias("volume_weighted_tilt"),
            r.sum().alias("close_ret"),
        )
        .collect()
    )


def duckdb_features(files: list[Path]) -> Callable[[], pl.DataFrame] | None:
    """The thirteen by one query over a table in DuckDB's memory, None where DuckDB is not installed."""
    try:
        import duckdb
    except ImportError:
        return None
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("CREATE TABLE bars AS SELECT * FROM read_parquet($1)", [[str(file) for file in files]])
    columns = ", ".join(f"{text} AS {name}" for name, text in AGGREGATES.items())
    query = (
        f"SELECT date, symbol, bar // 30 AS slot, {columns} FROM (SELECT *, coalesce(ln(close / lag(close) OVER "
        "(PARTITION BY date, symbol ORDER BY bar)), 0) AS r FROM bars) GROUP BY date, symbol, slot"
    )
    return lambda: pl.DataFrame(connection.execute(query).fetchnumpy())


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def raw(store: Store, members: Array) -> dict[str, list[Array]]:
    """Every feature before normalisation, month by month, by granularity."""
    chosen, schedule, reader = plans(store, GRANULARITIES), Schedule(store, members), MonthReader(store)
    found: dict[str, list[Array]] = {plan.name: [] for plan in chosen}
    for month in schedule.months:
        task = schedule.task(month, max(plan.history for plan in chosen))
        for name, values in raw_features(task, chosen, store, reader).values.items():
            found[name].append(values)
    return found


def scan(files: list[Path]) -> None:
    for file in files:
        pl.read_parquet(file)


def everyone(store: Store) -> Array:
    return np.ones((len(store.bar_days), len(store.symbols)), bool)


def speed(folder: Path) -> None:
    """Scan, scan + features and the whole stage in turn; then the peers."""
    store = ingest(Synthetic(stocks=1000, days=60, bar="1min", seed=1), folder / "store")
    files = sorted((store.folder / "bars").glob("*.parquet"))
    print(f"{store.facts.counts['bars']:,} simulated 1-minute bars, 26 features at {len(GRANULARITIES)} granularities")

    plain = [folder / f"{file.stem}.parquet" for file in files]
    for source, target in zip(files, plain):
        pl.read_parquet(source).write_parquet(target)

    def stage() -> None:
        shutil.rmtree(folder / "features", ignore_errors=True)
        build(store, GRANULARITIES, everyone(store), folder / "features", Pool(1))

    works = {
        "bare scan": lambda: seconds(lambda: scan(plain)),
        "scan of the store's files": lambda: seconds(lambda: scan(files)),
        "scan + features": lambda: seconds(lambda: raw(store, everyone(store))),
        "whole stage": lambda: seconds(stage),
    }
    rounds = [{name: work() for name, work in works.items()} for _ in range(ROUNDS + 1)][1:]
    for name in works:
        took = statistics.median(row[name] for row in rounds)
        ratios = (statistics.median(row[name] / row[peer] for row in rounds) for peer in list(works)[:2])
        print(f"{name}: {took:.2f} s, " + ", ".join(f"{ratio:.2f}" for ratio in ratios) + " × the two scans")
    each = statistics.median(row["scan + features"] - row["scan of the store's files"] for row in rounds) / (
        26 * len(GRANULARITIES)
    )
    bars = pl.concat([pl.read_parquet(file) for file in files])
    expected = np.sort(np.concatenate([v[8] for v in raw(store, everyone(store))["30min"]], axis=None))
    for name, peer in (("polars group-by", lambda: polars_features(bars)), ("DuckDB", duckdb_features(files))):
        if peer is None:
            print(f"{name}: not installed, left out")
            continue
        amounts = np.sort(peer()["log_amount"].to_numpy())
        np.testing.assert_allclose(amounts, expected[: len(amounts)], rtol=1e-9)
        theirs = statistics.median(seconds(peer) for _ in range(ROUNDS)) / len(AGGREGATES)
        print(f"{name}: {theirs * 1e3:.0f} ms a feature, ours {each * 1e3:.1f} ms, ratio {theirs / each:.1f}")


def memory(folder: Path) -> None:
    """Peak resident memory of builds over 3 and 24 months of 300 stocks, each in a process of its own."""
    peaks = []
    for months in (3, 24):
        source = Synthetic(stocks=300, days=21 * months, bar="1min", seed=1)
        ingest(source, folder / f"store-{months}")
        command = [sys.executable, __file__, "peak", str(folder / f"store-{months}"), str(folder / f"f-{months}")]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"peak memory: 3 months {peaks[0]:.0f} MB, 24 months {peaks[1]:.0f} MB, ratio {peaks[1] / peaks[0]:.3f}")


def peak(store: Store, folder: Path) -> None:
    """Build and print this process's peak, MB; getrusage would count the memory of the parent at the fork too."""
    build(store, GRANULARITIES, everyone(store), folder, Pool(1))
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in WORKER_ENVIRONMENT.items()):
        # The allocator and polars read their settings when a process starts, and a run's workers start with these.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})
    elif sys.argv[1:2] == ["peak"]:
        peak(Store(Path(sys.argv[2])), Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as name:
            speed(Path(name))
            memory(Path(name))
