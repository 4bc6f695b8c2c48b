"""Checkpoints: a fit's whole state in one file, so that a killed fit goes on with the same bits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from polygrain.errors import DataError
from polygrain.spec import Spec
from polygrain.store.commit import commit_bytes
from polygrain.training.adam import Adam


class Epoch(Spec):
    """One pass over the training dates: mean losses per date, or per sample where a network fits itself.

    The terms add up to the losses: of training the weighted losses of the scores and the network's penalties, of
    validation the former.
    """

    number: int
    train_loss: float
    valid_loss: float
    train_terms: dict[str, float]
    valid_terms: dict[str, float]

    @classmethod
    def of(cls, number: int, train: dict[str, float], valid: dict[str, float]) -> Epoch:
        """The epoch of these terms."""
        losses = {"train_loss": sum(train.values()), "valid_loss": sum(valid.values())}
        return cls(number=number, train_terms=train, valid_terms=valid, **losses)


@dataclass
class Progress:
    """Where a fit stands: `step` dates of epoch `epoch` (from 0) are done; `sums` of their loss's terms."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)

    @property
    def best(self) -> Epoch | None:
        """The epoch with the least validation loss so far, the first of equals."""
        return min(self.history, key=lambda epoch: epoch.valid_loss, default=None)


class _Facts(Spec):
    key: str
    epoch: int
    step: int
    sums: dict[str, float]
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A file for the state of one fit, and `key`, the fingerprint of all that the fit is made of."""

    path: Path
    key: str

    def save(self, module: nn.Module, optimizer: Adam, best: dict[str, Tensor], progress: Progress) -> None:
        """Replace the file by the present state, whole or not at all."""
        parts = {"module": module.state_dict(), "best": best, "optimizer": optimizer.state}
        tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        at = progress
        facts = _Facts(key=self.key, epoch=at.epoch, step=at.step, sums=at.sums, history=tuple(at.history))
        save_tensors(self.path, tensors, facts.model_dump_json())

    def load(self, module: nn.Module, optimizer: Adam) -> tuple[Progress, dict[str, Tensor]] | None:
        """Bring back the state into `module` and `optimizer`; None where there is no file or it is another fit's."""
        if not self.path.is_file():
            return None
        tensors, text = load_tensors(self.path)
        if key_of(text) != self.key:
            return None
        facts = _Facts.model_validate_json(text)
        module.load_state_dict(_under("module/", tensors))
        optimizer.restore(_under("optimizer/", tensors))
        at = Progress(facts.epoch, facts.step, facts.sums, list(facts.history))
        return at, _under("best/", tensors)


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: str) -> None:
    """Commit tensors and a text of facts (JSON) as one safetensors file."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One metadata entry: safetensors writes several in an order that changes from run to run. Not by its save_file,
    # which goes by a temporary file of its own that a kill leaves behind.
    commit_bytes(path, save(whole, {"facts": facts}))


def key_of(facts: str) -> object:
    """The `key` in a text of facts, read before anything else: another version's facts may hold other fields."""
    return json.loads(facts).get("key")


def load_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors and facts of a file that save_tensors wrote; DataError where it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            facts = str((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError) as error:
        raise DataError(str(path), f"is damaged ({error}); delete it and run again") from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
