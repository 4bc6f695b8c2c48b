"""Build: the store's months → a shard of features a month → one contiguous panel a granularity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from polygrain.compute import Pool
from polygrain.errors import DataError
from polygrain.features.bars import Bars, SlotBars, Totals, WeekBars
from polygrain.features.granularity import Granularity
from polygrain.features.grid import Grid, LastClose, grid, last_close
from polygrain.features.library import FEATURES, chosen, compute
from polygrain.features.normalize import normalise
from polygrain.features.panels import PanelFacts, find_panel, write_panel
from polygrain.market.calendar import month_of
from polygrain.market.session import DAYS_A_WEEK, Session
from polygrain.store.commit import JSON, Parts, code_fingerprint, commit, file_fingerprint, fingerprint
from polygrain.store.panel import Array, Axes
from polygrain.store.store import Store

# Stocks worked on at a time: their arrays stay in the processor's cache.
_BLOCK = 256


@dataclass(frozen=True)
class Plan:
    """One granularity of a run: `minutes` of session time in a bar, None for the week, and its features."""

    name: str
    minutes: int | None
    bars_a_day: int
    features: tuple[str, ...]

    @property
    def described(self) -> list[JSON]:
        """What of it its values depend on."""
        return [self.minutes, self.bars_a_day, list(self.features), FEATURES.hashes(self.features)]

    @property
    def lead(self) -> int:
        """Days before a row that its own bar reaches back to."""
        return 0 if self.minutes is not None else DAYS_A_WEEK - 1

    @property
    def history(self) -> int:
        """Days before a row that its features may see."""
        return self.lead + max(FEATURES[name].history for name in self.features)


@dataclass(frozen=True)
class MonthTask:
    """A month of features: `days` are its history and then its own from number `start` on, read from months `reads`.

    `before` is what the days before `reads` leave behind, `members` bool [own days, symbols].
    """

    store: Path
    folder: Path
    month: str
    reads: tuple[str, ...]
    days: tuple[date, ...]
    start: int
    before: LastClose | None
    members: Array
    plans: tuple[Plan, ...]


def available(store: Store) -> frozenset[str]:
    """Which of the columns that features may need the store has: "amount", "float_shares"."""
    newest = store.daily(store.months[-1:])
    has_amount = store.facts.base_bar != "day" or store.facts.amount != "none"
    has_shares = "float_shares" in newest.columns and newest["float_shares"].count() > 0
    return frozenset([*(["amount"] if has_amount else []), *(["float_shares"] if has_shares else [])])


def build(
    store: Store,
    granularities: Sequence[Granularity],
    members: Array,
    folder: Path,
    pool: Pool,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """The panel file of every granularity, by name: float32 [days × bars, symbols, features] over the store's bar days.

    `members` bool [bar days, symbols] are the stocks that normalisation is fitted on, known before each day's open.
    A panel's row sees its own bar and what its features' history reaches back to. Months whose inputs have not changed
    are not computed again. ConfigError for a granularity or a feature that the store cannot give.
    """
    shape = (len(store.bar_days), len(store.symbols))
    if members.shape != shape:
        raise DataError("members", f"holds {members.shape}, not {shape[0]} days × {shape[1]} symbols")
    plans = _plans(store, granularities)
    code = code_fingerprint("features", "market")
    inputs = {p.name: fingerprint([store.fingerprint(), _digest(members), code, p.described]) for p in plans}
    panels = {p.name: find_panel(folder, p.name, inputs[p.name]) for p in plans}
    wanted = tuple(p for p in plans if panels[p.name] is None)
    if wanted:
        work = _Work(store, wanted, members, folder, code)
        work.compute(pool, progress)
        panels |= {p.name: work.assemble(p, inputs[p.name]) for p in wanted}
    return {name: path for name, path in panels.items() if path is not None}


def _plans(store: Store, granularities: Sequence[Granularity]) -> tuple[Plan, ...]:
    session, base = Session(segments=store.facts.segments), store.facts.base_bar
    features = chosen(granularities, session, base, available(store))
    return tuple(
        Plan(g.name, None if g.bar == "week" else session.minutes_of(g.bar), g.bars_a_day(session), features[g.name])
        for g in granularities
    )


def _digest(*arrays: Array) -> str:
    hashed = hashlib.sha256()
    for values in arrays:
        hashed.update(repr((values.shape, values.dtype.str)).encode())
        hashed.update(np.ascontiguousarray(values).tobytes())
    return hashed.hexdigest()


def _labelled(symbols: Sequence[str], values: Array) -> list[str]:
    """Digest of [rows, symbols] that a symbol without any entry (False, NaN) does not change."""
    kept = np.flatnonzero(((values == values) & (values != 0)).any(axis=0)).tolist()
    return [_digest(values[:, kept]), fingerprint([symbols[i] for i in kept])]


class _Work:
    """The month tasks of one build, and what they were made from."""

    def __init__(self, store: Store, plans: tuple[Plan, ...], members: Array, folder: Path, code: str) -> None:
        self.store, self.plans, self.members, self.folder, self.code = store, plans, members, folder, code
        self.months = sorted({month_of(day) for day in store.bar_days})
        self._of_day = [month_of(day) for day in store.bar_days]
        self._before = _closes_before(store)
        self.parts = {plan.name: Parts(folder / plan.name) for plan in plans}
        self._inputs = {(p.name, month): self._fingerprint(p, month) for p in plans for month in self.months}

    def _task(self, month: str, plans: tuple[Plan, ...]) -> MonthTask:
        own = [i for i, of in enumerate(self._of_day) if of == month]
        start = max(0, own[0] - max(plan.history for plan in plans))
        reads = tuple(m for m in self.store.months if self._of_day[start] <= m <= month)
        return MonthTask(
            store=self.store.folder,
            folder=self.folder,
            month=month,
            reads=reads,
            days=self.store.bar_days[start : own[-1] + 1],
            start=own[0] - start,
            before=self._before[reads[0]],
            members=self.members[own],
            plans=plans,
        )

    def _fingerprint(self, plan: Plan, month: str) -> str:
        task = self._task(month, (plan,))
        symbols = self.store.symbols
        before = [] if task.before is None else _labelled(symbols, np.stack([task.before.close, task.before.factor]))
        return fingerprint(
            {
                "code": self.code,
                "plan": plan.described,
                "store": self.store.fingerprint(task.reads),
                "days": [day.isoformat() for day in task.days],
                "before": before,
                "members": _labelled(symbols, task.members),
            }
        )

    def compute(self, pool: Pool, progress: Callable[[str], None] | None) -> None:
        """Make the shards that are not there yet, and drop those of months that the store no longer has."""
        tasks = []
        for month in self.months:
            plans = tuple(
                p for p in self.plans if not self.parts[p.name].current(_shard(month), self._inputs[p.name, month])
            )
            if plans:
                tasks.append(self._task(month, plans))

        def done(task: MonthTask, shards: dict[str, str]) -> None:
            for name, sha256 in shards.items():
                inputs = self._inputs[name, task.month]
                self.parts[name].put(_shard(task.month), inputs, sha256)
            if progress is not None:
                progress(f"features of {task.month}")

        pool.map(month_features, tasks, cost=lambda task: len(task.days), done=done)
        for parts in self.parts.values():
            parts.drop([name for name in parts.names() if name not in {_shard(month) for month in self.months}])

    def assemble(self, plan: Plan, inputs: str) -> Path:
        """The granularity's panel from its shards; DataError where one is damaged."""
        parts = self.parts[plan.name]
        axes = Axes(self.store.bar_days, self.store.symbols, plan.bars_a_day)
        shards = {month: parts.sha256(_shard(month)) for month in self.months}
        days = [day.isoformat() for day in axes.days]
        facts = PanelFacts(
            granularity=plan.name,
            inputs=inputs,
            content=fingerprint([days, axes.symbols, plan.features, shards]),
            days=axes.days,
            symbols=axes.symbols,
            bars=axes.bars,
            features=plan.features,
        )
        files = ((parts.path(_shard(month)), sha256) for month, sha256 in shards.items())
        return write_panel(facts, self.folder, (read_shard(path, sha256, axes) for path, sha256 in files))


