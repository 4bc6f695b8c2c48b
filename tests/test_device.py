"""Devices: what can be said without CUDA, and the same of CUDA where it is there."""

import io
from pathlib import Path

import pytest
import torch
import training_data

from polygrain import pipeline
from polygrain.config import load
from polygrain.errors import ConfigError
from polygrain.models.gru import GRU, AttentionPooling
from polygrain.models.network import decode
from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.progress import Lines
from polygrain.samples.windows import Samples
from polygrain.training.fit import Fitted, fit
from polygrain.training.walk_forward import TrainTask, _fit_key, load_model, predict, read_predictions, train

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
# Without dropout: its masks differ between devices, and where a tensor lies otherwise in memory.
ENCODER = Recurrent(hidden=8, direction="bidirectional", pooling="attention", dropout=0.0)
BIAGRU = Single(encoder=ENCODER).model_dump_json()
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def on(task: TrainTask, device: str, out: str) -> TrainTask:
    options = task.options.model_copy(update={"device": device})
    return task.model_copy(update={"options": options, "network": BIAGRU, "out": str(Path(task.out, out))})


def run(task: TrainTask, samples: Samples) -> Fitted:
    return fit(decode(task.network), samples, task.fold, task.options, seed=task.seed)


def losses(fitted: Fitted) -> list[float]:
    return [loss for epoch in fitted.history for loss in (epoch.train_loss, epoch.valid_loss)]


@pytest.mark.parametrize("last", ["train", "report"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    experiment = load(TINY, ["protocol.device=cuda"])
    with pytest.raises(ConfigError) as refusal:
        pipeline.run(experiment, folder=tmp_path / "run", base=tmp_path, last=last, progress=Lines(io.StringIO()))
    assert str(refusal.value) == (
        f"protocol.device: torch {torch.__version__} finds no CUDA device; install its CUDA build and a driver, "
        "or set it to cpu"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_task_does_not_fall_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    task = on(training_data.write(tmp_path), "cuda", "run")
    with pytest.raises(ConfigError, match=r"^protocol\.device: "):
        train(task)
    assert not Path(task.out).exists()


def test_resident_panels_give_the_bits_of_mapped_ones(tmp_path: Path) -> None:
    task = on(training_data.write(tmp_path), "cpu", "run")
    mapped, resident = task.open(), task.open()
    resident._resident = {name: values.clone() for name, values in resident._values.items()}
    left, right = run(task, mapped), run(task, resident)
    assert left.history == right.history
    days = task.fold.test
    scores = [predict(each.module, samples, days, 1024) for each, samples in ((left, mapped), (right, resident))]
    assert scores[0].tobytes() == scores[1].tobytes()


def test_torchs_own_modules_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of other devices, on the CPU: float32 rounding through three epochs of updates, 1e-4."""
    task = on(training_data.write(tmp_path), "cpu", "run")
    ours = losses(run(task, task.open()))
    monkeypatch.setattr(GRU, "forward", GRU.by_torch)
    monkeypatch.setattr(AttentionPooling, "forward", AttentionPooling.by_torch)
    theirs = losses(run(task, task.open()))
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert theirs != ours


def test_another_device_is_another_fit(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    samples = task.open()
    assert _fit_key(on(task, "cpu", "run"), samples) != _fit_key(on(task, "cuda", "run"), samples)


def test_bf16_is_a_fit_of_its_own_and_scores_as_it_was_fitted(tmp_path: Path) -> None:
    task = on(training_data.write(tmp_path), "cpu", "run")
    rounded = task.model_copy(update={"options": task.options.model_copy(update={"precision": "bf16"})})
    exact_facts, facts = train(task).facts, train(rounded).facts
    assert facts.key != exact_facts.key
    assert facts.best.valid_loss != exact_facts.best.valid_loss
    assert facts.best.valid_loss == pytest.approx(exact_facts.best.valid_loss, abs=0.01)
    samples, days = rounded.open(), (*task.fold.valid, *task.fold.test)
    again = predict(run(rounded, samples).module, samples, days, 1024)
    assert again.tobytes() == read_predictions(rounded.predictions_file).scores.tobytes()


@needs_cuda
def test_cuda_gives_the_same_bits_again_and_nearly_the_cpus_losses(tmp_path: Path) -> None:
    """After three epochs of updates in float32: 1e-3."""
    task = training_data.write(tmp_path)
    tasks = [on(task, "cuda", "one"), on(task, "cuda", "two"), on(task, "cpu", "cpu")]
    facts = [train(each).facts for each in tasks]
    assert facts[0] == facts[1]
    assert tasks[0].model_file.read_bytes() == tasks[1].model_file.read_bytes()
    left, right = (read_predictions(each.predictions_file).scores for each in tasks[:2])
    assert left.tobytes() == right.tobytes()
    assert facts[0].best.valid_loss == pytest.approx(facts[2].best.valid_loss, abs=1e-3)
    samples = tasks[0].open()
    again = predict(load_model(tasks[0], samples), samples, (*task.fold.valid, *task.fold.test), 1024)
    assert again.tobytes() == left.tobytes()
