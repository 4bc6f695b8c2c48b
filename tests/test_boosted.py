"""Boosted trees: what they read, that they learn, and that they come back from their file as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import write

from polygrain.errors import ConfigError
from polygrain.models.boosted import Boosted, summaries
from polygrain.training.walk_forward import TrainTask, load_model, read_predictions, train


def small(folder: Path, **options: object) -> TrainTask:
    task = write(folder)
    network = Boosted(trees=60, leaves=4, least_in_leaf=10, shrinkage=0.2, patience=10)
    options = {**task.options.model_dump(), **options}
    return TrainTask.model_validate(
        task.model_dump() | {"network": network.model_dump_json(), "model": "half_gbdt", "options": options}
    )


def test_summaries_by_hand() -> None:
    # One stock, two features over three steps: newest 3, 0; means 2, 1; standard deviations √(2/3), √2.
    x_LSF = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]], [[3.0, 0.0]]])
    expected = torch.tensor([[3.0, 0.0, 2.0, 1.0, (2 / 3) ** 0.5, 2**0.5]])
    torch.testing.assert_close(summaries(x_LSF), expected)


def test_they_learn_and_come_back_from_their_file(tmp_path: Path) -> None:
    task = small(tmp_path)
    result = train(task)
    # The newest bar's first feature is noise of variance 1 plus the target: half of the target's variance is learnable.
    assert result.facts.best.valid_loss < 0.8
    assert result.facts.best == result.facts.history[-1]
    assert result.facts.best.valid_loss == min(epoch.valid_loss for epoch in result.facts.history)
    samples = task.open()
    module, day = load_model(task, samples), task.fold.test[0]
    symbols = samples.scored(day)
    with torch.no_grad():
        score_S = module(samples.x(day, symbols)).score_S
        some_S = module(samples.x(day, symbols[[5, 2]])).score_S
    predicted = read_predictions(task.predictions_file)
    row = predicted.days.index(day)
    np.testing.assert_array_equal(predicted.scores[row, symbols.numpy()], score_S.numpy())
    assert torch.equal(some_S, score_S[[5, 2]])


def test_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = train(small(tmp_path / "a")), train(small(tmp_path / "b"))
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.predictions.read_bytes() == second.predictions.read_bytes()


def test_other_losses_and_a_missing_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^protocol\.loss: ic cannot be learnt by gbdt; it takes mse alone$"):
        train(small(tmp_path / "ic", loss="ic"))
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"^network\.kind: gbdt needs LightGBM; pip install 'polygrain\[gbdt\]'$"):
        train(small(tmp_path / "none"))
