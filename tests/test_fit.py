import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
import training_data
from plugin_files import example, network, using
from torch import Tensor, nn

from polygrain.errors import DataError
from polygrain.models.network import decode, initialised
from polygrain.plugins import Plugin
from polygrain.samples.windows import PanelFile
from polygrain.training import fit as fit_module
from polygrain.training.adam import Adam
from polygrain.training.checkpoint import Checkpoint, Epoch
from polygrain.training.fit import FitOptions, Fitted, fit, scores
from polygrain.training.losses import LossName, WeightedLoss
from polygrain.training.walk_forward import TrainTask


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def run(task: TrainTask, checkpoint: Checkpoint | None = None, options: FitOptions | None = None) -> Fitted:
    options = options or task.options
    return fit(decode(task.network), task.open(), task.fold, options, seed=task.seed, checkpoint=checkpoint)


@pytest.fixture
def own_network(tmp_path: Path) -> Iterator[TrainTask]:
    """A task of the examples' network, which has torch's own dropout."""
    with using(*example("own_model.py")):
        yield training_data.write(tmp_path).model_copy(update={"network": '{"kind": "window_means"}'})


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def gradient(task: TrainTask, loss: dict[LossName, float], chunk: int) -> tuple[dict[str, float], list[Tensor]]:
    """Loss by term and gradient of one date, without dropout noise between chunk sizes."""
    samples, options = task.open(), FitOptions(loss=loss, chunk=chunk)
    module = initialised(decode(task.network), samples.features, seed=1)
    loop = fit_module._Loop(module, Adam(module, 0.001, 0.0), samples, WeightedLoss(loss), options, 1, 0, None)
    module.eval()
    value = loop.backward(samples.batch(5))
    return value, [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def test_it_learns_what_was_planted(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    fitted = run(task, options=FitOptions(max_epochs=15, learning_rate=0.01))
    assert fitted.best.valid_loss < 0.8  # the feature is target + noise of equal variance: .5 at best, 1 for nothing
    assert fitted.dates == 15


@pytest.mark.parametrize("loss", [{"mse": 1.0}, {"ic": 1.0}, {"ccc": 1.0}, {"mse": 0.7, "ic": 0.2, "ccc": 0.1}])
def test_chunks_give_the_whole_dates_gradient(tmp_path: Path, loss: dict[LossName, float]) -> None:
    task = training_data.write(tmp_path)
    whole, one = gradient(task, loss, 1000)
    chunked, many = gradient(task, loss, 7)
    assert chunked == pytest.approx(whole, abs=1e-6)
    for left, right in zip(one, many, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_a_combined_loss_is_the_weighted_sum_term_by_term(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    (mse, by_mse), (ic, by_ic) = gradient(task, {"mse": 1.0}, 7), gradient(task, {"ic": 1.0}, 7)
    both, found = gradient(task, {"mse": 2.0, "ic": 0.5}, 7)
    assert both == pytest.approx({"mse": 2 * mse["mse"], "ic": ic["ic"] / 2}, abs=1e-6)
    for left, right, sum_of_both in zip(by_mse, by_ic, found, strict=True):
        torch.testing.assert_close(sum_of_both, 2 * left + right / 2, rtol=1e-4, atol=1e-6)


def test_every_term_is_logged(tmp_path: Path) -> None:
    network = '{"kind": "residual", "encoder": {"hidden": 4, "layers": 2}, "contrast": 0.1, "decay": 0.01}'
    task = training_data.write(tmp_path)
    np.save(tmp_path / "day.npy", np.load(tmp_path / "panel.npy")[1::2])
    panels = (PanelFile(name="day", path=str(tmp_path / "day.npy"), bars=1), *task.panels)
    task = task.model_copy(update={"network": network, "panels": panels})
    for epoch in run(task, options=FitOptions(loss={"mse": 1.0, "ic": 0.5}, max_epochs=2)).history:
        assert set(epoch.train_terms) == {"mse", "ic", "reconstruction", "contrast", "decay"}
        assert set(epoch.valid_terms) == {"mse", "ic"}
        assert epoch.train_loss == sum(epoch.train_terms.values())
        assert epoch.valid_loss == sum(epoch.valid_terms.values())


def test_the_process_is_left_as_it_was(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    run(training_data.write(tmp_path), options=FitOptions(max_epochs=1))
    assert torch.get_num_threads() == threads
    assert (torch.tensor([1e-40]) * 1.0 > 0).item()  # a number that flushing would make 0


def test_same_seed_same_bits_other_seed_other_bits(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    first = run(task)
    torch.manual_seed(99)  # the global generator has no say
    again = run(task)
    assert same(first.module, again.module)
    assert first.history == again.history
    assert not same(first.module, run(task.model_copy(update={"seed": 2})).module)


@pytest.mark.parametrize(("loss", "own"), [("mse", False), ("ic", False), ("ic", True)])
def test_a_fit_killed_anywhere_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_network: TrainTask, loss: str, own: bool
) -> None:
    task = own_network if own else training_data.write(tmp_path)
    options = FitOptions(max_epochs=2, learning_rate=0.01, loss=loss, chunk=20, every=4)
    whole = run(task, options=options)
    monkeypatch.setattr(fit_module, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    stored = Checkpoint.save
    for kill_at in range(10):  # 2 epochs × (4 dates + the epoch's end)
        checkpoint, count = Checkpoint(tmp_path / f"{kill_at}.safetensors", "key"), iter(range(100))

        def save(self: Checkpoint, *state: object, count=count, kill_at=kill_at) -> None:  # type: ignore[no-untyped-def]
            stored(self, *state)  # type: ignore[arg-type]
            if next(count) == kill_at:
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", save)
        with pytest.raises(Killed):
            run(task, checkpoint, options)
        monkeypatch.setattr(Checkpoint, "save", stored)
        resumed = run(task, checkpoint, options)
        assert same(resumed.module, whole.module), kill_at
        assert resumed.history == whole.history, kill_at


def test_another_fits_checkpoint_is_not_used_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    task, path = training_data.write(tmp_path), tmp_path / "state.safetensors"
    run(task, Checkpoint(path, "one"), FitOptions(max_epochs=1))
    assert same(run(task, Checkpoint(path, "other")).module, run(task).module)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"state.safetensors: is damaged \(.*\); delete it and run again"):
        run(task, Checkpoint(path, "other"))


def test_the_best_epochs_weights_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = training_data.write(tmp_path)
    losses = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    snapshots: list[dict[str, Tensor]] = []

    def valid_terms(self: fit_module._Loop, day: int) -> dict[str, float]:
        if day == task.fold.valid[0]:
            snapshots.append({name: value.clone() for name, value in self.module.state_dict().items()})
            self.planned = next(losses)  # type: ignore[attr-defined]
        return {"mse": self.planned}  # type: ignore[attr-defined]

    monkeypatch.setattr(fit_module._Loop, "valid_terms", valid_terms)
    fitted = run(task, options=FitOptions(max_epochs=9, patience=2))
    assert [epoch.valid_loss for epoch in fitted.history] == [3.0, 1.0, 2.0, 2.5]
    assert fitted.best.number == 1
    assert all(torch.equal(value, snapshots[1][name]) for name, value in fitted.module.state_dict().items())


def test_every_kth_date_counts_back_from_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, seen = training_data.write(tmp_path), set()
    stepped = fit_module._Loop.step

    def step(self: fit_module._Loop, day: int) -> float:
        seen.add(day)
        return stepped(self, day)

    monkeypatch.setattr(fit_module._Loop, "step", step)
    run(task, options=FitOptions(max_epochs=1, every=4))
    assert seen == {17, 13, 9, 5}


def test_what_is_not_finite_stops_before_the_update(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    panel = np.load(tmp_path / "panel.npy")
    panel[20] = np.inf
    np.save(tmp_path / "panel.npy", panel)
    expected = r"fold 0 epoch 0 step \d+: the loss is nan on day number 1[0-2]; lower the learning rate or look at its"
    with pytest.raises(DataError, match=expected):
        run(task)


def test_folds_without_targets_are_refused(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    targets = np.load(tmp_path / "targets.npy")
    targets[20:25] = np.nan
    np.save(tmp_path / "targets.npy", targets)
    with pytest.raises(DataError, match="fold 0: no validation date has targets"):
        run(task)


def test_progress_is_told_by_epoch(tmp_path: Path) -> None:
    task, told = training_data.write(tmp_path), list[Epoch]()
    fitted = fit(decode(task.network), task.open(), task.fold, task.options, seed=1, progress=told.append)
    assert tuple(told) == fitted.history


def test_scores_do_not_depend_on_the_chunk(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    samples = task.open()
    module = initialised(decode(task.network), samples.features, seed=1)
    symbols = samples.scored(28)
    whole = scores(module, samples, 28, symbols, 1000)
    torch.testing.assert_close(scores(module, samples, 28, symbols, 7), whole, rtol=0, atol=1e-6)


def peaks_of_private_memory(tasks: list[TrainTask]) -> list[int]:
    """The largest RssAnon in kB while each task is fitted."""
    peaks: list[int] = []
    batch = fit_module.Samples.batch

    def watched(self: fit_module.Samples, day: int) -> fit_module.Batch:
        status = Path("/proc/self/status").read_text()
        peaks[-1] = max(peaks[-1], int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]))
        return batch(self, day)

    fit_module.Samples.batch = watched  # type: ignore[method-assign]
    for task in tasks:
        peaks.append(0)
        run(task, options=FitOptions(max_epochs=1))
    return peaks


def test_memory_does_not_grow_with_the_dates(tmp_path: Path) -> None:
    tasks = []
    for number, days in enumerate((40, 40, 300)):  # the first warms up what the others reuse
        task = training_data.write(tmp_path / str(number), days=days, symbols=300, bars=8)
        fold = task.fold.model_copy(update={"train": tuple(range(3, days - 10)), "valid": tuple(range(days - 8, days))})
        tasks.append(task.model_copy(update={"fold": fold}))
    assert Path(task.panels[0].path).stat().st_size > 8e6
    # In a process of its own: what this one has allocated, for other tests or for these data, would be counted.
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        _, few, many = alone.submit(peaks_of_private_memory, tasks).result()
    assert many - few < 3000  # kB; the panel alone is 8,600


def test_torchs_own_dropout_draws_from_the_seed(own_network: TrainTask) -> None:
    """The same bits whatever was drawn before, and the generator is as it was."""
    fits = []
    for before in (1, 2):
        torch.manual_seed(before)
        state = torch.random.get_rng_state()
        fits.append(run(own_network).module)
        assert torch.equal(torch.random.get_rng_state(), state)
    assert same(*fits)
    assert not same(fits[0], run(own_network.model_copy(update={"seed": 2})).module)


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    """[S, 1] against targets [S] would be taken for S × S differences."""
    task = training_data.write(tmp_path).model_copy(update={"network": '{"kind": "mine"}'})
    wrong = Plugin(name="mine.py", text=network().replace(".squeeze(-1)", ""))
    with using(wrong), pytest.raises(DataError) as refusal:
        run(task)
    place, reason = str(refusal.value).split(": ")
    assert place == "fold 0 epoch 0 step 0"
    assert re.fullmatch(r"the network gives scores of shape \((\d+), 1\), not one per symbol \(\1,\); .*", reason)
