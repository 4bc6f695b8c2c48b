"""Build: the store's months → a shard of features a month → one contiguous panel a granularity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from polygrain.compute import Pool, return_memory
from polygrain.errors import DataError
from polygrain.features.granularity import Granularity
from polygrain.features.month import month_features
from polygrain.features.panels import PanelFacts, Precision, find_panel, write_panel
from polygrain.features.plan import Plan, plans
from polygrain.features.reader import MonthReader
from polygrain.features.schedule import MonthTask, Schedule
from polygrain.features.shards import Shard, grown, read_shard, shard_inputs, shard_name, spread_out, write_shard
from polygrain.store.commit import Parts, code_fingerprint, fingerprint
from polygrain.store.panel import Array, Axes
from polygrain.store.store import Store

# Months that one process computes in a row: what a month looks back to it has then at hand. More would leave less to
# share out and lose more when it is killed.
_MONTHS_IN_A_ROW = 6


@dataclass(frozen=True)
class Month:
    """A month that is due: its task and plans, and by plan name the fingerprints of its days and, where days of it
    stand, the sha256 of the shard that holds them."""

    task: MonthTask
    plans: tuple[Plan, ...]
    inputs: Mapping[str, tuple[str, ...]]
    old: Mapping[str, str]


@dataclass(frozen=True)
class Span:
    """Months in a row for one process; `until` is the store's."""

    store: Path
    until: date | None
    folder: Path
    months: tuple[Month, ...]

    @property
    def cost(self) -> int:
        """Days that are read."""
        return sum(len(month.task.days) for month in self.months)


def build(
    store: Store,
    granularities: Sequence[Granularity],
    members: Array,
    folder: Path,
    pool: Pool,
    progress: Callable[[str], None] | None = None,
    *,
    precision: Precision = "single",
) -> dict[str, Path]:
    """The panel file of every granularity, by name: [days × bars, symbols, features] over the store's days with bars,
    float32 or, at half `precision`, float16.

    `members` bool [bar days, symbols] are the stocks that normalisation is fitted on, known before each day's open.
    A panel's row sees its own bar and what its features' history reaches back to. Days whose inputs have not changed
    are not computed again. ConfigError for a granularity or a feature that the store cannot give.
    """
    shape = (len(store.bar_days), len(store.symbols))
    if members.shape != shape:
        raise DataError("members", f"holds {members.shape}, not {shape[0]} days × {shape[1]} symbols")
    wanted = plans(store, granularities)
    code = code_fingerprint("features", "market")
    common = [store.fingerprint(), _digest(members), code, precision]
    inputs = {p.name: fingerprint([*common, p.described]) for p in wanted}
    panels = {p.name: find_panel(folder, p.name, inputs[p.name]) for p in wanted}
    absent = tuple(p for p in wanted if panels[p.name] is None)
    if absent:
        work = _Work(store, absent, members, folder, code)
        work.compute(pool, progress)
        panels |= {p.name: work.assemble(p, inputs[p.name], precision) for p in absent}
    return {name: path for name, path in panels.items() if path is not None}


def _digest(values: Array) -> str:
    hashed = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    hashed.update(np.ascontiguousarray(values).data)
    return hashed.hexdigest()


def _labelled(symbols: Array, values: Array) -> str:
    """Digest of [rows, symbols] that a symbol without any entry (False, NaN) does not change."""
    kept = np.flatnonzero(((values == values) & (values != 0)).any(axis=0))
    return fingerprint([_digest(values[:, kept]), " ".join(symbols[kept])])


