"""Quotes: the daily panels that fills, labels and universes need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl

from polygrain.market.rules import Rules, limit_prices, reference_price
from polygrain.market.symbols import board, exchange
from polygrain.store.daily import daily_panels
from polygrain.store.panel import Array, Axes, carried
from polygrain.store.store import Store

FIELDS = ("open", "high", "low", "close", "vwap", "amount", "volume")
_COLUMNS = (*FIELDS, "factor", "suspended", "st", "up_limit", "down_limit")

LISTED_BEFORE = 1_000_000
"""Age offset of a stock that is already there on the first day and whose listing day is unknown."""


@dataclass(frozen=True, eq=False)
class Quotes:
    """Daily panels [days, symbols] over every day and symbol of a store, in the raw prices of the day.

    `open` … `vwap` are yuan a share, `amount` yuan, `volume` shares: NaN where the stock did not trade that day.
    `factor` is cumulative and carried forward. `st` is None where the source has no such column. `age` counts trading
    days from the listing day = 1; 0 before the listing and after the last day. `up_limit` and `down_limit` are yuan,
    NaN where there is none. `notes` are sentences about what the source lacks. Row t sees day t and those before it.
    """

    axes: Axes
    open: Array
    high: Array
    low: Array
    close: Array
    vwap: Array
    amount: Array
    volume: Array
    factor: Array
    traded: Array
    st: Array | None
    age: Array
    up_limit: Array
    down_limit: Array
    notes: tuple[str, ...] = ()

    def adjusted(self, field: Literal["open", "high", "low", "close", "vwap"]) -> Array:
        """Raw price × factor [days, symbols]; NaN where the stock did not trade."""
        raw: Array = getattr(self, field)
        return raw * self.factor

    @cached_property
    def valuation(self) -> Array:
        """What a share is worth at each close: its last adjusted close, carried forward; NaN before the first."""
        return carried(self.adjusted("close"))

    @cached_property
    def per_amount(self) -> Array:
        """One over the day's amount, per yuan [days, symbols]; 0 where nothing was traded or no amount is known."""
        known = self.amount > 0
        return np.divide(1.0, self.amount, out=np.zeros(self.amount.shape), where=known)

    @cached_property
    def last_day(self) -> Array:
        """Number of each stock's last listed day [symbols]; the number of days where it is still listed at the end."""
        days = len(self.axes.days)
        listed = self.age > 0
        last = days - 1 - np.argmax(listed[::-1], axis=0)
        return np.where(listed[-1] | ~listed.any(axis=0), days, last)


def quotes(store: Store, rules: Rules | None) -> Quotes:
    """The quotes of a store; a given limit price wins, others follow from `rules`, or there are none without rules."""
    axes = Axes(tuple(store.days), tuple(store.symbols))
    panels = daily_panels(store, axes, _COLUMNS)
    present = np.isfinite(panels["factor"])
    age, notes = _ages(axes, present, store.table("listings"))
    traded = (panels.pop("suspended") == 0.0) & (panels["volume"] > 0) & (age > 0)
    stray = int((present & (age == 0)).sum())
    if stray:
        notes.append(f"{stray} daily rows lie before their stock's listing or after its delisting and are left out.")
    for name in FIELDS:
        panels[name][~traded] = np.nan
    factor = carried(panels.pop("factor"))
    flag = panels.pop("st", None)
    st = None if flag is None else carried(flag) == 1.0
    given = [name for name in ("up_limit", "down_limit") if name in panels]
    if rules is None:
        source = "those of the daily table alone; none are assumed" if given else "not assumed"
        notes.append(f"Price limits are {source}.")
    elif st is None:
        notes.append(
            "No ST column: ST stocks are in U_t, and days on which they are locked at their own limits count as "
            "tradable."
        )
    up, down, broken = np.full(age.shape, np.nan), np.full(age.shape, np.nan), 0
    if rules is not None:
        up, down, broken = _bands(axes, rules, panels, factor=factor, traded=traded, st=st, age=age)
    for name, limit in (("up_limit", up), ("down_limit", down)):
        if name in given:
            np.copyto(limit, panels[name], where=np.isfinite(panels[name]))
        limit[age == 0] = np.nan
    if broken:
        notes.append(f"{broken:,} stock-days left their computed price band (relistings); no limit is assumed there.")
    return Quotes(
        axes,
        open=panels["open"],
        high=panels["high"],
        low=panels["low"],
        close=panels["close"],
        vwap=panels["vwap"],
        amount=panels["amount"],
        volume=panels["volume"],
        factor=factor,
        traded=traded,
        st=st,
        age=age,
        up_limit=up,
        down_limit=down,
        notes=tuple(notes),
    )


