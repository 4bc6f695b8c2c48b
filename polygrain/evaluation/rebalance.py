"""Rebalance: from drifted holdings to equal weights of the wanted names, as far as the market lets them trade.

Shape suffixes: P portfolios, S symbols, W wanted names, T taken names, H holdings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from polygrain.execution.ledger import Holdings, edges_of, sums_between
from polygrain.store.panel import Array

_DUST = 1e-12
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Wanted:
    """Columns by portfolio, best first, portfolio after portfolio; `number_P` of each are to be taken."""

    portfolio_W: Array
    column_W: Array
    number_P: Array


def rebalanced(before: Holdings, cash_P: Array, buyable_S: Array, sellable_S: Array, wanted: Wanted) -> Holdings:
    """Holdings after a rebalance at one fill from the drifted ones `before` and cash.

    Down the wanted names those are taken that are buyable or held, until the number is reached. A held name that can be
    neither bought nor sold keeps its value; another held name that was not taken is sold if sellable, else kept. The
    rest is split equally over the taken names, except that one that cannot be bought keeps at most its drifted value,
    and one that cannot be sold at least that. What no name can take stays cash.
    """
    count, symbols = len(cash_P), len(buyable_S)
    held = before.keys(symbols)
    drifted = np.zeros(count * symbols)
    drifted[held] = before.value_H
    portfolio_T, column_T = _taken(wanted, drifted, buyable_S)
    tradable_T = (buyable_S | sellable_S).take(column_T)
    portfolio_T, column_T = portfolio_T[tradable_T], column_T[tradable_T]
    taken = portfolio_T * symbols + column_T
    kept = np.flatnonzero(~sellable_S.take(before.column_H))
    is_taken = np.zeros(count * symbols, bool)
    is_taken[taken] = True
    kept = kept[~is_taken.take(held[kept])]
    worth_P = cash_P + before.sums(count)
    left_P = worth_P - sums_between(edges_of(before.portfolio_H[kept], count), before.value_H[kept])
    edges = edges_of(portfolio_T, count)
    # Few names are bound: all others get the level.
    bound_T = np.flatnonzero(~(buyable_S & sellable_S).take(column_T))
    value = drifted[taken[bound_T]]
    capped, floored = ~buyable_S[column_T[bound_T]], ~sellable_S[column_T[bound_T]] & (value > 0)
    level_P = _levels(left_P, np.diff(edges), portfolio_T[bound_T], value, capped, floored)
    equal_T = np.repeat(level_P, np.diff(edges))
    equal_T[bound_T[capped]] = np.minimum(value[capped], equal_T[bound_T[capped]])
    equal_T[bound_T[floored]] = np.maximum(value[floored], equal_T[bound_T[floored]])
    after = Holdings(portfolio_T, column_T, equal_T)
    if len(kept):
        # In front of what the same portfolio takes.
        place = edges[before.portfolio_H[kept]] + np.arange(len(kept))
        after = _inserted(before.only(kept), place, after)
    # What rounding leaves over must not count as a holding: held names rank where others are passed over.
    if not len(after.value_H) or after.value_H.min() > _DUST * worth_P.max():
        return after
    real_H = (after.value_H > 0) & (after.value_H >= _DUST * worth_P.take(after.portfolio_H))
    return after if real_H.all() else after.only(real_H)


def _inserted(few: Holdings, place: Array, many: Holdings) -> Holdings:
    """Both in one, the few at the places that they get."""
    rest = np.ones(len(few.value_H) + len(many.value_H), bool)
    rest[place] = False

    def joined(those: Array, these: Array) -> Array:
        made = np.empty(len(rest), these.dtype)
        made[place], made[rest] = those, these
        return made

    return Holdings(
        joined(few.portfolio_H, many.portfolio_H),
        joined(few.column_H, many.column_H),
        joined(few.value_H, many.value_H),
    )


def _taken(wanted: Wanted, drifted: Array, buyable_S: Array) -> tuple[Array, Array]:
    """Portfolios and columns of the first names of each portfolio that are buyable or held."""
    portfolio_W, column_W = wanted.portfolio_W, wanted.column_W
    possible_W = buyable_S.take(column_W)
    # Few are not buyable: only of them it is looked up whether they are held.
    rest = np.flatnonzero(~possible_W)
    possible_W[rest] = drifted[portfolio_W[rest] * len(buyable_S) + column_W[rest]] > 0
    portfolio, column = portfolio_W[possible_W], column_W[possible_W]
    edges = edges_of(portfolio, len(wanted.number_P))
    stop_P = np.minimum(edges[:-1] + wanted.number_P, edges[1:])
    first = np.arange(len(portfolio)) < np.repeat(stop_P, np.diff(edges))
    return portfolio[first], column[first]


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
