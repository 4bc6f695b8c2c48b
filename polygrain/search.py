"""Search: which values a hyper-parameter search tries, and its trials, kept in a journal so that it can be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from polygrain.errors import ConfigError, Diverged
from polygrain.spec import Spec
from polygrain.store.commit import fingerprint

Value: TypeAlias = bool | int | float | str

JOURNAL = "journal.log"

_FITTING = ("learning_rate", "weight_decay", "clip", "max_epochs", "patience", "every", "train")
_WHERE = f"choose keys below network, or protocol.{', '.join(_FITTING)}"
_MOVES = "moves the dates or the stocks that the validation loss is measured on"
# By the beginning of the key: why no trial may set it.
_REFUSED = {
    "label": "decides what the validation loss measures, so that trials could not be compared",
    "protocol.loss": "is what trials are compared by; search under each loss by itself",
    "protocol.valid": _MOVES,
    "protocol.first_test": _MOVES,
    "protocol.lock_after": _MOVES,
    "protocol.refit": _MOVES,
    "protocol.train_min": _MOVES,
    "protocol.lookback": _MOVES,
    "protocol.seeds": "is luck and no setting; more seeds a trial make its value surer",
    "source": "is the data itself",
    "universe": _MOVES,
    "evaluation": "judges test dates, which a search never scores",
    "granularity": "changes the features, which a search builds once; compare runs instead",
}


class Candidates(Spec):
    """The values that a field may take: `choices`, or all from `low` to `high`, whole numbers where both are.

    `log` draws as many from .001 to .01 as from .01 to .1.
    """

    choices: tuple[Value, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @property
    def edges(self) -> tuple[Value, ...]:
        """The choices, or both ends."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)

    def check(self, key: str) -> None:
        """ConfigError where they are not exactly one of choices and a range."""
        if (self.choices is None) == (self.low is None and self.high is None):
            raise ConfigError(key, "must have either choices, or low and high")
        if self.choices is not None:
            if not self.choices or len({(type(value), value) for value in self.choices}) < len(self.choices):
                raise ConfigError(f"{key}.choices", "must be different values, at least one")
            if self.log:
                raise ConfigError(f"{key}.log", "goes with low and high; leave it out")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(key, "must have a low and a high, and low below high")
        elif self.log and self.low <= 0:
            raise ConfigError(f"{key}.low", f"must be above 0 for log = true, not {self.low}")

    def distribution(self, optuna: ModuleType) -> Any:
        """What Optuna draws from."""
        kinds = optuna.distributions
        if self.choices is not None:
            return kinds.CategoricalDistribution(self.choices)
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(self.low, self.high, log=self.log)


class Tune(Spec):
    """A search: how many trials in all, the seed of its draws, and candidates by key, as --set names it."""

    trials: int = Field(ge=1)
    seed: int = Field(default=1, ge=0)
    field: dict[str, Candidates] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Tune:
        for key, candidates in self.field.items():
            reason = _refusal(key)
            if reason:
                raise ConfigError(f"tune.field.{key}", reason)
            candidates.check(f"tune.field.{key}")
        return self


def _refusal(key: str) -> str:
    """Why a search may not set the key; "" where it may."""
    section, _, rest = key.partition(".")
    if rest and (section == "network" or (section == "protocol" and rest in _FITTING)):
        return ""
    for start, reason in _REFUSED.items():
        if key == start or key.startswith(f"{start}."):
            return f"{reason}; {_WHERE}"
    return f"is nothing to search for; {_WHERE}"


@dataclass(frozen=True)
class Trial:
    """A trial that has ended: `value` is the mean over all it ran, None where it diverged; `steps` is how far it got.

    A finished trial ran every step, a pruned one was worse than the median of the finished ones so far, and the loss
    of a diverged one was not finite.
    """

    number: int
    state: Literal["finished", "pruned", "diverged"]
    values: Mapping[str, Value]
    value: float | None
    steps: int


