"""What the report says beside its numbers, gathered from the run: RUN/report_facts.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from polygrain.models.network import Network
from polygrain.pipeline.manifest import RunManifest
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.scoring import NAIVE
from polygrain.pipeline.sentences import conventions, gaps, lock
from polygrain.pipeline.training import coarse_to_fine, folds
from polygrain.report.facts import ConfigurationTried, Detail, FoldFacts, ModelFacts, ReportFacts, StageTime
from polygrain.report.words import Text, chinese
from polygrain.store.commit import JSON


def report_facts(
    market: Market,
    manifest: RunManifest,
    *,
    features: Mapping[str, Sequence[str]],
    lacking: Sequence[str],
    missing: Sequence[Text],
    universes: Sequence[str],
    oracle: bool,
    trials: Sequence[Mapping[str, JSON]],
) -> ReportFacts:
    """Everything on the page that is not computed from the evaluated series."""
    experiment = market.experiment
    return ReportFacts(
        name=experiment.name,
        note=experiment.note,
        simulated=experiment.source.simulated,
        predictable=experiment.source.predictable,
        data=tuple(data(market, features)),
        notes=notes(market),
        conventions=tuple(conventions(market)),
        missing=(*missing, *gaps(market, lacking, universes[0], oracle)),
        models=tuple(_models(market, oracle)),
        label_days=tuple(experiment.label.days),
        rebalance=experiment.evaluation.rebalance[0],
        fill=experiment.evaluation.fills[0],
        universe=universes[0],
        universes=tuple(universes),
        weekly=tuple(granularity.name for granularity in experiment.granularity if granularity.bar == "week"),
        cost=experiment.evaluation.cost,
        headline=_headline(market),
        seeds=tuple(experiment.protocol.seeds),
        folds=tuple(_folds(market)),
        stages=stage_times(manifest),
        configurations=configurations(trials),
        lock=lock(market, trials),
    )


def notes(market: Market) -> tuple[Text, ...]:
    """What the source and the quotes say of the data."""
    return tuple(Text(note, chinese(note)) for note in (*market.store.facts.notes, *market.quotes.notes))


def stage_times(manifest: RunManifest) -> tuple[StageTime, ...]:
    """How long every stage took."""
    return tuple(
        StageTime(stage=name, seconds=manifest.seconds(name), skipped=name in manifest.skipped)
        for name in manifest.stages
    )


def configurations(trials: Sequence[Mapping[str, JSON]]) -> tuple[ConfigurationTried, ...]:
    """The store's list of configurations tried, as the page shows it."""
    return tuple(
        ConfigurationTried(
            fingerprint=str(trial["fingerprint"])[:12],
            first_run=str(trial["first_run"]),
            note=str(trial["note"]),
            opened=None if trial["opened"] is None else str(trial["opened"]),
            scored="validation" if trial["scored"] == "validation" else "test",
        )
        for trial in trials
    )


def data(market: Market, features: Mapping[str, Sequence[str]]) -> list[Detail]:
    """What the run was made from, as labelled lines."""
    store, experiment = market.store, market.experiment
    members = market.members[market.bar_rows].sum(axis=1)
    lines = [
        ("Source", f"{experiment.source.kind}, base bar {store.facts.base_bar}"),
        ("Session", f"{', '.join(store.facts.segments)}: {market.session.minutes} minutes"),
        ("Days", _span(store.days)),
        ("Days with bars", _span(store.bar_days)),
        ("Stocks", f"{len(store.symbols):,}"),
        ("Mean stocks in U_t", f"{members[members > 0].mean():,.0f}"),
        ("Amount", store.facts.amount),
        ("Look-back", f"{experiment.protocol.lookback} trading days"),
    ]
    lines += [("Plug-in", f"{plugin.name}, sha256 {plugin.sha256[:12]}") for plugin in experiment.plugins]
    lines += [(f"Features at {name}", f"{len(names)}: {', '.join(names)}") for name, names in features.items()]
    lines += [(name.replace("_", " ").capitalize(), f"{count:,}") for name, count in store.facts.counts.items()]
    return [Detail(label=label, value=value) for label, value in lines]


