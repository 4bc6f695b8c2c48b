"""The evaluation's full matrix on a SIMULATED market of 5,000 stocks and 1,600 days, and alphalens beside it.

Twelve scores of noise; four fills, two rebalance periods, Rank ICs, Top 10%, Top 100 and ten deciles, gross and net, on
two worker processes: seconds for one universe and for a further one, of most of the names, and the most memory that the
processes hold between them: their own, and with the pages of files that they map, which the system can take back. Then
a score on one fill and period, one thread, processor seconds: Rank IC by date of alphalens-reloaded (`pip install
alphalens-reloaded`; left out, by name, where it is not installed) and ours, all scores at once as an evaluation has
them; and its returns by decile beside our tracks of deciles. The Rank ICs must agree to 1e-12.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

try:
    import pandas as pd
    from alphalens.performance import factor_information_coefficient, mean_return_by_quantile
    from alphalens.utils import get_clean_factor_and_forward_returns
except ModuleNotFoundError:
    get_clean_factor_and_forward_returns = None

from polygrain.compute import WORKER_ENVIRONMENT, pool
from polygrain.config import Experiment, load
from polygrain.evaluation.rank_ic import rank_ics_after
from polygrain.evaluation.ranking import ranking, within
from polygrain.evaluation.tracks import TENTHS, tracks
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

SCORES, STOCKS, DAYS, WORKERS, FILL, REBALANCE = 12, 5000, 1600, 2, "t1_close", 5
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


def held(file: str, name: str) -> float:
    """GB that this process and its children hold between them, by an entry of a file of /proc."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if os.getpid() in (int(process.name), parent):
                lines = (line.partition(":") for line in (process / file).read_text().splitlines())
                total += sum(int(rest.split()[0]) for key, _, rest in lines if key == name)
    return total / 1e6


@contextmanager
def watched(peak: list[tuple[float, float]]) -> Iterator[None]:
    """Append the most GB that this process and its children hold between them, of their own and in all, sampled."""
    own, whole, done = 0.0, 0.0, threading.Event()

    def sample() -> None:
        nonlocal own, whole
        for number in count():
            if done.wait(0.2):
                return
            own = max(own, held("status", "RssAnon"))
            # The system looks at every page for it: as often as the other it would take a quarter of a core.
            if number % 10 == 0:
                whole = max(whole, held("smaps_rollup", "Pss"))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        peak.append((own, max(own, whole)))


def matrix(folder: Path, universes: Sequence[str]) -> tuple[float, str]:
    """Seconds and GB of an evaluation from the files of a run on."""
    chosen = experiment(folder, universes)
    peak: list[tuple[float, float]] = []
    start = time.monotonic()
    with watched(peak), pool(WORKERS) as workers:
        market = Market(chosen, Store(store_folder(chosen, folder / "run", folder)))
        judged = judge(market, folder / "run", workers, Lines(sys.stderr))
    assert judged.rank_ic["universe"].n_unique() == len(universes)
    return time.monotonic() - start, f"{peak[0][0]:.2f} GB, {peak[0][1]:.2f} with mapped files"


def alphalens_seconds(factor: pd.Series, table: pd.DataFrame) -> tuple[float, float, np.ndarray]:
    """Of Rank IC by date, and of that with returns by decile too; and the Rank ICs."""
    start = time.process_time()
    clean = get_clean_factor_and_forward_returns(factor, table, quantiles=10, periods=(REBALANCE,), max_loss=1.0)
    found = factor_information_coefficient(clean)
    ranked = time.process_time() - start
    mean_return_by_quantile(clean, by_date=True)
    return ranked, time.process_time() - start, found.to_numpy()[:, 0]


def compared(market: Market) -> str:
    """All scores with one fill and period: ours against alphalens, per score."""
    rule, members, span = FILLS[FILL], market.members, range(60, DAYS - 1 - REBALANCE)
    panels = [panel for _, panel in noise(market)]
    prices = fill_price(market.quotes, rule)
    days, symbols = pd.DatetimeIndex(market.quotes.axes.days), list(market.quotes.axes.symbols)
    # Alphalens trades at the price of the factor's own date: the fill's day takes the decision's place. It would rank a
    # stock without a price that day too, at its last one.
    shifted = np.where(np.isfinite(prices[1:]), panels[0][:-1], np.nan)[span.start : span.stop]
    factor = pd.DataFrame(shifted.astype(float), days[span.start + 1 : span.stop + 1], symbols)
    table = pd.DataFrame(prices, days, symbols).ffill()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, with_deciles, expected = alphalens_seconds(factor.stack().rename_axis(["date", "asset"]), table)

    trading, start = ledger.market(market.quotes, rule), time.process_time()
    rankings = [within(ranking(panel, span), members) for panel in panels]
    found = rank_ics_after(rankings, trading, members, REBALANCE, span).everyone
    ours = (time.process_time() - start) / SCORES
    tracks(rankings, members, trading, TENTHS, rebalance=REBALANCE, cost=0.003, days=span)
    with_tracks = (time.process_time() - start) / SCORES

    worst = float(np.max(np.abs(found[0] - expected)))
    assert worst <= 1e-12, worst
    return (
        f"a score, {len(span):,} days: Rank IC by date, alphalens {theirs:.1f} s, ours {ours:.2f} s: "
        f"{theirs / ours:.0f}x, differences at most {worst:.0e}; with returns by decile {with_deciles:.1f} s, "
        f"with tracks of deciles and costs {with_tracks:.2f} s: {with_deciles / with_tracks:.0f}x"
    )


def prepare(folder: Path) -> None:
    """The simulated store and the scores, as files."""
    chosen = experiment(folder, [ONE])
    store = store_folder(chosen, folder / "run", folder)
    ingest(chosen.source, store, lambda text: None)
    market = Market(chosen, Store(store))
    (folder / "run").mkdir(exist_ok=True)
    write_blocks(blocks(market), SCHEMA, folder / "run" / "scores.parquet")
    write_blocks([], SEED_SCHEMA, folder / "run" / "seed_scores.parquet")


def main(folder: Path) -> None:
    # In a process of its own: what the simulator holds would count as memory that an evaluation needs.
    making = get_context("spawn").Process(target=prepare, args=(folder,))
    making.start()
    making.join()
    assert making.exitcode == 0
    print(f"SIMULATED: {SCORES} scores x {DAYS:,} days x {STOCKS:,} stocks, 4 fills x 2 periods, {WORKERS} workers")
    first, memory = matrix(folder, [ONE])
    print(f"one universe: {first:.1f} s, {memory}")
    both, memory = matrix(folder, [ONE, FURTHER])
    print(f"a further one, {FURTHER}: {both - first:.1f} s, {memory}")
    if not get_clean_factor_and_forward_returns:
        print("alphalens-reloaded is not installed: left out")
        return
    chosen = experiment(folder, [ONE])
    print(compared(Market(chosen, Store(store_folder(chosen, folder / "run", folder)))))


if __name__ == "__main__":
    os.environ |= WORKER_ENVIRONMENT
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(exist_ok=True)
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
