"""Synthetic: a simulated A-share market with one planted signal, for the demo, the tests and the causality proofs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import groupby
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from polygrain.market.calendar import month_of
from polygrain.market.session import Session
from polygrain.sources.source import Source, source
from polygrain.sources.synthetic_daily import Market, calendar, draw_stocks, simulate
from polygrain.sources.synthetic_intraday import day_bars
from polygrain.store.commit import code_fingerprint, fingerprint
from polygrain.store.panel import Array, carried

# Daily bars are made of these, so that a day has a high, a low and a VWAP.
_FINEST_OF_A_DAY = "5min"
_INDEX = "index"


@source
class Synthetic(Source):
    """A simulated market: `stocks` names over `days` trading days from `start`, the same for the same `seed`.

    A standard AR(1) pressure per stock is the planted signal: own log return of t + 1 = strength · DRIFT · pressure_t +
    noise. Days show it, behind noise, as low volume; bars as a dip in the morning, late volume and volume on falling
    bars. At strength 1 the pressure itself (`oracle`) has a 5-day Rank IC near .30; at 0 no return can be predicted.
    But for high, low and amount the days do not depend on `bar`.
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
        code = code_fingerprint("sources.synthetic", "sources.synthetic_daily", "sources.synthetic_intraday", "market")
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

    @cached_property
    def _market(self) -> Market:
        days = calendar(self.start, self.days)
        return simulate(draw_stocks(self.stocks, self.days, self.seed), days, self.strength, self.seed)

    def notes(self) -> tuple[str, ...]:
        return (
            f"Simulated market of {self.stocks} stocks with one planted signal of strength {self.strength:g}: "
            "no result on it says anything about real stocks.",
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
        """The daily table: exactly what the day's bars add up to; a suspended row stands at its last close."""
        market = self._market
        high, low, amount = self._daily_from_bars()
        last = carried(market.close)
        suspended = market.listed & ~market.traded
        volume = market.lots * 100
        with np.errstate(invalid="ignore"):
            vwap = amount / np.where(volume > 0, volume, np.nan)
        fen = {"open": market.open, "high": high, "low": low, "close": market.close}
        panels: dict[str, Array] = {name: np.where(suspended, last, values) / 100 for name, values in fen.items()}
        panels |= {
            "volume": volume,
            "amount": np.where(suspended, 0.0, amount) / 100,
            "vwap": vwap / 100,
            "factor": market.factor,
            "suspended": suspended,
            "st": market.st,
            "up_limit": market.up_limit / 100,
            "down_limit": market.down_limit / 100,
            "float_shares": market.shares,
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
        day, stock = np.nonzero(market.listed)
        frame = pl.DataFrame({name: values[day, stock] for name, values in panels.items()}, nan_to_null=True)
        keys = [pl.Series("symbol", market.stocks.symbols).gather(stock), pl.Series("date", market.days).gather(day)]
        return pl.DataFrame(keys).hstack(frame)

    def reference(self, name: str) -> pl.DataFrame | None:
        """Listings, one index of a third of the stocks with one review half-way, and industries."""
        tables = {"listings": self._listings, "index_members": self._index_members, "industries": self._industries}
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

    def _index_members(self) -> pl.DataFrame:
        """The largest third at the first day, chosen anew half-way from the close of the day before."""
        market = self._market
        stocks, review, size = market.stocks, self.days // 2, round(self.stocks / 3)
        caps = carried(market.close) * market.shares
        old = set(_largest(np.where(market.listed[0], stocks.price * market.shares[0], -np.inf), size))
        new = set(
            _largest(np.where(market.listed[review - 1] & market.listed[review], caps[review - 1], -np.inf), size)
        )
        rows = []
        for stock in sorted(old | new):
            end = int(stocks.last[stock]) if stock in new else min(review - 1, int(stocks.last[stock]))
            rows.append(
                {
                    "index": _INDEX,
                    "symbol": stocks.symbols[stock],
                    "start": market.days[0 if stock in old else review],
                    "end": market.days[end] if end < self.days - 1 else None,
                }
            )
        return pl.DataFrame(rows, schema={"index": pl.String, "symbol": pl.String, "start": pl.Date, "end": pl.Date})

    def _industries(self) -> pl.DataFrame:
        stocks = self._market.stocks
        return pl.DataFrame(
            {"symbol": stocks.symbols, "industry": [f"industry {number + 1:02d}" for number in stocks.industry]}
        ).join(self._listings().select("symbol", start="listed"), on="symbol", maintain_order="left")

    def oracle(self) -> pl.DataFrame:
        """What a perfect observer of the pressure would score at each close: (date, symbol, score), standard units.

        Its part of the return of t + 1 is strength · DRIFT · score; it sees nothing after t.
        """
        return self._table({"score": self._market.pressure}).select("date", "symbol", "score")


def _largest(values: Array, count: int) -> list[int]:
    """Columns of the largest finite values; ties go to the earlier symbol."""
    order = np.argsort(-values, kind="stable")[:count]
    return [int(i) for i in order if np.isfinite(values[i])]