def _span(days: Sequence[date]) -> str:
    return f"{len(days)}, {days[0]} to {days[-1]}" if days else "0"


def _models(market: Market, oracle: bool) -> list[ModelFacts]:
    """Per network its single models coarse to fine, then its ensembles; an oracle; the naive composite last."""
    experiment = market.experiment
    found: list[ModelFacts] = []
    names = [g.name for g in coarse_to_fine(market)]
    for network in experiment.network.values():
        description = _description(network)
        found += [
            ModelFacts(
                name=model,
                kind=_kind(network, reads),
                granularity=reads[0] if len(reads) == 1 else None,
                suffix=network.suffix,
                network=_made_of(network),
                reads=reads if len(reads) > 1 else (),
                description=description if len(reads) == 1 else f"{description}, over {', '.join(reads)}",
            )
            for model, reads in network.models(names).items()
        ]
        for stem, ensemble in experiment.ensemble.items() if network.alone(names) else ():
            if ensemble.takes(network):
                said = ensemble.said(ensemble.chosen(names))
                name = network.named(stem)
                found.append(ModelFacts(name=name, kind="ensemble", suffix=network.suffix, description=said))
    return [*found, *references(oracle)]


def references(oracle: bool) -> list[ModelFacts]:
    """What stands beside every score: a simulated market's oracle, the naive composite."""
    said = "the expected return over the label's days of who knows the simulated market's hidden states"
    composite = "mean gaussian rank of −vol20, −ret20, −ret5, −ln(amount5/amount60), −range20"
    naive = ModelFacts(name=NAIVE, kind="naive", description=composite)
    return [ModelFacts(name=ORACLE, kind="oracle", description=said), naive] if oracle else [naive]


def _kind(network: Network, reads: Sequence[str]) -> Literal["single", "mixed", "residual"]:
    """Which table a model stands in."""
    if network.kind == "residual":
        return "residual"
    return "mixed" if network.kind == "mixed" or len(reads) > 1 else "single"


def _made_of(network: Network) -> str:
    """The kind of network, with that of its encoder where this is not a GRU: mixed, mixed transformer."""
    encoder = network.model_dump().get("encoder", {}).get("kind", "gru")
    return network.kind if encoder == "gru" else f"{network.kind} {encoder}"


def _description(network: Network) -> str:
    """The network's settings, groups laid flat: hidden 32, direction forward; its kind first where it is not single."""
    settings = network.model_dump(exclude={"kind", "suffix"})
    flat = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    for group in settings.values():
        flat |= group if isinstance(group, dict) else {}
    words = [] if network.kind == "single" else [network.kind]
    return ", ".join([*words, *(f"{key} {value}" for key, value in flat.items())])


def _headline(market: Market) -> str:
    """The first network's first ensemble, or its finest, last model: chosen by the config's order, not by results."""
    experiment = market.experiment
    names = [g.name for g in coarse_to_fine(market)]
    network = next(iter(experiment.network.values()))
    if network.alone(names):
        of_a_label = [s for s, e in experiment.ensemble.items() if e.takes(network) and not e.over_labels]
        return network.named(next(iter(of_a_label), names[-1]))
    return list(network.models(names))[-1]


def _folds(market: Market) -> list[FoldFacts]:
    days = market.store.bar_days
    return [
        FoldFacts(
            label_days=horizon,
            number=fold.number,
            train_days=len(fold.train),
            valid_days=len(fold.valid),
            test_days=len(fold.test),
            first_test=days[fold.test[0]],
            last_test=days[fold.test[-1]],
        )
        for horizon in market.experiment.label.days
        for fold in folds(market, horizon)
    ]
