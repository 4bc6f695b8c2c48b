"""Panels: dense arrays over (time, symbol[, feature]) that share their axes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Axes:
    """What the rows and columns of a panel stand for: row = day number × bars + bar number, column = symbol.

    `days` are trading days in order, `bars` the rows of one day, `symbols` sorted text such as 600000.SH.
    """

    days: tuple[date, ...]
    symbols: tuple[str, ...]
    bars: int = 1

    @property
    def rows(self) -> int:
        return len(self.days) * self.bars

    @cached_property
    def day_number(self) -> dict[date, int]:
        return {day: i for i, day in enumerate(self.days)}

    @cached_property
    def symbol_number(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}


@dataclass(frozen=True)
class Panel:
    """A dense array [rows, symbols] or [rows, symbols, features] with its axes; what is missing is NaN."""

    axes: Axes
    values: Array
    features: tuple[str, ...] = ()
