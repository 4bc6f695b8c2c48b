"""Prove that nothing known at a cutoff depends on what comes later: the real stages on markets with other futures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.compute import Pool, pool
from polygrain.config import Experiment
from polygrain.errors import CheckError, ConfigError
from polygrain.market.rules import LimitRule
from polygrain.market.session import Session
from polygrain.pipeline import store_folder
from polygrain.plugins import use
from polygrain.progress import Progress
from polygrain.prove.observe import DAY, Models, Observation, moment, observe, run_stages, train_before
from polygrain.prove.perturb import INTERVALS, REPLACEMENTS, Cutoff, Held, Replacement, replace
from polygrain.sources.ingest import ingest
from polygrain.sources.source import REFERENCE
from polygrain.store.panel import Array
from polygrain.store.store import Store

SYMBOLS = 64
BAR_DAYS = 52
DAYS_BEFORE = 70
CUTOFFS = 56
LOOKBACK = 5
TRAINING_DAYS = 16
LEAST_LABELS = 20


@dataclass(frozen=True)
class Sample:
    """A small part of a store, as canonical tables."""

    session: Session
    limits: LimitRule
    base_bar: str
    tables: Mapping[str, pl.DataFrame]

    def source(self, tables: Mapping[str, pl.DataFrame]) -> Held:
        """The sample's market with these tables in the place of its own."""
        return Held(held_session=self.session, held_limits=self.limits, bar=self.base_bar, tables=tables)


@dataclass(frozen=True)
class Violation:
    """A value known at the cutoff that changed with what comes after it."""

    cutoff: Cutoff
    replacement: Replacement
    what: str
    cells: int
    first: str

    def __str__(self) -> str:
        return f"{self.what}: {self.cells} cells differ at {self.cutoff} under {self.replacement}, first {self.first}"