class _Work:
    """The months of one build, and what each of their days is made from."""

    def __init__(self, store: Store, plans: tuple[Plan, ...], members: Array, folder: Path, code: str) -> None:
        self.store, self.plans, self.folder, self.code = store, plans, folder, code
        self.schedule = Schedule(store, members)
        self.months = self.schedule.months
        self.parts = {plan.name: Parts(folder / plan.name) for plan in plans}
        symbols = np.array(store.symbols, dtype=object)
        self._members = [_labelled(symbols, row[None]) for row in members]
        self._closes = {
            month: None if last is None else _labelled(symbols, np.stack([last.close, last.factor]))
            for month, last in self.schedule.before.items()
        }
        self._digests = {month: store.day_digests(month) for month in store.months}
        self._inputs = {(p.name, month): self._days_inputs(p, month) for p in plans for month in self.months}

    def _days_inputs(self, plan: Plan, month: str) -> tuple[str, ...]:
        """A fingerprint for every day of the month: of all days that its values may depend on, in one chain."""
        place = {self.store.bar_days[i]: i for i in self.schedule.own(month)}
        reads = self.schedule.reads(month, plan.history)
        chain = fingerprint([self.code, plan.described, self.store.layout, self._closes[reads[0]]])
        found = []
        for day, digest in ((day, digest) for m in reads for day, digest in self._digests[m].items()):
            member = self._members[place[day]] if day in place else None
            chain = fingerprint([chain, day.isoformat(), digest, member])
            if day in place:
                found.append(chain)
        return tuple(found)

    def compute(self, pool: Pool, progress: Callable[[str], None] | None) -> None:
        """Make the days that are not there yet, and drop the shards of months that the store no longer has."""
        due = [month for month in map(self._due, self.months) if month is not None]
        length = max(1, min(_MONTHS_IN_A_ROW, -(-len(due) // pool.workers)))
        rows = [tuple(due[i : i + length]) for i in range(0, len(due), length)]

        def done(span: Span, shards: Sequence[Mapping[str, str]]) -> None:
            for month, hashes in zip(span.months, shards):
                task = month.task
                for name, sha256 in hashes.items():
                    self.parts[name].put(shard_name(task.month), fingerprint(month.inputs[name]), sha256)
                if progress is not None:
                    progress(f"features of {task.month}: {len(task.days) - task.fresh} days")

        spans = [Span(self.store.folder, self.store.until, self.folder, months) for months in rows]
        pool.map(span_features, spans, cost=lambda span: span.cost, done=done)
        names = {shard_name(month) for month in self.months}
        for parts in self.parts.values():
            parts.drop([name for name in parts.names() if name not in names])

    def _due(self, name: str) -> Month | None:
        """The month where one of its shards is not what it would be now."""
        shard = shard_name(name)
        inputs = {plan.name: self._inputs[plan.name, name] for plan in self.plans}
        due = tuple(p for p in self.plans if not self.parts[p.name].current(shard, fingerprint(inputs[p.name])))
        if not due:
            return None
        kept = min(self._kept(plan, name) for plan in due)
        return Month(
            self.schedule.task(name, max(plan.history for plan in due), kept),
            due,
            {plan.name: inputs[plan.name] for plan in due},
            {plan.name: self.parts[plan.name].sha256(shard) for plan in due} if kept else {},
        )

    def _kept(self, plan: Plan, month: str) -> int:
        """How many days from the first on stand in the old shard as they would be made now."""
        parts, name = self.parts[plan.name], shard_name(month)
        if name not in parts.names():
            return 0
        kept = 0
        for old, new in zip(shard_inputs(parts.path(name)), self._inputs[plan.name, month]):
            if old != new:
                break
            kept += 1
        return kept

    def assemble(self, plan: Plan, inputs: str, precision: Precision) -> Path:
        """The granularity's panel from its shards; DataError where one is damaged."""
        parts = self.parts[plan.name]
        axes = Axes(self.store.bar_days, self.store.symbols, plan.bars_a_day)
        shards = {month: parts.sha256(shard_name(month)) for month in self.months}
        days = [day.isoformat() for day in axes.days]
        facts = PanelFacts(
            granularity=plan.name,
            inputs=inputs,
            content=fingerprint([days, axes.symbols, plan.features, shards, precision]),
            days=axes.days,
            symbols=axes.symbols,
            bars=axes.bars,
            features=plan.features,
            precision=precision,
        )
        read = (read_shard(parts.path(shard_name(month)), sha256) for month, sha256 in shards.items())
        return write_panel(facts, self.folder, (spread_out(shard, axes.symbol_number) for shard in read))


def span_features(span: Span) -> list[dict[str, str]]:
    """Compute the months of a span one after the other and commit their shards; sha256 of the files by plan."""
    store = Store(span.store, span.until)
    reader = MonthReader(store)
    hashes = []
    for month in span.months:
        hashes.append(_commit_month(month, span.folder, store, reader))
        return_memory()
    return hashes


def _commit_month(month: Month, folder: Path, store: Store, reader: MonthReader) -> dict[str, str]:
    task = month.task
    made = month_features(task, month.plans, store, reader)
    symbols = tuple(store.symbols[i] for i in made.stocks)
    hashes = {}
    for name, values in made.values.items():
        path, inputs = folder / name / shard_name(task.month), month.inputs[name]
        shard = Shard(inputs, symbols, values)
        if name in month.old:
            shard = grown(read_shard(path, month.old[name]), task.fresh - task.start, shard)
        hashes[name] = write_shard(path, shard)
    return hashes