def _closes_before(store: Store) -> dict[str, LastClose | None]:
    """What each month finds as last traded closes when it starts."""
    before: dict[str, LastClose | None] = {}
    last: LastClose | None = None
    for month in store.months:
        before[month] = last
        last = last_close(store.daily([month]), store.symbols, last)
    return before


def _shard(month: str) -> str:
    return f"{month}.safetensors"


def read_shard(path: Path, sha256: str, axes: Axes) -> Array:
    """A month's values [rows, all symbols, features]; 0 for symbols that the shard does not hold."""
    if file_fingerprint(path) != sha256:
        raise DataError(str(path), "is damaged: its bytes are not those of its manifest; remove it and run again")
    with safe_open(str(path), framework="numpy") as file:
        values = file.get_tensor("values")
        symbols = json.loads(file.metadata()["symbols"])
    out = np.zeros((values.shape[0], len(axes.symbols), values.shape[2]), np.float32)
    out[:, [axes.symbol_number[symbol] for symbol in symbols]] = values
    return out


def month_features(task: MonthTask) -> dict[str, str]:
    """Compute a month's shard of every plan in the task and commit it; sha256 of the files by plan."""
    store = Store(task.store)
    facts = store.facts
    session = Session(segments=facts.segments)
    bars = None if facts.base_bar == "day" else store.bars(task.reads)
    dense = grid(bars, store.daily(task.reads), task.days, store.symbols, session, facts.base_bar, task.before)
    there = np.flatnonzero(dense.traded[task.start :].any(axis=0))
    own = len(task.days) - task.start
    raw = {p.name: np.empty((len(p.features), own * p.bars_a_day, len(there))) for p in task.plans}
    for first in range(0, len(there), _BLOCK):
        block = slice(first, first + _BLOCK)
        views = _Views(dense.stocks(there[block]), task.start)
        for plan in task.plans:
            for i, name in enumerate(plan.features):
                raw[plan.name][i][:, block] = views.values(plan, name)
    hashes = {}
    for plan in task.plans:
        fitted = np.repeat(task.members[:, there], plan.bars_a_day, axis=0)
        values = np.empty((own * plan.bars_a_day, len(there), len(plan.features)), np.float32)
        for i, name in enumerate(plan.features):
            values[:, :, i] = normalise(raw[plan.name][i], fitted, FEATURES[name].log)
        path = task.folder / plan.name / _shard(task.month)
        _write_shard(path, values, [store.symbols[i] for i in there])
        hashes[plan.name] = file_fingerprint(path)
    return hashes