def sample(store: Store) -> Sample:
    """Evenly chosen symbols over the store's middle days; nothing is drawn, so that the sample is always the same."""
    days = store.bar_days
    if len(days) < BAR_DAYS:
        raise ConfigError("source", f"{len(days)} days are too few to prove on; {BAR_DAYS} are needed")
    start = (len(days) - BAR_DAYS) // 2
    span = days[start : start + BAR_DAYS]
    known = store.days.index(span[0])
    first = store.days[max(0, known - DAYS_BEFORE)]
    daily = store.daily().filter(pl.col("date").is_between(first, span[-1]))
    counts = daily.filter(~pl.col("suspended")).group_by("symbol").len().filter(pl.col("len") > BAR_DAYS // 2)
    symbols = counts["symbol"].sort()
    symbols = symbols.gather_every(max(1, len(symbols) // SYMBOLS)).head(SYMBOLS).implode()
    tables = {"daily": daily.filter(pl.col("symbol").is_in(symbols))}
    if store.facts.base_bar != "day":
        months = [m for m in store.bar_months if f"{span[0]:%Y-%m}" <= m <= f"{span[-1]:%Y-%m}"]
        bars = store.bars(months).filter(pl.col("date").is_between(span[0], span[-1]))
        tables["bars"] = bars.filter(pl.col("symbol").is_in(symbols))
    for name in REFERENCE:
        table = store.table(name)
        if table is not None:
            tables[name] = table.filter(pl.col("symbol").is_in(symbols))
    if "index_weights" in tables:
        whole = pl.col("weight").sum().over("index", "date")
        tables["index_weights"] = tables["index_weights"].with_columns(pl.col("weight") / whole)
    return Sample(Session(segments=store.facts.segments), store.facts.limits, store.facts.base_bar, tables)


def proof_settings(experiment: Experiment) -> Experiment:
    """The experiment with a short look-back and small label counts, so that a small sample has samples and labels."""
    protocol = experiment.protocol.model_copy(update={"lookback": LOOKBACK})
    label = experiment.label.model_copy(update={"minimum": LEAST_LABELS})
    return experiment.model_copy(update={"protocol": protocol, "label": label})


class Proof:
    """The observation of a sample as it is, and the models trained before the first cutoff."""

    def __init__(self, experiment: Experiment, sample: Sample, folder: Path, pool: Pool) -> None:
        self.experiment, self.sample, self.folder, self.pool = experiment, sample, folder, pool
        stages = run_stages(experiment, sample.source(sample.tables), folder / "as-it-is", pool)
        self.days = stages.market.store.days
        self.bar_days = stages.market.store.bar_days
        self.base_bars = 0
        if sample.base_bar != "day":
            self.base_bars = sample.session.bars_a_day(sample.base_bar)
        self.trained_to = LOOKBACK + TRAINING_DAYS
        self.models: Models = train_before(stages, self.trained_to)
        self.known: Observation = observe(stages, self.models, range(self.trained_to, len(self.bar_days)))

    def cutoffs(self, count: int) -> list[Cutoff]:
        """Cutoffs over the days after the models were trained but the last: first the days before an event of the
        reference tables, then all days in turn; every second one lies within its day where there are bars."""
        days = self.bar_days[self.trained_to + 1 : -1]
        before = {self.days[self.days.index(day) - 1] for day in self._events() if day in self.days[1:]}
        order = [day for day in days if day in before] + [day for day in days if day not in before]
        intraday = self.base_bars > 1
        rng = np.random.default_rng(0)
        found: list[Cutoff] = []
        for i in range(count):
            day = order[(i // 2 if intraday else i) % len(order)]
            found.append(Cutoff(day, int(rng.integers(1, self.base_bars)) if intraday and i % 2 else None))
        return found

    def _events(self) -> set[date]:
        """Days on which an interval of a reference table starts."""
        starts = ((self.sample.tables.get(name), start) for name, start, _ in INTERVALS)
        return {day for table, start in starts if table is not None for day in table[start]}

    def check(self, cutoff: Cutoff, replacement: Replacement, seed: int) -> list[Violation]:
        """Replace everything after the cutoff, run the stages anew, and compare all that is known at the cutoff."""
        rng = np.random.default_rng([seed, REPLACEMENTS.index(replacement)])
        tables = replace(self.sample.tables, cutoff, replacement, rng)
        folder = self.folder / "other-future"
        shutil.rmtree(folder, ignore_errors=True)
        stages = run_stages(self.experiment, self.sample.source(tables), folder, self.pool)
        last = self.bar_days.index(cutoff.day) - (cutoff.bars is not None)
        scored = range(self.trained_to, len(self.bar_days))
        other = observe(stages, self.models, [day for day in scored if day <= last])
        return self._compare(other, cutoff, replacement)

    def _compare(self, other: Observation, cutoff: Cutoff, replacement: Replacement) -> list[Violation]:
        at = moment(cutoff, self.days)
        number = {symbol: i for i, symbol in enumerate(other.symbols)}
        found = []
        for name, ours in self.known.observed.items():
            rows = np.flatnonzero(ours.known <= at)
            expected = ours.values[rows]
            actual = _aligned(other.observed[name].values, rows, expected, self.known.symbols, number)
            differs = ~_same_bits(expected, actual)
            if differs.any():
                where = np.argwhere(differs)[0]
                day = self.days[int(ours.known[rows[where[0]]]) // DAY]
                symbol = (
                    self.known.symbols[where[1]]
                    if expected.shape[1] == len(self.known.symbols)
                    else f"track {where[1]}"
                )
                found.append(Violation(cutoff, replacement, name, int(differs.sum()), f"{symbol} known on {day}"))
        return found


def _aligned(values: Array, rows: Array, like: Array, symbols: Sequence[str], number: Mapping[str, int]) -> Array:
    """The rows with columns in the order of `symbols`; a symbol that is gone has the empty value."""
    if like.shape[1] != len(symbols):
        return values[rows]
    empty = (
        np.zeros(like.shape, like.dtype)
        if like.dtype == bool or like.ndim == 3
        else np.full(like.shape, np.nan, like.dtype)
    )
    kept = [i for i, symbol in enumerate(symbols) if symbol in number]
    empty[:, kept] = values[rows][:, [number[symbols[i]] for i in kept]]
    return empty


def _same_bits(a: Array, b: Array) -> Array:
    if a.dtype == bool:
        return np.asarray(a == b)
    bits = np.dtype(f"u{a.dtype.itemsize}")
    same = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return np.asarray(same | (np.isnan(a) & np.isnan(b)))


@dataclass(frozen=True)
class _Part:
    """A share of the cutoffs for one process."""

    experiment: str
    store: Path
    first: int
    stride: int
    count: int


def _check_part(part: _Part) -> list[str]:
    experiment = Experiment.model_validate_json(part.experiment, context={"folder": Path()})
    with tempfile.TemporaryDirectory() as folder, pool(1) as alone:
        proof = Proof(proof_settings(experiment), sample(Store(part.store)), Path(folder), alone)
        found = []
        for i, cutoff in list(enumerate(proof.cutoffs(part.count)))[part.first :: part.stride]:
            for replacement in REPLACEMENTS:
                found += [str(v) for v in proof.check(cutoff, replacement, seed=i)]
    return found


def prove(experiment: Experiment, *, base: Path, progress: Progress) -> list[str]:
    """Check a sample of the config's data at 56 cutoffs under both replacements.

    CheckError names what depends on the future.
    """
    use(experiment.plugins)
    folder = store_folder(experiment, Path("runs").resolve() / experiment.name, base.resolve())
    ingest(experiment.source, folder, progress.say)
    parts = min(4 * experiment.workers, CUTOFFS)
    tasks = [_Part(experiment.model_dump_json(), folder, i, parts, CUTOFFS) for i in range(parts)]
    with pool(experiment.workers, experiment.plugins) as workers, progress.step("prove", len(tasks)) as step:
        found = [line for lines in workers.map(_check_part, tasks, done=lambda *_: step.advance()) for line in lines]
    if found:
        raise CheckError(f"{len(found)} values known at a cutoff depend on what comes after it; {found[0]}")
    return [f"{CUTOFFS} cutoffs × {len(REPLACEMENTS)} replacements of what comes after: 0 violations"]
