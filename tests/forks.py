"""Processes to be killed: forks of one that has loaded what they need, each the leader of a session of its own.

A fork starts without the seconds that importing torch takes. `serve` runs in the process that forks; the rest is for
the test, which starts that process and says when to strike.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


def serve(work: Callable[[list[str]], None]) -> None:
    """Run every line on standard input, a JSON list [LOG, ARGUMENT...], as a fork; print its process id, then its exit
    code. Nothing may start a thread before the forks."""
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            work(arguments)
            sys.exit()
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@dataclass
class Running:
    """A command under way: its process leads a session of its own, and what it says goes to `log`."""

    pid: int
    log: Path
    wait: Callable[[], int]

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def kill(self) -> None:
        """SIGKILL to its process and all that it has started, if they have not ended meanwhile."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def session(self) -> list[int]:
        """Process ids of all that live in its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it has ended meanwhile
                continue
            if int(session) == self.pid and state not in "ZX":
                found.append(int(stat.parent.name))
        return found


@dataclass
class Forks:
    """A script that serves forks, and the place of their logs."""

    process: subprocess.Popen[str]

    def spawn(self, log: Path, *arguments: str) -> Running:
        assert self.process.stdin is not None
        print(json.dumps([str(log), *arguments]), file=self.process.stdin, flush=True)
        return Running(self.line(), log, self.line)

    def line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def forking(script: str) -> Iterator[Forks]:
    words = [sys.executable, str(Path(__file__).with_name(script))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forks(process)


def gone(pids: list[int], seconds: float = 0) -> bool:
    """Whether all processes have ended within so many seconds."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@dataclass
class Moment:
    """When to strike: so many seconds after a line is said or after a new file is in one of the run's folders."""

    sign: str
    delay: float

    def await_it(self, running: Running, run: Path) -> bool:
        """Whether the moment came before the command ended."""
        before = made(run / self.sign)
        while not (made(run / self.sign) - before or any(line.startswith(self.sign) for line in running.said())):
            if gone([running.pid]):
                return False
            time.sleep(0.002)
        time.sleep(self.delay)
        return True


def made(folder: Path) -> set[tuple[str, int]]:
    """Finished files by name and time."""
    found = set()
    for path in folder.glob("*.safetensors"):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:  # a checkpoint that has just been removed
            continue
    return found
