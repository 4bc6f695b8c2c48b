"""Run as a script: [TASKS, WORKERS, SECONDS] trains the tasks of a file, one JSON a line, in a pool.

Its workers are forks too: spawned ones would import torch anew after every kill.
"""

import multiprocessing
from pathlib import Path

import torch
from forks import serve

from polygrain import compute
from polygrain.pipeline import sweep_all
from polygrain.training import fit
from polygrain.training.walk_forward import TrainTask, train


def main(arguments: list[str]) -> None:
    place, workers, seconds = arguments
    torch.set_num_threads(1)
    compute.get_context = lambda _: multiprocessing.get_context("fork")
    fit.SECONDS_BETWEEN_CHECKPOINTS = float(seconds)
    tasks = [TrainTask.model_validate_json(line) for line in Path(place).read_text().splitlines()]
    sweep_all(Path(tasks[0].out))
    with compute.pool(int(workers)) as running:
        running.map(train, tasks, cost=lambda task: task.cost)


if __name__ == "__main__":
    serve(main)