def best(trials: list[Trial]) -> Trial | None:
    """The finished trial of least value, the first of equals; None where none finished."""
    finished = [trial for trial in trials if trial.state == "finished" and trial.value is not None]
    return min(finished, key=lambda trial: trial.value or 0.0, default=None)


class Study:
    """The trials of one search, in FOLDER/journal.log of Optuna under the name `key`; another key is another search.

    One process at a time. Only a trial that has ended is written, in one line; the next one's values depend on the
    seed, its number and the trials before it alone, so that a killed search goes on as if it had not been. Akiba et al.
    (2019), Bergstra et al. (2011, TPE). ConfigError where Optuna is not installed.
    """

    def __init__(self, tune: Tune, key: str, folder: Path) -> None:
        self._optuna = find_optuna()
        self.tune = tune
        storages = self._optuna.storages
        backend = storages.journal.JournalFileBackend(str(_mended(folder / JOURNAL)))
        self._kept = self._optuna.create_study(
            storage=storages.JournalStorage(backend), study_name=key, load_if_exists=True
        )

    @property
    def trials(self) -> list[Trial]:
        """The trials that have ended."""
        return [_ended(trial) for trial in self._kept.trials]

    def run(
        self,
        steps: int,
        evaluate: Callable[[int, Mapping[str, Value]], Iterator[float]],
        told: Callable[[Trial], None],
    ) -> None:
        """Run the trials that are missing; `evaluate` gives a trial's mean so far after each of its `steps`.

        It is given up where that is pruned, and where it raises Diverged. `told` is called once a trial is written.
        """
        while len(self._kept.trials) < self.tune.trials:
            trial = self._next()
            state, values = self._outcome(trial, steps, evaluate(trial.number, trial.params))
            finished = state == "finished"
            states = self._optuna.trial.TrialState
            self._kept.add_trial(
                self._optuna.trial.create_trial(
                    state=states.COMPLETE if finished else states.PRUNED,
                    value=values[-1] if finished else None,
                    params=trial.params,
                    distributions=trial.distributions,
                    intermediate_values=dict(enumerate(values)),
                )
            )
            told(self.trials[-1])

    def _next(self) -> Any:
        """The next trial, its values drawn; in memory, so that a kill leaves no half of it behind."""
        past = self._kept.trials
        seed = int(fingerprint([self.tune.seed, len(past)])[:8], 16)
        study = self._optuna.create_study(
            sampler=self._optuna.samplers.TPESampler(seed=seed), pruner=self._optuna.pruners.MedianPruner()
        )
        study.add_trials(past)
        return study.ask({key: each.distribution(self._optuna) for key, each in self.tune.field.items()})

    def _outcome(
        self, trial: Any, steps: int, means: Iterator[float]
    ) -> tuple[Literal["finished", "pruned", "diverged"], list[float]]:
        values: list[float] = []
        try:
            for step, mean in enumerate(means):
                values.append(mean)
                trial.report(mean, step)
                # After the last step nothing is saved by giving it up.
                if step + 1 < steps and trial.should_prune():
                    return "pruned", values
        except Diverged:
            # The steps before it would make it look like a trial that was doing well.
            return "diverged", []
        return "finished", values


def _ended(trial: Any) -> Trial:
    means = [mean for _, mean in sorted(trial.intermediate_values.items())]
    state: Literal["finished", "pruned", "diverged"] = "pruned" if means else "diverged"
    if trial.state.name == "COMPLETE":
        state = "finished"
    return Trial(trial.number, state, trial.params, means[-1] if means else None, len(means))


def _mended(path: Path) -> Path:
    """The journal without what a process that was killed while it wrote there left: half a line, or Optuna's lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()
    if path.is_file():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
    return path


def find_optuna() -> ModuleType:
    """Optuna; ConfigError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("tune", "needs Optuna; pip install 'polygrain[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
