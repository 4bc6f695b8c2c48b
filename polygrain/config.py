"""Experiment: one run's whole configuration, read from TOML into typed Specs; every refusal names the key."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from polygrain.ensembles import Mean
from polygrain.errors import ConfigError
from polygrain.evaluation.tracks import SELECTIONS, Selection
from polygrain.execution.fills import FILLS
from polygrain.features.granularity import Granularity
from polygrain.models.single import Single
from polygrain.samples.labels import Label
from polygrain.sources.files import Files
from polygrain.sources.synthetic import Synthetic
from polygrain.spec import Spec
from polygrain.training.protocol import Protocol
from polygrain.universe import Universe

Key = tuple[str | int, ...]


class Evaluation(Spec):
    """What every score is judged by: rebalance periods in days, fills, universes by name, cost per round trip."""

    rebalance: list[int] = [5]
    fills: list[str] = ["t1_vwap"]
    universes: dict[str, str] = {"all": "all"}
    cost: float = Field(default=0.003, ge=0)

    @model_validator(mode="after")
    def _known(self) -> Evaluation:
        for fill in self.fills:
            if fill not in FILLS:
                raise ValueError(f"unknown fill {fill!r}; choose from {', '.join(FILLS)}")
        if any(days < 1 for days in self.rebalance):
            raise ValueError("a rebalance period must be at least 1 day")
        return self

    @property
    def selections(self) -> Sequence[Selection]:
        return SELECTIONS


class Experiment(Spec):
    """One run: a source, granularities, a universe, labels, a protocol, networks, ensembles and an evaluation."""

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")
    note: str = ""
    store: str | None = None
    workers: int = Field(default=2, ge=1)
    source: Annotated[Files | Synthetic, Field(discriminator="kind")]
    granularity: list[Granularity] = Field(min_length=1)
    universe: Universe = Universe()
    label: Label = Label()
    protocol: Protocol = Protocol()
    network: dict[str, Single] = Field(min_length=1)
    ensemble: dict[str, Mean] = {}
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        names = [g.name for g in self.granularity]
        if len(set(names)) != len(names):
            raise ValueError(f"granularity names must differ, not {names}")
        suffixes = [n.suffix for n in self.network.values()]
        if len(set(suffixes)) != len(suffixes):
            raise ValueError(f"network suffixes must differ, not {suffixes}")
        for name, ensemble in self.ensemble.items():
            for member in ensemble.members or ():
                if member not in (*names, "coarsest", "finest"):
                    raise ValueError(
                        f"ensemble.{name}.members: {member!r} is no granularity; choose from "
                        f"{', '.join([*names, 'coarsest', 'finest'])}"
                    )
        return self


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a TOML file, with `a.b=c` overrides applied; relative paths are relative to the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file; give the path of a TOML configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text; save the configuration as UTF-8") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not valid TOML: {error}") from None
    for override in overrides:
        _override(tree, override)
    return decode(tree, path.resolve().parent)


def decode(tree: dict[str, Any], folder: Path) -> Experiment:
    """The experiment that a tree of plain values describes; ConfigError names the first key that is refused."""
    try:
        return Experiment.model_validate_json(json.dumps(tree, default=str), context={"folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        path = _without_tags(first["loc"], tree)
        raise ConfigError(_dotted(path, tree), _reason(first, path)) from None


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
        raise ConfigError(key, "names a whole list item; set one of its fields")
    node[last] = value


def _named(items: list[Any], name: str, key: str) -> Any:
    for item in items:
        if isinstance(item, dict) and item.get("name") == name:
            return item
    known = ", ".join(str(i.get("name")) for i in items if isinstance(i, dict))
    raise ConfigError(key, f"no item is named {name!r}; choose from {known}")


def _without_tags(location: Sequence[str | int], tree: Any) -> Key:
    """The location as keys of the tree: union tags, which validation puts between, are dropped."""
    path: list[str | int] = []
    node: Any = tree
    for i, part in enumerate(location):
        if isinstance(node, dict) and part not in node and i < len(location) - 1:
            continue
        path.append(part)
        if isinstance(node, dict):
            node = node.get(str(part))
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return tuple(path)


def _dotted(path: Key, tree: Any) -> str:
    parts: list[str] = []
    node: Any = tree
    for part in path:
        if isinstance(node, list) and isinstance(part, int):
            node = node[part] if part < len(node) else None
            parts.append(str(node.get("name", part)) if isinstance(node, dict) else str(part))
        else:
            node = node.get(part) if isinstance(node, dict) else None
            parts.append(str(part))
    return ".".join(parts) or "config"


def _reason(error: Any, path: Key) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        choices = sorted(_fields(Experiment, path[:-1]))
        close = difflib.get_close_matches(str(path[-1]), choices, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown key; {hint}choose from {', '.join(choices)}"
    if kind == "missing":
        return "is required but missing; add it"
    if kind == "union_tag_invalid":
        return f"kind {error['ctx']['tag']!r} is unknown; choose from {error['ctx']['expected_tags']}"
    if kind == "union_tag_not_found":
        return "kind is missing; say which kind it is"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = error.get("input")
    return f"{message} (given: {given!r})" if isinstance(given, str | int | float | bool) else message


def _fields(annotation: Any, path: Key) -> set[str]:
    """The field names allowed at a key, found through the declared types."""
    if get_origin(annotation) is Annotated:
        return _fields(get_args(annotation)[0], path)
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(_fields(option, path) for option in get_args(annotation)))
    if get_origin(annotation) in (list, dict, tuple):
        return _fields(get_args(annotation)[-1], path[1:]) if path else set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return set(annotation.model_fields)
        field = annotation.model_fields.get(str(path[0]))
        return _fields(field.annotation, path[1:]) if field else set()
    return set()