def _write_shard(path: Path, values: Array, symbols: list[str]) -> None:
    metadata = {"symbols": json.dumps(symbols)}
    commit(path, lambda temporary: save_file({"values": values}, str(temporary), metadata))


class _Views:
    """A grid as the Bars of any plan; a feature with history gets Bars that start that many days earlier."""

    def __init__(self, dense: Grid, start: int) -> None:
        self._dense, self._start = dense, start
        self._totals: dict[int, Totals] = {}
        self._bars: dict[tuple[str, int], Bars] = {}

    def values(self, plan: Plan, name: str) -> Array:
        """The feature over the rows from day number `start` on."""
        history = FEATURES[name].history
        key = (plan.name, history)
        if key not in self._bars:
            self._bars[key] = self._view(plan, history)
        rows = (len(self._dense.traded) - self._start) * plan.bars_a_day
        return compute(name, self._bars[key])[-rows:]

    def _view(self, plan: Plan, history: int) -> Bars:
        first = max(0, self._start - history - plan.lead)
        skipped = max(0, self._start - history - first)
        if first not in self._totals:
            self._totals[first] = Totals(self._dense.since(first))
        if plan.minutes is None:
            return WeekBars(self._totals[first], skipped)
        return SlotBars(self._totals[first], plan.minutes, skipped)
