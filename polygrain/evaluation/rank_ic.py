"""Rank IC: how well scores rank the returns that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from polygrain.evaluation.ranking import Order, Ranking, ordered, ranking
from polygrain.execution.ledger import Market
from polygrain.store.panel import Array

_BLOCK = 64


def rank_ic(scores: Array, returns: Array, mask: Array) -> Array:
    """Spearman correlation with average ranks by date [days] of scores and returns [days, symbols] over `mask`.

    Only stocks with both values count; NaN where they are fewer than 3 or either side is constant. Each row sees itself
    only.
    """
    values = np.full(len(scores), np.nan)
    for day, order in ranking(scores, range(len(scores))).items():
        inside = mask[day] & np.isfinite(returns[day])
        ((values[day], _),) = _of_a_date([order], ordered(np.where(inside, returns[day], np.nan)), inside)
    return values


def _of_a_date(rankings: Sequence[Order], returns: Order, inside: Array) -> Iterator[tuple[float, int]]:
    """Rank IC of each ranking with the order of returns, which has the stocks `inside`, and how many it is of."""
    ranks = returns.ranks(len(inside))
    for each in rankings:
        ours = each.among(inside)
        # Ranks among fewer stocks, where some have no score, are others.
        theirs = ranks if len(ours) == len(returns) else returns.among(ours.mask(len(inside))).ranks(len(inside))
        # The best come first in a ranking, the worst in the order of returns.
        yield -correlation(ours.centred(), theirs.take(ours.columns)), len(ours)


@dataclass(frozen=True, eq=False)
class RankICs:
    """Rank ICs [rankings, dates] over M_t, the members that can be bought at the fill, and over all members; how many
    stocks of M_t have a score and a return."""

    tradable: Array
    everyone: Array
    count: Array


def rank_ics_after(
    rankings: Sequence[Ranking], market: Market, members: Array, horizon: int, days: Sequence[int]
) -> RankICs:
    """Rank ICs of scores on the day numbers `days` and P(t+lag+h)/P(t+lag) − 1, P the adjusted fill prices.

    The rankings are of `members` alone, bool [days, symbols]. Date t sees t + lag + h; NaN where that lies past the
    data.
    """
    shape = len(rankings), len(days)
    found = RankICs(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, np.int32))
    for start in range(0, len(days), _BLOCK):
        here = slice(start, start + _BLOCK)
        rows = np.array(days[here])
        returns = _returns(market, rows, horizon)
        everyone = members[rows] & np.isfinite(returns)
        # Past the data no return is known, whatever the last row says.
        tradable = everyone & market.buyable[np.minimum(rows + market.lag, len(market.buyable) - 1)]
        for row, day in enumerate(rows.tolist()):
            order = ordered(np.where(everyone[row], returns[row], np.nan))
            orders = [each[day] for each in rankings]
            of_all = _of_a_date(orders, order, everyone[row])
            of_some = _of_a_date(orders, order.among(tradable[row]), tradable[row])
            for number, ((ic, count), (ic_all, _)) in enumerate(zip(of_some, of_all)):
                found.tradable[number, start + row], found.count[number, start + row] = ic, count
                found.everyone[number, start + row] = ic_all
    return found


def _returns(market: Market, days: Array, horizon: int) -> Array:
    """P(t+lag+h)/P(t+lag) − 1 [dates, symbols] of the day numbers `days`, at the end the last price there was.

    What `forward_returns` gives, of these days alone.
    """
    returns = np.full((len(days), market.price.shape[1]), np.nan)
    inside = days + market.lag + horizon < len(market.price)
    start = days[inside] + market.lag
    returns[inside] = market.ends[start + horizon] / market.price[start] - 1
    return returns


def rank_correlation(one: Order, other: Order, symbols: int) -> float:
    """Spearman correlation of two orders over the stocks that both have; NaN as in `rank_ic`."""
    common = one.mask(symbols) & other.mask(symbols)
    one = one.among(common)
    return correlation(one.centred(), other.among(common).ranks(symbols).take(one.columns))


def correlation(x: Array, y: Array) -> float:
    """Pearson's of centred ranks; every sum is a whole number, so that the order of its terms does not matter."""
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    return xy / float(np.sqrt(xx * yy)) if len(x) >= 3 and xx > 0 and yy > 0 else np.nan
