"""Protocol: how a run's networks are trained through time."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from polygrain.training.fit import FitOptions


class Protocol(FitOptions):
    """Walk-forward spans in trading days, refit period and seeds; the rest says how each network is fitted.

    `train` is a cap and `train_min` a floor of training dates, `valid` the validation dates; a network is refitted
    every `refit` days; scores are the mean over `seeds`. Defaults: R87's protocol (60, 1200, 120, 120, five seeds).
    Tests start at `first_test` where it is given, else as early as `train_min` allows. The days after `lock_after` are
    the lock box: no stage sees them until it is opened, which is counted.
    """

    lookback: int = Field(default=60, ge=1)
    train: int = Field(default=1200, ge=1)
    train_min: int = Field(default=600, ge=1)
    valid: int = Field(default=120, ge=1)
    refit: int = Field(default=120, ge=1)
    seeds: list[int] = Field(default=[1, 2, 3, 4, 5], min_length=1)
    first_test: date | None = None
    lock_after: date | None = None

    @property
    def options(self) -> FitOptions:
        """What one fit needs of it."""
        return FitOptions.model_validate(self.model_dump(include=set(FitOptions.model_fields)))
