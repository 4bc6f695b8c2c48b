"""Training against its peers, each in turn in the same run, on SIMULATED panels of 950 or 1,000 stocks.

The whole fit (windows of a mapped panel, loss, clip, Adam, checkpoints, validation) against a bare loop of forward,
MSE, backward and Adam over windows that lie in memory, with torch.nn.GRU and with our network; both sides score the
same validation dates. Windows against Qlib's TSDataSampler in a torch DataLoader, one by one as its networks ask for
them, and a date a call; left out, by name, where Qlib is not installed (`pip install pyqlib`). One thread, processor
seconds. Eight training tasks on two workers against one, wall clock, with the load of the machine beside it. Prints
medians, of ratios round by round.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from polygrain.compute import WORKER_ENVIRONMENT, pool
from polygrain.models.network import initialised
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.samples.windows import PanelFile, Samples
from polygrain.training.checkpoint import Checkpoint
from polygrain.training.fit import FitOptions, fit, one_thread
from polygrain.training.folds import Fold
from polygrain.training.walk_forward import TrainTask, train

STOCKS, FEATURES, STEPS, VALID, ROUNDS = 950, 26, 6, 2, 5
if TYPE_CHECKING:
    from qlib.data.dataset import TSDataSampler

ENCODERS = {
    "forward": {"direction": "forward", "pooling": "last"},
    "bidirectional + attention": {"direction": "bidirectional", "pooling": "attention"},
}
# Days × bars a day: 60 and 160 steps.
WINDOWS = [(60, 1), (20, 8)]
LOADED_STOCKS, LOADED_FEATURES, LOADED_DAYS, LOADED_LOOKBACK, SECONDS_OF_LOADING = 1000, 20, 300, 60, 4.0
TASK_DAYS = 46
Part = Sequence[tuple[Tensor, Tensor]]


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    work()
    return clock() - start


def panel(folder: Path, days: int, bars: int, stocks: int, features: int) -> tuple[PanelFile, np.ndarray]:
    """A panel of noise on disk, and targets of noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "panel.npy", rng.standard_normal((days * bars, stocks, features), dtype=np.float32))
    np.save(folder / "targets.npy", rng.standard_normal((days, stocks), dtype=np.float32))
    np.save(folder / "members.npy", np.ones((days, stocks), dtype=bool))
    return PanelFile(name="bars", path=str(folder / "panel.npy"), bars=bars), np.load(folder / "targets.npy")


class Bare(nn.Module):
    """torch's GRU and one linear layer on its last states: less than our network does."""

    def __init__(self, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, hidden, bidirectional=bidirectional)
        self.linear = nn.Linear(hidden * (1 + bidirectional), 1)

    def forward(self, x_LSF: Tensor) -> Tensor:
        return self.linear(torch.cat(list(self.gru(x_LSF)[1]), dim=1)).squeeze(-1)


def bare_loop(module: nn.Module, score: Callable[[Tensor], Tensor], learn: Part, check: Part) -> None:
    """The least that learns: a step for each (window, target) of `learn`, then a forward pass for those of `check`."""
    optimizer = torch.optim.Adam(module.parameters())
    for x_LSF, y_S in learn:
        optimizer.zero_grad()
        (score(x_LSF) - y_S).square().mean().backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        for x_LSF, y_S in check:
            (score(x_LSF) - y_S).square().mean().item()


def loop(folder: Path, lookback: int, bars: int) -> None:
    """The whole fit against the two bare loops, for every encoder."""
    file, targets = panel(folder, lookback + STEPS + VALID, bars, STOCKS, FEATURES)
    samples = Samples([file], targets, targets == targets, lookback)
    days = range(lookback, lookback + STEPS + VALID)
    fold = Fold(number=0, train=tuple(days[:STEPS]), valid=tuple(days[STEPS:]), test=())
    options = FitOptions(max_epochs=1)
    windows = [(samples.x(b.day, b.symbols)[file.name].clone(), b.y_S) for b in map(samples.batch, days)]
    learn, check = windows[:STEPS], windows[STEPS:]
    for hidden in (32, 64):
        for name, kind in ENCODERS.items():
            network = Single(encoder=Recurrent(hidden=hidden, **kind))

            def whole(network: Single = network) -> None:
                checkpoint = Checkpoint(folder / "fit.safetensors", "key")
                fit(network, samples, fold, options, seed=1, checkpoint=checkpoint)
                checkpoint.path.unlink(missing_ok=True)

            def torchs(hidden: int = hidden, both: bool = kind["direction"] == "bidirectional") -> None:
                module = Bare(hidden, both)
                bare_loop(module, module, learn, check)

            def ours(network: Single = network) -> None:
                module = initialised(network, samples.features, 1)
                module.encoder.dropout.generator = torch.Generator()
                bare_loop(module, lambda x_LSF: module({file.name: x_LSF}).score_S, learn, check)

            rounds = []
            for _ in range(ROUNDS + 1):
                with one_thread():
                    peers = seconds(torchs), seconds(ours)
                rounds.append((seconds(whole), *peers))
            took = statistics.median(row[0] for row in rounds[1:])
            against = [statistics.median(row[i] / row[0] for row in rounds[1:]) for i in (1, 2)]
            print(
                f"{lookback * bars} steps, {hidden} hidden, {name}: {STEPS / took:.1f} dates/s, throughput "
                f"{against[0]:.2f} of the bare loop with nn.GRU, {against[1]:.3f} of the bare loop with our network",
                flush=True,
            )


