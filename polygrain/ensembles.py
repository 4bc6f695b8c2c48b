"""Output ensembles: scores of several models, standardised within each date and averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from polygrain.errors import ConfigError
from polygrain.samples.labels import standardise
from polygrain.spec import Spec
from polygrain.store.panel import Array


def mean(members: Sequence[Array]) -> Array:
    """Average of the members' per-date z-scores [days, symbols], each over its finite scores (U_t); ddof 0.

    NaN where a member has no score. Row t sees date t only.
    """
    total: Array = sum((standardise(member) for member in members[1:]), start=standardise(members[0]))
    return total / len(members)


class Mean(Spec):
    """The average of single-granularity models; `members` are granularities, coarsest or finest, by default all."""

    kind: Literal["mean"] = "mean"
    members: list[str] | None = None

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

    def combine(self, scores: Mapping[str, Array]) -> Array:
        """The mean of the chosen members' scores [days, symbols], given by granularity from coarse to fine."""
        return mean([scores[name] for name in self.chosen(tuple(scores))])
