"""Grid: tables of bars and days as dense arrays, in which every traded day has all of its base bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from polygrain.features.rows import BarRows, DayCells, locate, numbers
from polygrain.market.session import Session
from polygrain.store.panel import Array

_RATIO_DECIMALS = 9
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class LastClose:
    """The last traded close before a day, raw yuan, and its cumulative factor, [symbols]; NaN before the first."""

    close: Array
    factor: Array


@dataclass(frozen=True)
class Days:
    """What the daily tables say of `days` × `symbols`, float64 [days, symbols], NaN where a stock did not trade.

    `previous_close` is the last traded close before the day in that day's raw yuan, NaN on the listing day, and `last`
    that close in its own units. `columns` are the daily table's own.
    """

    days: tuple[date, ...]
    traded: Array
    factor: Array
    last: LastClose
    previous_close: Array
    columns: dict[str, Array]

    def between(self, first: int, end: int) -> Days:
        """The days from number `first` to before number `end`, as views."""
        cut = slice(first, end)
        return Days(
            self.days[cut],
            self.traded[cut],
            self.factor[cut],
            LastClose(self.last.close[cut], self.last.factor[cut]),
            self.previous_close[cut],
            {name: values[cut] for name, values in self.columns.items()},
        )


class Grid:
    """Some days and stocks as dense float64 arrays, each made when it is first asked for.

    Base bars [days, bars, stocks] and days [days, stocks], NaN throughout where a stock did not trade. An absent base
    bar of a traded day is flat at the last price with volume = amount = r = 0. The last base bar closes at the daily
    table's close, and `day_open`, `day_high`, `day_low` are the daily table's.
    """

    def __init__(
        self, session: Session, base_bar: str, months: Sequence[BarRows] | None, days: Days, stocks: Array
    ) -> None:
        """`months` hold the bars, None where the base bar is the day; the columns are the symbol numbers `stocks`."""
        self.session_minutes = session.minutes
        self.base_minutes = session.minutes_of(base_bar)
        self.bars = session.bars_a_day(base_bar)
        self._months = months
        self._days = days
        self._stocks = stocks
        self._source = (session, base_bar, months, days)

    def stocks(self, places: Array) -> Grid:
        """The same days of the stocks in these columns."""
        return Grid(*self._source, self._stocks[places])

    def _cut(self, values: Array) -> Array:
        return values.take(self._stocks, axis=1)

    @cached_property
    def traded(self) -> Array:
        """Whether the stock traded, bool [days, stocks]."""
        return self._cut(self._days.traded)

    @cached_property
    def factor(self) -> Array:
        """Cumulative adjustment factor [days, stocks]."""
        return self._cut(self._days.factor)

    @cached_property
    def last(self) -> LastClose:
        """The last traded close before each day and its factor [days, stocks]."""
        return LastClose(self._cut(self._days.last.close), self._cut(self._days.last.factor))

    @cached_property
    def previous_close(self) -> Array:
        """That close in the day's own raw yuan [days, stocks]; NaN on the listing day."""
        return self._cut(self._days.previous_close)

    @cached_property
    def day_open(self) -> Array:
        """The day's first price, yuan [days, stocks]."""
        return self._cut(self._days.columns["open"])

    @cached_property
    def day_high(self) -> Array:
        """The day's highest price, yuan [days, stocks]."""
        return self._cut(self._days.columns["high"])

    @cached_property
    def day_low(self) -> Array:
        """The day's lowest price, yuan [days, stocks]."""
        return self._cut(self._days.columns["low"])

    @cached_property
    def float_shares(self) -> Array:
        """Free-float shares of the day [days, stocks]; NaN where the source has none."""
        return self._cut(self._days.columns["float_shares"])

    @property
    def open(self) -> Array:
        """First prices of the base bars, yuan; made anew each time, as the highest and lowest ones are."""
        return self._flat_where_absent("open")

    @property
    def high(self) -> Array:
        """Highest prices of the base bars, yuan."""
        return self._flat_where_absent("high")

    @property
    def low(self) -> Array:
        """Lowest prices of the base bars, yuan."""
        return self._flat_where_absent("low")

    @cached_property
    def close(self) -> Array:
        """Last prices of the base bars, yuan; the day's last one is the daily table's close."""
        values, _ = self._closes
        values[:, -1] = self._cut(self._days.columns["close"])
        return values

    @cached_property
    def volume(self) -> Array:
        """Shares traded in the base bars."""
        return self._zero_where_absent("volume")

    @cached_property
    def amount(self) -> Array:
        """Yuan traded in the base bars."""
        return self._zero_where_absent("amount")

    @cached_property
    def r(self) -> Array:
        """Log returns of the base bars over the ones before, the day's first over `previous_close`."""
        close, r = self.close, np.empty(self._shape)
        # Within a day the difference of two prices is a whole number of ticks, hence exact to the last digit.
        np.subtract(close[:, 0], self.previous_close, out=r[:, 0])
        np.subtract(close[:, 1:], close[:, :-1], out=r[:, 1:])
        r[:, 0] /= self.previous_close
        r[:, 1:] /= close[:, :-1]
        np.log1p(r, out=r)
        # The last base bar closes at the official close even where it is absent.
        within = self._absent[self._absent // len(self._stocks) % self.bars < self.bars - 1]
        r.reshape(-1)[within] = 0.0
        return r

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (len(self._days.days), self.bars, len(self._stocks))

    @cached_property
    def _cells(self) -> dict[int, DayCells]:
        """Where the bars lie, by the number of each day that has some."""
        of_month = {day: (month, number) for month in self._months or () for number, day in enumerate(month.days)}
        found = {}
        for day, name in enumerate(self._days.days):
            if name in of_month and self.traded[day].any():
                month, number = of_month[name]
                found[day] = month.lay_out(number, self._stocks, self.traded[day], self.bars)
        return found

    def _put(self, name: str) -> Array:
        """A column of the tables in its cells, an absent bar's being that of the bar before it; NaN where a stock did
        not trade, anything before its first bar."""
        out = np.empty(self._shape)
        if self._months is None:
            out[:, 0] = self._cut(self._days.columns[name])
            return out
        for day, cells in self._cells.items():
            cells.put(name, out[day])
        for number in np.flatnonzero(~self.traded.all(axis=1)):
            out[number][:, ~self.traded[number]] = np.nan
        return out

    @cached_property
    def _absent(self) -> Array:
        """The cells of base bars that the table lacks on traded days, int64."""
        a_day = self.bars * len(self._stocks)
        of_days = (day * a_day + cells.absent for day, cells in self._cells.items())
        return np.concatenate([np.empty(0, np.int64), *of_days])

    @cached_property
    def _closes(self) -> tuple[Array, Array]:
        """Closes of the base bars as the table has them, an absent one at the last price before it; these last ones
        alone, in the order of `_absent`."""
        close = self._put("close")
        for day, cells in self._cells.items():
            early = cells.absent[cells.cells.reshape(-1)[cells.absent] < 0]
            close[day].reshape(-1)[early] = self.previous_close[day, early % len(self._stocks)]
        return close, close.reshape(-1)[self._absent]

    def _flat_where_absent(self, name: str) -> Array:
        values = self._put(name)
        values.reshape(-1)[self._absent] = self._closes[1]
        return values

    def _zero_where_absent(self, name: str) -> Array:
        values = self._put(name)
        values.reshape(-1)[self._absent] = 0.0
        return values


def ratio(before: Array, now: Array) -> Array:
    """before / now of two cumulative factors: what one raw yuan of then is in the units of now.

    Rounded, so that a source whose factors are all scaled by a constant gives the same bits.
    """
    return np.asarray(np.round(before / now, _RATIO_DECIMALS))


def last_close(daily: pl.DataFrame, symbols: Sequence[str], before: LastClose | None) -> LastClose:
    """The last traded close after the rows of `daily`, which follow those that `before` stands for."""
    rows = daily.filter(_traded()).sort("date").unique("symbol", keep="last", maintain_order=True)
    column = rows["symbol"].cast(pl.Enum(symbols)).to_physical().to_numpy()
    close, factor = np.full(len(symbols), np.nan), np.full(len(symbols), np.nan)
    close[column], factor[column] = rows["close"].to_numpy(), rows["factor"].to_numpy()
    if before is None:
        return LastClose(close, factor)
    known = np.isfinite(close)
    return LastClose(np.where(known, close, before.close), np.where(known, factor, before.factor))


def _traded() -> pl.Expr:
    return ~pl.col("suspended") & (pl.col("volume") > 0) & pl.col("close").is_not_null()


def _carried(close: Array, factor: Array, traded: Array, before: LastClose | None) -> LastClose:
    """Per row the last traded close of the rows above, and its factor."""
    out = LastClose(np.full(close.shape, np.nan), np.full(close.shape, np.nan))
    last = before or LastClose(np.full(close.shape[1], np.nan), np.full(close.shape[1], np.nan))
    for i in range(len(close)):
        out.close[i], out.factor[i] = last.close, last.factor
        last = LastClose(np.where(traded[i], close[i], last.close), np.where(traded[i], factor[i], last.factor))
    return out


def daily_facts(
    daily: pl.DataFrame,
    months: Sequence[BarRows] | None,
    days: Sequence[date],
    symbols: Sequence[str],
    before: LastClose | None,
) -> Days:
    """The daily tables of `days` × `symbols`, in any row order; `months` are the bars, None where the base is the day.

    `daily` may start before the first of `days`: its earlier rows, and `before` for what precedes them, give C₋.
    """
    daily = daily.filter(pl.col("date") <= days[-1])
    every = np.union1d(daily["date"].to_physical().to_numpy().astype(np.int64), numbers(days))
    row = np.searchsorted(every, daily["date"].to_physical().to_numpy())
    column = daily["symbol"].cast(pl.Enum(symbols)).to_physical().to_numpy()
    rows = np.searchsorted(every, numbers(days))

    def dense(values: pl.Series) -> Array:
        out = np.full((len(every), len(symbols)), np.nan)
        out[row, column] = values.cast(pl.Float64).to_numpy()
        return out

    traded_then = dense(daily.select(_traded()).to_series()) == 1
    close_then, factor_then = dense(daily["close"]), dense(daily["factor"])
    carried = _carried(close_then, factor_then, traded_then, before)
    traded = traded_then[rows]
    if months is not None:
        traded &= _with_bars(months, days, len(symbols))
    last = LastClose(carried.close[rows], carried.factor[rows])
    factor = np.where(traded, factor_then[rows], np.nan)
    columns = {}
    for name in (*_PRICES, "volume", "amount", "float_shares"):
        known = dense(daily[name])[rows] if name in daily.columns else np.nan
        columns[name] = np.where(traded, known, np.nan)
    previous_close = np.where(traded, last.close * ratio(last.factor, factor), np.nan)
    return Days(tuple(days), traded, factor, last, previous_close, columns)


def _with_bars(months: Sequence[BarRows], days: Sequence[date], symbols: int) -> Array:
    there = np.zeros((len(days), symbols), bool)
    number = {day: i for i, day in enumerate(days)}
    for month in months:
        for i, day in enumerate(month.days):
            if day in number:
                there[number[day]] = month.count[i] > 0
    return there


def grid(
    bars: pl.DataFrame | None,
    daily: pl.DataFrame,
    days: Sequence[date],
    symbols: Sequence[str],
    session: Session,
    base_bar: str,
    before: LastClose | None = None,
) -> Grid:
    """The dense grid of `days` × `symbols` from canonical tables in any row order; `bars` is None for daily data alone.

    `daily` may start before the first of `days`: its earlier rows, and `before` for what precedes them, give C₋.
    """
    months = None
    if bars is not None:
        table = bars.filter(pl.col("date").is_between(days[0], days[-1])).sort("date", "symbol", "bar")
        months = [locate(table.select, symbols)]
    facts = daily_facts(daily, months, days, symbols, before)
    return Grid(session, base_bar, months, facts, np.arange(len(symbols)))
