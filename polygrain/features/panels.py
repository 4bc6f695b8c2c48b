"""Panels on disk: one contiguous array a granularity beside a JSON file that says what it holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import ValidationError

from polygrain.errors import DataError
from polygrain.spec import Spec
from polygrain.store.commit import commit, commit_bytes, sweep
from polygrain.store.panel import Array, Axes, Panel

Precision: TypeAlias = Literal["single", "half"]


class Panels(Spec):
    """How the assembled panels are kept: `precision` "half" takes half the disk and memory of "single", and rounds the
    normalised values to 11 significant bits."""

    precision: Precision = "single"


class PanelFacts(Spec):
    """What a panel file holds, and the fingerprints of what it was made from and of its content.

    `precision` single is float32, half is float16.
    """

    granularity: str
    inputs: str
    content: str
    days: tuple[date, ...]
    symbols: tuple[str, ...]
    bars: int
    features: tuple[str, ...]
    precision: Precision

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values on disk."""
        return np.dtype("<f4" if self.precision == "single" else "<f2")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, symbols, features."""
        return len(self.days) * self.bars, len(self.symbols), len(self.features)

    def path(self, folder: Path) -> Path:
        """Where the panel lies: another content, another name."""
        return folder / f"panel-{self.granularity}-{self.content[:12]}.npy"


def _facts(path: Path) -> PanelFacts:
    try:
        return PanelFacts.model_validate_json(path.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        raise DataError(str(path), "no panel there; build the features first") from None
    except ValidationError:
        raise DataError(str(path.with_suffix(".json")), "is damaged; remove it and build the features again") from None


def open_panel(path: Path) -> Panel:
    """A granularity's panel, mapped from disk, read-only; DataError where it is absent or not what its JSON says."""
    facts = _facts(path)
    mend = "remove it and build the features again"
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(str(path), "no panel there; build the features first") from None
    except ValueError:
        raise DataError(str(path), f"is damaged; {mend}") from None
    if values.dtype != facts.dtype or values.shape != facts.shape:
        raise DataError(str(path), f"holds {values.dtype} {values.shape}, not {facts.dtype} {facts.shape}; {mend}")
    return Panel(Axes(facts.days, facts.symbols, facts.bars), values, facts.features)


def find_panel(folder: Path, granularity: str, inputs: str) -> Path | None:
    """The granularity's panel that was made from `inputs`, None where there is none."""
    for path in sorted(folder.glob(f"panel-{granularity}-*.npy")):
        if path.with_suffix(".json").is_file() and _facts(path).inputs == inputs:
            return path
    return None


def write_panel(facts: PanelFacts, folder: Path, months: Iterable[Array]) -> Path:
    """Write the panel, whose [rows, symbols, features] come month by month in order; remove those that it replaces."""
    path = facts.path(folder)

    def write(temporary: Path) -> None:
        header = {"descr": facts.dtype.str, "fortran_order": False, "shape": facts.shape}
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for values in months:
                np.ascontiguousarray(values, facts.dtype).tofile(file)

    if not path.is_file():
        commit(path, write)
    commit_bytes(path.with_suffix(".json"), (facts.model_dump_json(indent=1) + "\n").encode())
    for other in folder.glob(f"panel-{facts.granularity}-*"):
        if other.stem != path.stem:
            os.unlink(other)
    sweep(folder)
    return path
