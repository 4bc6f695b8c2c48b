"""Decoding: plain values become Specs, plugs by their kind; every refusal names the key and the choices."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SerializationInfo, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from polygrain.errors import ConfigError
from polygrain.spec import Spec

Key = tuple[str | int, ...]
Settings = TypeVar("Settings", bound=Spec)


@dataclass(frozen=True)
class ByKind:
    """Annotates a field that holds any Spec of a registry: Annotated[Network, ByKind(NETWORKS)].

    A value without a kind is of the kind `default`, or refused where there is none.
    """

    kinds: Mapping[str, type[Spec]]
    default: str | None = None

    def __get_pydantic_core_schema__(self, declared: type[Spec], _: Callable[[Any], CoreSchema]) -> CoreSchema:
        def of_kind(value: object, info: ValidationInfo) -> Spec:
            return value if isinstance(value, declared) else self._decoded(value, info)

        dump = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        return core_schema.with_info_plain_validator_function(of_kind, serialization=dump)

    def _decoded(self, value: object, info: ValidationInfo) -> Spec:
        """The Spec of the registered kind; its refusals become those of the field."""
        if not isinstance(value, dict):
            raise PydanticKnownError("dict_type")
        if "kind" not in value and self.default is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        kind = self.of(value)
        if kind is None:
            tags = {"tag": str(value["kind"]), "expected_tags": ", ".join(map(repr, self.kinds))}
            raise PydanticKnownError("union_tag_invalid", {"discriminator": "'kind'", **tags})
        # As text: strict Specs read a date from JSON, but not from Python's str.
        return kind.model_validate_json(json.dumps(value), context=info.context)

    def of(self, value: object) -> type[Spec] | None:
        """The class of the kind given in the tree, None where there is none of that name."""
        kind = value.get("kind", self.default) if isinstance(value, dict) else None
        return self.kinds.get(kind) if isinstance(kind, str) else None


def _dump(value: Spec, info: SerializationInfo) -> dict[str, Any]:
    return value.model_dump(mode=info.mode)


def decode(kind: type[Settings], tree: dict[str, Any], context: dict[str, Any]) -> Settings:
    """The Spec that a tree of plain values describes; ConfigError names the first key that is refused."""
    try:
        return kind.model_validate_json(json.dumps(tree, default=str), context=context)
    except ValidationError as error:
        found = [(_without_tags(one["loc"], tree), one) for one in error.errors()]
        # A misspelt required key is missing and unknown at once; the second says more.
        first, _ = min(found, key=lambda pair: pair[1]["type"] != "extra_forbidden")
        # Of what may be of several types, the type that was understood furthest was meant.
        path, meant = max((p for p in found if p[0][: len(first)] == first), key=lambda pair: len(pair[0]))
        choices = _fields(kind, path[:-1], tree) if meant["type"] == "extra_forbidden" else set()
        raise ConfigError(_dotted(path, tree), _reason(meant, str(path[-1]) if path else "", choices)) from None


def _without_tags(location: Sequence[str | int], tree: Any) -> Key:
    """The location as keys of the tree: union tags, which validation puts between, are dropped."""
    path: list[str | int] = []
    node: Any = tree
    for i, part in enumerate(location):
        last = i == len(location) - 1
        if isinstance(node, dict):
            if part not in node and not last:
                continue
            node = node.get(str(part))
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part] if part < len(node) else None
        else:
            continue
        path.append(part)
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


def _reason(error: Any, key: str, choices: set[str]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, sorted(choices), 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown key; {hint}choose from {', '.join(sorted(choices))}"
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


def _fields(annotation: Any, path: Key, node: Any) -> set[str]:
    """The keys allowed at a place of the tree `node`, found through the declared types and the kinds given there."""
    if get_origin(annotation) is Annotated:
        declared, *notes = get_args(annotation)
        kinds = [note.of(node) for note in notes if isinstance(note, ByKind)]
        return _fields(kinds[0] if kinds else declared, path, node)
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(_fields(option, path, node) for option in get_args(annotation)))
    if get_origin(annotation) in (list, dict):
        return _fields(get_args(annotation)[-1], path[1:], _child(node, path[0])) if path else set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not path:
            return set(fields)
        field = fields[str(path[0])]
        # Of a field's own annotation pydantic keeps the notes apart.
        below = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        return _fields(below, path[1:], _child(node, path[0]))
    return set()


def _child(node: Any, part: Any) -> Any:
    return node[part] if isinstance(node, dict | list) else None
