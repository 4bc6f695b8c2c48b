"""Scores: predictions of all folds and seeds → one z-score per date, symbol, model and label; and their ensembles.

Shape suffixes: M members, D dates, S symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from polygrain.ensembles.ensemble import Ensemble, Known, Members
from polygrain.ensembles.mean import mean
from polygrain.errors import DataError
from polygrain.models.network import Network
from polygrain.pipeline.market import Market
from polygrain.pipeline.training import coarse_to_fine
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array
from polygrain.training.walk_forward import TrainTask, read_predictions

NAIVE = "naive"
SEGMENTS = ("valid", "test")
Key = tuple[str, int]


@dataclass(frozen=True)
class FoldScores:
    """What one fold's models say on its validation and test dates `days`: z-scores float32 [D, S] by model over U_t,
    NaN elsewhere, and the agreements of those that have a critic."""

    days: Array
    test: Array
    scores: Mapping[str, Array]
    agreements: Mapping[str, Array] = field(default_factory=dict)


@dataclass
class Scores:
    """Per (model, label_days) and segment z-scores float32 [days with bars, symbols] over U_t, NaN elsewhere."""

    valid: dict[Key, Array] = field(default_factory=dict)
    test: dict[Key, Array] = field(default_factory=dict)

    def segment(self, name: str) -> dict[Key, Array]:
        return self.valid if name == "valid" else self.test


def predicted(tasks: Sequence[TrainTask]) -> list[FoldScores]:
    """The z-scores of one seed's models of one label, fold by fold."""
    folds = []
    for _, part in groupby(sorted(tasks, key=lambda t: t.fold.number), key=lambda t: t.fold.number):
        found = {task.model: read_predictions(task.predictions_file) for task in part}
        first = next(iter(found.values()))
        folds.append(
            FoldScores(
                days=np.array(first.days),
                test=np.array(first.test),
                scores={name: _z(one.scores) for name, one in found.items()},
                agreements={name: one.agreement for name, one in found.items() if one.agreement is not None},
            )
        )
    return folds


def averaged(seeds: Iterable[list[FoldScores]]) -> list[FoldScores]:
    """The mean over seeds of z-scores, z-scored again per date, and of agreements; holds one seed at a time."""
    folds: list[FoldScores] = []
    totals: list[tuple[dict[str, Array], dict[str, Array]]] = []
    count = 0
    for folds in seeds:
        count += 1
        totals = totals or [({}, {}) for _ in folds]
        for fold, total in zip(folds, totals, strict=True):
            for sums, values in zip(total, (fold.scores, fold.agreements)):
                for name, panel in values.items():
                    sums[name] = sums.get(name, np.zeros(())) + panel.astype(np.float64)
    return [
        replace(
            fold,
            scores={name: _z(total / count) for name, total in scores.items()},
            agreements={name: (total / count).astype(np.float32) for name, total in agreements.items()},
        )
        for fold, (scores, agreements) in zip(folds, totals, strict=True)
    ]


def with_ensembles(market: Market, folds: Sequence[FoldScores], target_DS: Array) -> list[FoldScores]:
    """The scores of one label's models, and behind them the ensembles of every network whose models are among them.

    `target_DS` are the label's targets on all days, NaN outside M_t, of which the folds' validation dates are read.
    """
    names = [g.name for g in coarse_to_fine(market)]
    found = []
    for fold in folds:
        scores = dict(fold.scores)
        for network in market.experiment.network.values():
            alone = network.alone(names)
            if alone and alone[names[0]] in fold.scores:
                for stem, ensemble in _ensembles(market, network):
                    scores[network.named(stem)] = _combined(ensemble, alone, fold, target_DS)
        found.append(replace(fold, scores=scores))
    return found


def _ensembles(market: Market, network: Network) -> list[tuple[str, Ensemble]]:
    """Those that a network with one model for every granularity has at each label."""
    every = market.experiment.ensemble.items()
    return [(s, e) for s, e in every if e.takes(network) and not e.over_labels]


def _combined(ensemble: Ensemble, alone: Mapping[str, str], fold: FoldScores, target_DS: Array) -> Array:
    models = [alone[name] for name in ensemble.chosen(tuple(alone))]

    def stacked(panels: Mapping[str, Array]) -> Array:
        return np.stack([panels[model] for model in models]).astype(np.float64)

    members = Members(stacked(fold.scores), stacked(fold.agreements) if ensemble.asks_agreement else None)
    known = _known(members, fold, target_DS)
    if ensemble.learns and not known.learnable_DS.any():
        reason = f"{', '.join(models)} have no validation date with scores and targets to learn from"
        raise DataError(f"ensemble {ensemble.kind}", f"{reason}; lengthen protocol.valid")
    combined = ensemble.rule(known)(members)
    if ensemble.learns:
        combined[~fold.test] = np.nan
    return _z(combined)


def _known(members: Members, fold: FoldScores, target_DS: Array) -> Known:
    """What may be learnt from: the fold's validation dates."""
    return Known(members.at(~fold.test), target_DS[fold.days[~fold.test]])


def label_members(market: Market) -> dict[Key, list[Key]]:
    """The members of every ensemble over labels, whose own label_days is 0."""
    names = [g.name for g in coarse_to_fine(market)]
    found: dict[Key, list[Key]] = {}
    for network in market.experiment.network.values():
        alone = network.alone(names)
        for stem, ensemble in market.experiment.ensemble.items() if alone else ():
            members = [(alone[name], days) for days in ensemble.over_labels for name in ensemble.chosen(names)]
            if members:
                found[network.named(stem), 0] = members
    return found


def over_labels(market: Market, scores: Scores) -> Scores:
    """The ensembles over labels of every network whose models are among the scores."""
    found = Scores()
    for key, members in label_members(market).items():
        for segment in SEGMENTS:
            panels = scores.segment(segment)
            if all(member in panels for member in members):
                score_MDS = np.stack([panels[member] for member in members]).astype(np.float64)
                found.segment(segment)[key] = _z(mean(Members(score_MDS)))
    return found


def tiled(folds: Sequence[FoldScores], label_days: int, shape: tuple[int, int]) -> Scores:
    """The folds' scores by date: test blocks tile the test span; a validation date is its first fold's."""
    scores = Scores()
    for fold in folds:
        for segment, wanted in (("valid", ~fold.test), ("test", fold.test)):
            for model, z in fold.scores.items():
                panel = scores.segment(segment).setdefault((model, label_days), np.full(shape, np.nan, np.float32))
                for day, row in zip(fold.days[wanted], z[wanted]):
                    if np.isnan(panel[day]).all():
                        panel[day] = row
    return scores


def _z(values: Array) -> Array:
    return standardise(values.astype(np.float64)).astype(np.float32)


def naive_scores(market: Market, covered: Array) -> Array:
    """The naive composite's z-scores float32 [days with bars, symbols] on the days `covered`."""
    naive: Array = standardise(market.naive.values)[market.bar_rows].astype(np.float32)
    naive[~covered] = np.nan
    return naive


def scored_days(scores: Scores) -> Array:
    """Which days have test scores, bool [days with bars]: the same ones for every model."""
    return np.asarray(np.isfinite(next(iter(scores.test.values()))).any(axis=1))
