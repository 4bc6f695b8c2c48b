"""A month of features: the tables of its days and of those they look back to → normalised values of every plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polygrain.features.bars import Bars, SlotBars
from polygrain.features.carried import TotalsBack
from polygrain.features.grid import Grid, daily_facts
from polygrain.features.library import FEATURES, compute
from polygrain.features.normalize import normalise
from polygrain.features.plan import Plan
from polygrain.features.reader import MonthReader
from polygrain.features.schedule import MonthTask
from polygrain.features.totals import Totals
from polygrain.features.weeks import WeekBars
from polygrain.market.session import Session
from polygrain.store.panel import Array
from polygrain.store.store import Store

# Stocks and base-bar cells worked on at a time: few enough for the processor's cache, many enough that numpy's calls
# cost little beside their work.
_STOCKS = 1024
_CELLS = 1 << 18


@dataclass(frozen=True)
class MonthValues:
    """Values of the fresh days by plan; `stocks` are the symbol numbers of those that traded on one of the month's days
    at least."""

    stocks: Array
    values: dict[str, Array]


def month_features(task: MonthTask, plans: tuple[Plan, ...], store: Store, reader: MonthReader) -> MonthValues:
    """Normalised values float32 [rows of the fresh days, stocks, features].

    A row sees its own bar and what its features' history reaches back to.
    """
    raw = raw_features(task, plans, store, reader)
    members = task.members[task.fresh - task.start :, raw.stocks]
    return MonthValues(raw.stocks, {p.name: _normalised(raw.values.pop(p.name), p, members) for p in plans})


def raw_features(task: MonthTask, plans: tuple[Plan, ...], store: Store, reader: MonthReader) -> MonthValues:
    """Values before normalisation, float64 [features, rows of the fresh days, stocks]; NaN where there is none."""
    session, base = Session(segments=store.facts.segments), store.facts.base_bar
    months = reader.bars(task.reads)
    days = daily_facts(store.daily(task.reads), months, task.days, store.symbols, task.before)
    stocks = np.flatnonzero(days.traded[task.start :].any(axis=0))
    fresh = len(task.days) - task.fresh
    raw = {p.name: np.empty((len(p.features), fresh * p.bars_a_day, len(stocks))) for p in plans}
    looked_back: set[str] = set()
    for reach in sorted({plan.reach(name) for plan in plans for name in plan.features} | {0}):
        for month in months or ():
            month.asked.clear()
        wanted = len(reader.carried)
        for first, end, block in _chunks(session.bars_a_day(base), fresh, len(stocks), reach):
            part = days.between(max(0, task.fresh + first - reach), task.fresh + end)
            dense = Grid(session, base, months, part, stocks[block])
            totals = TotalsBack(dense, reader.carried, part.days, stocks[block]) if reach else Totals(dense)
            _fill(raw, plans, reach, totals, slice(first, end), block)
            # Of a pass that looks back only where it has asked for something new, which its own days do not have yet.
            if not reach or len(reader.carried) > wanted:
                reader.carried.keep(totals, part.days[first - end :], stocks[block])
        if reach:
            looked_back.update(*(month.asked for month in months or ()))
    for month in months or ():
        month.keep(looked_back)
    reader.carried.forget(task.days[0])
    return MonthValues(stocks, raw)


def _chunks(bars: int, days: int, stocks: int, reach: int) -> Iterator[tuple[int, int, slice]]:
    """(first day, end, block of stocks): twice as many days as those that each chunk looks back to."""
    width = min(_STOCKS, max(1, stocks))
    length = max(1, 2 * reach, _CELLS // (bars * width))
    for first in range(0, days, length):
        for left in range(0, stocks, width):
            yield first, min(first + length, days), slice(left, left + width)


def _fill(
    raw: dict[str, Array], plans: tuple[Plan, ...], reach: int, totals: Totals, days: slice, block: slice
) -> None:
    """Compute over a chunk the features that reach back so far, each value in its place in `raw`."""
    before = len(totals.grid.traded) - (days.stop - days.start)
    for plan in plans:
        rows = slice(days.start * plan.bars_a_day, days.stop * plan.bars_a_day)
        bars = _bars(plan, totals, max(0, before - (reach - plan.lead)))
        for i, name in enumerate(plan.features):
            if plan.reach(name) == reach:
                raw[plan.name][i, rows, block] = compute(name, bars)[bars.rows - (rows.stop - rows.start) :]


def _bars(plan: Plan, totals: Totals, start: int) -> Bars:
    return WeekBars(totals, start) if plan.minutes is None else SlotBars(totals, plan.minutes, start)


def _normalised(raw: Array, plan: Plan, members: Array) -> Array:
    """Raw values [features, rows, stocks] → normalised float32 [rows, stocks, features]."""
    fitted = np.repeat(members, plan.bars_a_day, axis=0)
    values = np.empty((raw.shape[1], raw.shape[2], len(plan.features)), np.float32)
    for i, name in enumerate(plan.features):
        values[:, :, i] = normalise(raw[i], fitted, FEATURES[name].log)
    return values
