"""A random market for exposures: quotes with shares, books and profits, and the same as an oracle's tape."""

from __future__ import annotations

import dataclasses

import numpy as np
from random_markets import quotes_of, random_quotes
from reference_exposures import Tape

from polygrain.execution.quotes import Quotes
from polygrain.exposures.build import price
from polygrain.exposures.inputs import Inputs
from polygrain.store.panel import Array, carried

COLUMNS = ("total_shares", "float_shares", "book_value", "net_profit")


def rough(seed: int, days: int, stocks: int) -> tuple[Quotes, dict[str, Array]]:
    """Quotes and columns as a daily table has them: a figure now and then, none yet for some stocks.

    Suspensions and delistings are those of `random_quotes`, whose factors would make a year's prices too small.
    """
    generator = np.random.default_rng(seed)
    pattern = random_quotes(generator, days, stocks)
    adjusted = 10 * np.exp(np.cumsum(generator.normal(0, 0.03, pattern.close.shape), axis=0))
    factor = np.cumprod(np.where(generator.random(adjusted.shape) < 0.01, 1.4, 1.0), axis=0)
    close = np.where(pattern.traded, adjusted / factor, np.nan)
    quotes = quotes_of(close, factor=factor, age=pattern.age)
    volume = np.where(quotes.traded, generator.integers(1, 10**6, close.shape), np.nan)
    amount = np.where(generator.random(volume.shape) < 0.02, 0.0, volume * close)
    total = np.exp(generator.normal(18, 1.5, stocks)) * np.cumprod(
        np.where(generator.random(volume.shape) < 0.02, 1.3, 1.0), axis=0
    )
    columns = {
        "total_shares": np.round(total),
        "float_shares": np.round(total * generator.uniform(0.2, 1, stocks)),
        "book_value": np.round(total * generator.normal(5, 3, volume.shape)),
        "net_profit": np.round(total * generator.normal(0.3, 1, volume.shape)),
    }
    for name in columns:
        columns[name][generator.random(volume.shape) < 0.6] = np.nan
        columns[name][:, generator.random(stocks) < 0.05] = np.nan
    return dataclasses.replace(quotes, volume=volume, amount=amount), columns


def inputs(quotes: Quotes, columns: dict[str, Array], members: Array) -> Inputs:
    known = {name: carried(values) for name, values in columns.items()}
    return Inputs(quotes, members, known, price(quotes) * known["total_shares"])


def plain(values: Array) -> list[list[float | None]]:
    return [[None if np.isnan(x) else float(x) for x in row] for row in values]


def tape_of(quotes: Quotes, columns: dict[str, Array]) -> Tape:
    amount = np.where(quotes.amount > 0, quotes.amount, np.nan)
    tables = {name: plain(values) for name, values in columns.items()}
    return Tape(plain(quotes.close), plain(amount), plain(quotes.volume), quotes.factor.tolist(), tables)