def _ages(axes: Axes, present: Array, listings: pl.DataFrame | None) -> tuple[Array, list[str]]:
    """Trading days since listing [days, symbols] and notes.

    Between a listing before the first day and that day weekdays are counted. Without a listings row the first daily row
    is the listing day, except on the first day, and there is no last day: that no row follows is not known before.
    """
    days, count = np.array(axes.days, dtype="datetime64[D]"), len(axes.symbols)
    rows = np.arange(len(axes.days))[:, None]
    ever = present.any(axis=0)
    first = np.where(ever, np.argmax(present, axis=0), len(days))
    last = np.where(ever, len(days) - 1, -1)
    offset = np.where(first == 0, LISTED_BEFORE, 0)
    known = {} if listings is None else {row["symbol"]: row for row in listings.iter_rows(named=True)}
    for i, symbol in enumerate(axes.symbols):
        listing = known.get(symbol)
        if listing is None:
            continue
        listed = np.datetime64(listing["listed"], "D")
        first[i] = np.searchsorted(days, listed)
        offset[i] = np.busday_count(listed, days[0]) if listed < days[0] else 0
        delisted = listing.get("delisted")
        end = len(days) if delisted is None else np.searchsorted(days, np.datetime64(delisted, "D"), side="right")
        last[i] = end - 1
    age = np.where((rows >= first) & (rows <= last), rows - first + 1 + offset, 0).astype(np.int32)
    unlisted = count - sum(symbol in known for symbol in axes.symbols)
    notes = [
        f"{unlisted} of {count} stocks have no listings row: listed from their first daily row; one that has left the "
        "market stands at its last close."
    ]
    return age, notes if unlisted else []


def _bands(
    axes: Axes,
    rules: Rules,
    panels: dict[str, Array],
    *,
    factor: Array,
    traded: Array,
    st: Array | None,
    age: Array,
) -> tuple[Array, Array, int]:
    """Limit prices [days, symbols] by rule, and on how many stock-days a band was broken.

    A computed band that the day's own prices left by more than rounding was not in force (a relisting, a changed code):
    no limit on that day.
    """
    boards = np.array([board(symbol) for symbol in axes.symbols])
    exchanges = np.array([exchange(symbol) for symbol in axes.symbols])
    close = carried(np.where(traded, panels["close"], np.nan))
    close_factor = carried(np.where(traded, factor, np.nan))
    up, down = np.full(close.shape, np.nan), np.full(close.shape, np.nan)
    flags = np.zeros(close.shape, dtype=bool) if st is None else st
    beyond = 0
    for rows in _blocks(len(axes.days)):
        before = slice(rows.start - 1, rows.stop - 1)
        reference = reference_price(close[before], close_factor[before], factor[rows])
        days = axes.days[rows]
        up_rate, down_rate = rules.limit_rates(boards, flags[rows], age[rows], days, exchanges=exchanges)
        up[rows], down[rows] = limit_prices(reference, up_rate, down_rate, rules.at_least_one_tick(exchanges, days))
        slack = 0.02 + 0.005 * reference
        broken = (panels["high"][rows] > up[rows] + slack) | (panels["low"][rows] < down[rows] - slack)
        beyond += int(broken.sum())
        up[rows][broken] = np.nan
        down[rows][broken] = np.nan
    return up, down, beyond


def _blocks(days: int, size: int = 256) -> Sequence[slice]:
    """Blocks of days after the first, so that temporaries stay small."""
    return [slice(start, min(start + size, days)) for start in range(1, days, size)]
