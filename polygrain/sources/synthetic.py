"""Synthetic: a simulated A-share market with four planted signals, for the demo, the tests and the causality proofs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import groupby
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from polygrain.errors import ConfigError
from polygrain.market.calendar import month_of
from polygrain.market.session import Session
from polygrain.sources.source import Source, source
from polygrain.sources.synthetic_books import book_values
from polygrain.sources.synthetic_daily import Market, simulate
from polygrain.sources.synthetic_indices import index_members, index_weights
from polygrain.sources.synthetic_intraday import day_bars
from polygrain.sources.synthetic_profile import before_vwap
from polygrain.sources.synthetic_signals import expected_returns
from polygrain.sources.synthetic_stocks import calendar, draw_stocks
from polygrain.store.commit import code_fingerprint, fingerprint
from polygrain.store.panel import Array, carried

# Daily bars are made of these, so that a day has a high, a low and a VWAP.
_FINEST_OF_A_DAY = "5min"
_PARTS = ("", "_books", "_daily", "_events", "_indices", "_intraday", "_parameters", "_profile", "_signals", "_stocks")


@source
class Synthetic(Source):
    """A simulated market: `stocks` names over `days` trading days from `start`, the same for the same `seed`.

    Each stock has four hidden standard AR(1) states. Own log return of t + 1 = strength · Σ drift · state_t + noise,
    and the bars of day t show each state, behind noise, in volume alone: `slow` as volume late in the day (and a quiet
    day), `every` as volume on rising bars, `hour` as volume late in each hour, `half_hour` as volume late in each half
    hour. The last two keep still what longer bars see. Arrivals are priced against what they will bring, so that past
    returns do not give a state away; those of `every` cost more, which is a short-term reversal.

    Strength 1, unreal on purpose, gives the states (`oracle`) a 5-day Rank IC of about .30 and .3 one of about .11; at
    0 no return can be predicted at any fill. Seen at all are: from bars of 1 and 5 minutes all four signals, from 15
    minutes all but `half_hour`, from 30 and 60 minutes `slow` and `every`, from daily bars the reversal and the quiet
    days. But for high, low, amount and VWAP the days do not depend on `bar`.
    """

    kind: Literal["synthetic"] = "synthetic"
    stocks: int = Field(300, ge=10, le=10_000)
    days: int = Field(484, ge=20, le=5_000)
    bar: Literal["1min", "5min", "15min", "30min", "60min", "day"] = "5min"
    strength: float = Field(1.0, ge=0, le=3)
    seed: int = Field(0, ge=0)
    # The rules of the youngest board, STAR, begin on this earliest day.
    start: date = Field(date(2021, 1, 4), ge=date(2019, 7, 22), le=date(2100, 1, 1))

    def fingerprint(self) -> str:
        """sha256 (hex) of the settings, of this code, and of the numpy version, whose random streams may change."""
        settings = self.model_dump(mode="json")
        code = code_fingerprint(*(f"sources.synthetic{part}" for part in _PARTS), "market")
        return fingerprint({"settings": settings, "code": code, "numpy": np.__version__})

    @property
    def base_bar(self) -> str:
        return self.bar

    @property
    def session(self) -> Session:
        return Session()

    @property
    def simulated(self) -> bool:
        return True

    @property
    def predictable(self) -> bool:
        return self.strength > 0

    @cached_property
    def _market(self) -> Market:
        days = calendar(self.start, self.days)
        return simulate(draw_stocks(self.stocks, self.days, self.seed), days, self.strength, self.seed)

    def notes(self) -> tuple[str, ...]:
        planted = "without any planted signal: nothing can be predicted"
        if self.strength > 0:
            planted = (
                f"with four planted signals of strength {self.strength:g}; 1 is unreal on purpose, a Rank IC of .30 "
                "over 5 days for who knew the signals"
            )
        return (
            f"Simulated market of {self.stocks} stocks {planted}. No result on it says anything about real stocks.",
        )

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Each month's bars; a bar without volume is left out, as the exchanges' files leave it out."""
        if self.bar == "day":
            return
        market = self._market
        for month, days in groupby(range(self.days), lambda day: month_of(market.days[day])):
            yield month, pl.concat([self._bars_of(day) for day in days])

    def _bars_of(self, day: int) -> pl.DataFrame:
        market, count = self._market, self.session.bars_a_day(self.bar)
        made = day_bars(market, day, count, self.seed)
        kept = made.lots > 0
        symbols = pl.Series("symbol", market.stocks.symbols)
        columns: dict[str, Array] = {
            "bar": np.broadcast_to(np.arange(count, dtype=np.uint16), kept.shape)[kept],
            "open": made.open[kept] / 100,
            "high": made.high[kept] / 100,
            "low": made.low[kept] / 100,
            "close": made.close[kept] / 100,
            "volume": made.lots[kept] * 100,
            "amount": made.amount[kept] / 100,
        }
        frame = pl.DataFrame(columns).with_columns(date=pl.lit(market.days[day]))
        rows = np.broadcast_to(made.stock[:, None], kept.shape)[kept]
        return frame.insert_column(0, symbols.gather(rows)).select(
            "symbol", "date", "bar", "open", "high", "low", "close", "volume", "amount"
        )

    def daily(self) -> pl.DataFrame:
        """The daily table: exactly what the day's bars add up to; a suspended row stands at its last close.

        `book_value` is the company's, in yuan: book over price is book_value / (close · total_shares).
        """
        market = self._market
        events = market.events
        high, low, amount = self._daily_from_bars()
        last = carried(market.close)
        suspended = events.listed & ~events.traded
        volume = market.lots * 100
        with np.errstate(invalid="ignore"):
            vwap = amount / np.where(volume > 0, volume, np.nan)
        fen = {"open": market.open, "high": high, "low": low, "close": market.close}
        panels: dict[str, Array] = {name: np.where(suspended, last, values) / 100 for name, values in fen.items()}
        panels |= {
            "volume": volume,
            "amount": np.where(suspended, 0.0, amount) / 100,
            "vwap": vwap / 100,
            "factor": events.factor,
            "suspended": suspended,
            "st": events.st,
            "up_limit": market.up_limit / 100,
            "down_limit": market.down_limit / 100,
            "float_shares": events.floating,
            "total_shares": events.shares,
            "book_value": book_values(market.stocks, market.days, self.seed),
        }
        return self._table(panels)

    def _daily_from_bars(self) -> tuple[Array, Array, Array]:
        """High, low and amount of each day in fen [days, stocks], from the bars that traded."""
        count = self.session.bars_a_day(_FINEST_OF_A_DAY if self.bar == "day" else self.bar)
        high, low, amount = (np.full(self._market.close.shape, np.nan) for _ in range(3))
        for day in range(self.days):
            made = day_bars(self._market, day, count, self.seed)
            traded = made.lots > 0
            high[day, made.stock] = np.where(traded, made.high, -np.inf).max(axis=1)
            low[day, made.stock] = np.where(traded, made.low, np.inf).min(axis=1)
            amount[day, made.stock] = made.amount.sum(axis=1)
        return high, low, amount

    def _table(self, panels: dict[str, Array]) -> pl.DataFrame:
        """Panels [days, stocks] as rows (date, symbol, …) of the listed stock-days; NaN becomes null."""
        market = self._market
        day, stock = np.nonzero(market.events.listed)
        frame = pl.DataFrame({name: values[day, stock] for name, values in panels.items()}, nan_to_null=True)
        keys = [pl.Series("symbol", market.stocks.symbols).gather(stock), pl.Series("date", market.days).gather(day)]
        return pl.DataFrame(keys).hstack(frame)

    def reference(self, name: str) -> pl.DataFrame | None:
        """Listings; members and weights of the indices `large` and `small`; industries."""
        tables = {
            "listings": self._listings,
            "index_members": lambda: index_members(self._market),
            "index_weights": lambda: index_weights(self._market),
            "industries": self._industries,
        }
        return tables[name]() if name in tables else None

    def _listings(self) -> pl.DataFrame:
        stocks, days = self._market.stocks, self._market.days
        # Stocks that are there from the first day were listed long before it, each on its own day.
        before = [self.start - timedelta(days=400 + 37 * (i % 97)) for i in range(stocks.count)]
        return pl.DataFrame(
            {
                "symbol": stocks.symbols,
                "listed": [days[f] if f > 0 else b for f, b in zip(stocks.first, before)],
                "delisted": [days[last] if last < self.days - 1 else None for last in stocks.last],
                "board": stocks.boards,
            },
            schema_overrides={"delisted": pl.Date},
        )

    def _industries(self) -> pl.DataFrame:
        """Intervals by stock; the second one of those that change their industry begins where the first ends."""
        stocks, days = self._market.stocks, self._market.days
        rows = []
        for symbol, listed, old, new, moved in zip(
            stocks.symbols, self._listings()["listed"], stocks.industry, stocks.next_industry, stocks.moved
        ):
            changes = moved < self.days
            rows.append((symbol, listed, days[moved - 1] if changes else None, f"industry {old + 1:02d}"))
            if changes:
                rows.append((symbol, days[moved], None, f"industry {new + 1:02d}"))
        schema = {"symbol": pl.String, "start": pl.Date, "end": pl.Date, "industry": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def states(self) -> pl.DataFrame:
        """The hidden states at each close, standard normal: (date, symbol, slow, every, hour, half_hour)."""
        return self._table(dict(self._market.signals.states))

    def oracle(self, horizon: int = 5) -> pl.DataFrame:
        """What who knows the states scores at each close: (date, symbol, score, slow, every, hour, half_hour).

        The expected own log return from the VWAP of t + 1 to that of t + 1 + `horizon`, price limits and suspensions
        left aside, and its parts by signal; sees nothing after t. ConfigError at strength 0, where it is undefined.
        """
        if self.strength == 0:
            raise ConfigError(
                "source.strength", "is 0: nothing can be predicted, so there is no oracle; set it above 0"
            )
        parts = expected_returns(self._market.signals, horizon, before_vwap())
        scaled = {name: self.strength * values for name, values in parts.items()}
        return self._table({"score": np.add.reduce(list(scaled.values())), **scaled})
