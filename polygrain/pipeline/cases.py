"""Cases: what worker processes compute of an evaluation, from the files that they share.

Shape suffixes: K rankings, D score dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polygrain.compute import return_memory
from polygrain.evaluation.decay import rank_autocorrelation
from polygrain.evaluation.rank_ic import RankICs, rank_ics_after
from polygrain.evaluation.ranking import Ranking, ranking, within
from polygrain.evaluation.tracks import SELECTIONS, tracks
from polygrain.pipeline.evaluation_files import EvaluationFiles
from polygrain.pipeline.score_files import read_panel
from polygrain.spec import Spec
from polygrain.store.panel import Array

NAV_PANELS, BENCHMARK = ("gross", "net", "turnover", "participation"), "benchmark"


class RankTask(Spec):
    """Rank one score of a score file in so many `universes`, where it is ranking `number` from then on, and keep one
    score date in `every`."""

    folder: str
    scores: str
    model: str
    label_days: int
    number: int
    every: int
    universes: int


class SeedTask(Spec):
    """Rank ICs of one seed's score at a fill and horizon in a universe."""

    folder: str
    scores: str
    model: str
    label_days: int
    seed: int
    universe: int
    fill: str
    rebalance: int


class CaseTask(Spec):
    """Evaluate the first `count` rankings at a fill and rebalance period in a universe; `cost` is per round trip."""

    folder: str
    universe: int
    fill: str
    rebalance: int
    count: int
    cost: float

    @property
    def name(self) -> str:
        """What its files are called by."""
        return f"{self.universe}-{self.fill}-{self.rebalance}"


class DecayTask(Spec):
    """How the first `count` rankings fare `horizon` days later, on one score date in `rebalance`."""

    folder: str
    universe: int
    fill: str
    rebalance: int
    count: int
    horizon: int


@dataclass(frozen=True)
class CaseResult:
    """Rank ICs, and the number of the day on which the NAVs that lie in the files begin."""

    rank_ics: RankICs
    base: int


@dataclass(frozen=True)
class DecayResult:
    """Rank IC and correlation with the ranking `horizon` days later, by ranking and date."""

    rank_ic_KD: Array
    autocorrelation_KD: Array


def rank(task: RankTask) -> None:
    """Write the ranking of a score in every universe, of every day, and the scores that are kept."""
    files = _files(task.folder)
    axes = files.axes()
    scores = read_panel(Path(task.scores), axes, task.model, task.label_days)
    ranked = ranking(scores, range(len(axes.days)))
    for universe in range(task.universes):
        files.save_ranking(universe, task.number, within(ranked, files.members(universe)))
    files.save_scores(task.number, scores[files.scored()[:: task.every]])
    # Reading takes several times what a case does.
    return_memory()


def evaluate_seed(task: SeedTask) -> Array:
    """Rank ICs [D] of one seed's score over M_t."""
    files = _files(task.folder)
    days, members = files.scored(), files.members(task.universe)
    scores = read_panel(Path(task.scores), files.axes(), task.model, task.label_days, task.seed)
    rankings = [within(ranking(scores, days), members)]
    (found,) = rank_ics_after(rankings, files.market(task.fill), members, task.rebalance, days).tradable
    return np.asarray(found)


def evaluate_case(task: CaseTask) -> CaseResult:
    """Rank ICs of every ranking of the task; the NAVs [rankings, selections, tracks, days] of its tracks on their
    common span, and the benchmark's [tracks, days], go to the files."""
    files = _files(task.folder)
    market, members, days = files.market(task.fill), files.members(task.universe), files.scored()
    rankings = _rankings(files, task)
    made = tracks(rankings, members, market, SELECTIONS, rebalance=task.rebalance, cost=task.cost, days=days)
    first = made[0][0]
    span = slice(first.base, first.last + 1)

    def stacked(name: str) -> Array:
        return np.stack([[getattr(result, name)[:, span] for result in by_rule] for by_rule in made])

    files.save_navs(task.name, {BENCHMARK: first.benchmark[:, span]})
    for name in NAV_PANELS:
        files.save_navs(task.name, {name: stacked(name)})
    return CaseResult(rank_ics_after(rankings, market, members, task.rebalance, days), first.base)


def evaluate_decay(task: DecayTask) -> DecayResult:
    """Rank ICs by horizon and autocorrelations of every ranking of the task."""
    files = _files(task.folder)
    members, days = files.members(task.universe), files.scored()[:: task.rebalance]
    rankings = _rankings(files, task)
    ics = rank_ics_after(rankings, files.market(task.fill), members, task.horizon, days).tradable
    same = [rank_autocorrelation(each, members, [task.horizon], days)[0] for each in rankings]
    return DecayResult(ics, np.stack(same))


def _files(folder: str) -> EvaluationFiles:
    return EvaluationFiles(Path(folder))


def _rankings(files: EvaluationFiles, task: CaseTask | DecayTask) -> list[Ranking]:
    return [files.ranking(task.universe, number) for number in range(task.count)]
