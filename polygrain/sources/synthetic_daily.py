"""The synthetic market day by day: who is listed, open and close, volume, factor, and the planted pressure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from polygrain.market.rules import limit_prices, load_rules, reference_price
from polygrain.market.symbols import exchange
from polygrain.store.panel import Array

# The pressure is a standard AR(1): half of it is gone after 6.6 days, so it speaks about the next 5 to 10 days.
PERSISTENCE = 0.9
# Own log return of the next day per unit of pressure at strength 1: gives the oracle a 5-day Rank IC near .30.
DRIFT = 0.0032
# What fresh pressure costs on the day it arrives. Large enough that past losers carry more of it than
# its own drift has repaid: a short-term reversal.
IMPACT = 0.012
# Intraday traces show the pressure through this much noise of their own, a day, whatever the bar length.
TRACE_NOISE = 1.0
# Log volume of the day per unit of trace: what is sold under pressure finds few takers.
QUIET = 0.15
OVERNIGHT = 0.25
INDUSTRIES = 12
# Listed so long ago that no rule about new stocks applies.
_OLD = 1_000_000
_YEAR = 244
# First code, exchange, board, and the share of all stocks up to and including this board.
_PLACES = (
    (600000, ".SH", "main", 0.45),
    (2000, ".SZ", "main", 0.75),
    (300000, ".SZ", "chinext", 0.92),
    (688000, ".SH", "star", 1.0),
)
_HOLIDAYS = frozenset(
    [(1, 1), (4, 4), (4, 5), (5, 1), (5, 2), (5, 3), (6, 10)]
    + [(2, day) for day in range(8, 15)]
    + [(10, day) for day in range(1, 8)]
)


@dataclass(frozen=True)
class Stocks:
    """What does not change in a stock's life; arrays over the sorted symbols."""

    symbols: tuple[str, ...]
    boards: Array
    industry: Array
    beta: Array
    volatility: Array
    price: Array
    shares: Array
    turnover: Array
    first: Array
    last: Array

    @property
    def count(self) -> int:
        return len(self.symbols)


@dataclass(frozen=True)
class Market:
    """The simulated days: arrays [days, stocks], NaN (or 0 volume) where a stock did not trade.

    Prices are raw fen (whole numbers), volume is whole lots of 100 shares, `scale` the intraday log deviation,
    `pressure` the planted signal, `trace` what the intraday bars show of it.
    """

    days: tuple[date, ...]
    stocks: Stocks
    listed: Array
    traded: Array
    st: Array
    factor: Array
    shares: Array
    open: Array
    close: Array
    up_limit: Array
    down_limit: Array
    lots: Array
    scale: Array
    pressure: Array
    trace: Array


def generator(seed: int, *stream: int) -> np.random.Generator:
    """An independent stream of random numbers named by whole numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def calendar(start: date, count: int) -> tuple[date, ...]:
    """The first `count` weekdays from `start` on that are not among the simulated calendar's yearly holidays."""
    days: list[date] = []
    day = start
    while len(days) < count:
        if day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS:
            days.append(day)
        day += timedelta(days=1)
    return tuple(days)


