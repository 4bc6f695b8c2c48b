"""Fit: the one training loop, for every network that learns by gradients and every loss.

Shape suffix: S symbols of the date.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from polygrain.errors import ConfigError, DataError
from polygrain.models.encoder import set_generator
from polygrain.models.gru import Precision, set_precision
from polygrain.models.network import Network, SelfFitted, initialised
from polygrain.samples.windows import Batch, Samples, chunks
from polygrain.spec import Spec
from polygrain.training.adam import Adam
from polygrain.training.checkpoint import Checkpoint, Epoch, Progress
from polygrain.training.device import DeviceName, repeatable
from polygrain.training.folds import Fold
from polygrain.training.losses import LOSSES, Loss

SECONDS_BETWEEN_CHECKPOINTS = 30.0


class FitOptions(Spec):
    """How a network is fitted: Adam, gradient norm clip, early stop, one date a step.

    `every` = k uses every k-th training date, counted back from the last; `chunk` bounds the symbols held at once;
    `device` is where the panels lie and the network learns and scores: bits differ between devices. `precision` bf16
    multiplies matrices of the GRU and of attention in bf16, on processors that can; other networks have neither.
    """

    loss: Literal["mse", "ic", "ccc"] = "mse"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=3.0, gt=0)
    max_epochs: int = Field(default=50, ge=1)
    patience: int = Field(default=5, ge=1)
    every: int = Field(default=1, ge=1)
    chunk: int = Field(default=1024, ge=1)
    device: DeviceName = "cpu"
    precision: Precision = "float32"

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
    targets, or a loss or gradient is not finite (nothing is updated then).
    """
    train, valid = samples.learnable(fold.train)[:: -options.every][::-1], samples.learnable(fold.valid)
    for part, days in (("training", train), ("validation", valid)):
        if not days:
            raise DataError(f"fold {fold.number}", f"no {part} date has targets; a date needs enough tradable symbols")
    network = network.for_windows(samples.steps)
    module = initialised(network, samples.features, seed).to(samples.device)
    if isinstance(network, SelfFitted):
        if options.loss != "mse":
            raise ConfigError("protocol.loss", f"{options.loss} cannot be learnt by {network.kind}; it takes mse alone")
        with one_thread():
            losses = network.fit_itself(module, samples, train, valid, seed)
        history = tuple(Epoch(number=i, train_loss=a, valid_loss=b) for i, (a, b) in enumerate(losses))
        return Fitted(module, history, history[-1], len(train))
    set_precision(module, options.precision)
    optimizer = Adam(module, options.learning_rate, options.weight_decay)
    loop = _Loop(module, optimizer, samples, LOSSES[options.loss], options, seed, fold.number, checkpoint)
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
        loss: Loss,
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
            at.loss_sum += self.step(train[order[at.step]])
            at.step += 1
            if time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()
        valid_loss = sum(self.valid_loss(day) for day in valid) / len(valid)
        if not math.isfinite(valid_loss):
            raise DataError(self.where(), f"the validation loss is {valid_loss}; lower the learning rate")
        at.history.append(Epoch(number=at.epoch, train_loss=at.loss_sum / len(train), valid_loss=valid_loss))
        if at.best is at.history[-1]:
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0
        self.save()

    def step(self, day: int) -> float:
        """One update from one date; returns the date's loss."""
        self.module.train()
        self.module.zero_grad()
        loss = self.backward(self.samples.batch(day))
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.options.clip).item()
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                reason = f"the {name} is {value} on day number {day}; lower the learning rate or look at its features"
                raise DataError(self.where(), reason)
        self.optimizer.step()
        return loss

    def backward(self, batch: Batch) -> float:
        """The date's loss; its gradient is added up over chunks of symbols and equals the whole date's."""
        pieces = chunks(batch.symbols, self.options.chunk)
        targets = torch.split(batch.y_S, [len(piece) for piece in pieces])
        total = 0.0
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
                objective = self.loss.value(predicted.score_S, y_S) * share
                total += objective.item()
            if predicted.penalty is not None:
                total += predicted.penalty.item() * share
                objective = objective + predicted.penalty * share
            objective.backward()
        return total

    def pull(self, batch: Batch, pieces: Sequence[Tensor]) -> tuple[float, Sequence[Tensor]]:
        """A loss of the whole date and its gradient by score, from a first pass with the same dropout masks."""
        self.draw()
        with torch.no_grad():
            score_S = torch.cat([self.module(self.samples.x(batch.day, piece)).score_S for piece in pieces])
        score_S.requires_grad_()
        loss = self.loss.value(score_S, batch.y_S)
        (gradient_S,) = torch.autograd.grad(loss, score_S)
        return loss.item(), torch.split(gradient_S, [len(piece) for piece in pieces])

    def draw(self) -> None:
        """Start the step's dropout masks at their beginning, torch's too, which draw from the global generator."""
        words = np.random.SeedSequence([self.seed, self.progress.epoch, self.progress.step]).generate_state(2)
        generator = torch.Generator(self.samples.device).manual_seed(int(words[0]) << 31 ^ int(words[1]))
        set_generator(self.module, generator)
        torch.manual_seed(generator.initial_seed())

    def valid_loss(self, day: int) -> float:
        batch = self.samples.batch(day)
        score_S = scores(self.module, self.samples, day, batch.symbols, self.options.chunk)
        return self.loss.value(score_S, batch.y_S).item()

    def where(self) -> str:
        return f"fold {self.fold} epoch {self.progress.epoch} step {self.progress.step}"


def scores(module: nn.Module, samples: Samples, day: int, symbols: Tensor, chunk: int) -> Tensor:
    """Scores of `symbols` on `day` in evaluation mode; a symbol's score does not depend on the others'."""
    module.eval()
    with torch.no_grad():
        parts = [module(samples.x(day, piece)).score_S for piece in chunks(symbols, chunk)]
    return torch.cat(parts)
