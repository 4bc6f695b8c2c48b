"""Experiment: one run's whole configuration, read from TOML into typed Specs; every refusal names the key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, ValidationInfo, field_validator, model_validator

from polygrain import decoding
from polygrain import plugins as plugs
from polygrain.decoding import ByKind
from polygrain.ensembles.ensemble import ENSEMBLES, Ensemble
from polygrain.errors import ConfigError
from polygrain.evaluation.tracks import SELECTIONS, Selection
from polygrain.execution.fills import FILLS
from polygrain.exposures.build import Exposures
from polygrain.features.granularity import Granularity
from polygrain.features.panels import Panels
from polygrain.market.session import DAYS_A_WEEK
from polygrain.models.network import NETWORKS, Network
from polygrain.portfolio.enhancement import Enhancement
from polygrain.portfolio.interior import clarabel_for
from polygrain.samples.labels import Label
from polygrain.samples.windows import steps
from polygrain.search import Tune, Value
from polygrain.sources.source import SOURCES, Source
from polygrain.spec import Spec
from polygrain.training.protocol import Protocol
from polygrain.universe import Universe, parse

# Model names become file names.
_NAME = re.compile(r"[A-Za-z0-9_]+")
EnhancementName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


def _distinct(key: str, values: Sequence[str | int]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(key, f"{value!r} is there twice; name each one once")


def _check_least(key: str, values: Sequence[int], least: int) -> None:
    for value in values:
        if value < least:
            raise ConfigError(key, f"must be at least {least}, not {value}")


def _check_fill(key: str, fill: str) -> None:
    if fill not in FILLS:
        raise ConfigError(key, f"unknown fill {fill!r}; choose from {', '.join(FILLS)}")


def _check_name(key: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(key, f"{name!r} is part of a file name; use letters, digits and _ only")


def _check_members(key: str, ensemble: Ensemble, granularities: Sequence[str]) -> None:
    if ensemble.members is None:
        return
    if not ensemble.members:
        raise ConfigError(key, "is empty; name at least one granularity, or leave the key out for all of them")
    known = [*granularities, "coarsest", "finest"]
    for member in ensemble.members:
        if member not in known:
            raise ConfigError(key, f"{member!r} is no granularity; choose from {', '.join(known)}")


def _check_labels(key: str, labels: Sequence[int], known: Sequence[int]) -> None:
    _distinct(key, labels)
    for days in labels:
        if days not in known:
            raise ConfigError(key, f"{days} is no label of this run; choose from {', '.join(map(str, known))}")


class Evaluation(Spec):
    """What every score is judged by: rebalance periods in days, fills, universes by name, cost per round trip."""

    rebalance: list[int] = Field(default=[5], min_length=1)
    fills: list[str] = Field(default=["t1_vwap"], min_length=1)
    universes: dict[str, str] = Field(default={"all": "all"}, min_length=1)
    cost: float = Field(default=0.003, ge=0)

    @model_validator(mode="after")
    def _known(self) -> Evaluation:
        _distinct("evaluation.rebalance", self.rebalance)
        _distinct("evaluation.fills", self.fills)
        for fill in self.fills:
            _check_fill("evaluation.fills", fill)
        _check_least("evaluation.rebalance", self.rebalance, 1)
        for name, expression in self.universes.items():
            parse(expression, f"evaluation.universes.{name}")
        return self

    @property
    def selections(self) -> Sequence[Selection]:
        return SELECTIONS


class Experiment(Spec):
    """One run: a source, granularities, a universe, labels, a protocol, networks, ensembles and an evaluation.

    An ensemble is made of every network that has one model for every granularity. `tune` is for searches alone. Scores
    from elsewhere need neither granularities nor networks: they are judged by source, universe, `protocol.lookback`,
    `protocol.lock_after`, exposures and evaluation, and held by enhancement.
    """

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")
    note: str = ""
    store: str | None = None
    workers: int = Field(default=2, ge=1)
    plugins: tuple[plugs.Plugin, ...] = ()
    source: Annotated[Source, ByKind(SOURCES)]
    granularity: list[Granularity] = []
    panels: Panels = Panels()
    universe: Universe = Universe()
    label: Label = Label()
    protocol: Protocol = Protocol()
    network: dict[str, Annotated[Network, ByKind(NETWORKS)]] = {}
    ensemble: dict[str, Annotated[Ensemble, ByKind(ENSEMBLES)]] = {}
    exposures: Exposures = Exposures()
    evaluation: Evaluation = Evaluation()
    enhancement: dict[EnhancementName, Enhancement] = {}
    tune: Tune | None = None

    def check_trains(self) -> None:
        """Refuse an experiment without what features and networks are made of."""
        for key, given in (("granularity", self.granularity), ("network", self.network)):
            if not given:
                reason = "is missing or empty; add one, or bring scores of your own: polygrain evaluate --scores FILE"
                raise ConfigError(key, reason)
        known = sorted(self.models | self._ensembles)
        # Ensembles over labels have label 0.
        labels = [*self.label.days, *([0] if any(each.over_labels for each in self.ensemble.values()) else [])]
        for name, enhancement in self.enhancement.items():
            _check_labels(f"enhancement.{name}.label_days", enhancement.label_days, labels)
            for model in enhancement.models:
                if model not in known:
                    reason = f"{model!r} is no model of this run; choose from {', '.join(known)}"
                    raise ConfigError(f"enhancement.{name}.models", reason)

    def check_enhances(self) -> None:
        """Refuse an experiment without a portfolio."""
        if not self.enhancement:
            raise ConfigError("enhancement", "is missing or empty; add one, such as [enhancement.csi300]")

    def check_solvers(self) -> None:
        """Refuse an enhancement whose objective needs a solver that is not installed."""
        for name, enhancement in self.enhancement.items():
            if enhancement.objective is not None:
                clarabel_for(f"enhancement.{name}.objective")

    @property
    def plugin_hashes(self) -> dict[str, str]:
        """sha256 of the plug-ins' text by file name."""
        return {plugin.name: plugin.sha256 for plugin in self.plugins}

    @property
    def _coarse_to_fine(self) -> list[str]:
        session = self.source.session
        return [g.name for g in sorted(self.granularity, key=lambda g: session.minutes_of(g.bar), reverse=True)]

    @property
    def _steps(self) -> dict[str, int]:
        """Steps of a window by granularity."""
        return {
            g.name: steps(self.protocol.lookback, 1, DAYS_A_WEEK)
            if g.bar == "week"
            else steps(self.protocol.lookback, g.bars_a_day(self.source.session))
            for g in self.granularity
        }

    @property
    def models(self) -> set[str]:
        """The names of every network's models, without ensembles."""
        return {model for network in self.network.values() for model in network.models(self._coarse_to_fine)}

    @property
    def _ensembles(self) -> set[str]:
        """The names of every network's ensembles."""
        alone = [network for network in self.network.values() if network.alone(self._coarse_to_fine)]
        return {network.named(stem) for network in alone for stem, each in self.ensemble.items() if each.takes(network)}

    @field_validator("store")
    @classmethod
    def _beside_the_config(cls, store: str | None, info: ValidationInfo) -> str | None:
        folder = (info.context or {}).get("folder")
        if store is not None and "$" in store:
            raise ConfigError("store", f"{store!r} names a variable; write the folder itself")
        return store if store is None or folder is None else str(Path(folder) / store)

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        names = [g.name for g in self.granularity]
        _distinct("granularity", names)
        self._check_bars()
        if not self.label.days:
            raise ConfigError("label.days", "is empty; give at least one number of trading days")
        _distinct("label.days", self.label.days)
        _check_least("label.days", self.label.days, 1)
        _check_fill("label.fill", self.label.fill)
        _distinct("protocol.seeds", self.protocol.seeds)
        _check_least("protocol.seeds", self.protocol.seeds, 0)
        for name, ensemble in self.ensemble.items():
            _check_name(f"ensemble.{name}", name)
            _check_members(f"ensemble.{name}.members", ensemble, names)
            _check_labels(f"ensemble.{name}.labels", ensemble.over_labels, self.label.days)
        for name, network in self.network.items():
            if network.suffix:
                _check_name(f"network.{name}.suffix", network.suffix)
        self._check_model_names()
        return self

    @plugs.blaming()
    def _check_bars(self) -> None:
        """Refuse before the data is read what the source's bars cannot be put together to."""
        session, base = self.source.session, self.source.base_bar
        for granularity in self.granularity:
            granularity.base_bars(session, base)
            granularity.bars_a_day(session)

    @plugs.blaming()
    def _check_model_names(self) -> None:
        """Scores are kept by model name, so that two models of one name would be one."""
        names = self._coarse_to_fine
        owners = {"naive": "the naive composite", "oracle": "the oracle of a simulated market"}
        for key, network in self.network.items():
            models = {model: _origin(key, model, reads, names) for model, reads in network.models(names).items()}
            if not models:
                raise ConfigError(f"network.{key}", "has no models for these granularities; leave it out")
            for reads in network.models(names).values():
                network.for_windows({name: self._steps[name] for name in reads})
            found = list(models.items())
            if network.alone(names):
                taken = [stem for stem, ensemble in self.ensemble.items() if ensemble.takes(network)]
                found += [(network.named(stem), f"ensemble {stem}") for stem in taken]
            for model, origin in found:
                owner = f"network {key} with {origin}"
                if model in owners:
                    reason = f"{owners[model]} and {owner} are both called {model!r}; change a suffix or a name"
                    raise ConfigError(f"network.{key}", reason)
                owners[model] = owner
        alone = [network for network in self.network.values() if network.alone(names)]
        if self.ensemble and not alone:
            raise ConfigError("ensemble", "no network has one model for every granularity to combine; leave it out")
        for stem, ensemble in self.ensemble.items():
            if not any(ensemble.takes(network) for network in alone):
                raise ConfigError(
                    f"ensemble.{stem}", f"no network is one that {ensemble.kind} can combine; leave it out"
                )


