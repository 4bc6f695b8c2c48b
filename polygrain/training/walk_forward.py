"""Walk forward: one task fits one model on one fold with one seed and scores the fold's dates.

Shape suffix: S symbols.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from polygrain.errors import DataError
from polygrain.models.gru import set_precision
from polygrain.models.network import decode, dependencies, initialised, plugin_hashes
from polygrain.models.single import SingleModule
from polygrain.samples.windows import PanelFile, Samples, open_samples
from polygrain.spec import Spec
from polygrain.store.commit import JSON, code_fingerprint, commit_json, fingerprint
from polygrain.store.panel import Array
from polygrain.training.checkpoint import Checkpoint, Epoch, key_of, load_tensors, save_tensors
from polygrain.training.critic import Critic
from polygrain.training.device import find, repeatable
from polygrain.training.fit import FitOptions, fit, one_thread, scores
from polygrain.training.folds import Fold


class TrainTask(Spec):
    """All that one fit needs, as plain data: `network` is its JSON, paths are .npy files, `out` is the run folder.

    `targets` float32 [days, symbols] is NaN outside M_t; `members` bool [days, symbols] is U_t; the panels are the
    granularities that the model reads, coarse to fine. With `critic` the predictions hold agreements too.
    """

    model: str
    label_days: int
    fold: Fold
    seed: int
    network: str
    panels: tuple[PanelFile, ...]
    targets: str
    members: str
    lookback: int
    options: FitOptions
    out: str
    critic: bool = False

    @property
    def name(self) -> str:
        """The stem of the task's files: day_biagru-5d-f0-s1."""
        return f"{self.model}-{self.label_days}d-f{self.fold.number}-s{self.seed}"

    @property
    def cost(self) -> float:
        """What an epoch takes, in steps × parameters, for starting the longest task first; opens the panels."""
        samples = self.open()
        module = initialised(decode(self.network).for_windows(samples.steps), samples.features, self.seed)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        dates = len(self.fold.train) / self.options.every + len(self.fold.valid) / 3
        return max(1, parameters) * sum(samples.steps.values()) * dates

    def open(self) -> Samples:
        """The task's samples, mapped from disk, or resident on its device where that is not the CPU."""
        device = find(self.options.device)
        return open_samples(self.panels, Path(self.targets), Path(self.members), self.lookback, device)

    @property
    def model_file(self) -> Path:
        """Where the fitted weights go."""
        return Path(self.out, "models", f"{self.name}.safetensors")

    @property
    def checkpoint_file(self) -> Path:
        """Where the state of the fit is while it lasts."""
        return Path(self.out, "checkpoints", f"{self.name}.safetensors")

    @property
    def predictions_file(self) -> Path:
        """Where the scores of the fold's validation and test dates go."""
        return Path(self.out, "predictions", f"{self.name}.safetensors")


class ModelFacts(Spec):
    """What stands beside a model's weights; `train` and `valid` are first and last day numbers."""

    key: str
    model: str
    label_days: int
    seed: int
    network: str
    features: dict[str, int]
    fold: int
    train: tuple[int, int]
    valid: tuple[int, int]
    dates: int
    parameters: int
    history: tuple[Epoch, ...]
    best: Epoch


@dataclass(frozen=True)
class TaskResult:
    """Where a task's files are and how its fit went; `fitted` is False where an earlier run's model still held."""

    name: str
    model: Path
    predictions: Path
    facts: ModelFacts
    seconds: float
    fitted: bool


@dataclass(frozen=True)
class Predictions:
    """Scores float32 [dates, symbols] of U_t at the validation and test dates `days`, else NaN; `test` marks these.

    `agreement` of the same shape is the critic's, where the task asked for one.
    """

    days: tuple[int, ...]
    test: tuple[bool, ...]
    scores: Array
    agreement: Array | None = None


def train(task: TrainTask) -> TaskResult:
    """Fit and score one task, or keep what an earlier run left of it where content, settings and code are the same.

    Writes models/NAME.safetensors and .json, then predictions/NAME.safetensors; a killed task goes on where it was.
    The scores of date t see t's window only; the model sees training and validation dates.
    """
    began = time.monotonic()
    samples = task.open()
    facts, fitted = _learnt(task, samples)
    _predict(task, samples, facts.key)
    seconds = time.monotonic() - began
    return TaskResult(task.name, task.model_file, task.predictions_file, facts, seconds, fitted)


def learn(task: TrainTask) -> ModelFacts:
    """Fit one task as `train` does, and score nothing: it sees training and validation dates only."""
    return _learnt(task, task.open())[0]


def load_model(task: TrainTask, samples: Samples) -> nn.Module:
    """The task's fitted module."""
    tensors, _ = load_tensors(task.model_file)
    network = decode(task.network).for_windows(samples.steps)
    module = initialised(network, samples.features, task.seed).to(samples.device)
    set_precision(module, task.options.precision)
    module.load_state_dict(tensors)
    return module


def predict(module: nn.Module, samples: Samples, days: Sequence[int], chunk: int) -> Array:
    """Scores float32 [days, symbols] of U_t at each of `days`, NaN elsewhere; row t sees t's window only."""
    return _table(samples, days, lambda day, symbols: scores(module, samples, day, symbols, chunk))


