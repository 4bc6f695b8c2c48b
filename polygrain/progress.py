"""How long work tells where it is: a bar with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar


class Step(Protocol):
    """One piece of long work with a known amount."""

    def advance(self, amount: float = 1.0) -> None:
        """Say that `amount` more is done."""


class Progress(Protocol):
    """Where a run says what it does."""

    def say(self, text: str) -> None:
        """One line for the reader."""

    def step(self, label: str, total: float) -> AbstractContextManager[Step]:
        """A context in which `total` units of work advance."""


class _LineStep:
    """Says how far it is at each tenth, with the time that is left."""

    def __init__(self, label: str, total: float, out: TextIO) -> None:
        self._label, self._total, self._out = label, total, out
        self._done, self._tenth, self._start = 0.0, 0, time.monotonic()

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        share = min(self._done / self._total, 1.0) if self._total > 0 else 1.0
        # Amounts such as .1 add up to just below the total.
        tenth = int(10 * share + 1e-9)
        if tenth > self._tenth:
            self._tenth = tenth
            spent = time.monotonic() - self._start
            left = spent * (1 - share) / share
            print(
                f"{self._label}: {10 * tenth}%, {spent:.0f} s spent, about {left:.0f} s left",
                file=self._out,
                flush=True,
            )


class Lines:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    @contextmanager
    def step(self, label: str, total: float) -> Iterator[Step]:
        yield _LineStep(label, total, self._out)


class _BarStep:
    def __init__(self, bar: RichBar, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self, amount: float = 1.0) -> None:
        self._bar.advance(self._task, amount)


class Bars:
    """Progress as a bar with an estimate of the time left, for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def step(self, label: str, total: float) -> Iterator[Step]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichBar(*columns, console=self._console) as bar:
            yield _BarStep(bar, bar.add_task(label, total=total))


def to_terminal() -> Progress:
    """A bar if standard error is a terminal, else lines."""
    return Bars(Console(stderr=True)) if sys.stderr.isatty() else Lines(sys.stderr)
