"""Nothing known at a cutoff depends on what comes after it, and a leak planted in any real stage is caught."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from polygrain.compute import pool
from polygrain.config import Experiment, load
from polygrain.execution.quotes import Quotes
from polygrain.features import month as month_stage
from polygrain.features.bars import Bars
from polygrain.features.grid import Grid
from polygrain.features.library import FEATURES
from polygrain.pipeline import market as market_stage
from polygrain.prove.causality import CUTOFFS, Proof, Sample, proof_settings, sample
from polygrain.prove.perturb import REPLACEMENTS, Cutoff
from polygrain.sources.ingest import ingest

Array = np.ndarray
TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
PARTS = 4


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """The suite's simulated market with every kind of granularity."""
    granularity = '[{name="week",bar="week"},{name="day",bar="day"},{name="60min",bar="60min"}]'
    return proof_settings(load(TINY, [f"granularity={granularity}"]))


@pytest.fixture(scope="module")
def part(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(ingest(experiment.source, tmp_path_factory.mktemp("store") / "store"))


def _checked(experiment: Experiment, part: Sample, folder: Path, chosen: slice) -> Iterator[tuple[Cutoff, list[str]]]:
    with pool(1) as alone:
        proof = Proof(experiment, part, folder, alone)
        for i, cutoff in list(enumerate(proof.cutoffs(CUTOFFS)))[chosen]:
            yield cutoff, [str(v) for how in REPLACEMENTS for v in proof.check(cutoff, how, seed=i)]


@pytest.mark.parametrize("share", range(PARTS))
def test_no_value_depends_on_the_future(experiment: Experiment, part: Sample, tmp_path: Path, share: int) -> None:
    checked = dict(_checked(experiment, part, tmp_path, slice(share, None, PARTS)))
    assert len(checked) == CUTOFFS // PARTS >= 14
    assert {line for lines in checked.values() for line in lines} == set()


def test_cutoffs_lie_at_day_ends_within_days_and_before_events(
    experiment: Experiment, part: Sample, tmp_path: Path
) -> None:
    with pool(1) as alone:
        proof = Proof(experiment.model_copy(update={"network": {}}), part, tmp_path, alone)
    cutoffs = proof.cutoffs(CUTOFFS)
    assert len(cutoffs) >= 55
    assert sum(c.bars is None for c in cutoffs) == CUTOFFS // 2
    review = part.tables["index_members"]["start"].max()
    assert any(c.day == max(d for d in proof.days if d < review) for c in cutoffs)


def _feature(name: str, function: Callable[[Bars], Array]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(FEATURES, name, dataclasses.replace(FEATURES[name], function=function))

    return plant


def _ahead(values: Array, rows: int) -> Array:
    """Values from `rows` rows later, NaN past the end."""
    out = np.full(values.shape, np.nan)
    out[: max(len(values) - rows, 0)] = values[rows:]
    return out


def _of_day(bars: Bars, values: Array) -> Array:
    """The sum over the bar's whole day, for each of its bars."""
    days = values.reshape(-1, bars.bars_a_day, values.shape[1]).sum(axis=1)
    return np.repeat(days, bars.bars_a_day, axis=0)


def _z(values: Array, fitted: Array) -> Array:
    """Values by the mean and deviation of all that is fitted on, whatever its date."""
    kept = fitted[np.isfinite(fitted)]
    return (values - kept.mean()) / kept.std() if len(kept) else values


class _ClosesOfTheDay(Grid):
    """Every bar closes at the day's close."""

    @cached_property
    def close(self) -> Array:
        return np.repeat(Grid.close.func(self)[:, -1:], self.bars, axis=1)


def _on_market(name: str, change: Callable[..., object]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(market_stage, name)
        patch.setattr(market_stage, name, lambda *given: change(real(*given), *given))

    return plant


def _next_day(panel: Array) -> Array:
    return np.vstack([panel[1:], panel[-1:]])


def _survivors(universe: Array, settings: object, facts: market_stage.Facts, lookback: int) -> Array:
    return universe & facts.quotes.traded[-3:].any(axis=0)


def _todays_universe(known: Array, settings: object, facts: market_stage.Facts, lookback: int) -> Array:
    return known & (facts.quotes.amount > np.nanmedian(facts.quotes.amount, axis=1, keepdims=True))


def _forward_adjusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quotes, "adjusted", lambda self, field: getattr(self, field) * self.factor / self.factor[-1])


def _on_normaliser(change: Callable[[Array, Array], Array]) -> Callable[[pytest.MonkeyPatch], None]:
    """`change` gets a feature [bars, stocks] and its members before each date is normalised."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = month_stage.normalise
        patch.setattr(month_stage, "normalise", lambda x, members, log: real(change(x, members), members, log))

    return plant


def _backward_filled(x: Array, members: Array) -> Array:
    filled = x.copy()
    for row in range(len(x) - 2, -1, -1):
        filled[row] = np.where(np.isnan(filled[row]), filled[row + 1], filled[row])
    return filled


def _clipped_over_all_dates(x: Array, members: Array) -> Array:
    kept = x[members & np.isfinite(x)]
    return np.clip(x, kept.min() + 0.3 * np.ptp(kept), None) if len(kept) else x


LEAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a feature shifted by -1": _feature("close_ret", lambda b: np.log(_ahead(b.close, 1) / b.close)),
    # Squashed, because the normaliser undoes an affine map of its whole input.
    "a whole-sample z-score": _feature("close_position", lambda b: np.tanh(_z(b.close, b.close))),
    "the label inside a feature": _feature("range", lambda b: _ahead(b.close, 5 * b.bars_a_day) / b.close),
    "the day's amount in its first bar": _feature("log_amount", lambda b: b.total("a") / _of_day(b, b.total("a"))),
    "backward fill of missing values": _on_normaliser(_backward_filled),
    "today's close used at 10:30": lambda patch: patch.setattr(month_stage, "Grid", _ClosesOfTheDay),
    "a normaliser fitted on all dates": _on_normaliser(_clipped_over_all_dates),
    "forward-adjusted prices": _forward_adjusted,
    "a factor applied a day before its ex-date": _on_market(
        "quotes", lambda q, *_: dataclasses.replace(q, factor=_next_day(q.factor))
    ),
    "tomorrow's trading in the universe": _on_market("members", lambda u, s, f, n: u & _next_day(f.quotes.traded)),
    "today's amount in the universe at the open": _on_market("known_before_open", _todays_universe),
    "survivors only": _on_market("members", _survivors),
    "tomorrow's index list": _on_market(
        "membership", lambda lists, *_: {name: _next_day(panel) for name, panel in lists.items()}
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_caught(
    experiment: Experiment, part: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    LEAKS[leak](monkeypatch)
    # Without networks: what a leak reaches first is enough, and it is found in seconds.
    lean = experiment.model_copy(update={"network": {}})
    with np.errstate(all="ignore"):
        assert any(lines for _, lines in _checked(lean, part, tmp_path, slice(0, 8)))


def test_a_leak_reaches_the_scores(
    experiment: Experiment, part: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LEAKS["a feature shifted by -1"](monkeypatch)
    lines = [line for _, lines in _checked(experiment, part, tmp_path, slice(0, 2)) for line in lines]
    for what in ("features.day", "windows.day", "scores.day.5d"):
        assert any(line.startswith(what) for line in lines), what
