"""Ensembles: settings that combine the scores of several models of one network into one.

Shape suffixes: M members, D dates, S symbols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from polygrain.errors import ConfigError
from polygrain.models.network import Network
from polygrain.plugins import Registry, register_kind
from polygrain.spec import Spec
from polygrain.store.panel import Array


@dataclass(frozen=True)
class Members:
    """What is combined, coarse to fine: per-date z-scores float64 [M, D, S] over U_t, NaN elsewhere.

    `agreement_MDS` says how much what a member reads looks like what it expected (training/critic.py); it is there
    where the ensemble asks for it.
    """

    score_MDS: Array
    agreement_MDS: Array | None = None

    def at(self, rows: Array) -> Members:
        """The members on the dates `rows`, bool [D]."""
        agreement_MDS = None if self.agreement_MDS is None else self.agreement_MDS[:, rows]
        return Members(self.score_MDS[:, rows], agreement_MDS)


@dataclass(frozen=True)
class Known:
    """What an ensemble may learn from: the members on the validation dates of a fold, and targets, NaN outside M_t."""

    members: Members
    target_DS: Array

    @property
    def learnable_DS(self) -> Array:
        """Where every member has a score and there is a target."""
        return np.asarray(np.isfinite(self.members.score_MDS).all(axis=0) & np.isfinite(self.target_DS))


Rule = Callable[[Members], Array]
"""Combined scores [D, S], NaN where a member has none; row t sees date t only."""


class Ensemble(Spec, ABC):
    """An ensemble's settings; subclasses name their `kind` and give the rule of a fold.

    `members` are granularities, coarsest or finest, by default all. An ensemble that `learns` does so on the fold's
    validation dates, whose labels end before the fold's first test date; it has scores on test dates alone.
    """

    learns: ClassVar[bool] = True
    asks_agreement: ClassVar[bool] = False

    kind: str
    members: list[str] | None = None

    @property
    def over_labels(self) -> Sequence[int]:
        """The labels, in days, that it is one mean over, label_days 0; empty where each label has its own."""
        return ()

    @abstractmethod
    def rule(self, known: Known) -> Rule:
        """How the members of a fold are combined."""

    def takes(self, network: Network) -> bool:
        """Whether it can be made of a network that has one model for every granularity."""
        return True

    def made_with(self) -> str:
        """The library that learns it and its version, "" for none; ConfigError where it is not installed."""
        return ""

    def said(self, members: Sequence[str]) -> str:
        """What it is made of, in words."""
        return f"{self.kind} of {', '.join(members)}, learnt on validation dates"

    def chosen(self, granularities: Sequence[str]) -> tuple[str, ...]:
        """The members among the run's `granularities`, given and returned coarse to fine."""
        if self.members is None:
            return tuple(granularities)
        ends = {"coarsest": granularities[0], "finest": granularities[-1]}
        wanted = {ends.get(member, member) for member in self.members}
        for name in sorted(wanted - set(granularities)):
            known = ", ".join([*granularities, *ends])
            raise ConfigError("ensemble.members", f"no granularity {name!r} in this run; choose among {known}")
        return tuple(name for name in granularities if name in wanted)


ENSEMBLES: Registry[type[Ensemble]] = Registry("ensemble kind")


def ensemble(kind: type[Ensemble]) -> type[Ensemble]:
    """Register an Ensemble by its `kind`; ConfigError where it has none or the name is taken."""
    return register_kind(ENSEMBLES, kind)
