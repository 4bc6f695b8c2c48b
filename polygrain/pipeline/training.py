"""The training stage: one task per network, granularity set, label, fold and seed, over the run's process pool."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

from polygrain.compute import Pool
from polygrain.errors import ConfigError
from polygrain.features.granularity import Granularity
from polygrain.market.session import DAYS_A_WEEK
from polygrain.models.network import dependencies, plugin_hashes
from polygrain.pipeline.market import Market
from polygrain.progress import Progress
from polygrain.samples.windows import PanelFile
from polygrain.store.commit import JSON, code_fingerprint, commit, file_fingerprint, fingerprint
from polygrain.store.panel import Array
from polygrain.training.folds import Fold, walk_forward
from polygrain.training.walk_forward import TaskResult, TrainTask, train


def coarse_to_fine(market: Market) -> list[Granularity]:
    """The run's granularities, the longest bars first."""
    session = market.session
    return sorted(market.experiment.granularity, key=lambda g: session.minutes_of(g.bar), reverse=True)


def panel_file(granularity: Granularity, market: Market, path: Path) -> PanelFile:
    """How the samples read a granularity's panel: a week is a row a day of which every fifth is taken."""
    if granularity.bar == "week":
        return PanelFile(name=granularity.name, path=str(path), bars=1, step=DAYS_A_WEEK)
    return PanelFile(name=granularity.name, path=str(path), bars=granularity.bars_a_day(market.session))


def folds(market: Market, horizon: int) -> list[Fold]:
    """The folds of a label; all labels of a run share their test dates, which the longest one decides."""
    experiment = market.experiment
    protocol, label = experiment.protocol, experiment.label
    days = range(protocol.lookback - 1, len(market.store.bar_days))
    spans = {"train": protocol.train, "train_min": protocol.train_min, "valid": protocol.valid, "refit": protocol.refit}
    first = None if protocol.first_test is None else _first_test(protocol.first_test, market.store.bar_days)
    longest = walk_forward(days, **spans, purge=label.purge(max(label.days)), first_test=first)
    return walk_forward(days, **spans, purge=label.purge(horizon), first_test=longest[0].test[0])


def _first_test(wanted: date, days: Sequence[date]) -> int:
    """The number of the first of `days` that is not before `wanted`."""
    if not days or wanted > days[-1]:
        span = f"the days that may be seen end on {days[-1]}" if days else "there are no days to be seen"
        raise ConfigError("protocol.first_test", f"{wanted} lies behind the data: {span}; take an earlier day")
    return bisect_left(days, wanted)


@dataclass(frozen=True)
class Shared:
    """The files that all fits of a run read: members, targets by label days, panels by granularity."""

    members: Path
    targets: Mapping[int, Path]
    panels: Mapping[str, Path]


def share(market: Market, panels: Mapping[str, Path], folder: Path) -> Shared:
    """Write the members and targets of a run under RUN/samples."""
    label = market.experiment.label
    members = _save(folder / "samples" / "members.npy", market.members[market.bar_rows])
    targets = {n: _save(folder / "samples" / f"targets-{n}d.npy", market.targets(label, n)) for n in label.days}
    return Shared(members, targets, panels)


def tasks(market: Market, shared: Shared, folder: Path) -> list[TrainTask]:
    """Every fit of the run, whose models go below `folder`."""
    experiment = market.experiment
    files = {g.name: panel_file(g, market, shared.panels[g.name]) for g in coarse_to_fine(market)}
    found = []
    for horizon in experiment.label.days:
        for network in experiment.network.values():
            for model, names in network.models(list(files)).items():
                found += [
                    TrainTask(
                        model=model,
                        label_days=horizon,
                        fold=fold,
                        seed=seed,
                        network=network.model_dump_json(),
                        panels=tuple(files[name] for name in names),
                        targets=str(shared.targets[horizon]),
                        members=str(shared.members),
                        lookback=experiment.protocol.lookback,
                        options=experiment.protocol.options,
                        out=str(folder),
                        critic=any(e.asks_agreement and e.takes(network) for e in experiment.ensemble.values()),
                    )
                    for fold in folds(market, horizon)
                    for seed in experiment.protocol.seeds
                ]
    if len({task.name for task in found}) != len(found):
        raise ConfigError("network", "two networks give models of the same name; give them different suffixes")
    return found


def inputs(found: Sequence[TrainTask]) -> str:
    """Fingerprint of all that models and predictions are made from; a panel's content is in its file's name."""
    shared = sorted({file for task in found for file in (task.targets, task.members)})
    code: JSON = [code_fingerprint("models", "samples", "training"), torch.__version__]
    content: JSON = [file_fingerprint(Path(file)) for file in shared]
    plugins = {kind: sha for task in found for kind, sha in plugin_hashes(task.network).items()}
    libraries: JSON = {task.network: dependencies(task.network) for task in found}
    return fingerprint([[task.model_dump_json() for task in found], content, code, plugins, libraries])


def outputs(found: Sequence[TrainTask], folder: Path) -> list[str]:
    """The models, their facts and the predictions, relative to the run folder."""
    files = [file for t in found for file in (t.model_file, t.model_file.with_suffix(".json"), t.predictions_file)]
    return [str(file.relative_to(folder)) for file in files]


def train_all(found: list[TrainTask], pool: Pool, progress: Progress) -> list[TaskResult]:
    """Fit every task, the longest first; what an earlier call finished is kept."""
    with progress.step(f"train {len(found)} models", sum(task.cost for task in found)) as step:

        def done(task: TrainTask, result: TaskResult) -> None:
            step.advance(task.cost)

        return pool.map(train, found, cost=lambda task: task.cost, done=done)


def _save(path: Path, values: Array) -> Path:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, np.ascontiguousarray(values), allow_pickle=False)

    commit(path, write)
    return path
