"""Walk: a portfolio from date to date, planned at closes from what is known there and traded at the fills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polygrain.execution.account import Account, Filled
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.known import Known
from polygrain.portfolio.plan import Plan
from polygrain.portfolio.solve import Solution
from polygrain.store.panel import Array


@dataclass(frozen=True, eq=False)
class Decision:
    """One date of a walk: what was known, what was planned, and what the fill made of it.

    `day` and `fill` are day numbers; `covered` is the share of the index with data; `shares` [symbols] of adjusted
    prices are held after the fill.
    """

    day: int
    fill: int
    covered: float
    context: DateContext
    solution: Solution
    filled: Filled
    shares: Array


@dataclass(frozen=True, eq=False)
class Walked:
    """From day number `base`, the day before the first fill, to the last day: NAV before and after costs, 1 at `base`,
    and the share of cash."""

    base: int
    gross: Array
    net: Array
    cash: Array


def walk(
    known: Known, account: Account, plan: Plan, *, lag: int, last: int, record: Callable[[Decision], None]
) -> Walked:
    """One portfolio, started from cash at the first decision, whose NAV ends on day number `last`.

    At each decision's close the holdings of the `account`, which has not traded yet, are valued, the weights are
    planned, and orders in shares are made of what they lack; these are filled `lag` days later, sales first. What fails
    is planned anew at the next decision. Each decision is given to `record`; those whose fill would be past `last` are
    not made, and there must be one that is.
    """
    fills = [day + lag for day in known.days if day + lag <= last]
    base = fills[0] - 1
    gross, net, cash = np.ones(last + 1 - base), np.ones(last + 1 - base), np.ones(last + 1 - base)
    before = None
    for row, fill in enumerate(fills):
        weights, in_cash = account.weights(known.days[row])
        context, columns = known.context(row, weights, in_cash, first=row == 0)
        before = plan(context, before)
        target = np.zeros(len(weights))
        target[columns] = before.weights
        filled = account.fill(fill, account.orders(known.days[row], target))
        stop = fills[row + 1] if row + 1 < len(fills) else last + 1
        here = slice(fill - base, stop - base)
        gross[here], net[here], cash[here] = account.closes(fill, stop)
        record(Decision(known.days[row], fill, float(known.covered[row]), context, before, filled, account.shares_S))
    return Walked(base, gross, net, cash)
