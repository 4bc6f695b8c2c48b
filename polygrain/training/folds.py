"""Folds: walk-forward splits of the trading days, purged by the label's reach."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from polygrain.errors import ConfigError
from polygrain.spec import Spec

SHORTEST_TAIL = 5


class Fold(Spec):
    """Day numbers to learn from, to stop by, and to score; every label ends before the next part begins."""

    number: int
    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]


def walk_forward(
    days: Sequence[int],
    *,
    train: int,
    train_min: int,
    valid: int,
    refit: int,
    purge: int,
    first_test: int | None = None,
) -> list[Fold]:
    """Folds over the sorted day numbers `days`: test blocks of `refit` days that tile them from the first test day on.

    t + purge < first test day for validation dates (the latest `valid` of them), t + purge < first validation day for
    training dates (the latest `train` of them, at least `train_min`); purge = lag + H. `first_test` (a day number)
    starts the test blocks there, so that labels of several horizons share their test dates; without it they start as
    early as `train_min` allows. A tail of fewer than 5 days joins the fold before. ConfigError where training dates
    are too few.
    """
    if first_test is None:
        start = next((i for i in range(len(days)) if _enough(days, i, train_min, valid, purge)), len(days))
    else:
        start = bisect_left(days, first_test)
    if start >= len(days):
        have = len(_learning(days, len(days) - 1, train=len(days), valid=valid, purge=purge)[0]) if days else 0
        raise ConfigError(
            "protocol.train_min",
            f"{train_min} training dates are wanted, and {len(days)} days leave {have} before the last day "
            f"({valid} validation dates, {purge} days of purge twice); take more days or a smaller train_min",
        )
    borders = [*range(start, len(days), refit), len(days)]
    if len(borders) > 2 and borders[-1] - borders[-2] < SHORTEST_TAIL:
        del borders[-2]
    folds = []
    for number, (begin, end) in enumerate(pairwise(borders)):
        learn, stop = _learning(days, begin, train=train, valid=valid, purge=purge)
        if len(learn) < train_min or len(stop) < valid:
            raise ConfigError(
                "protocol.train_min",
                f"fold {number} has {len(learn)} training and {len(stop)} validation dates; {train_min} and {valid} "
                "are wanted: start testing later or ask for fewer",
            )
        folds.append(Fold(number=number, train=learn, valid=stop, test=tuple(days[begin:end])))
    return folds


def _learning(
    days: Sequence[int], begin: int, *, train: int, valid: int, purge: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and validation dates of the fold whose test starts at days[begin]."""
    last = bisect_left(days, days[begin] - purge)
    stop = days[max(0, last - valid) : last]
    if not stop:
        return (), ()
    last = bisect_left(days, stop[0] - purge)
    return tuple(days[max(0, last - train) : last]), tuple(stop)


def _enough(days: Sequence[int], begin: int, train_min: int, valid: int, purge: int) -> bool:
    learn, stop = _learning(days, begin, train=train_min, valid=valid, purge=purge)
    return len(learn) >= train_min and len(stop) >= valid
