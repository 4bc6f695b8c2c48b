"""Walk: a portfolio from date to date, planned at closes from what is known there and traded at the fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from polygrain.execution.book import Book, Filled
from polygrain.execution.ledger import Market
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.infeasible import Order
from polygrain.portfolio.known import Known
from polygrain.portfolio.solve import Solution, solve
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
    known: Known,
    market: Market,
    constraints: Sequence[Constraint],
    *,
    order: Order,
    cost: float,
    last: int,
    record: Callable[[Decision], None],
) -> Walked:
    """One portfolio, started from cash 1 at the first decision, whose NAV ends on day number `last`.

    At each decision's close the holdings are valued, the weights of most score are solved for, and orders in shares
    are made of what they lack; these are filled `market.lag` days later, sales first. What fails is planned anew at the
    next decision. `cost` is per round trip. Each decision is given to `record`; those whose fill would be past `last`
    are not made, and there must be one that is.
    """
    book = Book(market, cost_per_side=cost / 2)
    fills = [day + market.lag for day in known.days if day + market.lag <= last]
    base = fills[0] - 1
    gross, net, cash = np.ones(last + 1 - base), np.ones(last + 1 - base), np.ones(last + 1 - base)
    before = None
    for row, fill in enumerate(fills):
        weights, in_cash = book.weights(known.days[row])
        context, columns = known.context(row, weights, in_cash, first=row == 0)
        before = solve(context, constraints, order=order, before=before)
        target = np.zeros(len(weights))
        target[columns] = before.weights
        filled = book.fill(fill, book.orders(known.days[row], target))
        stop = fills[row + 1] if row + 1 < len(fills) else last + 1
        here = slice(fill - base, stop - base)
        gross[here], cash[here] = book.closes(fill, stop)
        net[here] = gross[here] * book.net
        record(Decision(known.days[row], fill, float(known.covered[row]), context, before, filled, book.shares_S))
    return Walked(base, gross, net, cash)
