"""Trainings whose processes are killed at random moments end with the same bytes as trainings that are left alone."""

import json
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import training_data
from forks import Forks, Moment, Running, forking, made

from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.training.checkpoint import load_tensors
from polygrain.training.fit import FitOptions
from polygrain.training.walk_forward import TrainTask

ENOUGH = 20
# Where a machine is so fast that the trainings end before, they start once more from nothing.
ROUNDS = 20
ENCODERS = {
    "": Recurrent(hidden=8, dropout=0.3),
    "biagru": Recurrent(hidden=8, direction="bidirectional", pooling="attention", dropout=0.3),
}
LOSSES = {1: "mse", 2: "ic"}  # by label


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[TrainTask]:
    """Two networks × two labels, each with another loss × two seeds; a date's 40 stocks are three chunks."""
    task = training_data.write(tmp_path_factory.mktemp("data"))
    other = Path(task.targets).with_name("other.npy")
    np.save(other, np.tanh(np.load(task.targets)))
    targets = {1: task.targets, 2: str(other)}
    return [
        task.model_copy(
            update={
                "model": network.named("half"),
                "network": network.model_dump_json(),
                "label_days": days,
                "targets": targets[days],
                "seed": seed,
                "options": FitOptions(max_epochs=3, patience=3, every=4, learning_rate=0.01, loss=loss, chunk=16),
            }
        )
        for network in (Single(suffix=suffix, encoder=encoder) for suffix, encoder in ENCODERS.items())
        for days, loss in LOSSES.items()
        for seed in (1, 2)
    ]


@dataclass
class Trainings:
    """All tasks in one run folder."""

    forks: Forks
    run: Path
    tasks: list[TrainTask]
    started: int = 0

    def start(self, workers: int, seconds_between_checkpoints: float) -> Running:
        self.started += 1
        place, log = self.run.with_suffix(".json"), self.run.with_suffix(f".{self.started}.log")
        here = [task.model_copy(update={"out": str(self.run)}) for task in self.tasks]
        place.write_text("\n".join(task.model_dump_json() for task in here))
        return self.forks.spawn(log, str(place), str(workers), str(seconds_between_checkpoints))

    def left_alone(self, workers: int) -> dict[str, bytes]:
        """Every file by name after they have ended."""
        running = self.start(workers, 30)
        assert running.wait() == 0, running.said()
        return {str(path.relative_to(self.run)): path.read_bytes() for path in self.run.rglob("*") if path.is_file()}

    def killed(self, delay: float) -> dict[str, int] | None:
        """Kill their process and its two workers so many seconds after a checkpoint; None where they ended before.

        Otherwise those that were under way, for their checkpoint is of this time and their model is not there, with
        the steps that the checkpoint is into its epoch.
        """
        before = made(self.run / "checkpoints")
        running = self.start(2, 0.02)
        if Moment("checkpoints", delay).await_it(running, self.run):
            running.kill()
        code = running.wait()
        while running.session():
            time.sleep(0.002)
        if code == 0:
            return None
        assert code == -signal.SIGKILL, running.said()
        models = {name for name, _ in made(self.run / "models")}
        hit = {name for name, _ in made(self.run / "checkpoints") - before} - models
        return {name: json.loads(load_tensors(self.run / "checkpoints" / name)[1])["step"] for name in hit}


def test_trainings_killed_at_random_moments_end_with_the_same_bytes(tasks: list[TrainTask], tmp_path: Path) -> None:
    draw, hits, names = random.Random(1), list[dict[str, int]](), {f"{task.name}.safetensors" for task in tasks}
    with forking("fork_training.py") as forks:
        expected = Trainings(forks, tmp_path / "undisturbed", tasks).left_alone(workers=1)
        assert len(expected) == 3 * len(tasks) == 24  # models, facts, predictions
        for number in range(ROUNDS):
            trainings = Trainings(forks, tmp_path / f"round{number}", tasks)
            while len(hits) < ENOUGH or set().union(*hits) < names:
                hit = trainings.killed(draw.uniform(0, 0.15))
                if hit is None:
                    break
                hits += [hit] if hit else []
            found = trainings.left_alone(workers=2)
            assert sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name)) == []
            if len(hits) >= ENOUGH and set().union(*hits) == names:
                break
    assert len(hits) >= ENOUGH
    assert set().union(*hits) == names
    # Kills that found two trainings under way, and kills of one that had a checkpoint from within an epoch.
    assert sum(len(hit) == 2 for hit in hits) >= 5, hits
    assert sum(any(hit.values()) for hit in hits) >= 10, hits
