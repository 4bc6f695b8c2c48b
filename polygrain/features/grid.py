"""Grid: tables of bars and days as dense arrays, in which every traded day has all of its base bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from polygrain.market.session import Session
from polygrain.store.panel import Array

_RATIO_DECIMALS = 9


@dataclass(frozen=True)
class LastClose:
    """The last traded close before a day, raw yuan, and its cumulative factor, [symbols]; NaN before the first."""

    close: Array
    factor: Array


@dataclass(frozen=True)
class Grid:
    """Base bars [days, bars, stocks] and days [days, stocks], float64; NaN throughout where a stock did not trade.

    `r` is the log return of a base bar over the one before, the day's first over `previous_close`: the last traded
    close before the day in that day's raw yuan, NaN on the listing day. `last` is that close in its own units. An
    absent base bar of a traded day is flat at the last price with volume = amount = r = 0. The last base bar closes at
    the daily table's close, and `day_open`, `day_high`, `day_low` are the daily table's.
    """

    session_minutes: int
    base_minutes: int
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    amount: Array
    r: Array
    day_open: Array
    day_high: Array
    day_low: Array
    previous_close: Array
    last: LastClose
    factor: Array
    float_shares: Array
    traded: Array

    def since(self, day: int) -> Grid:
        """The days from number `day` on, as views."""
        return self._each(lambda values: values[day:])

    def stocks(self, numbers: Array) -> Grid:
        """The stocks of these column numbers, copied into one piece of memory."""
        return self._each(lambda values: values.take(numbers, axis=-1))

    def _each(self, cut: Callable[[Array], Array]) -> Grid:
        return Grid(
            session_minutes=self.session_minutes,
            base_minutes=self.base_minutes,
            open=cut(self.open),
            high=cut(self.high),
            low=cut(self.low),
            close=cut(self.close),
            volume=cut(self.volume),
            amount=cut(self.amount),
            r=cut(self.r),
            day_open=cut(self.day_open),
            day_high=cut(self.day_high),
            day_low=cut(self.day_low),
            previous_close=cut(self.previous_close),
            last=LastClose(cut(self.last.close), cut(self.last.factor)),
            factor=cut(self.factor),
            float_shares=cut(self.float_shares),
            traded=cut(self.traded),
        )


def ratio(before: Array, now: Array) -> Array:
    """before / now of two cumulative factors: what one raw yuan of then is in the units of now.

    Rounded, so that a source whose factors are all scaled by a constant gives the same bits.
    """
    return np.asarray(np.round(before / now, _RATIO_DECIMALS))


@dataclass(frozen=True)
class _Cells:
    """Where the rows of a table lie in a dense array of `shape`."""

    shape: tuple[int, ...]
    flat: Array

    def dense(self, values: pl.Series) -> Array:
        out = np.full(self.shape, np.nan)
        out.reshape(-1)[self.flat] = values.cast(pl.Float64).to_numpy()
        return out


def _numbers(days: Sequence[date]) -> Array:
    return np.array(days, dtype="datetime64[D]").astype(np.int64)


def _cells(frame: pl.DataFrame, days: Array, symbols: Sequence[str], bars: int) -> _Cells:
    """Cells [days, (bars,) symbols] of the frame's rows, whose days and symbols are all among the given ones."""
    day = np.searchsorted(days, frame["date"].to_physical().to_numpy())
    symbol = frame["symbol"].cast(pl.Enum(symbols)).to_physical().to_numpy().astype(np.int64)
    if "bar" not in frame.columns:
        return _Cells((len(days), len(symbols)), day * len(symbols) + symbol)
    row = day * bars + frame["bar"].to_numpy().astype(np.int64)
    return _Cells((len(days), bars, len(symbols)), row * len(symbols) + symbol)


def _carried(close: Array, factor: Array, traded: Array, before: LastClose | None) -> LastClose:
    """Per row the last traded close of the rows above, and its factor."""
    out = LastClose(np.full(close.shape, np.nan), np.full(close.shape, np.nan))
    last = before or LastClose(np.full(close.shape[1], np.nan), np.full(close.shape[1], np.nan))
    for i in range(len(close)):
        out.close[i], out.factor[i] = last.close, last.factor
        last = LastClose(np.where(traded[i], close[i], last.close), np.where(traded[i], factor[i], last.factor))
    return out


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
    daily = daily.filter(pl.col("date") <= days[-1])
    every = np.union1d(daily["date"].to_physical().to_numpy().astype(np.int64), _numbers(days))
    cells = _cells(daily, every, symbols, 1)
    rows = np.searchsorted(every, _numbers(days))
    traded_then = cells.dense(daily.select(_traded()).to_series()) == 1
    close_then, factor_then = cells.dense(daily["close"]), cells.dense(daily["factor"])
    carried = _carried(close_then, factor_then, traded_then, before)
    traded, close, factor = traded_then[rows], close_then[rows], factor_then[rows]
    last = LastClose(carried.close[rows], carried.factor[rows])

    def day_column(name: str) -> Array:
        if name not in daily.columns:
            return np.full(traded.shape, np.nan)
        return np.where(traded, cells.dense(daily[name])[rows], np.nan)

    names = ("open", "high", "low", "close", "volume", "amount")
    if bars is None:
        present = traded[:, None, :]
        columns = {name: day_column(name)[:, None, :] for name in names}
    else:
        bars = bars.filter(pl.col("date").is_between(days[0], days[-1]))
        bar_cells = _cells(bars, _numbers(days), symbols, session.bars_a_day(base_bar))
        columns = {name: bar_cells.dense(bars[name]) for name in names}
        present = np.isfinite(columns["close"])
        traded = traded & present.any(axis=1)
    previous_close = np.where(traded, last.close * ratio(last.factor, np.where(traded, factor, np.nan)), np.nan)
    _fill(columns, present, traded, close, previous_close)
    return Grid(
        session_minutes=session.minutes,
        base_minutes=session.minutes_of(base_bar),
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=columns["volume"],
        amount=columns["amount"],
        r=columns["r"],
        day_open=np.where(traded, day_column("open"), np.nan),
        day_high=np.where(traded, day_column("high"), np.nan),
        day_low=np.where(traded, day_column("low"), np.nan),
        previous_close=previous_close,
        last=last,
        factor=np.where(traded, factor, np.nan),
        float_shares=np.where(traded, day_column("float_shares"), np.nan),
        traded=traded,
    )


def _fill(columns: dict[str, Array], present: Array, traded: Array, close: Array, previous_close: Array) -> None:
    """Make the days of trading dense and the others NaN, in place, and add r; `close` is the day's official one."""
    columns["r"] = np.full(present.shape, np.nan)
    prior = previous_close
    last_bar = present.shape[1] - 1
    for j in range(last_bar + 1):
        there = present[:, j] & traded
        for name in ("open", "high", "low", "close"):
            columns[name][:, j] = np.where(there, columns[name][:, j], np.where(traded, prior, np.nan))
        for name in ("volume", "amount"):
            columns[name][:, j] = np.where(there, columns[name][:, j], np.where(traded, 0.0, np.nan))
        if j == last_bar:
            columns["close"][:, j] = np.where(traded, close, np.nan)
        now = columns["close"][:, j]
        # Within a day the difference of two prices is a whole number of ticks, hence exact to the last digit.
        step = np.log1p((now - prior) / prior)
        flat = traded & ~there & (j < last_bar)
        columns["r"][:, j] = np.where(flat, 0.0, step)
        prior = now