def agreements(
    module: nn.Module, samples: Samples, valid: Sequence[int], days: Sequence[int], *, chunk: int, seed: int
) -> Array:
    """What the critic, learnt on the dates `valid`, says on `days`: float32 [days, symbols], as `predict` does."""
    assert isinstance(module, SingleModule)
    with one_thread(), repeatable(samples.device):
        critic = Critic(module, samples)
        critic.fit(valid, seed)
    return _table(samples, days, lambda day, symbols: critic.agreement(day, symbols, chunk))


def _table(samples: Samples, days: Sequence[int], values: Callable[[int, Tensor], Tensor]) -> Array:
    table = np.full((len(days), samples.symbols), np.nan, dtype=np.float32)
    with one_thread(), repeatable(samples.device):
        for row, day in enumerate(days):
            symbols = samples.scored(day)
            if len(symbols):
                table[row, symbols.cpu().numpy()] = values(day, symbols).cpu().numpy()
    return table


def read_predictions(path: Path) -> Predictions:
    """What `train` wrote; DataError where the file is absent or damaged."""
    if not path.is_file():
        raise DataError(str(path), "no predictions there; train first")
    tensors, _ = load_tensors(path)
    days, test = tensors["days"].tolist(), tensors["test"].tolist()
    agreement = tensors.get("agreement")
    scores = tensors["scores"].numpy()
    return Predictions(tuple(days), tuple(test), scores, None if agreement is None else agreement.numpy())


def _learnt(task: TrainTask, samples: Samples) -> tuple[ModelFacts, bool]:
    """The fitted model's facts, and whether it was fitted now."""
    key = _fit_key(task, samples)
    kept = _model_facts(task, key)
    facts = kept or _fit(task, samples, key)
    # Of a kept model too: an earlier run may have been killed right after it wrote the weights.
    commit_json(task.model_file.with_suffix(".json"), facts.model_dump(mode="json"))
    task.checkpoint_file.unlink(missing_ok=True)
    return facts, kept is None


def _fit(task: TrainTask, samples: Samples, key: str) -> ModelFacts:
    checkpoint = Checkpoint(task.checkpoint_file, key)
    fitted = fit(decode(task.network), samples, task.fold, task.options, seed=task.seed, checkpoint=checkpoint)
    facts = ModelFacts(
        key=key,
        model=task.model,
        label_days=task.label_days,
        seed=task.seed,
        network=task.network,
        features=samples.features,
        fold=task.fold.number,
        train=(task.fold.train[0], task.fold.train[-1]),
        valid=(task.fold.valid[0], task.fold.valid[-1]),
        dates=fitted.dates,
        parameters=sum(parameter.numel() for parameter in fitted.module.parameters()),
        history=fitted.history,
        best=fitted.best,
    )
    save_tensors(task.model_file, fitted.module.state_dict(), facts.model_dump_json())
    return facts


def _predict(task: TrainTask, samples: Samples, key: str) -> None:
    days = (*task.fold.valid, *task.fold.test)
    key = fingerprint([key, task.critic, list(days), _content(samples, days), _digest(samples.members_at(days))])
    if task.predictions_file.is_file() and load_tensors(task.predictions_file)[1] == key:
        return
    module, chunk = load_model(task, samples), task.options.chunk
    tensors = {
        "scores": torch.from_numpy(predict(module, samples, days, chunk)),
        "days": torch.tensor(days),
        "test": torch.tensor([False] * len(task.fold.valid) + [True] * len(task.fold.test)),
    }
    if task.critic:
        found = agreements(module, samples, task.fold.valid, days, chunk=chunk, seed=task.seed)
        tensors["agreement"] = torch.from_numpy(found)
    save_tensors(task.predictions_file, tensors, key)


def _fit_key(task: TrainTask, samples: Samples) -> str:
    """Fingerprint of what the weights depend on: settings, code, and the content of the rows and targets they see."""
    days = (*task.fold.train, *task.fold.valid)
    settings: JSON = [
        task.network,
        plugin_hashes(task.network),
        dependencies(task.network),
        task.options.model_dump(),
        task.seed,
        task.lookback,
        task.fold.model_dump_json(include={"train", "valid"}),
        [panel.model_dump(exclude={"path"}) for panel in task.panels],
        torch.__version__,
    ]
    code = code_fingerprint("models", "samples.windows", "training")
    return fingerprint([settings, code, _content(samples, days), _digest(samples.targets_at(days))])


def _content(samples: Samples, days: Sequence[int]) -> JSON:
    return {name: _digest(samples.rows(name, days)) for name in samples.panels}


def _digest(values: Array) -> str:
    digest = hashlib.sha256(f"{values.dtype} {values.shape}".encode())
    digest.update(values.data)
    return digest.hexdigest()


def _model_facts(task: TrainTask, key: str) -> ModelFacts | None:
    if not task.model_file.is_file():
        return None
    text = load_tensors(task.model_file)[1]
    return ModelFacts.model_validate_json(text) if key_of(text) == key else None
