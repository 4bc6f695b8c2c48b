"""What the real stages make of a source, each value with the moment from which it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from polygrain.compute import Pool
from polygrain.config import Experiment
from polygrain.evaluation.rank_ic import rank_ic
from polygrain.evaluation.ranking import ranking, within
from polygrain.evaluation.tracks import SELECTIONS, tracks
from polygrain.execution import ledger
from polygrain.execution.fills import FILLS
from polygrain.execution.quotes import FIELDS
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.panels import open_panel
from polygrain.models.single import SingleModule
from polygrain.pipeline.market import Market
from polygrain.pipeline.scoring import (
    NAIVE,
    FoldScores,
    Scores,
    averaged,
    naive_scores,
    over_labels,
    scored_days,
    tiled,
    with_ensembles,
)
from polygrain.pipeline.training import coarse_to_fine, panel_file
from polygrain.prove.cutoffs import CLOSE, DAY
from polygrain.prove.enhanced import enhanced
from polygrain.prove.features import granularities, names, raw
from polygrain.prove.observed import Observation, Observed
from polygrain.samples.labels import standardise, tradable
from polygrain.samples.windows import Samples
from polygrain.sources.ingest import ingest
from polygrain.sources.source import Source
from polygrain.store.panel import Array
from polygrain.training.fit import fit
from polygrain.training.folds import Fold
from polygrain.training.walk_forward import agreements, predict
from polygrain.universe import evaluate

REBALANCE = 5
CHUNK = 512


@dataclass(frozen=True)
class Trained:
    """A model: the granularities it reads, its module, and the day numbers that it was validated on."""

    reads: tuple[str, ...]
    module: nn.Module
    valid: tuple[int, ...]


Models = dict[tuple[str, int], Trained]


@dataclass(frozen=True)
class Stages:
    """The real stages up to the samples, run on one source in one folder."""

    market: Market
    granularities: tuple[Granularity, ...]
    panels: dict[str, Path]
    samples: dict[tuple[str, ...], dict[int, Samples]]

    @property
    def days(self) -> int:
        return len(self.market.store.bar_days)


def run_stages(experiment: Experiment, source: Source, folder: Path, pool: Pool) -> Stages:
    """Ingest, universe, features, labels and samples of the experiment on `source`.

    Features are built for every granularity that the base bars give, samples for the experiment's own.
    """
    store = ingest(source, folder)
    market = Market(experiment, store)
    every = granularities(experiment, market.session, store.facts.base_bar)
    precision = experiment.panels.precision
    panels = build(store, every, market.before_open, folder / "features", pool, precision=precision)
    files = {g.name: panel_file(g, market, panels[g.name]) for g in coarse_to_fine(market)}
    members = market.members[market.bar_rows]
    samples: dict[tuple[str, ...], dict[int, Samples]] = {}
    targets = {h: market.targets(experiment.label, h) for h in experiment.label.days}
    for network in experiment.network.values():
        for wanted in network.models(list(files)).values():
            chosen = [files[name] for name in wanted]
            samples[wanted] = {h: Samples(chosen, targets[h], members, experiment.protocol.lookback) for h in targets}
    return Stages(market, tuple(every), panels, samples)


def train_before(stages: Stages, last: int) -> Models:
    """One model per network, granularity set and label, fitted on dates whose labels end by day number `last`."""
    experiment = stages.market.experiment
    options = experiment.protocol.options.model_copy(update={"max_epochs": 1, "every": 1})
    models: Models = {}
    for network in experiment.network.values():
        for model, wanted in network.models([g.name for g in coarse_to_fine(stages.market)]).items():
            for horizon, samples in stages.samples[wanted].items():
                days = tuple(range(experiment.protocol.lookback - 1, last + 1 - experiment.label.purge(horizon)))
                fold = Fold(number=0, train=days[:-1], valid=days[-1:], test=())
                module = fit(network, samples, fold, options, seed=1).module
                models[model, horizon] = Trained(wanted, module, fold.valid)
    return models


def observe(stages: Stages, models: Models, scored: Sequence[int], *, plans: int) -> Observation:
    """All values the stages give, with the moments from which they are known; scores on the day numbers `scored`, plans
    on the last `plans` of them."""
    market = stages.market
    experiment, quotes = market.experiment, market.quotes
    day = np.arange(len(quotes.axes.days))
    label = experiment.label
    seen: dict[str, Observed] = {}

    def closes(values: Array, after: int = 0) -> Observed:
        return Observed(values, (day + after) * DAY + CLOSE)

    for field in (*FIELDS, "factor", "traded", "age", "up_limit", "down_limit", "valuation"):
        seen[f"quotes.{field}"] = closes(getattr(quotes, field))
    if quotes.st is not None:
        seen["quotes.st"] = closes(quotes.st)
    for name, members in market.facts.index_members.items():
        seen[f"index.{name}"] = Observed(members, day * DAY)
    seen["U"] = closes(market.members)
    seen["U before the open"] = Observed(market.before_open, market.bar_rows * DAY)
    lag = FILLS[label.fill].lag
    seen["M"] = closes(tradable(market.members, quotes, label.fill), lag)
    for name, expression in experiment.evaluation.universes.items():
        seen[f"universe.{name}"] = closes(market.members & evaluate(expression, market.facts))
    for name in market.exposures.names:
        seen[f"exposure.{name}"] = closes(market.exposures.style(name))
    seen["industry"] = closes(market.exposures.industries.codes)
    naive = market.naive.values
    seen["naive"] = closes(naive)
    for horizon in label.days:
        returns = label.returns(quotes, horizon)
        seen[f"label.{horizon}d"] = closes(label.targets(quotes, market.members, horizon), lag + horizon)
        ics = rank_ic(naive, returns, tradable(market.members, quotes, label.fill) & np.isfinite(returns))
        seen[f"rank_ic.{horizon}d"] = Observed(ics[:, None], (day + lag + horizon) * DAY + CLOSE, by_track=True)
    seen |= _features(stages)
    days = [day for day in scored if day < stages.days]
    seen |= _windows(stages, days)
    seen |= _scores(stages, models, days)
    seen |= enhanced(market, market.bar_rows[days][-plans:].tolist())
    seen["nav"] = Observed(_nav(market, naive), day * DAY + CLOSE, by_track=True)
    return Observation(quotes.axes.symbols, seen)


def _features(stages: Stages) -> dict[str, Observed]:
    """The values of every panel before they were normalised, and after."""
    market, wanted = stages.market, stages.granularities
    values, features = raw(market.store, wanted), names(market.store, wanted)
    found = {}
    for granularity in wanted:
        name, known = granularity.name, _row_moments(market, granularity)
        panel = open_panel(stages.panels[name])
        found[f"raw.{name}"] = Observed(values[name], known, features[name])
        found[f"features.{name}"] = Observed(np.asarray(panel.values), known, panel.features)
    return found


def _row_moments(market: Market, granularity: Granularity) -> Array:
    """When each row of a panel is known: at its last base bar's end, the day's last at the close."""
    days = market.bar_rows
    if granularity.bar in ("day", "week"):
        return np.asarray(days * DAY + CLOSE)
    bars = granularity.bars_a_day(market.session)
    ends = (np.arange(bars) + 1) * granularity.base_bars(market.session, market.store.facts.base_bar)
    ends[-1] = CLOSE
    return np.asarray((days[:, None] * DAY + ends).reshape(-1))


def _windows(stages: Stages, days: Sequence[int]) -> dict[str, Observed]:
    """x of every granularity on `days`, [days, symbols, steps × features]."""
    known = stages.market.bar_rows[list(days)] * DAY + CLOSE
    every = torch.arange(len(stages.market.store.symbols))
    found = {}
    for wanted, by_horizon in stages.samples.items():
        samples = next(iter(by_horizon.values()))
        for name in wanted:
            x = [samples.x(day, every)[name].numpy().swapaxes(0, 1).copy() for day in days]
            found[f"windows.{name}"] = Observed(np.reshape(x, (len(days), len(every), -1)), known)
    return found


def _scores(stages: Stages, models: Models, days: Sequence[int]) -> dict[str, Observed]:
    """Scores predicted anew on `days`, and the ensembles of them, as the score stage makes them.

    What an ensemble learns of it learns anew too, on the models' validation dates.
    """
    if not models:
        return {}
    market = stages.market
    label = market.experiment.label
    made: dict[tuple[str, int], Array] = {}
    for horizon in label.days:
        fold = _fold_scores(stages, {name: model for (name, h), model in models.items() if h == horizon}, horizon, days)
        folds = with_ensembles(market, averaged([[fold]]), market.targets(label, horizon))
        made |= tiled(folds, horizon, (stages.days, len(market.store.symbols))).test
    scores = Scores(test=made)
    made |= over_labels(market, scores).test | {(NAIVE, 0): naive_scores(market, scored_days(scores))}
    known = market.bar_rows * DAY + CLOSE
    return {f"scores.{model}.{horizon}d": Observed(panel, known) for (model, horizon), panel in made.items()}


def _fold_scores(stages: Stages, models: Mapping[str, Trained], horizon: int, days: Sequence[int]) -> FoldScores:
    """z-scores of one label's models on their validation dates and on `days`, and the agreements that are asked for."""
    ensembles = stages.market.experiment.ensemble.values()
    asked = any(ensemble.asks_agreement for ensemble in ensembles)
    valid = next(iter(models.values())).valid
    every, scores, found = [*valid, *days], {}, {}
    for name, model in models.items():
        samples = stages.samples[model.reads][horizon]
        scores[name] = standardise(predict(model.module, samples, every, CHUNK)).astype(np.float32)
        if asked and isinstance(model.module, SingleModule):
            found[name] = agreements(model.module, samples, valid, every, chunk=CHUNK, seed=1)
    return FoldScores(np.array(every), np.arange(len(every)) >= len(valid), scores, found)


def _nav(market: Market, scores: Array) -> Array:
    """NAV after costs and of the benchmark, [days, 2 × tracks], of the naive composite's top portfolio."""
    days = [int(day) for day in np.flatnonzero(np.isfinite(scores).any(axis=1))]
    ranked = within(ranking(scores, days), market.members)
    ((result,),) = tracks(
        [ranked],
        market.members,
        ledger.market(market.quotes, FILLS[market.experiment.label.fill]),
        SELECTIONS[:1],
        rebalance=REBALANCE,
        cost=market.experiment.evaluation.cost,
        days=days,
    )
    return np.concatenate([result.net, result.benchmark]).T
