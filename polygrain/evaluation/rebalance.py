"""Rebalance: from drifted holdings to equal weights of the wanted names, as far as the market lets them trade.

Shape suffixes: P portfolios, S symbols, W wanted names, T taken names, H holdings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from polygrain.execution.ledger import Holdings, edges_of, owners, sums_between, without
from polygrain.store.panel import Array

_DUST = 1e-12
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Wanted:
    """Columns by portfolio, best first, each portfolio's from its one of `edges` [P + 1] on; `number_P` of each are to
    be taken."""

    edges: Array
    column_W: Array
    number_P: Array


def rebalanced(before: Holdings, cash_P: Array, buyable_S: Array, sellable_S: Array, wanted: Wanted) -> Holdings:
    """Holdings after a rebalance at one fill from the drifted ones `before` and cash.

    Down the wanted names those are taken that are buyable or held, until the number is reached. A held name that can be
    neither bought nor sold keeps its value; another held name that was not taken is sold if sellable, else kept. The
    rest is split equally over the taken names, except that one that cannot be bought keeps at most its drifted value,
    and one that cannot be sold at least that. What no name can take stays cash.
    """
    count = len(cash_P)
    held = _bound(before.edges, before.column_H, buyable_S, sellable_S)
    drifted = np.zeros((count, len(buyable_S)))
    drifted[held.owner, held.column] = before.value_H[held.row]
    taken = _taken(wanted, drifted, _bound(wanted.edges, wanted.column_W, buyable_S, sellable_S))
    names = taken.bound
    # What is taken is not kept.
    drifted[names.owner, names.column] = 0.0
    kept = held.only(~held.sellable & (drifted[held.owner, held.column] > 0))
    kept_value, kept_edges = before.value_H[kept.row], edges_of(kept.owner, count)
    worth_P = cash_P + before.sums()
    left_P = worth_P - sums_between(kept_edges, kept_value)
    capped, floored = ~names.buyable, ~names.sellable & (taken.drifted > 0)
    level_P = _levels(left_P, np.diff(taken.edges), names.owner, taken.drifted, capped, floored)
    # What a portfolio keeps stands in front of what it takes.
    front, edges = taken.edges[kept.owner], taken.edges + kept_edges
    value_H = np.repeat(level_P, np.diff(edges))
    value_H[front + np.arange(len(front))] = kept_value
    row = names.row + kept_edges[names.owner + 1]
    value_H[row[capped]] = np.minimum(taken.drifted[capped], value_H[row[capped]])
    value_H[row[floored]] = np.maximum(taken.drifted[floored], value_H[row[floored]])
    after = Holdings(edges, np.insert(taken.column_T, front, kept.column), value_H)
    # What rounding leaves over must not count as a holding: held names rank where others are passed over.
    if not len(value_H) or value_H.min() > _DUST * worth_P.max():
        return after
    real_H = (value_H > 0) & (value_H >= _DUST * np.repeat(worth_P, np.diff(edges)))
    return after if real_H.all() else after.only(real_H)


@dataclass(frozen=True, eq=False)
class _Bound:
    """The few rows whose names cannot be bought or cannot be sold, in order; all other names are treated alike."""

    row: Array
    owner: Array
    column: Array
    buyable: Array
    sellable: Array

    def only(self, kept: Array) -> _Bound:
        return _Bound(self.row[kept], self.owner[kept], self.column[kept], self.buyable[kept], self.sellable[kept])


def _bound(edges: Array, column: Array, buyable_S: Array, sellable_S: Array) -> _Bound:
    """Those of the rows with these columns that are bound."""
    row = np.flatnonzero((~(buyable_S & sellable_S)).take(column))
    return _Bound(row, owners(edges, row), column[row], buyable_S[column[row]], sellable_S[column[row]])


@dataclass(frozen=True, eq=False)
class _Taken:
    """The names that share what is left, portfolio after portfolio; those of them that are bound, and what they were
    worth."""

    edges: Array
    column_T: Array
    bound: _Bound
    drifted: Array


def _taken(wanted: Wanted, drifted: Array, bound: _Bound) -> _Taken:
    """The first names of each portfolio that are buyable or held, without those that cannot be traded."""
    value = drifted[bound.owner, bound.column]
    passed = ~bound.buyable & (value == 0)
    taken_W = np.ones(len(wanted.column_W), bool)
    taken_W[bound.row[passed | ~(bound.buyable | bound.sellable)]] = False
    for stop, end in zip(_stops(wanted, bound.row[passed]), wanted.edges[1:]):
        taken_W[stop:end] = False
    gone, here = np.flatnonzero(~taken_W), taken_W[bound.row]
    left = bound.only(here)
    return _Taken(
        without(wanted.edges, gone),
        wanted.column_W[taken_W],
        replace(left, row=without(left.row, gone)),
        value[here],
    )


def _stops(wanted: Wanted, passed: Array) -> Array:
    """Where each portfolio has reached its number, [P]; the names at the places `passed` do not count."""
    first, end = wanted.edges[:-1], wanted.edges[1:]
    goal = first - np.searchsorted(passed, first) + wanted.number_P
    # A name that counts stands as far back as there are passed ones before it.
    found = goal + np.searchsorted(passed - np.arange(len(passed)), goal)
    return np.asarray(np.clip(found, first, end))


def _levels(left_P: Array, names_P: Array, owner: Array, bound: Array, capped: Array, floored: Array) -> Array:
    """x by portfolio with (free names) · x + Σ min(cap, x) + Σ max(floor, x) = left; infinite where caps alone remain.

    `names_P` are the names that share what is left; those with a `bound` are capped there, floored or neither. All
    portfolios at once by Newton's steps, from the level without caps and floors; one by one where these turn in circles
    or come to where the sum is flat.
    """
    count = len(left_P)
    level_P = np.divide(left_P, names_P, out=np.zeros(count), where=names_P > 0)
    bounded = capped | floored
    if not bounded.any():
        return level_P
    owner, bound, is_cap = owner[bounded], bound[bounded], capped[bounded]
    settled_P = np.zeros(count, bool)
    for _ in range(_ROUNDS):
        fixed = np.where(is_cap, bound < level_P[owner], bound > level_P[owner])
        slope_P = names_P - np.bincount(owner[fixed], minlength=count)
        spent_P = sums_between(edges_of(owner[fixed], count), bound[fixed])
        next_P = np.divide(np.maximum(left_P - spent_P, 0.0), slope_P, out=np.full(count, np.inf), where=slope_P > 0)
        settled_P = next_P == level_P
        level_P = next_P
        if settled_P.all():
            break
    flat_P = np.bincount(owner[~is_cap], minlength=count).astype(bool) & np.isinf(level_P)
    for portfolio in np.flatnonzero((~settled_P | flat_P) & (names_P > 0)):
        mine = owner == portfolio
        caps, floors = bound[mine & is_cap], bound[mine & ~is_cap]
        level_P[portfolio] = _level(float(left_P[portfolio]), int(names_P[portfolio]), caps, floors)
    return level_P


def _level(left: float, names: int, caps: Array, floors: Array) -> float:
    """The level of one portfolio, bend by bend."""
    free = names - len(caps) - len(floors)
    x, spent = 0.0, float(floors.sum())
    for bend in np.sort(np.concatenate([caps, floors])):
        at_bend = free * bend + float(np.minimum(caps, bend).sum()) + float(np.maximum(floors, bend).sum())
        if at_bend > left:
            break
        x, spent = float(bend), at_bend
    slope = free + int((caps > x).sum()) + int((floors <= x).sum())
    if slope == 0:
        return x if len(floors) else math.inf
    return x + max(0.0, left - spent) / slope
