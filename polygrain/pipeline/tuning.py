"""Tuning: a search for settings by validation losses; no date is scored."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from statistics import fmean

import torch

from polygrain.compute import pool
from polygrain.config import Experiment, Family, setting
from polygrain.errors import ConfigError, DataError
from polygrain.models.network import dependencies
from polygrain.pipeline import Job, sweep_all, training, write_config
from polygrain.plugins import use
from polygrain.progress import Progress, Step
from polygrain.search import Study, Trial, Tune, Value, best, find_optuna
from polygrain.store.commit import JSON, code_fingerprint, commit_bytes, fingerprint, locked
from polygrain.training.device import find
from polygrain.training.walk_forward import ModelFacts, TrainTask, learn

# What a trial's value is computed by.
_CODE = ("features", "samples", "models", "training", "universe", "execution", "market", "search")


@dataclass(frozen=True)
class Tuned:
    """The best of a search's trials and the config that it stands for."""

    trial: Trial
    trials: int
    config: Path

    @property
    def settings(self) -> list[str]:
        """KEY=VALUE by field, as --set takes them."""
        return [setting(key, value) for key, value in self.trial.values.items()]


def tune(family: Family, *, folder: Path, base: Path, progress: Progress) -> Tuned:
    """Search over the config's [tune] fields in RUN folder `folder`; a second call resumes, or goes on to more trials.

    A trial's value is the mean, over its labels, models, folds and seeds, of the best validation loss. Its fits see
    training and validation dates, none behind `protocol.lock_after`, and no date is scored; but a later fold's
    validation dates are an earlier one's test dates. Every trial is counted in the store's list of configurations.
    Writes RUN/tune/journal.log, trials.csv and best.toml. ConfigError where a field is refused, before anything is
    written as far as the config shows it; DataError where no trial finished.
    """
    experiment = family.experiment
    if experiment.tune is None:
        raise ConfigError("tune", "is missing: add a [tune] section with trials and fields to search")
    experiment.check_trains()
    use(experiment.plugins)
    members = _edges(family, experiment.tune)
    find_optuna()
    find(experiment.protocol.device)
    with pool(experiment.workers, experiment.plugins) as workers:
        job = Job(experiment, folder.resolve(), base.resolve(), workers, progress, searching=True)
        job.begin()
        with locked(job.folder):
            sweep_all(job.folder)
            write_config(experiment, job.folder / "config.toml")
            for stage in ("ingest", "features"):
                job.stage(stage)
            for member in members:
                for horizon in member.label.days:
                    training.folds(replace(job.market, experiment=member), horizon)
            return _Search(job, family, experiment.tune).run()


def _edges(family: Family, tune: Tune) -> list[Experiment]:
    """The experiments with one field at an edge of what it may be."""
    return [family.member({key: edge}) for key, field in tune.field.items() for edge in field.edges]


class _Search:
    """A search in a run folder whose features are built."""

    def __init__(self, job: Job, family: Family, tune: Tune) -> None:
        self.job, self.family, self.tune = job, family, tune
        self.folder = job.folder / "tune"
        self.fits = self.folder / "fits"
        self.study = Study(tune, self.key, self.folder)
        self.step: Step | None = None
        self.left = 0.0

    @cached_property
    def key(self) -> str:
        """Fingerprint of all that values depend on: the config, the fields, the code and the stored data."""
        experiment = self.job.experiment
        field: JSON = {key: each.model_dump(mode="json") for key, each in self.tune.field.items()}
        libraries = [dependencies(network.model_dump_json()) for network in experiment.network.values()]
        libraries = [*libraries, torch.__version__, find_optuna().__version__]
        data, code = self.job.market.store.fingerprint(), code_fingerprint(*_CODE)
        configuration: JSON = [self.job.configuration, experiment.plugin_hashes, experiment.protocol.device]
        return fingerprint([configuration, field, self.tune.seed, data, code, libraries])

    @cached_property
    def shared(self) -> training.Shared:
        """What the fits of every trial read."""
        return training.share(self.job.market, self.job.panels, self.job.folder)

    @cached_property
    def folds(self) -> int:
        """How many folds a trial has; all labels have as many."""
        return len(training.folds(self.job.market, self.job.experiment.label.days[0]))

    def run(self) -> Tuned:
        """Run the trials that are missing, then write the best one's config."""
        missing = max(0, self.tune.trials - len(self.study.trials))
        self._write_table()
        with self.job.progress.step(f"tune {missing} trials", missing) as self.step:
            self.study.run(self.folds, self._losses, self._told)
        # A call that was killed between a trial's end and this has left them.
        rmtree(self.fits, ignore_errors=True)
        trials = self.study.trials
        found = best(trials)
        if found is None:
            raise DataError("tune", f"none of {len(trials)} trials finished: every loss diverged; lower the ranges")
        config = self.folder / "best.toml"
        write_config(self.family.member(found.values), config)
        return Tuned(found, len(trials), config)

    def _losses(self, number: int, values: Mapping[str, Value]) -> Iterator[float]:
        """The mean of the best validation losses up to each fold."""
        job = replace(self.job, experiment=self.family.member(values))
        said = ", ".join(setting(key, value) for key, value in values.items())
        # Counted before its first loss is known.
        for configuration, trial in job.tried.items():
            note = f"{trial['note']}; tune trial {number}: {said}"
            job.trials.add(configuration, {**trial, "note": note}, "validation")
        market = replace(self.job.market, experiment=job.experiment)
        tasks = training.tasks(market, self.shared, self.fits / str(number))
        losses: list[float] = []
        self.left = 1.0
        for fold in sorted({task.fold.number for task in tasks}):
            part = [task for task in tasks if task.fold.number == fold]
            losses += [facts.best.valid_loss for facts in self._learn(part, 1 / len(tasks))]
            yield fmean(losses)

    def _learn(self, tasks: Sequence[TrainTask], share: float) -> list[ModelFacts]:
        def done(task: TrainTask, facts: ModelFacts) -> None:
            self._advance(share)

        return self.job.workers.map(learn, tasks, cost=lambda task: task.cost, done=done)

    def _advance(self, share: float) -> None:
        """Say that so much of the trial is done."""
        assert self.step is not None
        self.step.advance(share)
        self.left -= share

    def _told(self, trial: Trial) -> None:
        self._advance(self.left)
        value = "" if trial.value is None else f", mean validation loss {trial.value:.6g}"
        after = f" after fold {trial.steps} of {self.folds}" if trial.state == "pruned" else ""
        said = " ".join(setting(key, each) for key, each in trial.values.items())
        self.job.progress.say(f"trial {trial.number} {trial.state}{after}{value}: {said}")
        self._write_table()
        # Its value is kept, and its models are of no more use.
        rmtree(self.fits, ignore_errors=True)

    def _write_table(self) -> None:
        """Every trial so far, a pruned one with its value up to there."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["number", "state", "value", "folds", *self.tune.field])
        for trial in self.study.trials:
            value = "" if trial.value is None else repr(trial.value)
            rows.writerow([trial.number, trial.state, value, trial.steps, *(trial.values[k] for k in self.tune.field)])
        commit_bytes(self.folder / "trials.csv", text.getvalue().encode())