def windows(folder: Path, bars: int) -> None:
    """Windows of 60 days of 1,000 stocks × 20 features as the networks take them, and as Qlib's do."""
    file, targets = panel(folder, LOADED_DAYS, bars, LOADED_STOCKS, LOADED_FEATURES)
    samples = Samples([file], targets, targets == targets, LOADED_LOOKBACK)
    days = np.random.default_rng(1).permutation(np.arange(LOADED_LOOKBACK, LOADED_DAYS))

    def ours() -> int:
        count = 0
        for day in days.tolist():
            batch = samples.batch(day)
            count += samples.x(batch.day, batch.symbols)[file.name].shape[1]
        return count

    name = f"windows of {LOADED_LOOKBACK} days × {bars} bars"
    peer = qlib_sampler(np.load(file.path), targets, bars)
    if peer is None:
        count = ours()
        print(f"{name}: {count / seconds(ours) / 1e3:,.0f} thousand a second; Qlib: not installed, left out")
        return
    # Qlib's samples lie stock by stock.
    each = LOADED_DAYS - LOADED_LOOKBACK
    dates = [list(range(day, len(peer), each)) for day in range(each)]
    batch = samples.batch(int(days[0]))
    x_LSF = samples.x(batch.day, batch.symbols)[file.name]
    theirs_SLF = torch.from_numpy(peer[dates[days[0] - LOADED_LOOKBACK]])
    torch.testing.assert_close(theirs_SLF[:, :, :-1], x_LSF.transpose(0, 1), rtol=0, atol=0)
    torch.testing.assert_close(theirs_SLF[:, -1, -1], batch.y_S, rtol=0, atol=0)

    def loaded(**settings: object) -> int:
        count, start = 0, time.process_time()
        for x in DataLoader(peer, **settings):
            count += x.shape[-3]
            if time.process_time() - start > SECONDS_OF_LOADING:
                break
        return count

    works = {
        "ours": ours,
        "one by one": lambda: loaded(batch_size=LOADED_STOCKS, shuffle=True),
        "a date a call": lambda: loaded(batch_size=None, sampler=np.random.default_rng(1).permutation(dates).tolist()),
    }
    rounds = []
    for _ in range(ROUNDS + 1):
        rates = {}
        for key, work in works.items():
            start = time.process_time()
            rates[key] = work() / (time.process_time() - start)
        rounds.append(rates)
    text = ", ".join(
        f"Qlib {key} {statistics.median(row[key] for row in rounds[1:]) / 1e3:,.1f}, "
        f"ratio {statistics.median(row['ours'] / row[key] for row in rounds[1:]):.0f}"
        for key in list(works)[1:]
    )
    print(
        f"{name}: {statistics.median(row['ours'] for row in rounds[1:]) / 1e3:,.0f} thousand a second; {text}",
        flush=True,
    )


def qlib_sampler(values: np.ndarray, targets: np.ndarray, bars: int) -> TSDataSampler | None:
    """The same panel as Qlib holds it, the target as the last column, samples at the days' last bars by date and stock;
    None where Qlib is not installed."""
    try:
        import pandas as pd
        from qlib.data.dataset import TSDataSampler
    except ImportError:
        return None
    times = pd.date_range("2000-01-01", periods=len(values), freq="h")
    symbols = [f"{number:04d}" for number in range(values.shape[1])]
    labelled = np.concatenate([values, np.repeat(targets, bars, axis=0)[:, :, None]], axis=2)
    index = pd.MultiIndex.from_product([times, symbols], names=["datetime", "instrument"])
    frame = pd.DataFrame(labelled.reshape(-1, labelled.shape[2]), index=index)
    last = pd.Series(np.repeat(np.arange(1, len(values) + 1) % bars == 0, len(symbols)), index=index)
    return TSDataSampler(frame, times[LOADED_LOOKBACK * bars], times[-1], LOADED_LOOKBACK * bars, flt_data=last)


def workers(folder: Path) -> None:
    """Eight tasks of the training stage on one worker (this process) and on two, whose start counts."""
    file, _ = panel(folder, 60 + TASK_DAYS, 1, STOCKS, FEATURES)
    days = range(60, 60 + TASK_DAYS)
    for round_ in range(2):
        took = {}
        for count in (1, 2):
            tasks = [
                TrainTask(
                    model=f"{hidden}",
                    label_days=5,
                    fold=Fold(number=0, train=tuple(days[:-6]), valid=tuple(days[-6:-3]), test=tuple(days[-3:])),
                    seed=seed,
                    network=Single(encoder=Recurrent(hidden=hidden)).model_dump_json(),
                    panels=(file,),
                    targets=str(folder / "targets.npy"),
                    members=str(folder / "members.npy"),
                    lookback=60,
                    options=FitOptions(max_epochs=2),
                    out=str(folder / f"run-{round_}-{count}"),
                )
                for hidden in (32, 64)
                for seed in range(4)
            ]

            def run(count: int = count, tasks: list[TrainTask] = tasks) -> None:
                with pool(count) as running:
                    running.map(train, tasks, cost=lambda task: task.cost)

            took[count] = seconds(run, time.perf_counter)
        load = os.getloadavg()[0]
        print(
            f"8 tasks: 1 worker {took[1]:.1f} s, 2 workers {took[2]:.1f} s wall clock, ratio {took[1] / took[2]:.2f}; "
            f"load {load:.1f} on {os.cpu_count()} cores at the end, 2 of it ours",
            flush=True,
        )


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in WORKER_ENVIRONMENT.items()):
        # The allocator and polars read their settings when a process starts, and a run's workers start with these.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})
    with tempfile.TemporaryDirectory() as name:
        for lookback, bars in WINDOWS:
            loop(Path(name, f"loop-{lookback}-{bars}"), lookback, bars)
        for bars in (1, 8):
            windows(Path(name, f"windows-{bars}"), bars)
        workers(Path(name, "workers"))