def _origin(key: str, model: str, reads: Sequence[str], granularities: Sequence[str]) -> str:
    """Which granularities a network's model reads, in words; ConfigError where it cannot."""
    _check_name(f"network.{key}", model)
    for name in reads:
        if name not in granularities:
            known = ", ".join(granularities)
            raise ConfigError(f"network.{key}", f"{model} reads {name!r}, which is no granularity; there are {known}")
    if not reads or len(set(reads)) < len(reads):
        raise ConfigError(f"network.{key}", f"{model} must read each of its granularities once, and at least one")
    return f"{'granularity' if len(reads) == 1 else 'granularities'} {', '.join(reads)}"


def to_toml(experiment: Experiment) -> str:
    """The whole experiment as TOML text that `load` reads back as the same experiment; what is unset is left out.

    The plug-ins are named as the files plugins/NAME beside it, where the caller has to put them.
    """
    tree = _without_nulls(experiment.model_dump(mode="json"))
    return tomli_w.dumps(tree | {plugs.KEY: [plugin.place for plugin in experiment.plugins]})


def _without_nulls(tree: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            kept[key] = _without_nulls(value)
        elif isinstance(value, list):
            kept[key] = [_without_nulls(item) if isinstance(item, dict) else item for item in value]
        elif value is not None:
            kept[key] = value
    return kept


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a TOML file, with `a.b=c` overrides applied; relative paths are relative to the file."""
    return load_family(path, overrides).experiment


@dataclass(frozen=True)
class Family:
    """An experiment, and the others that its config describes once some fields are set."""

    experiment: Experiment
    tree: dict[str, Any]
    folder: Path

    def member(self, values: Mapping[str, Value]) -> Experiment:
        """The experiment with fields set by key as --set does, without `tune`; ConfigError names the first refused.

        The config's file and its plug-ins are not read again: they may have changed meanwhile.
        """
        tree = deepcopy(self.tree)
        for key, value in values.items():
            _override(tree, setting(key, value))
        tree |= {plugs.KEY: [plugin.model_dump() for plugin in self.experiment.plugins], "tune": None}
        return decoding.decode(Experiment, tree, {"folder": self.folder})


def setting(key: str, value: Value) -> str:
    """The text KEY=VALUE that --set reads back as this value."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def load_family(path: Path, overrides: Sequence[str] = ()) -> Family:
    """As `load`, with all that the config describes where fields are set."""
    tree, folder = _read(path, overrides), path.resolve().parent
    return Family(decode(tree, folder), tree, folder)


def _read(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    try:
        # -sig: some editors put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file; give the path of a TOML configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text; save the configuration as UTF-8") from None
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot be read: {error.strerror}; give the path of a TOML configuration"
        ) from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not valid TOML: {error}") from None
    for override in overrides:
        _override(tree, override)
    return tree


def decode(tree: dict[str, Any], folder: Path) -> Experiment:
    """The experiment that a tree of plain values describes; ConfigError names the first key that is refused.

    Its plug-ins are read and put to use first: they may define the kinds and features that the rest names.
    """
    plugins = plugs.read(tree.get(plugs.KEY, []), folder)
    plugs.use(plugins)
    described = {**tree, plugs.KEY: [plugin.model_dump() for plugin in plugins]}
    return decoding.decode(Experiment, described, {"folder": folder})


def _override(tree: dict[str, Any], override: str) -> None:
    """Set `a.b=c` in the tree; a list's items are reached by their name; the value is TOML, else text."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError("--set", f"{override!r} must read KEY=VALUE, for example protocol.every=2")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    node: Any = tree
    for depth, part in enumerate(parents):
        if isinstance(node, list):
            node = _named(node, part, ".".join(parents[: depth + 1]))
        else:
            node = node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise ConfigError(".".join(parents[: depth + 1]), f"holds a value; --set {override!r} cannot go below it")
    if isinstance(node, list):
        raise ConfigError(key, f"is an item of a list; set a field of a named item, or {'.'.join(parents)} as a whole")
    node[last] = value


def _named(items: list[Any], name: str, key: str) -> Any:
    for item in items:
        if isinstance(item, dict) and item.get("name") == name:
            return item
    known = ", ".join(str(item["name"]) for item in items if isinstance(item, dict) and "name" in item)
    raise ConfigError(key, f"no item is named {name!r}; " + (f"choose from {known}" if known else "none has a name"))