def draw_stocks(count: int, days: int, seed: int) -> Stocks:
    """Symbols over four boards with their traits; a few are listed within the span, a few delisted."""
    rng = generator(seed, 0)
    symbols, boards, begin = [], [], 0
    for head, tail, board, share in _PLACES:
        end = round(share * count)
        symbols += [f"{head + i:06d}{tail}" for i in range(end - begin)]
        boards += [board] * (end - begin)
        begin = end
    order = np.argsort(np.array(symbols))
    first, last = np.zeros(count, np.int64), np.full(count, days - 1)
    changing = rng.permutation(count)
    new, gone = max(1, round(0.06 * count)), max(1, round(0.025 * count))
    first[changing[:new]] = rng.integers(1, max(2, days * 3 // 4), new)
    last[changing[new : new + gone]] = rng.integers(days // 2, max(days // 2 + 1, days - 1), gone)
    return Stocks(
        symbols=tuple(symbols[i] for i in order),
        boards=np.array([boards[i] for i in order]),
        industry=rng.integers(0, INDUSTRIES, count),
        beta=rng.normal(1.0, 0.25, count),
        volatility=0.017 * np.exp(0.25 * rng.standard_normal(count)),
        price=np.rint(100 * np.clip(14 * np.exp(0.7 * rng.standard_normal(count)), 2.5, 250)),
        shares=np.rint(3e6 * np.exp(1.1 * rng.standard_normal(count)) + 2e5) * 100,
        turnover=0.012 * np.exp(0.5 * rng.standard_normal(count)),
        first=first,
        last=last,
    )


def _autoregression(shocks: Array, persistence: float) -> Array:
    """A standard AR(1) per column, stationary from the first row: z_t = φ z_{t−1} + √(1 − φ²) ε_t."""
    state = np.empty_like(shocks)
    state[0] = shocks[0]
    for t in range(1, len(shocks)):
        state[t] = persistence * state[t - 1] + np.sqrt(1 - persistence**2) * shocks[t]
    return state


def _fat(rng: np.random.Generator, degrees: float, size: tuple[int, ...]) -> Array:
    """Student t with unit variance."""
    return np.asarray(rng.standard_t(degrees, size) * np.sqrt((degrees - 2) / degrees))


@dataclass(frozen=True)
class _Events:
    listed: Array
    traded: Array
    st: Array
    ratio: Array
    bonus: Array


def _spells(starts: Array, lengths: Array) -> Array:
    """True from each start for its length; a start within a spell is ignored."""
    inside = np.zeros(starts.shape, bool)
    left = np.zeros(starts.shape[1], np.int64)
    for t in range(len(starts)):
        left = np.where((left == 0) & starts[t], lengths[t], np.maximum(left - 1, 0))
        inside[t] = left > 0
    return inside


def _draw_events(stocks: Stocks, days: tuple[date, ...], seed: int) -> _Events:
    """Listing, suspension and ST spells, dividends and bonus issues; none depends on prices."""
    rng = generator(seed, 1)
    size = (len(days), stocks.count)
    number = np.arange(len(days))[:, None]
    listed = (number >= stocks.first) & (number <= stocks.last)
    long = rng.random(size) < 0.1
    lengths = rng.geometric(0.3, size) + np.where(long, 20, 0)
    settled = (number > 0) & (number >= np.where(stocks.first > 0, stocks.first + 20, 0))
    suspended = _spells((rng.random(size) < 0.0015) & settled, lengths) & (number != stocks.last)
    st_starts = rng.random(size) < 0.03 / _YEAR
    st_starts[0] |= rng.random(stocks.count) < 0.02
    st = _spells(st_starts & settled | (st_starts & (number == 0)), rng.integers(60, 250, size))
    st |= (stocks.last < len(days) - 1) & (number > stocks.last - 40)
    traded = listed & ~suspended
    season = np.array([5 <= day.month <= 7 for day in days])[:, None] & traded & (number > stocks.first)
    pays = season & (rng.random(size) < 0.6 / 64)
    cash = np.where(pays, rng.uniform(0.003, 0.03, size), 0.0)
    issues = season & (rng.random(size) < 0.12 / 64)
    bonus = np.where(issues, rng.choice([0.2, 0.3, 0.4, 0.5, 1.0], size), 0.0)
    return _Events(listed, traded, st & listed, (1 + bonus) / (1 - cash), bonus)


@dataclass(frozen=True)
class _Returns:
    overnight: Array
    intraday: Array
    scale: Array
    activity: Array
    pressure: Array
    trace: Array


def _draw_returns(stocks: Stocks, days: int, strength: float, seed: int) -> _Returns:
    """Log returns before limits: β·market + industry + own, with clustered volatility and the planted pressure."""
    rng = generator(seed, 2)
    size = (days, stocks.count)
    market_scale = 0.010 * np.exp(0.35 * _autoregression(rng.standard_normal((days, 1)), 0.96))
    market = market_scale * _fat(rng, 5, (days, 1))
    industry = 0.005 * _fat(rng, 5, (days, INDUSTRIES))
    agitation = _autoregression(rng.standard_normal(size), 0.95)
    # Clusters of volatility; − ¼ keeps the mean square at one.
    swing = np.exp(0.5 * agitation - 0.25)
    own_scale = stocks.volatility * swing
    arrivals = rng.standard_normal(size)
    pressure = _autoregression(arrivals, PERSISTENCE)
    before = np.vstack([np.zeros((1, stocks.count)), pressure[:-1]])
    smooth = stocks.beta * market + industry[:, stocks.industry] + strength * DRIFT * before - IMPACT * swing * arrivals
    night = np.where(rng.random(size) < 0.0015, rng.choice([-0.16, 0.16], size), 0.0)
    overnight = OVERNIGHT * smooth + np.sqrt(OVERNIGHT) * own_scale * _fat(rng, 4, size) + night
    intraday = (1 - OVERNIGHT) * smooth + np.sqrt(1 - OVERNIGHT) * own_scale * _fat(rng, 4, size)
    interest = _autoregression(rng.standard_normal(size), 0.85)
    size_of_move = np.abs(overnight + intraday) / own_scale
    activity = 0.4 * interest + 0.4 * agitation + 0.15 * np.minimum(size_of_move, 5) + 0.2 * rng.standard_normal(size)
    trace = np.clip(pressure + TRACE_NOISE * rng.standard_normal(size), -3, 3)
    activity -= QUIET * trace
    scale = np.sqrt((1 - OVERNIGHT) * (own_scale**2 + (stocks.beta * market_scale) ** 2))
    return _Returns(overnight, intraday, scale, activity, pressure, trace)


def within(price: Array, lowest: Array, highest: Array) -> Array:
    """Whole fen, at least one, inside limits that may be NaN."""
    return np.asarray(np.fmin(np.fmax(np.maximum(np.rint(price), 1.0), lowest), highest))


def simulate(stocks: Stocks, days: tuple[date, ...], strength: float, seed: int) -> Market:
    """Prices from day to day: what the limits cut off is lost, so that nothing but the pressure carries over."""
    rules = load_rules()
    events = _draw_events(stocks, days, seed)
    returns = _draw_returns(stocks, len(days), strength, seed)
    factor = np.round(np.cumprod(events.ratio, axis=0), 6)
    age = np.where(stocks.first > 0, np.arange(len(days))[:, None] - stocks.first + 1, _OLD)
    exchanges = [exchange(symbol) for symbol in stocks.symbols]
    up, down = rules.limit_rates(stocks.boards, events.st, np.where(events.listed, age, 0), days, exchanges=exchanges)
    one_tick = rules.at_least_one_tick(exchanges, days)
    size = (len(days), stocks.count)
    opens, closes, highest, lowest = (np.full(size, np.nan) for _ in range(4))
    one_price = np.zeros(size, bool)
    close, close_factor = stocks.price, np.ones(stocks.count)
    for t in range(len(days)):
        traded = events.traded[t]
        reference = reference_price(close / 100, close_factor, factor[t])
        top, bottom = limit_prices(reference, up[t], down[t], one_tick[t])
        highest[t], lowest[t] = np.rint(top * 100), np.rint(bottom * 100)
        opened = within(reference * 100 * np.exp(returns.overnight[t]), lowest[t], highest[t])
        # A night beyond the limits leaves one side without counterparties: the day has one price.
        locked = (np.abs(returns.overnight[t]) > 0.12) & ((opened == highest[t]) | (opened == lowest[t]))
        closed = within(opened * np.exp(np.where(locked, 0.0, returns.intraday[t])), lowest[t], highest[t])
        one_price[t] = locked & traded
        opens[t], closes[t] = np.where(traded, opened, np.nan), np.where(traded, closed, np.nan)
        close, close_factor = np.where(traded, closed, close), np.where(traded, factor[t], close_factor)
    for prices in (highest, lowest):
        prices[~events.traded] = np.nan
    shares = np.rint(stocks.shares * np.cumprod(1 + events.bonus, axis=0))
    lots = np.rint(shares * stocks.turnover * np.exp(returns.activity) * np.where(one_price, 0.1, 1.0) / 100)
    return Market(
        days=days,
        stocks=stocks,
        listed=events.listed,
        traded=events.traded,
        st=events.st,
        factor=factor,
        shares=shares,
        open=opens,
        close=closes,
        up_limit=highest,
        down_limit=lowest,
        lots=np.where(events.traded, np.maximum(lots, 20), 0).astype(np.int64),
        scale=np.where(one_price, 0.0, returns.scale),
        pressure=returns.pressure,
        trace=returns.trace,
    )
