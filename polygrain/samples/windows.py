"""Samples: windows of time-major panels, one date at a time.

Shape suffixes: L steps, S symbols of the date, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polygrain.errors import ConfigError, DataError
from polygrain.spec import Spec
from polygrain.store.panel import Array

CPU = torch.device("cpu")


class PanelFile(Spec):
    """Where a granularity's panel lies: a .npy of float32 or float16 [days × bars, symbols, features], of which one row
    in `step` is sampled.

    `step` 5 and `bars` 1 is the week: a row a day, of which a sample takes every fifth back from its date.
    """

    name: str
    path: str
    bars: int
    step: int = 1


def steps(lookback: int, bars: int, step: int = 1) -> int:
    """Rows of a window of `lookback` days: T·B; with a stride T/step, which must be whole."""
    if step > 1 and (bars != 1 or lookback % step):
        raise ConfigError("protocol.lookback", f"{lookback} days are not a whole number of rows {step} days apart")
    return lookback * bars // step


def windows(
    panel: Tensor, day: int, bars: int, lookback: int, symbols: Tensor, step: int = 1, out: Tensor | None = None
) -> Tensor:
    """The sample x_LSF of one date: the last T·B rows of `panel` [rows, symbols, features] up to `day`'s close.

    A view along time, then one gather of the columns `symbols` (int64 [S]) into the flat buffer `out` where it is given
    and large enough; float32, to which a panel of half precision is widened. Sees the days day − T + 1..day. DataError
    where the panel does not reach back that far.
    """
    length = steps(lookback, bars, step)
    end = (day + 1) * bars
    start = end - bars * lookback if step == 1 else day - (length - 1) * step
    if start < 0 or end > panel.shape[0]:
        raise DataError(f"panel of {panel.shape[0] // bars} days", f"no window of {lookback} days ends at day {day}")
    view = panel[start:end:step]
    shape = (length, symbols.shape[0], panel.shape[2])
    size = shape[0] * shape[1] * shape[2]
    x_LSF = torch.empty(shape, device=panel.device) if out is None or out.numel() < size else out[:size].view(shape)
    if panel.dtype == torch.float32:
        torch.index_select(view, 1, symbols, out=x_LSF)
    else:
        x_LSF.copy_(torch.index_select(view, 1, symbols))
    return x_LSF


@dataclass(frozen=True)
class Batch:
    """One date: the columns of its symbols (int64 [S]) and, for learning, their targets y_S."""

    day: int
    symbols: Tensor
    y_S: Tensor


class Samples:
    """The panels of a run, memory-mapped, with targets [D, S] (NaN outside M_t) and members U_t [D, S].

    A batch is one date by construction; nothing but the gathered windows of one chunk of symbols is held in memory.
    On another device than the CPU the panels are resident, and what a network reads is given there.
    """

    def __init__(
        self, panels: Sequence[PanelFile], targets: Array, members: Array, lookback: int, device: torch.device = CPU
    ) -> None:
        self.device = device
        self.panels = {panel.name: panel for panel in panels}
        self.lookback = lookback
        self._targets = targets
        self._members = members
        self._values = {panel.name: open_values(panel) for panel in panels}
        self._resident: dict[str, Tensor] = {}
        self._buffers: dict[str, Tensor] = {}
        for name, values in self._values.items():
            if values.shape[:2] != (targets.shape[0] * self.panels[name].bars, targets.shape[1]):
                raise DataError(
                    self.panels[name].path,
                    f"has {values.shape[0]} rows × {values.shape[1]} symbols, not {self.panels[name].bars} rows a day "
                    f"for the labels' {targets.shape[0]} days × {targets.shape[1]} symbols; build the features again",
                )

    @property
    def steps(self) -> dict[str, int]:
        """Steps of a window by granularity."""
        return {name: steps(self.lookback, panel.bars, panel.step) for name, panel in self.panels.items()}

    @property
    def features(self) -> dict[str, int]:
        """Features by granularity."""
        return {name: values.shape[2] for name, values in self._values.items()}

    @property
    def symbols(self) -> int:
        """Columns of the panels."""
        return int(self._targets.shape[1])

    def learnable(self, days: Sequence[int]) -> list[int]:
        """The days that have targets."""
        return [day for day in days if not np.isnan(self._targets[day]).all()]

    def batch(self, day: int) -> Batch:
        """The date's symbols in M_t with their targets."""
        row = np.asarray(self._targets[day])
        columns = np.flatnonzero(~np.isnan(row))
        symbols, y_S = torch.from_numpy(columns), torch.from_numpy(row[columns].astype(np.float32))
        return Batch(day, symbols.to(self.device), y_S.to(self.device))

    def scored(self, day: int) -> Tensor:
        """Columns of U_t, int64 [S]."""
        return torch.from_numpy(np.flatnonzero(self._members[day])).to(self.device)

    def x(self, day: int, symbols: Tensor) -> dict[str, Tensor]:
        """x_LSF by granularity for the columns `symbols`; valid until the next call, which reuses the memory."""
        return {name: self._window(name, day, symbols) for name in self._values}

    def rows(self, name: str, days: Sequence[int]) -> Array:
        """The panel's rows that the windows of the sorted `days` read, as one block of the mapped file."""
        bars = self.panels[name].bars
        return self._values[name][(days[0] + 1 - self.lookback) * bars : (days[-1] + 1) * bars].numpy()

    def targets_at(self, days: Sequence[int]) -> Array:
        """Targets of `days`, [days, symbols]."""
        return np.ascontiguousarray(self._targets[list(days)])

    def members_at(self, days: Sequence[int]) -> Array:
        """Members of `days`, bool [days, symbols]."""
        return np.ascontiguousarray(self._members[list(days)])

    def _window(self, name: str, day: int, symbols: Tensor) -> Tensor:
        if name not in self._resident:
            # At the first window: who asks for features or rows needs no copy. To the CPU it is none.
            self._resident[name] = self._values[name].to(self.device)
        panel, values = self.panels[name], self._resident[name]
        size = steps(self.lookback, panel.bars, panel.step) * symbols.shape[0] * values.shape[2]
        if name not in self._buffers or self._buffers[name].numel() < size:
            self._buffers[name] = torch.empty(size, device=self.device)
        return windows(values, day, panel.bars, self.lookback, symbols, panel.step, self._buffers[name])


def open_values(panel: PanelFile) -> Tensor:
    """The panel's values, mapped from disk without a copy; DataError where the file is not a panel."""
    if not Path(panel.path).is_file():
        raise DataError(panel.path, f"no panel of {panel.name} there; build the features first")
    # Mode c maps privately: torch wants writable memory, and a write would stay in this process.
    values = np.load(panel.path, mmap_mode="c", allow_pickle=False)
    if values.dtype not in (np.float32, np.float16) or values.ndim != 3:
        raise DataError(
            panel.path, f"holds {values.dtype} {values.shape}, not float32 or float16 [rows, symbols, features]"
        )
    return torch.from_numpy(values)


def open_samples(
    panels: Sequence[PanelFile], targets: Path, members: Path, lookback: int, device: torch.device = CPU
) -> Samples:
    """Samples over .npy files: targets float32 [D, S], members bool [D, S]."""
    return Samples(panels, np.load(targets, mmap_mode="r"), np.load(members, mmap_mode="r"), lookback, device)


def chunks(symbols: Tensor, size: int) -> list[Tensor]:
    """`symbols` in pieces of nearly equal length, none above `size`."""
    pieces = max(1, -(-symbols.shape[0] // size))
    return list(torch.tensor_split(symbols, pieces))
