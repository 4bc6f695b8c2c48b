"""Labels: returns after the fill, ranked within each date."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from polygrain.execution.fills import buyable, fill_named, fill_price
from polygrain.execution.quotes import Quotes
from polygrain.spec import Spec
from polygrain.store.panel import Array, carried


def average_ranks(values: Array, mask: Array) -> Array:
    """Average ranks from 1 within each row of `values` [D, S], over those present in `mask` [D, S]; NaN elsewhere."""
    present = mask & ~np.isnan(values)
    keys = np.where(present, values, np.nan)
    order = np.argsort(keys, axis=1, kind="stable")  # NaN sorts last
    ordered = np.take_along_axis(keys, order, axis=1)
    position = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    differs = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((values.shape[0], min(1, values.shape[1])), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), position, 0), axis=1)
    last_position = np.where(np.hstack([differs, edge]), position, values.shape[1])
    last = np.minimum.accumulate(last_position[:, ::-1], axis=1)[:, ::-1]
    ranks = np.full(values.shape, np.nan)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    ranks[~present] = np.nan
    return ranks


def gaussian_rank(values: Array, mask: Array, minimum: int = 1) -> Array:
    """Φ⁻¹((average rank − ½) / N) within each row of `values` [D, S] over `mask` [D, S], N the row's values there.

    Dimensionless, float64; NaN outside the mask and in rows where N < `minimum`. Each row sees itself only.
    """
    ranks = average_ranks(values, mask)
    count = np.isfinite(ranks).sum(axis=1, keepdims=True)
    share = np.where(count >= minimum, (ranks - 0.5) / np.maximum(count, 1), np.nan)
    scores: Array = torch.special.ndtri(torch.from_numpy(share)).numpy()
    return scores


def forward_returns(prices: Array, lag: int, horizon: int) -> Array:
    """P_{t+lag+H} / P_{t+lag} − 1 of adjusted fill prices [D, S]; a price missing at the end is the last one before it.

    NaN where the price at t+lag is missing or t+lag+H lies past the data. Row t sees the days t+lag..t+lag+H.
    """
    days = prices.shape[0]
    filled = carried(prices)
    returns = np.full(prices.shape, np.nan)
    rows = max(0, days - lag - horizon)
    returns[:rows] = filled[lag + horizon :] / prices[lag : lag + rows] - 1
    return returns


def tradable(members: Array, quotes: Quotes, fill: str) -> Array:
    """M_t = U_t and bought at the fill: `members` [D, S] and buyable on day t + lag of the fill; False past the data.

    Row t sees day t + lag. ConfigError where the fill is unknown.
    """
    rule = fill_named(fill)
    at_fill = np.zeros(members.shape, dtype=bool)
    at_fill[: members.shape[0] - rule.lag] = buyable(quotes, rule)[rule.lag :]
    mask: Array = members & at_fill
    return mask


class Label(Spec):
    """What a network learns: the return over `days` trading days after the fill, as a target within each date.

    `shuffle` is a control: returns change places within each date, drawn by this seed; there is nothing to learn then.
    """

    days: list[int] = Field(default=[5, 10])
    target: Literal["gaussian_rank", "excess", "raw"] = "gaussian_rank"
    fill: str = "t1_vwap"
    minimum: int = Field(default=50, ge=1)
    shuffle: int | None = None

    def purge(self, horizon: int) -> int:
        """Days that a label reaches past its date: lag + H."""
        return fill_named(self.fill).lag + horizon

    def returns(self, quotes: Quotes, horizon: int) -> Array:
        """P_{t+lag+H} / P_{t+lag} − 1 at the label's fill [D, S]; sees days up to t+lag+H."""
        rule = fill_named(self.fill)
        return forward_returns(fill_price(quotes, rule), rule.lag, horizon)

    def targets(self, quotes: Quotes, members: Array, horizon: int) -> Array:
        """Targets [D, S] over M_t, NaN elsewhere and on dates with fewer than `minimum` stocks.

        `members` [D, S] is U_t. gaussian_rank: Φ⁻¹((average rank − ½)/N); excess: minus the mean, over the standard
        deviation (ddof 0; 0 where that is 0); raw: the return. Row t sees days up to t+lag+H.
        """
        returns = self.returns(quotes, horizon)
        mask = tradable(members, quotes, self.fill) & np.isfinite(returns)
        if self.shuffle is not None:
            returns = shuffled(returns, mask, self.shuffle)
        if self.target == "gaussian_rank":
            return gaussian_rank(returns, mask, self.minimum)
        kept = np.where(mask & (mask.sum(axis=1, keepdims=True) >= self.minimum), returns, np.nan)
        return kept if self.target == "raw" else standardise(kept)


def shuffled(values: Array, mask: Array, seed: int) -> Array:
    """`values` [D, S] with those in `mask` permuted within each row; the rest as it was."""
    rng = np.random.default_rng(seed)
    mixed = values.copy()
    for row, inside in enumerate(mask):
        columns = np.flatnonzero(inside)
        mixed[row, columns] = values[row, rng.permutation(columns)]
    return mixed


def standardise(values: Array) -> Array:
    """(x − mean) / std within each row [D, S] over its finite values (ddof 0); 0 where std is 0; NaN stays NaN."""
    present = np.isfinite(values)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    centred = values - _row_sums(np.where(present, values, 0)) / count
    std = np.sqrt(_row_sums(np.where(present, centred**2, 0)) / count)
    # Not std > 0: the mean of equal values can be one rounding away from them.
    largest = np.where(present, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    constant = ~(largest > np.where(present, values, np.inf).min(axis=1, keepdims=True, initial=np.inf))
    result: Array = np.where(present & constant, 0.0, centred / np.where(constant, 1, std))
    return np.where(present, result, np.nan)


def _row_sums(values: Array) -> Array:
    """Row sums [D, 1], added one by one: numpy's own sum depends on how many columns there are."""
    sums: Array = np.add.accumulate(values, axis=1)[:, -1:]
    return sums
