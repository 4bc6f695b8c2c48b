"""Networks: settings that build a torch module which scores one date's symbols.

Shape suffixes: L steps, S symbols of the date, F features.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from polygrain.errors import ConfigError
from polygrain.models.encoder import ENCODERS
from polygrain.plugins import Registry, register_kind
from polygrain.samples.windows import Samples
from polygrain.spec import Spec


@dataclass(frozen=True)
class Prediction:
    """Scores of one date's symbols; `penalties` join the loss by name (means over symbols); `parts` are to look at."""

    score_S: Tensor
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Network(Spec):
    """A network's settings; subclasses name their `kind` and build a module: dict of x_LSF → Prediction."""

    kind: str
    suffix: str = ""

    @abstractmethod
    def models(self, granularities: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The granularities (coarse to fine) that each model of this network reads, by model name."""

    def for_windows(self, steps: Mapping[str, int]) -> Network:
        """This network for windows of so many steps by granularity, coarse to fine; most take any."""
        return self

    @abstractmethod
    def build(self, features: Mapping[str, int]) -> nn.Module:
        """A new module for granularities with so many features; its parameters come from torch's current generator."""

    def named(self, stem: str) -> str:
        """The stem with the suffix: day, day_biagru."""
        return f"{stem}_{self.suffix}" if self.suffix else stem

    def alone(self, granularities: Sequence[str]) -> dict[str, str]:
        """By granularity the model that reads it alone; empty unless each one has exactly one such model."""
        reads = list(self.models(granularities).items())
        found = {names[0]: model for model, names in reads if len(names) == 1}
        singles = sum(len(names) == 1 for _, names in reads)
        return {name: found[name] for name in granularities} if singles == len(found) == len(granularities) else {}


class Losses(NamedTuple):
    """Mean squared errors of one round."""

    train: float
    valid: float


class SelfFitted(ABC):
    """A network that is not fitted by gradients: it fits its module itself, from the dates that the loop would use."""

    @abstractmethod
    def made_with(self) -> str:
        """The library that fits it and its version, which its weights depend on."""

    @abstractmethod
    def fit_itself(
        self, module: nn.Module, samples: Samples, train: Sequence[int], valid: Sequence[int], seed: int
    ) -> list[Losses]:
        """Fit `module`; the losses round by round, the last round's being those of what it holds."""


NETWORKS: Registry[type[Network]] = Registry("network kind")


def network(kind: type[Network]) -> type[Network]:
    """Register a Network by its `kind`; ConfigError where it has none or the name is taken."""
    return register_kind(NETWORKS, kind)


def decode(text: str) -> Network:
    """The network whose JSON is `text`; ConfigError where its kind is not registered."""
    kind = json.loads(text)["kind"]
    if kind not in NETWORKS:
        raise ConfigError("network.kind", f"unknown kind {kind!r}; the kinds are {', '.join(sorted(NETWORKS))}")
    return NETWORKS[kind].model_validate_json(text)


def plugin_hashes(text: str) -> dict[str, str]:
    """sha256 of the plug-in's text by kind, of the network whose JSON is `text` and of its encoder where from one."""
    tree = json.loads(text)
    found = NETWORKS.hashes([tree["kind"]])
    encoder = tree.get("encoder")
    if isinstance(encoder, dict) and "kind" in encoder:
        found |= {f"encoder {kind}": sha for kind, sha in ENCODERS.hashes([encoder["kind"]]).items()}
    return found


def dependencies(text: str) -> str:
    """The library beside torch that the network whose JSON is `text` is fitted with, and its version; "" for none."""
    network = decode(text)
    return network.made_with() if isinstance(network, SelfFitted) else ""


def initialised(settings: Network, features: Mapping[str, int], seed: int) -> nn.Module:
    """The network's module with initial weights drawn from `seed` alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return settings.build(features)
