"""A small planted market for the training tests: two features of the last bar say something about the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polygrain.models.recurrent import Recurrent
from polygrain.models.single import Single
from polygrain.samples.windows import PanelFile
from polygrain.training.fit import FitOptions
from polygrain.training.folds import Fold
from polygrain.training.walk_forward import TrainTask

BARS, SYMBOLS, FEATURES, LOOKBACK = 2, 40, 3, 3
FOLD = Fold(number=0, train=tuple(range(3, 18)), valid=tuple(range(20, 25)), test=tuple(range(27, 30)))


def write(folder: Path, days: int = 30, symbols: int = SYMBOLS, bars: int = BARS) -> TrainTask:
    """Panel, targets and members as .npy files, and the task that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    targets = rng.standard_normal((days, symbols)).astype(np.float32)
    panel = rng.standard_normal((days * bars, symbols, FEATURES)).astype(np.float32)
    panel[bars - 1 :: bars, :, 0] += targets
    members = rng.random((days, symbols)) < 0.9
    np.save(folder / "panel.npy", panel)
    np.save(folder / "members.npy", members)
    np.save(folder / "targets.npy", np.where(members & (rng.random((days, symbols)) < 0.95), targets, np.nan))
    return TrainTask(
        model="half",
        label_days=1,
        fold=FOLD,
        seed=1,
        network=Single(encoder=Recurrent(hidden=8)).model_dump_json(),
        panels=(PanelFile(name="half", path=str(folder / "panel.npy"), bars=bars),),
        targets=str(folder / "targets.npy"),
        members=str(folder / "members.npy"),
        lookback=LOOKBACK,
        options=FitOptions(max_epochs=3, learning_rate=0.01),
        out=str(folder / "run"),
    )
