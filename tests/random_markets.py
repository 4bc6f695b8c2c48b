"""Random markets with suspensions, locked days, splits and delistings, as quotes and as an oracle's tape."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from reference_tracks import Tape

from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array, Axes


def quotes_of(
    close: Array,
    *,
    open: Array | None = None,
    high: Array | None = None,
    low: Array | None = None,
    vwap: Array | None = None,
    factor: Array | None = None,
    age: Array | None = None,
    up: Array | None = None,
    down: Array | None = None,
    amount: Array | None = None,
) -> Quotes:
    """Quotes [days, symbols] in which a stock trades where it has a close; what is not given follows from the close."""
    days, stocks = close.shape
    return Quotes(
        Axes(
            tuple(date(2021, 1, 1) + timedelta(i) for i in range(days)),
            tuple(f"{600000 + i}.SH" for i in range(stocks)),
        ),
        open=close if open is None else open,
        high=close if high is None else high,
        low=close if low is None else low,
        close=close,
        vwap=close if vwap is None else vwap,
        amount=close * 1e4 if amount is None else amount,
        volume=close * 0 + 1e4,
        factor=np.ones(close.shape) if factor is None else factor,
        traded=np.isfinite(close),
        st=None,
        age=np.full(close.shape, 1000, np.int32) if age is None else age,
        up_limit=np.full(close.shape, np.nan) if up is None else up,
        down_limit=np.full(close.shape, np.nan) if down is None else down,
    )


def random_quotes(generator: np.random.Generator, days: int, stocks: int, *, splits: float = 0.05) -> Quotes:
    """A rough market: a fifth of the stock-days suspended or locked on one side, some splits, some delistings."""
    shape = (days, stocks)
    factor = np.cumprod(np.where(generator.random(shape) < splits, generator.choice([1.1, 2.0], shape), 1.0), axis=0)
    adjusted = 10 * np.exp(np.cumsum(generator.normal(0, 0.03, shape), axis=0))
    close = np.round(adjusted / factor, 2) + 0.5
    vwap = np.round(close * (1 + generator.normal(0, 0.01, shape)), 2)
    open = np.round(close * (1 + generator.normal(0, 0.01, shape)), 2)
    high, low = np.maximum(np.maximum(open, close), vwap), np.minimum(np.minimum(open, close), vwap)
    state = generator.random(shape)
    one_price = state < 0.25
    for prices in (open, high, low, vwap):
        prices[one_price] = close[one_price]
    up = np.where(state < 0.1, close, np.where((state > 0.5) & (state < 0.55), open, high + 0.3))
    down = np.where((state >= 0.1) & (state < 0.2), close, low - 0.3)
    up[(state > 0.9) & (state < 0.93)] = np.nan
    down[(state > 0.9) & (state < 0.93)] = np.nan
    gone = generator.random(stocks) < 0.25
    last = np.where(gone, generator.integers(1, days, stocks), days)
    alive = np.arange(days)[:, None] <= last
    suspended = (state > 0.8) & (state < 0.9)
    run = generator.random(shape) < 0.5
    suspended[1:] |= suspended[:-1] & run[1:]
    suspended[0] = False
    for prices in (open, high, low, close, vwap):
        prices[suspended | ~alive] = np.nan
    age = np.where(alive, 1000, 0).astype(np.int32)
    return quotes_of(
        close, open=open, high=high, low=low, vwap=vwap, factor=factor, age=age, up=up, down=down, amount=vwap * 1e4
    )


def tape_of(quotes: Quotes) -> Tape:
    """The same market as plain lists."""

    def plain(values: Array) -> list[list[float | None]]:
        return [[None if np.isnan(x) else float(x) for x in row] for row in values]

    age = quotes.age.tolist()
    last_day = []
    for stock in range(len(quotes.axes.symbols)):
        listed = [day for day in range(len(age)) if age[day][stock] > 0]
        last_day.append(listed[-1] if listed and listed[-1] < len(age) - 1 else len(age))
    return Tape(
        open=plain(quotes.open),
        high=plain(quotes.high),
        low=plain(quotes.low),
        close=plain(quotes.close),
        vwap=plain(quotes.vwap),
        factor=quotes.factor.tolist(),
        amount=plain(quotes.amount),
        up=plain(quotes.up_limit),
        down=plain(quotes.down_limit),
        last_day=last_day,
    )
