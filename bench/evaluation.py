"""The evaluation's full matrix on a SIMULATED market of 5,000 stocks and 1,600 days, and alphalens beside it.

Twelve scores of noise; four fills, two rebalance periods, Rank ICs, Top 10%, Top 100 and ten deciles, gross and net, on
two worker processes: seconds for one universe and for a further one, of most of the names, and the most memory that the
processes hold between them (proportional set size, sampled). Then for one score on a part of the days, one thread,
processor seconds: Rank IC by date and returns by decile of alphalens-reloaded (`pip install alphalens-reloaded`; left
out, by name, where it is not installed), and ours for the same days; the Rank ICs must agree to 1e-12.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.compute import WORKER_ENVIRONMENT, pool
from polygrain.config import Experiment, load
from polygrain.evaluation.rank_ic import rank_ics_after
from polygrain.evaluation.ranking import ranking, within
from polygrain.evaluation.tracks import SELECTIONS, tracks
from polygrain.execution import ledger
from polygrain.execution.fills import FILLS, fill_price
from polygrain.pipeline import store_folder
from polygrain.pipeline.evaluating import judge
from polygrain.pipeline.market import Market
from polygrain.pipeline.parquet import write_blocks
from polygrain.pipeline.score_files import SCHEMA, SEED_SCHEMA
from polygrain.progress import Lines
from polygrain.samples.labels import standardise
from polygrain.sources.ingest import ingest
from polygrain.store.store import Store

SCORES, STOCKS, DAYS, WORKERS, COMPARED_DAYS, FILL, REBALANCE = 12, 5000, 1600, 2, 250, "t1_close", 5
CONFIG = """
version = 1
name = "evaluation"
store = "store"
workers = {workers}
[source]
kind = "synthetic"
stocks = {stocks}
days = {days}
strength = 0
bar = "day"
[[granularity]]
name = "day"
bar = "day"
[network.gru]
kind = "single"
[evaluation]
fills = ["t1_vwap", "t0_close", "t1_open", "t1_close"]
rebalance = [5, 10]
universes = {{ {universes} }}
"""
ONE, FURTHER = 'all = "all"', 'liquid = "top 80% by amount"'


def experiment(folder: Path, universes: Sequence[str]) -> Experiment:
    """One with these universes."""
    path = folder / "evaluation.toml"
    path.write_text(CONFIG.format(workers=WORKERS, stocks=STOCKS, days=DAYS, universes=", ".join(universes)))
    return load(path, [])


def noise(market: Market) -> Iterator[tuple[str, np.ndarray]]:
    """Scores over U_t from day 60 on that keep nine tenths of themselves a day."""
    members = market.members
    for number in range(SCORES):
        generator, values = np.random.default_rng(number), np.empty(members.shape, np.float32)
        values[0] = generator.standard_normal(members.shape[1])
        for day in range(1, len(values)):
            values[day] = 0.9 * values[day - 1] + 0.436 * generator.standard_normal(members.shape[1])
        values[:60] = np.nan
        yield f"score{number}", standardise(np.where(members, values, np.nan)).astype(np.float32)


def blocks(market: Market) -> Iterator[pl.DataFrame]:
    """The scores as rows of scores.parquet."""
    days = pl.Series("date", market.quotes.axes.days, dtype=pl.Date)
    symbols = pl.Series("symbol", market.quotes.axes.symbols)
    for name, panel in noise(market):
        row, column = np.nonzero(np.isfinite(panel))
        yield pl.select(
            segment=pl.lit("test"),
            model=pl.lit(name),
            label_days=pl.lit(5, pl.Int32),
            date=days.gather(row),
            symbol=symbols.gather(column),
            score=pl.Series(panel[row, column]),
        )


@contextmanager
def watched(peak: list[float]) -> Iterator[None]:
    """Append the most GB that this process and its children hold between them, sampled five times a second."""
    most, done = 0.0, threading.Event()

    def sample() -> None:
        nonlocal most
        while not done.wait(0.2):
            held = 0
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                    if os.getpid() in (int(process.name), parent):
                        rollup = (process / "smaps_rollup").read_text()
                        held += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
                except (OSError, StopIteration):
                    continue
            most = max(most, held / 1e6)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        peak.append(most)


def matrix(folder: Path, universes: Sequence[str]) -> tuple[float, float]:
    """Seconds and GB of an evaluation from the files of a run on."""
    chosen = experiment(folder, universes)
    peak: list[float] = []
    start = time.monotonic()
    with watched(peak), pool(WORKERS) as workers:
        market = Market(chosen, Store(store_folder(chosen, folder / "run", folder)))
        judged = judge(market, folder / "run", workers, Lines(sys.stderr))
    assert judged.rank_ic["universe"].n_unique() == len(universes)
    return time.monotonic() - start, peak[0]


def compared(market: Market) -> str:
    """One score with one fill and period: ours against alphalens."""
    try:
        from alphalens.performance import factor_information_coefficient, mean_return_by_quantile
        from alphalens.utils import get_clean_factor_and_forward_returns
    except ModuleNotFoundError:
        return "alphalens-reloaded is not installed: left out"
    import pandas as pd

    span = range(60, 60 + COMPARED_DAYS)
    _, panel = next(noise(market))
    rule, members = FILLS[FILL], market.members
    prices = fill_price(market.quotes, rule)[: span.stop + rule.lag + REBALANCE]
    days = pd.DatetimeIndex(market.quotes.axes.days[: len(prices)])
    symbols = list(market.quotes.axes.symbols)
    # Alphalens trades at the price of the factor's own date: the fill's day takes the decision's place.
    factor = pd.DataFrame(
        panel[span.start : span.stop].astype(float), days[span.start + rule.lag :][:COMPARED_DAYS], symbols
    )
    factor = factor.stack().rename_axis(["date", "asset"])
    # It would rank a stock without a price that day too, at its last one.
    there = pd.DataFrame(np.isfinite(prices), days, symbols).stack().rename_axis(["date", "asset"])
    factor = factor[there.reindex(factor.index)]
    table = pd.DataFrame(prices, days, symbols).ffill()

    start = time.process_time()
    clean = get_clean_factor_and_forward_returns(factor, table, quantiles=10, periods=(REBALANCE,), max_loss=1.0)
    theirs = factor_information_coefficient(clean)
    mean_return_by_quantile(clean, by_date=True)
    their_seconds = time.process_time() - start

    start = time.process_time()
    trading = ledger.market(market.quotes, rule)
    rankings = [within(ranking(panel, span), members)]
    (ours,) = rank_ics_after(rankings, trading, members, REBALANCE, span).everyone
    tracks(rankings, members, trading, SELECTIONS, rebalance=REBALANCE, cost=0.003, days=span)
    our_seconds = time.process_time() - start

    worst = float(np.max(np.abs(ours - theirs.to_numpy()[:, 0])))
    assert worst <= 1e-12, worst
    return (
        f"one score, {COMPARED_DAYS} days: alphalens {their_seconds:.1f} s, ours with tracks {our_seconds:.2f} s: "
        f"{their_seconds / our_seconds:.0f}x; Rank ICs differ by {worst:.0e} at most"
    )


def main(folder: Path) -> None:
    chosen = experiment(folder, [ONE])
    store = store_folder(chosen, folder / "run", folder)
    ingest(chosen.source, store, lambda text: None)
    market = Market(chosen, Store(store))
    (folder / "run").mkdir(exist_ok=True)
    write_blocks(blocks(market), SCHEMA, folder / "run" / "scores.parquet")
    write_blocks([], SEED_SCHEMA, folder / "run" / "seed_scores.parquet")
    print(f"SIMULATED: {SCORES} scores x {DAYS:,} days x {STOCKS:,} stocks, 4 fills x 2 periods, {WORKERS} workers")
    first, memory = matrix(folder, [ONE])
    print(f"one universe: {first:.1f} s, {memory:.2f} GB")
    both, memory = matrix(folder, [ONE, FURTHER])
    print(f"a further one, {FURTHER}: {both - first:.1f} s, {memory:.2f} GB in all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(compared(market))


if __name__ == "__main__":
    os.environ |= WORKER_ENVIRONMENT
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(exist_ok=True)
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
