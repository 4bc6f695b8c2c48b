"""Fit: the one training loop, for every network that learns by gradients and every loss.

Shape suffix: S symbols of the date.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field, PositiveFloat, field_validator, model_validator
from torch import Tensor, nn

from polygrain.errors import ConfigError, DataError, Diverged
from polygrain.models.encoder import set_generator
from polygrain.models.gru import Precision, set_precision
from polygrain.models.network import Network, SelfFitted, initialised
from polygrain.samples.windows import Batch, Samples, chunks
from polygrain.spec import Spec
from polygrain.training.adam import Adam
from polygrain.training.checkpoint import Checkpoint, Epoch, Progress
from polygrain.training.device import DeviceName, repeatable
from polygrain.training.folds import Fold
from polygrain.training.losses import LossName, WeightedLoss

SECONDS_BETWEEN_CHECKPOINTS = 30.0


class FitOptions(Spec):
    """How a network is fitted: Adam, gradient norm clip, early stop, one date a step.

    `loss` is mse, ic or ccc, or weights by name, such as { mse = 1.0, ic = 0.5 } for their weighted sum.
    `every` = k uses every k-th training date, counted back from the last; `chunk` bounds the symbols held at once;
    `device` is where the panels lie and the network learns and scores: bits differ between devices. `precision` bf16
    multiplies matrices of the GRU and of attention in bf16, on processors that can; other networks have neither.
    """

    loss: dict[LossName, PositiveFloat] = Field(default={"mse": 1.0}, min_length=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=3.0, gt=0)
    max_epochs: int = Field(default=50, ge=1)
    patience: int = Field(default=5, ge=1)
    every: int = Field(default=1, ge=1)
    chunk: int = Field(default=1024, ge=1)
    device: DeviceName = "cpu"
    precision: Precision = "float32"

    @field_validator("loss", mode="before")
    @classmethod
    def _alone(cls, loss: object) -> object:
        """One name is that loss alone."""
        return {loss: 1.0} if isinstance(loss, str) else loss

    @model_validator(mode="after")
    def _together(self) -> FitOptions:
        if self.precision == "bf16" and self.device != "cpu":
            raise ConfigError("protocol.precision", "bf16 is for the CPU; set it to float32, or protocol.device to cpu")
        return self


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, for sums of one order, and numbers below 1e-38 as 0, for speed; as before for everybody else."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Fitted:
    """A fitted module with its best weights, the epochs behind it, and the training dates it used."""

    module: nn.Module
    history: tuple[Epoch, ...]
    best: Epoch
    dates: int


def fit(
    network: Network,
    samples: Samples,
    fold: Fold,
    options: FitOptions,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Fit `network` on the fold's training dates until its validation loss stops falling; best weights are restored.

    One date a step: loss = mean over the date's M_t; a SelfFitted network learns in its own way. Same seed, data,
    options and device (the samples') give the same bits, also when the fit was killed and goes on from its checkpoint.
    Sees training and validation dates only, whose labels end before the first test date. DataError where a fold has no
    targets; Diverged where a loss or gradient is not finite (nothing is updated then).
    """
    train, valid = samples.learnable(fold.train)[:: -options.every][::-1], samples.learnable(fold.valid)
    for part, days in (("training", train), ("validation", valid)):
        if not days:
            raise DataError(f"fold {fold.number}", f"no {part} date has targets; a date needs enough tradable symbols")
    network = network.for_windows(samples.steps)
    module = initialised(network, samples.features, seed).to(samples.device)
    if isinstance(network, SelfFitted):
        if list(options.loss) != ["mse"]:
            names = " and ".join(options.loss)
            raise ConfigError("protocol.loss", f"{names} cannot be learnt by {network.kind}; it takes mse alone")
        with one_thread():
            losses = network.fit_itself(module, samples, train, valid, seed)
        history = tuple(Epoch.of(i, {"mse": a}, {"mse": b}) for i, (a, b) in enumerate(losses))
        return Fitted(module, history, history[-1], len(train))
    set_precision(module, options.precision)
    optimizer = Adam(module, options.learning_rate, options.weight_decay)
    loop = _Loop(module, optimizer, samples, WeightedLoss(options.loss), options, seed, fold.number, checkpoint)
    loop.resume()
    while not loop.finished:
        # The global generator is the user's; while a network is fitted, each step sets it.
        with one_thread(), repeatable(samples.device):
            loop.epoch(train, valid)
        if progress:
            progress(loop.progress.history[-1])
    best = loop.progress.best
    if best is None:
        raise DataError(f"fold {fold.number}", "no epoch was run; set max_epochs to 1 or more")
    module.load_state_dict(loop.best)
    return Fitted(module, tuple(loop.progress.history), best, len(train))


