"""Map independent tasks over local processes: spawned, one thread each, results in task order."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from typing import TypeVar

from polygrain.errors import ConfigError, Interrupted
from polygrain.plugins import Plugin, blaming, use

Task = TypeVar("Task")
Result = TypeVar("Result")

# One thread per process: several would share two cores and change the order of sums. The allocator keeps freed memory
# instead of returning it page by page, which makes a recurrent network's step about a third faster.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
_PR_SET_PDEATHSIG = 1
# Polars lets the system restart what a signal interrupts, so that Ctrl-C would go unnoticed while a wait lasts.
_SECONDS_UNTIL_A_LOOK = 0.2


# What a worker process could not start with: one that died of it would look as if it had been killed.
_refusals: list[ConfigError] = []


def return_memory() -> None:
    """Give freed memory back to the system, where its allocator can: between large tasks of different sizes the pieces
    that fit none of them would add up."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _start_worker(parent: int, plugins: Sequence[Plugin]) -> None:
    """End with the parent even when it is killed, leave Ctrl-C to it, and put the plug-ins to use."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        use(plugins)
    except ConfigError as refusal:
        _refusals.append(refusal)


def _work(function: Callable[[Task], Result], task: Task) -> Result:
    """One task; an error in a plug-in's code names its file and line."""
    for refusal in _refusals:
        raise refusal
    with blaming():
        return function(task)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that start inside never see Ctrl-C, not even before they are set up: they inherit the mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool:
    """Runs tasks in `workers` spawned processes that live as long as the pool; with one worker, in this process.

    A task and its result must pickle; a task function must be a module-level function. `plugins` are put to use in
    the processes before they get a task; in this process the caller has done so.
    """

    def __init__(self, workers: int, plugins: Sequence[Plugin] = ()) -> None:
        self.workers, self.plugins = workers, tuple(plugins)
        self._executor: ProcessPoolExecutor | None = None
        self._processes: list[BaseProcess] = []

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            for name, value in WORKER_ENVIRONMENT.items():
                os.environ[name] = value
            self._executor = ProcessPoolExecutor(
                self.workers,
                get_context("spawn"),
                initializer=_start_worker,
                initargs=(os.getpid(), self.plugins),
            )
        return self._executor

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        cost: Callable[[Task], float] | None = None,
        done: Callable[[Task, Result], None] | None = None,
    ) -> list[Result]:
        """Results in the order of `tasks`; the costliest start first; `done` is called as each one ends.

        The first error is raised here, and it or an interruption ends the workers at once: a task must leave nothing
        half done behind, whenever it ends. Interrupted where a worker was killed from outside.
        """
        order = sorted(range(len(tasks)), key=lambda i: -cost(tasks[i]) if cost else i)
        results: dict[int, Result] = {}
        if self.workers == 1:
            for i in order:
                results[i] = _work(function, tasks[i])
                if done:
                    done(tasks[i], results[i])
            return [results[i] for i in range(len(tasks))]
        if not tasks:
            return []
        try:
            # Made before the mask: it starts a process of its own, which sets the mask back.
            executor = self._started()
            with _interrupts_blocked():
                strangers = set(active_children())
                futures: dict[Future[Result], int] = {executor.submit(_work, function, tasks[i]): i for i in order}
                self._processes += [process for process in active_children() if process not in strangers]
            waiting = set(futures)
            while waiting:
                ended, waiting = wait(waiting, _SECONDS_UNTIL_A_LOOK, FIRST_COMPLETED)
                # The executor does not watch a worker that it started while it was already waiting for results.
                if not ended and not all(process.is_alive() for process in self._processes):
                    raise BrokenProcessPool
                for future in ended:
                    i = futures[future]
                    results[i] = future.result()
                    if done:
                        done(tasks[i], results[i])
        except BrokenProcessPool:
            self._kill()
            raise Interrupted(
                "a worker process was killed, most likely for lack of memory; the same command resumes, "
                "and --set workers=1 needs less memory"
            ) from None
        except BaseException:
            self._kill()
            raise
        return [results[i] for i in range(len(tasks))]

    def _kill(self) -> None:
        """End the workers at once, and no other process."""
        for process in self._processes:
            process.kill()
        self.close()

    def close(self) -> None:
        """End the workers once they are idle."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
            self._processes = []


@contextmanager
def pool(workers: int, plugins: Sequence[Plugin] = ()) -> Iterator[Pool]:
    """A pool for the length of a `with` block."""
    running = Pool(workers, plugins)
    try:
        yield running
    finally:
        running.close()
