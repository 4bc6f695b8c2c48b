import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import training_data

from polygrain.compute import pool
from polygrain.errors import DataError
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.training.walk_forward import TrainTask, load_model, predict, read_predictions, train

KILLED_IN_TRAINING = """
import os, sys
from polygrain.training import fit
from polygrain.training.checkpoint import Checkpoint
from polygrain.training.walk_forward import TrainTask, train
fit.SECONDS_BETWEEN_CHECKPOINTS = -1.0
stored, count = Checkpoint.save, iter(range(1000))
def save(self, *state):
    stored(self, *state)
    if next(count) == 20:
        os._exit(137)
Checkpoint.save = save
train(TrainTask.model_validate_json(sys.argv[1]))
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_task_writes_model_facts_and_predictions(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    result = train(task)
    assert result.fitted
    assert sorted(files(tmp_path / "run")) == [
        "models/half-1d-f0-s1.json",
        "models/half-1d-f0-s1.safetensors",
        "predictions/half-1d-f0-s1.safetensors",
    ]
    assert (result.facts.train, result.facts.valid, result.facts.features) == ((3, 17), (20, 24), {"half": 3})
    predictions = read_predictions(result.predictions)
    assert predictions.days == (*task.fold.valid, *task.fold.test)
    assert predictions.test == (False,) * 5 + (True,) * 3
    assert predictions.scores.dtype == np.float32
    members = np.load(task.members)[list(predictions.days)]
    np.testing.assert_array_equal(np.isfinite(predictions.scores), members)
    samples = task.open()
    module = load_model(task, samples)
    np.testing.assert_array_equal(predict(module, samples, predictions.days, 1024), predictions.scores)


def test_a_task_is_plain_data(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    assert TrainTask.model_validate_json(task.model_dump_json()) == task


def test_nothing_is_done_again_without_a_change(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    train(task)
    before = files(tmp_path)
    assert not train(task).fitted
    assert files(tmp_path) == before


def test_a_task_killed_right_after_its_model_is_finished(tmp_path: Path) -> None:
    """It writes the facts beside the model and takes the fit's checkpoint away."""
    task = training_data.write(tmp_path)
    train(task)
    before = files(tmp_path)
    task.model_file.with_suffix(".json").unlink()
    shutil.copy(task.model_file, task.checkpoint_file)
    assert not train(task).fitted
    assert files(tmp_path) == before


def test_a_change_is_noticed(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    train(task)
    options = task.options.model_copy(update={"learning_rate": 0.02})
    assert train(task.model_copy(update={"options": options})).fitted
    assert train(task).fitted
    panel = np.load(task.panels[0].path)
    panel[-1] += 1  # the last test day: scored again, not fitted again
    np.save(task.panels[0].path, panel)
    before = read_predictions(task.predictions_file).scores
    assert not train(task).fitted
    after = read_predictions(task.predictions_file).scores
    assert (np.isfinite(before[-1]) == np.isfinite(after[-1])).all()
    assert np.nanmax(np.abs(after[-1] - before[-1])) > 0
    np.testing.assert_array_equal(after[:-1], before[:-1])
    panel[10] += 1
    np.save(task.panels[0].path, panel)
    assert train(task).fitted


def test_what_lies_behind_a_fold_does_not_reach_its_model(tmp_path: Path) -> None:
    task = training_data.write(tmp_path / "one")
    other = training_data.write(tmp_path / "two")
    panel, targets = np.load(other.panels[0].path), np.load(other.targets)
    panel[25 * training_data.BARS :] = 7.0
    targets[25:] = -3.0
    np.save(other.panels[0].path, panel)
    np.save(other.targets, targets)
    assert train(task).facts == train(other).facts
    assert task.model_file.read_bytes() == other.model_file.read_bytes()
    left, right = (read_predictions(each.predictions_file).scores for each in (task, other))
    np.testing.assert_array_equal(left[:5], right[:5])


def test_a_task_killed_in_training_ends_with_the_same_files(tmp_path: Path) -> None:
    whole = training_data.write(tmp_path / "whole")
    train(whole)
    task = training_data.write(tmp_path / "killed")
    child = subprocess.run([sys.executable, "-c", KILLED_IN_TRAINING, task.model_dump_json()], check=False)
    assert child.returncode == 137
    assert list(files(tmp_path / "killed" / "run")) == ["checkpoints/half-1d-f0-s1.safetensors"]
    assert train(task).fitted
    assert files(tmp_path / "killed" / "run") == files(tmp_path / "whole" / "run")


def test_a_pools_worker_writes_the_same_bytes(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    train(task)
    elsewhere = task.model_copy(update={"out": str(tmp_path / "pool")})
    with pool(2) as running:
        running.map(train, [elsewhere], cost=lambda each: each.cost)
    assert files(tmp_path / "pool") == files(tmp_path / "run")


def test_cost_grows_with_the_work(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    twice = task.model_copy(update={"options": task.options.model_copy(update={"every": 2})})
    wide = task.model_copy(update={"network": Single(encoder=Recurrent(hidden=16)).model_dump_json()})
    assert twice.cost < task.cost < wide.cost


def test_absent_predictions_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no predictions there; train first"):
        read_predictions(tmp_path / "none.safetensors")
