"""Shards: the features of one month at one granularity, a file that says day by day what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from polygrain.errors import DataError
from polygrain.spec import Spec
from polygrain.store.commit import commit_bytes, file_fingerprint
from polygrain.store.panel import Array


class _Facts(Spec):
    """What a shard's file says beside its values."""

    inputs: tuple[str, ...]
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """Values float32 [rows, symbols, features], rows = days × bars; `inputs` is a fingerprint for every day."""

    inputs: tuple[str, ...]
    symbols: tuple[str, ...]
    values: Array


def shard_name(month: str) -> str:
    """The file name of a month's shard."""
    return f"{month}.safetensors"


def write_shard(path: Path, shard: Shard) -> str:
    """Commit a shard; sha256 of its file."""
    # One entry, because the library writes several in no fixed order; not by its save_file, which goes by a temporary
    # file of its own that a kill leaves behind.
    metadata = {"facts": _Facts(inputs=shard.inputs, symbols=shard.symbols).model_dump_json()}
    commit_bytes(path, save({"values": shard.values}, metadata))
    return file_fingerprint(path)


def read_shard(path: Path, sha256: str) -> Shard:
    """A shard whose file has these bytes; DataError where it is damaged."""
    if file_fingerprint(path) != sha256:
        raise DataError(str(path), "is damaged: its bytes are not those of its manifest; remove it and run again")
    with safe_open(str(path), framework="numpy") as file:
        facts = _Facts.model_validate_json(file.metadata()["facts"])
        return Shard(facts.inputs, facts.symbols, file.get_tensor("values"))


def shard_inputs(path: Path) -> tuple[str, ...]:
    """The fingerprint of every day of a shard; none where there is no file."""
    if not path.is_file():
        return ()
    with safe_open(str(path), framework="numpy") as file:
        return _Facts.model_validate_json(file.metadata()["facts"]).inputs


def spread_out(shard: Shard, column: Mapping[str, int]) -> Array:
    """The shard's values over more symbols [rows, all symbols, features]; 0 for those that it does not hold."""
    out = np.zeros((shard.values.shape[0], len(column), shard.values.shape[2]), np.float32)
    out[:, [column[symbol] for symbol in shard.symbols]] = shard.values
    return out


def grown(old: Shard, days: int, new: Shard) -> Shard:
    """`new`, whose values lack the first `days` days, with those that `old` has of them."""
    number = {symbol: i for i, symbol in enumerate(new.symbols)}
    places = [(i, number[symbol]) for i, symbol in enumerate(old.symbols) if symbol in number]
    rows = days * len(old.values) // len(old.inputs)
    values = np.zeros((rows + len(new.values), *new.values.shape[1:]), np.float32)
    values[:rows, [to for _, to in places]] = old.values[:rows, [at for at, _ in places]]
    values[rows:] = new.values
    return Shard(new.inputs, new.symbols, values)
