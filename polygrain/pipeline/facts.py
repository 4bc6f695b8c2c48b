"""What the report says beside its numbers, gathered from the run: RUN/report_facts.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from polygrain.models.network import Network
from polygrain.pipeline.exposing import CONVENTION
from polygrain.pipeline.manifest import RunManifest
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.scoring import NAIVE
from polygrain.pipeline.training import coarse_to_fine, folds
from polygrain.report.explain import DATES, STOCKS
from polygrain.report.facts import ConfigurationTried, Detail, FoldFacts, ModelFacts, ReportFacts, StageTime
from polygrain.store.commit import JSON
from polygrain.training.losses import LossName
from polygrain.universe import MIN_TRADED


def report_facts(
    market: Market,
    manifest: RunManifest,
    *,
    features: Mapping[str, Sequence[str]],
    lacking: Sequence[str],
    missing: Sequence[str],
    universes: Sequence[str],
    oracle: bool,
    trials: Sequence[Mapping[str, JSON]],
) -> ReportFacts:
    """Everything on the page that is not computed from the evaluated series."""
    experiment = market.experiment
    left_out = [f"Features left out for lack of data: {', '.join(lacking)}."] if lacking else []
    return ReportFacts(
        name=experiment.name,
        note=experiment.note,
        simulated=experiment.source.simulated,
        predictable=experiment.source.predictable,
        data=tuple(data(market, features)),
        notes=(*market.store.facts.notes, *market.quotes.notes),
        conventions=tuple(_conventions(market)),
        missing=tuple(gaps(market, [*missing, *left_out], universes, oracle)),
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
        lock=lock_box(market, trials),
    )


def gaps(market: Market, missing: Sequence[str], universes: Sequence[str], oracle: bool) -> list[str]:
    """What the run lacks: `missing`, then what the data lacks that every score is judged by."""
    experiment = market.experiment
    found = [*missing, *(f"The data has no {name}." for name in sorted(market.facts.missing & {"st"}))]
    first = next(iter(experiment.evaluation.universes))
    if universes[0] != first:
        found.append(f"The tables show universe {universes[0]}, because {first} could not be evaluated.")
    if experiment.source.simulated and experiment.source.predictable and not oracle:
        found.append("The simulated market's source gives no oracle.")
    return [*found, *(f"The naive composite lacks {name}." for name in market.naive.missing)]


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


def lock_box(market: Market, trials: Sequence[Mapping[str, JSON]]) -> str:
    """What became of the days after `lock_after`."""
    lock_after = market.experiment.protocol.lock_after
    if lock_after is None:
        return ""
    openings = [trial["opened"] for trial in trials if trial["opened"] is not None]
    times = f"{len(openings)} time{'' if len(openings) == 1 else 's'}"
    if market.store.until is not None:
        return f"The days after {lock_after} are locked: nothing here has seen them. Opened so far: {times}."
    return (
        f"The days after {lock_after} were locked while this was developed, and then seen. The lock box of this data "
        f"was opened {times}: {', '.join(map(str, openings))}."
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


def members_convention(market: Market) -> str:
    """Who is scored."""
    base, lookback = market.experiment.universe.base, market.experiment.protocol.lookback
    least = min(MIN_TRADED, lookback)
    return f"U_t: {base}, traded on t and on at least {least} of the {lookback} look-back days."


def judging_conventions(market: Market) -> list[str]:
    """How every score is judged, wherever it is from."""
    return [
        "Rank IC: Spearman with average ranks by date over M_t; mean and win rate by track, then the mean over tracks.",
        "ICIR: mean / std (ddof 1) × √(260/R), of 120 dates or more. Standard errors: Newey-West, lag 3R.",
        "Portfolios: R staggered tracks, equal weights, blocked names keep their drifted value; benchmark: all of the "
        "universe in equal weights, without costs.",
        f"Costs: {market.experiment.evaluation.cost:.2%} per round trip, half of it a side.",
        "Excess: R_p − R_b unscaled by year or period; annualised: the difference of returns scaled to 242 days, never "
        "below 120 days. Counted from the close before the last track's first fill.",
    ]


def _conventions(market: Market) -> list[str]:
    experiment = market.experiment
    protocol, label = experiment.protocol, experiment.label
    return [
        _bars_convention(market),
        members_convention(market),
        "M_t: U_t, and can be bought at the fill; it masks loss, label ranks and Rank IC.",
        f"Labels: return over {' and '.join(map(str, label.days))} trading days from {label.fill}, as {label.target}"
        + ("." if label.shuffle is None else f", SHUFFLED within each date by seed {label.shuffle}: a control run."),
        f"Training: at most {protocol.train} days, one in {protocol.every} used, validation {protocol.valid} days, "
        f"refitted every {protocol.refit}; loss {_loss(protocol.loss)}; every label ends before the next part begins.",
        *judging_conventions(market),
        "Scores: z per date over U_t; ensembles average z-scores.",
        CONVENTION,
        "Where the scores come from: integrated gradients from 0, a feature's mean, summed over a day's bars; their "
        f"mean size over {STOCKS} stocks of U_t on each of {DATES} evenly chosen test dates, of the last fold's model "
        f"with seed {protocol.seeds[0]}; the shares of a model add up to 1.",
    ]


def _loss(weights: Mapping[LossName, float]) -> str:
    """mse; or with its weights, 1 mse + 0.5 ic."""
    return " + ".join(f"{weight:g} {name}" if len(weights) > 1 else name for name, weight in weights.items())


def _bars_convention(market: Market) -> str:
    """What bars are cut from, and which last ones are short."""
    session = market.session
    said = f"Bars: cut from the session {', '.join(session.segments)}; a missing base bar is one without trades."
    for granularity in coarse_to_fine(market):
        rest = session.minutes % session.minutes_of(granularity.bar) if granularity.bar != "week" else 0
        if rest:
            said += f" The last {granularity.name} bar of a day has {rest} minutes, what it lacks is without trades."
    return said


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
