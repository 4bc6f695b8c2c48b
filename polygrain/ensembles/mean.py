"""The mean of per-date z-scores: R88's output ensembles.

Shape suffixes: M members, D dates, S symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from polygrain.ensembles.ensemble import Ensemble, Known, Members, Rule, ensemble
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array


@ensemble
class Mean(Ensemble):
    """(1/M) Σ_m z_m. 输出集成, R88 fig. 2.

    With `labels` (days) it averages the members of each of these labels too, into one score whose label_days is 0.
    """

    learns: ClassVar[bool] = False

    kind: Literal["mean"] = "mean"
    labels: list[int] | None = Field(default=None, min_length=2)

    @property
    def over_labels(self) -> Sequence[int]:
        """`labels`."""
        return self.labels or ()

    def rule(self, known: Known) -> Rule:
        """The same for all folds."""
        return mean

    def said(self, members: Sequence[str]) -> str:
        """What it is made of, in words."""
        of_labels = "" if self.labels is None else f" at labels of {' and '.join(map(str, self.labels))} days"
        return f"mean z of {', '.join(members)}{of_labels}"


def mean(members: Members) -> Array:
    """Average of the members' per-date z-scores [D, S], each over its finite scores (U_t); ddof 0.

    NaN where a member has no score. Row t sees date t only.
    """
    total: Array = sum((standardise(z_DS) for z_DS in members.score_MDS[1:]), start=standardise(members.score_MDS[0]))
    return total / len(members.score_MDS)
