"""The simulated market's calendar, its stocks, and its streams of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from polygrain.market.symbols import exchange
from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.store.panel import Array

_HOLIDAYS = frozenset(
    [(1, 1), (4, 4), (4, 5), (5, 1), (5, 2), (5, 3), (6, 10)]
    + [(2, day) for day in range(8, 15)]
    + [(10, day) for day in range(1, 8)]
)


@dataclass(frozen=True)
class Stocks:
    """What does not change in a stock's life; arrays over the sorted symbols.

    `price` is that before the first day in fen, `shares` the total then, `floating` the part of them that trades,
    `book` book value over capitalisation; `first` and `last` are the numbers of the listed days, and from day `moved`
    on `next_industry` holds.
    """

    symbols: tuple[str, ...]
    boards: Array
    exchanges: Array
    industry: Array
    next_industry: Array
    moved: Array
    beta: Array
    volatility: Array
    price: Array
    shares: Array
    floating: Array
    turnover: Array
    book: Array
    first: Array
    last: Array

    @property
    def count(self) -> int:
        return len(self.symbols)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """An independent stream of random numbers named by whole numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def autoregression(shocks: Array, persistence: float) -> Array:
    """A standard AR(1) per column, stationary from the first row: z_t = φ z_{t−1} + √(1 − φ²) ε_t."""
    state = np.empty_like(shocks)
    state[0] = shocks[0]
    for t in range(1, len(shocks)):
        state[t] = persistence * state[t - 1] + np.sqrt(1 - persistence**2) * shocks[t]
    return state


def fat(rng: np.random.Generator, degrees: float, size: tuple[int, ...]) -> Array:
    """Student t with unit variance."""
    return np.asarray(rng.standard_t(degrees, size) * np.sqrt((degrees - 2) / degrees))


def calendar(start: date, count: int) -> tuple[date, ...]:
    """The first `count` weekdays from `start` on that are not among the simulated calendar's yearly holidays."""
    days: list[date] = []
    day = start
    while len(days) < count:
        if day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS:
            days.append(day)
        day += timedelta(days=1)
    return tuple(days)


def _places(count: int) -> tuple[list[str], list[str]]:
    """Symbols and boards of `count` stocks, sorted by symbol."""
    p = PARAMETERS
    shares = (p.main_sh, p.main_sz, p.chinext, 1.0 - p.main_sh - p.main_sz - p.chinext)
    heads = ((600000, ".SH", "main"), (2000, ".SZ", "main"), (300000, ".SZ", "chinext"), (688000, ".SH", "star"))
    ends = np.rint(np.cumsum(shares) * count).astype(int)
    named = [
        (f"{head + i:06d}{tail}", board)
        for (head, tail, board), begin, end in zip(heads, [0, *ends[:-1]], ends)
        for i in range(end - begin)
    ]
    named.sort()
    return [symbol for symbol, _ in named], [board for _, board in named]


def draw_stocks(count: int, days: int, seed: int) -> Stocks:
    """Symbols over four boards with their traits; a few are listed within the span, a few delisted."""
    p, rng = PARAMETERS, generator(seed, 0)
    symbols, boards = _places(count)
    first, last = np.zeros(count, np.int64), np.full(count, days - 1)
    changing = rng.permutation(count)
    new, gone = max(1, round(p.listed_later * count)), max(1, round(p.delisted * count))
    first[changing[:new]] = rng.integers(1, max(2, days * 3 // 4), new)
    last[changing[new : new + gone]] = rng.integers(days // 2, max(days // 2 + 1, days - 1), gone)
    industry = rng.integers(0, p.industries, count)
    moved = np.full(count, days)
    movers = rng.permutation(count)[: round(p.reclassified * count)]
    moved[movers] = rng.integers(1, days, len(movers))
    floating = rng.uniform(*p.floating, count)
    return Stocks(
        symbols=tuple(symbols),
        boards=np.array(boards),
        exchanges=np.array([exchange(symbol) for symbol in symbols]),
        industry=industry,
        next_industry=(industry + rng.integers(1, p.industries, count)) % p.industries,
        moved=np.where((moved > first) & (moved <= last), moved, days),
        beta=rng.normal(1.0, p.beta_spread, count),
        volatility=p.own_volatility * np.exp(p.own_spread * rng.standard_normal(count)),
        price=np.rint(100 * np.clip(p.price * np.exp(p.price_spread * rng.standard_normal(count)), *p.price_range)),
        shares=np.rint(p.shares / 100 * np.exp(p.shares_spread * rng.standard_normal(count)) + 2e5) * 100,
        floating=np.where(first > 0, p.float_new, floating),
        turnover=p.turnover * np.exp(p.turnover_spread * rng.standard_normal(count)),
        book=p.book_to_price * np.exp(p.book_spread * rng.standard_normal(count)),
        first=first,
        last=last,
    )
