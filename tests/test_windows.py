from pathlib import Path

import numpy as np
import pytest
import torch

from polygrain.errors import ConfigError, DataError
from polygrain.samples.windows import PanelFile, Samples, chunks, windows


def panel(days: int, bars: int, symbols: int = 5, features: int = 2) -> torch.Tensor:
    """Every value says where it stands: row × 100 + symbol × 10 + feature."""
    rows, columns, last = np.ogrid[: days * bars, :symbols, :features]
    return torch.from_numpy((rows * 100 + columns * 10 + last).astype(np.float32))


@pytest.mark.parametrize("bars", [1, 4])
def test_a_window_ends_at_its_days_close(bars: int) -> None:
    values, symbols = panel(8, bars), torch.tensor([3, 0])
    x = windows(values, 5, bars, 3, symbols)
    for step in range(3 * bars):
        row = (5 + 1 - 3) * bars + step
        assert x[step, 0, 1] == row * 100 + 31
        assert x[step, 1, 0] == row * 100


def test_a_week_takes_every_fifth_row_back_from_its_day() -> None:
    x = windows(panel(20, 1), 17, 1, 15, torch.tensor([0]), step=5)
    assert x[:, 0, 0].tolist() == [700, 1200, 1700]
    with pytest.raises(ConfigError, match="not a whole number"):
        windows(panel(20, 1), 17, 1, 14, torch.tensor([0]), step=5)


def test_the_buffer_is_reused() -> None:
    values, buffer = panel(8, 2), torch.empty(100)
    first = windows(values, 5, 2, 3, torch.tensor([1, 2]), out=buffer)
    assert first.data_ptr() == buffer.data_ptr()
    second = windows(values, 6, 2, 3, torch.tensor([4]), out=buffer)
    assert torch.equal(second, windows(values, 6, 2, 3, torch.tensor([4])))


@pytest.mark.parametrize("buffer", [None, torch.empty(100)])
def test_half_precision_is_widened(buffer: torch.Tensor | None) -> None:
    values = panel(8, 2) / 7
    x = windows(values.half(), 5, 2, 3, torch.tensor([1, 2]), out=buffer)
    assert x.dtype == torch.float32
    assert torch.equal(x, windows(values.half().float(), 5, 2, 3, torch.tensor([1, 2])))


def test_what_lies_after_the_day_is_not_seen() -> None:
    values, symbols = panel(8, 2), torch.arange(5)
    before = windows(values, 5, 2, 3, symbols)
    values[12:] = torch.nan
    assert torch.equal(windows(values, 5, 2, 3, symbols), before)


@pytest.mark.parametrize("day", [1, 8])
def test_windows_outside_the_panel_are_refused(day: int) -> None:
    with pytest.raises(DataError, match=f"no window of 3 days ends at day {day}"):
        windows(panel(8, 2), day, 2, 3, torch.tensor([0]))


def test_samples_serve_one_date(tmp_path: Path) -> None:
    np.save(tmp_path / "day.npy", panel(6, 1).numpy())
    np.save(tmp_path / "half.npy", panel(6, 2, features=3).numpy())
    files = [
        PanelFile(name="day", path=str(tmp_path / "day.npy"), bars=1),
        PanelFile(name="half", path=str(tmp_path / "half.npy"), bars=2),
    ]
    targets = np.full((6, 5), np.nan, dtype=np.float32)
    targets[4, [1, 3]] = 0.5, -0.5
    members = np.zeros((6, 5), dtype=bool)
    members[4, [0, 1, 3]] = True
    samples = Samples(files, targets, members, lookback=2)
    assert samples.features == {"day": 2, "half": 3}
    assert samples.learnable(range(6)) == [4]
    batch = samples.batch(4)
    assert batch.symbols.tolist() == [1, 3]
    assert batch.y_S.tolist() == [0.5, -0.5]
    assert samples.scored(4).tolist() == [0, 1, 3]
    x = samples.x(4, batch.symbols)
    assert (x["day"].shape, x["half"].shape) == ((2, 2, 2), (4, 2, 3))
    assert x["half"][-1, 1, 2] == 9 * 100 + 32
    assert samples.rows("half", [3, 4]).shape == (6, 5, 3)


def test_a_panel_of_other_axes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "day.npy", panel(6, 1).numpy())
    file = PanelFile(name="day", path=str(tmp_path / "day.npy"), bars=1)
    with pytest.raises(DataError, match="has 6 rows × 5 symbols, not 1 rows a day for the labels' 7 days × 5 symbols"):
        Samples([file], np.zeros((7, 5)), np.ones((7, 5), dtype=bool), lookback=2)
    with pytest.raises(DataError, match="no panel of day there"):
        Samples([PanelFile(name="day", path=str(tmp_path / "no.npy"), bars=1)], np.zeros((6, 5)), np.ones((6, 5)), 2)
    np.save(tmp_path / "wide.npy", np.zeros((6, 5, 1)))
    with pytest.raises(DataError, match="holds float64"):
        Samples([PanelFile(name="day", path=str(tmp_path / "wide.npy"), bars=1)], np.zeros((6, 5)), np.ones((6, 5)), 2)


def test_chunks_are_nearly_equal_and_whole() -> None:
    pieces = chunks(torch.arange(10), 4)
    assert [len(piece) for piece in pieces] == [4, 3, 3]
    assert torch.cat(pieces).tolist() == list(range(10))