class _Loop:
    """The state of one fit; its randomness is drawn anew from (seed, epoch, step), so that no generator is stored."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: Adam,
        samples: Samples,
        loss: WeightedLoss,
        options: FitOptions,
        seed: int,
        fold: int,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.module, self.optimizer, self.samples = module, optimizer, samples
        self.loss, self.options, self.seed, self.fold, self.checkpoint = loss, options, seed, fold, checkpoint
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.saved_at = time.monotonic()

    @property
    def finished(self) -> bool:
        done, best = self.progress.history, self.progress.best
        patience_lost = best is not None and len(done) - 1 - best.number >= self.options.patience
        return patience_lost or len(done) >= self.options.max_epochs

    def resume(self) -> None:
        state = self.checkpoint.load(self.module, self.optimizer) if self.checkpoint else None
        if state:
            self.progress, self.best = state

    def save(self) -> None:
        if self.checkpoint:
            self.checkpoint.save(self.module, self.optimizer, self.best, self.progress)
        self.saved_at = time.monotonic()

    def epoch(self, train: Sequence[int], valid: Sequence[int]) -> None:
        """The rest of the present epoch, then its validation loss."""
        at = self.progress
        order = np.random.default_rng([self.seed, at.epoch]).permutation(len(train))
        while at.step < len(train):
            _add(at.sums, self.step(train[order[at.step]]))
            at.step += 1
            if time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()
        sums: dict[str, float] = {}
        for day in valid:
            _add(sums, self.valid_terms(day))
        found = Epoch.of(at.epoch, _divided(at.sums, len(train)), _divided(sums, len(valid)))
        if not math.isfinite(found.valid_loss):
            raise Diverged(self.where(), f"the validation loss is {found.valid_loss}; lower the learning rate")
        at.history.append(found)
        if at.best is at.history[-1]:
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        at.epoch, at.step, at.sums = at.epoch + 1, 0, {}
        self.save()

    def step(self, day: int) -> dict[str, float]:
        """One update from one date; returns the terms of the date's loss."""
        self.module.train()
        self.module.zero_grad()
        terms = self.backward(self.samples.batch(day))
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.options.clip).item()
        for name, value in (("loss", sum(terms.values())), ("gradient norm", norm)):
            if not math.isfinite(value):
                reason = f"the {name} is {value} on day number {day}; lower the learning rate or look at its features"
                raise Diverged(self.where(), reason)
        self.optimizer.step()
        return terms

    def backward(self, batch: Batch) -> dict[str, float]:
        """The date's loss by term; its gradient is added up over chunks of symbols and equals the whole date's."""
        pieces = chunks(batch.symbols, self.options.chunk)
        targets = torch.split(batch.y_S, [len(piece) for piece in pieces])
        total: dict[str, float] = {}
        pull_S: Sequence[Tensor] = ()
        if not self.loss.additive and len(pieces) > 1:
            total, pull_S = self.pull(batch, pieces)
        self.draw()
        for number, (piece, y_S) in enumerate(zip(pieces, targets)):
            share = len(piece) / len(batch.symbols)
            predicted = self.module(self.samples.x(batch.day, piece))
            if predicted.score_S.shape != y_S.shape:
                shapes = f"{tuple(predicted.score_S.shape)}, not one per symbol {tuple(y_S.shape)}"
                raise DataError(self.where(), f"the network gives scores of shape {shapes}; mend its forward")
            if pull_S:
                objective = (predicted.score_S * pull_S[number]).sum()
            else:
                terms = {name: term * share for name, term in self.loss.terms(predicted.score_S, y_S).items()}
                _add(total, _numbers(terms))
                objective = _sum(terms)
            if predicted.penalties:
                penalties = {name: penalty * share for name, penalty in predicted.penalties.items()}
                _add(total, _numbers(penalties))
                objective = objective + _sum(penalties)
            objective.backward()
        return total

    def pull(self, batch: Batch, pieces: Sequence[Tensor]) -> tuple[dict[str, float], Sequence[Tensor]]:
        """The terms of a whole date's loss and its gradient by score, from a first pass with the same dropout masks."""
        self.draw()
        with torch.no_grad():
            score_S = torch.cat([self.module(self.samples.x(batch.day, piece)).score_S for piece in pieces])
        score_S.requires_grad_()
        terms = self.loss.terms(score_S, batch.y_S)
        (gradient_S,) = torch.autograd.grad(_sum(terms), score_S)
        return _numbers(terms), torch.split(gradient_S, [len(piece) for piece in pieces])

    def draw(self) -> None:
        """Start the step's dropout masks at their beginning, torch's too, which draw from the global generator."""
        words = np.random.SeedSequence([self.seed, self.progress.epoch, self.progress.step]).generate_state(2)
        generator = torch.Generator(self.samples.device).manual_seed(int(words[0]) << 31 ^ int(words[1]))
        set_generator(self.module, generator)
        torch.manual_seed(generator.initial_seed())

    def valid_terms(self, day: int) -> dict[str, float]:
        batch = self.samples.batch(day)
        score_S = scores(self.module, self.samples, day, batch.symbols, self.options.chunk)
        return _numbers(self.loss.terms(score_S, batch.y_S))

    def where(self) -> str:
        return f"fold {self.fold} epoch {self.progress.epoch} step {self.progress.step}"


def _add(sums: dict[str, float], terms: Mapping[str, float]) -> None:
    for name, value in terms.items():
        sums[name] = sums.get(name, 0.0) + value


def _divided(sums: Mapping[str, float], count: int) -> dict[str, float]:
    return {name: value / count for name, value in sums.items()}


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def _sum(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def scores(module: nn.Module, samples: Samples, day: int, symbols: Tensor, chunk: int) -> Tensor:
    """Scores of `symbols` on `day` in evaluation mode; a symbol's score does not depend on the others'."""
    module.eval()
    with torch.no_grad():
        parts = [module(samples.x(day, piece)).score_S for piece in chunks(symbols, chunk)]
    return torch.cat(parts)
