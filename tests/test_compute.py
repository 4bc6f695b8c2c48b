import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from polygrain.compute import pool
from polygrain.errors import DataError, Interrupted


def square(task: int) -> int:
    return task * task


def work(task: tuple[str, str]) -> None:
    """Fail, die, or say who works here and then work for long."""
    what, place = task
    folder = Path(place)
    if what != "long":
        while not any(folder.iterdir()):
            time.sleep(0.01)
    if what == "fail":
        raise DataError("here", "is wrong")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    with pool(workers) as running:
        tasks = [3, 1, 2]
        assert running.map(square, tasks, cost=float, done=lambda *pair: seen.append(pair)) == [9, 1, 4]
        assert running.map(square, []) == []
    assert sorted(seen) == [(1, 1), (2, 4), (3, 9)]
    if workers == 1:
        assert seen == [(3, 9), (2, 4), (1, 1)]  # the costliest first


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("fail", DataError, "^here: is wrong$"),
        ("die", Interrupted, "^a worker process was killed, .* the same command resumes, and --set workers=1 .*$"),
    ],
)
def test_an_error_ends_the_workers_at_once(tmp_path: Path, what: str, error: type[Exception], text: str) -> None:
    with pool(2) as running:
        with pytest.raises(error, match=text):
            running.map(work, [("long", str(tmp_path)), (what, str(tmp_path))])
        (worker,) = tmp_path.iterdir()
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker.name), 0)
        assert running.map(square, [4]) == [16]


def test_processes_of_others_are_left_alone(tmp_path: Path) -> None:
    stranger = get_context("spawn").Process(target=time.sleep, args=(600,))
    stranger.start()
    with pool(2) as running, pytest.raises(DataError):
        running.map(work, [("long", str(tmp_path)), ("fail", str(tmp_path))])
    assert stranger.is_alive()
    stranger.kill()
    stranger.join()
