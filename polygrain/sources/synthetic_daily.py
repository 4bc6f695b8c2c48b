"""The simulated market day by day: returns, the prices that limits leave of them, and volume."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from polygrain.market.rules import limit_prices, load_rules, reference_price
from polygrain.sources.synthetic_events import Events, draw_events
from polygrain.sources.synthetic_parameters import PARAMETERS
from polygrain.sources.synthetic_signals import Signals, draw_signals, drift
from polygrain.sources.synthetic_stocks import Stocks, autoregression, fat, generator
from polygrain.store.panel import Array


@dataclass(frozen=True)
class Market:
    """The simulated days: arrays [days, stocks], NaN (or 0 volume) where a stock did not trade.

    Prices are raw fen (whole numbers), volume is whole lots of 100 shares, `scale` the intraday log deviation;
    `overnight` and `intraday` are the log returns before rounding and limits.
    """

    days: tuple[date, ...]
    stocks: Stocks
    events: Events
    signals: Signals
    open: Array
    close: Array
    up_limit: Array
    down_limit: Array
    lots: Array
    scale: Array
    overnight: Array
    intraday: Array

    @property
    def traded(self) -> Array:
        """Whether a stock trades [days, stocks]."""
        return self.events.traded


@dataclass(frozen=True)
class _Returns:
    overnight: Array
    intraday: Array
    scale: Array
    activity: Array


def _draw_returns(stocks: Stocks, events: Events, signals: Signals, strength: float, seed: int) -> _Returns:
    """Log returns before limits: β·market + industry + own, with clustered volatility and the planted drift."""
    p, rng = PARAMETERS, generator(seed, 2)
    size = events.listed.shape
    market_scale = p.market_volatility * np.exp(
        p.market_swing * autoregression(rng.standard_normal((size[0], 1)), p.market_persistence)
    )
    market = stocks.beta * market_scale * fat(rng, p.common_tail, (size[0], 1))
    industry = p.industry_volatility * fat(rng, p.common_tail, (size[0], p.industries))
    agitation = autoregression(rng.standard_normal(size), p.own_persistence)
    # − swing²: the mean square stays one.
    swing = np.exp(p.own_swing * agitation - p.own_swing**2)
    own_scale = stocks.volatility * swing
    smooth = market + np.take_along_axis(industry, events.industry, axis=1)
    smooth += strength * drift(signals) - p.impact * swing * signals.arrivals["every"]
    news = np.where(rng.random(size) < p.lock, rng.choice([-p.lock_return, p.lock_return], size), 0.0)
    night, day = p.overnight, 1 - p.overnight
    overnight = night * smooth + np.sqrt(night) * own_scale * fat(rng, p.own_tail, size) + news + events.jump
    intraday = day * smooth + np.sqrt(day) * own_scale * fat(rng, p.own_tail, size)
    interest = autoregression(rng.standard_normal(size), p.interest_persistence)
    moved = np.minimum(np.abs(overnight + intraday) / own_scale, 5)
    per_interest, per_swing, per_move, noise = p.activity
    activity = per_interest * interest + per_swing * agitation + per_move * moved + noise * rng.standard_normal(size)
    activity -= p.quiet * signals.traces["slow"]
    scale = np.sqrt(day * (own_scale**2 + (stocks.beta * market_scale) ** 2))
    return _Returns(overnight, intraday, scale, activity)


def within(price: Array, lowest: Array, highest: Array) -> Array:
    """Whole fen, at least one, inside limits that may be NaN."""
    return np.asarray(np.fmin(np.fmax(np.maximum(np.rint(price), 1.0), lowest), highest))


def _limit_rates(stocks: Stocks, events: Events, days: tuple[date, ...]) -> tuple[Array, Array]:
    """Price limits (up, down) in percent, −1 where there is none."""
    st, age = events.st & ~events.leaving, np.where(events.free, 0, events.age)
    return load_rules().limit_rates(stocks.boards, st, age, days, exchanges=stocks.exchanges)


def simulate(stocks: Stocks, days: tuple[date, ...], strength: float, seed: int) -> Market:
    """Prices from day to day: what the limits cut off is lost, so that nothing but the signals carries over."""
    locking = PARAMETERS.locking
    events = draw_events(stocks, days, seed)
    signals = draw_signals(len(days), stocks.count, seed)
    returns = _draw_returns(stocks, events, signals, strength, seed)
    factor, traded_days = events.factor, events.traded
    up, down = _limit_rates(stocks, events, days)
    one_tick = load_rules().at_least_one_tick(stocks.exchanges, days)
    size = traded_days.shape
    opens, closes, highest, lowest = (np.full(size, np.nan) for _ in range(4))
    one_price = np.zeros(size, bool)
    close, close_factor = stocks.price, np.ones(stocks.count)
    for t, traded in enumerate(traded_days):
        reference = reference_price(close / 100, close_factor, factor[t])
        top, bottom = limit_prices(reference, up[t], down[t], one_tick[t])
        highest[t], lowest[t] = np.rint(top * 100), np.rint(bottom * 100)
        opened = within(reference * 100 * np.exp(returns.overnight[t]), lowest[t], highest[t])
        # A night beyond the limits leaves one side without counterparties: the day has one price.
        locked = (np.abs(returns.overnight[t]) > locking) & ((opened == highest[t]) | (opened == lowest[t]))
        closed = within(opened * np.exp(np.where(locked, 0.0, returns.intraday[t])), lowest[t], highest[t])
        one_price[t] = locked & traded
        opens[t], closes[t] = np.where(traded, opened, np.nan), np.where(traded, closed, np.nan)
        close, close_factor = np.where(traded, closed, close), np.where(traded, factor[t], close_factor)
    for prices in (highest, lowest):
        prices[~traded_days] = np.nan
    volume = events.floating * stocks.turnover * np.exp(returns.activity)
    lots = np.rint(volume * np.where(one_price, PARAMETERS.locked_volume, 1.0) / 100)
    return Market(
        days=days,
        stocks=stocks,
        events=events,
        signals=signals,
        open=opens,
        close=closes,
        up_limit=highest,
        down_limit=lowest,
        lots=np.where(traded_days, np.maximum(lots, PARAMETERS.least_lots), 0).astype(np.int64),
        scale=np.where(one_price, 0.0, returns.scale),
        overnight=returns.overnight,
        intraday=np.where(one_price, 0.0, returns.intraday),
    )
