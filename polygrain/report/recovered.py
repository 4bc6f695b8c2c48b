"""On the first screen of a simulated market's report: what share of the oracle's Rank IC each model recovers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.report.results import Evaluation
from polygrain.report.rows import against_oracle
from polygrain.report.tables import JUDGED, in_order
from polygrain.report.views import number


@dataclass(frozen=True)
class Share:
    """One model at one label: the share of the oracle's Rank IC, and the paired difference with its error."""

    share: str
    difference: str
    error: str


@dataclass(frozen=True)
class Recovered:
    """The oracle's Rank IC by label, and by model its shares in the same order; `models` is empty without an oracle."""

    predictable: bool
    label_days: tuple[int, ...]
    oracle: tuple[str, ...]
    models: tuple[tuple[str, tuple[Share | None, ...]], ...]


def recovered(evaluation: Evaluation) -> Recovered | None:
    """The shares on the dates that model and oracle both have; None where the market is real, or no score names the
    label that an oracle needs."""
    facts = evaluation.facts
    if not facts.simulated or (facts.predictable and not any(facts.label_days)):
        return None
    if facts.oracle is None:
        return Recovered(facts.predictable, (), (), ())
    series = [evaluation.series(evaluation.case(facts.oracle, label_days)) for label_days in facts.label_days]
    means = tuple("–" if each is None else number(float(np.nanmean(each.rank_ic)), "ic") for each in series)
    models = tuple(
        (model.name, tuple(_share(evaluation, model.name, label_days) for label_days in facts.label_days))
        for model in in_order(facts.models, JUDGED)
    )
    return Recovered(facts.predictable, facts.label_days, means, models)


def _share(evaluation: Evaluation, model: str, label_days: int) -> Share | None:
    found = against_oracle(evaluation, evaluation.case(model, label_days))
    if found is None:
        return None
    return Share(number(found.ratio, "share"), number(found.difference, "difference"), number(found.error, "ic"))
