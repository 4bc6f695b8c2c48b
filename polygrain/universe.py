"""Which stocks count on which date: U_t, its part known before the open, and the algebra of named universes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import polars as pl
from pydantic import field_validator

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.spec import Spec
from polygrain.store.panel import Array, Axes, interval, trailing_mean

MIN_TRADED = 20
_AMOUNT_DAYS = 20
_TOKEN = re.compile(
    r"\s*(?:listed\s*>=\s*(?P<age>\d+)\b|top\s+(?P<percent>\d+(?:\.\d+)?)\s*%\s+by\s+amount\b"
    r"|(?P<word>[^\W\d]\w*|[()]))"
)


class Universe(Spec):
    """The base universe in one line of algebra; U_t adds: traded on t, and ≥ 20 traded days in the look-back."""

    base: str = "listed >= 60 and not st"

    @field_validator("base")
    @classmethod
    def _readable(cls, base: str) -> str:
        parse(base, "universe.base")
        return base


@dataclass
class Facts:
    """What an expression may ask about each (day, symbol), as bool arrays [days, symbols].

    `lag` = 0: as known at a day's close. `lag` = 1: as known before its open, so that everything which a day's trading
    decides (ST status, amounts) is the day before's; listing age and index membership are announced beforehand.
    `missing` collects the names that the data could not answer; they count as false. `indices` are those asked about.
    """

    quotes: Quotes
    index_members: dict[str, Array]
    lag: int = 0
    missing: set[str] = field(default_factory=set)
    indices: set[str] = field(default_factory=set)

    def _seen(self, values: Array) -> Array:
        if self.lag == 0:
            return values
        seen = np.zeros_like(values)
        seen[1:] = values[:-1]
        return seen

    def named(self, name: str) -> Array:
        """all, st, or the members of an index."""
        shape = self.quotes.close.shape
        if name == "all":
            return np.ones(shape, bool)
        if name == "st" and self.quotes.st is not None:
            return self._seen(self.quotes.st)
        if name in self.index_members:
            self.indices.add(name)
            return self.index_members[name]
        self.missing.add(name)
        return np.zeros(shape, bool)

    def listed(self, days: int) -> Array:
        """Whether this is at least the stock's so manieth trading day since its listing, the listing day being 1."""
        return np.asarray(self.quotes.age >= days)

    def top(self, share: Fraction) -> Array:
        """The given share of the day's traded stocks with the largest 20-day mean amount; halves round up.

        Equal means go by symbol.
        """
        if not np.isfinite(self.quotes.amount).any():
            self.missing.add("amount")
        return self._seen(_top_by_amount(self.quotes, share))


Rule: TypeAlias = Callable[[Facts], Array]


def _top_by_amount(quotes: Quotes, share: Fraction) -> Array:
    amount = np.where(quotes.traded, trailing_mean(quotes.amount, _AMOUNT_DAYS, 1), np.nan)
    order = np.argsort(np.where(np.isnan(amount), np.inf, -amount), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(amount.shape[1]), amount.shape), axis=1)
    # In integers: .29 · 50 + ½ falls short of 15 in floats.
    ranked = np.isfinite(amount).sum(1)
    count = (2 * share.numerator * ranked + share.denominator) // (2 * share.denominator)
    return np.asarray((place < count[:, None]) & np.isfinite(amount))


class _Parser:
    """One pass over an expression's words, by precedence: or < and < not < ( … )."""

    def __init__(self, expression: str, key: str) -> None:
        self._expression, self._key = expression, key
        self._tokens = _tokens(expression, key)
        self._at = 0

    def whole(self) -> Rule:
        rule = self._either()
        if self._at < len(self._tokens):
            raise self._refusal(f"{self._tokens[self._at].group().strip()!r} is not expected; join names by and / or")
        return rule

    def _refusal(self, reason: str) -> ConfigError:
        return ConfigError(self._key, f"{self._expression!r}: {reason}")

    def _next_is(self, word: str) -> bool:
        """Whether the next word is this one, which is then read."""
        found = self._at < len(self._tokens) and self._tokens[self._at]["word"] == word
        self._at += found
        return found

    def _either(self) -> Rule:
        parts = [self._both()]
        while self._next_is("or"):
            parts.append(self._both())
        return lambda facts: np.logical_or.reduce([part(facts) for part in parts])

    def _both(self) -> Rule:
        parts = [self._one()]
        while self._next_is("and"):
            parts.append(self._one())
        return lambda facts: np.logical_and.reduce([part(facts) for part in parts])

    def _one(self) -> Rule:
        if self._next_is("not"):
            inner = self._one()
            return lambda facts: ~inner(facts)
        if self._next_is("("):
            rule = self._either()
            if not self._next_is(")"):
                raise self._refusal("a closing parenthesis is missing")
            return rule
        return self._name()

    def _name(self) -> Rule:
        if self._at == len(self._tokens):
            raise self._refusal("ends too early; a name or a parenthesis must follow")
        token = self._tokens[self._at]
        self._at += 1
        if token["age"] is not None:
            days = int(token["age"])
            return lambda facts: facts.listed(days)
        if token["percent"] is not None:
            share = Fraction(token["percent"]) / 100
            if not 0 < share <= 1:
                raise self._refusal(f"top {token['percent']}% must be more than 0% and at most 100%")
            return lambda facts: facts.top(share)
        word = token["word"]
        if word in ("and", "or", ")"):
            raise self._refusal(f"{word!r} stands where a name must")
        return lambda facts: facts.named(word)


def _tokens(expression: str, key: str) -> list[re.Match[str]]:
    """The words of an expression; ConfigError names the first character that is none."""
    words: list[re.Match[str]] = []
    position = 0
    while expression[position:].strip():
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ConfigError(
                key,
                f"cannot read {expression[position:].strip()!r}; use and, or, not, parentheses, all, st, listed >= N, "
                "top X% by amount, or the name of an index",
            )
        words.append(match)
        position = match.end()
    return words


def parse(expression: str, key: str) -> Rule:
    """The rule that an expression states; ConfigError with `key` where it states none.

    Grammar: or < and < not < ( … ) | all | st | listed >= N | top X% by amount | index name.
    """
    return _Parser(expression, key).whole()


def evaluate(expression: str, facts: Facts, key: str = "universe.base") -> Array:
    """The days and symbols [days, symbols] for which the expression (see `parse`) holds."""
    return parse(expression, key)(facts)


def membership(table: pl.DataFrame | None, axes: Axes) -> dict[str, Array]:
    """Per index, who is a member on each day: bool [days, symbols], from intervals with both days included."""
    members: dict[str, Array] = {}
    if table is None:
        return members
    for index, symbol, start, end in table.select("index", "symbol", "start", "end").iter_rows():
        panel = members.setdefault(index, np.zeros((len(axes.days), len(axes.symbols)), bool))
        column = axes.symbol_number.get(symbol)
        if column is not None:
            panel[interval(axes, start, end), column] = True
    return members


def _traded_days(traded: Array, lookback: int, lag: int) -> Array:
    """How many of the `lookback` days that end `lag` days before each row were traded."""
    total = np.vstack([np.zeros((1, traded.shape[1]), np.int32), np.cumsum(traded, axis=0, dtype=np.int32)])
    row = np.arange(len(traded)) + 1 - lag
    return np.asarray(total[np.maximum(row, 0)] - total[np.maximum(row - lookback, 0)])


def members(universe: Universe, facts: Facts, lookback: int) -> Array:
    """U_t, bool [days, symbols]: in the base universe, traded on t, and ≥ min(20, look-back) traded days in it.

    Sees: everything up to t's close. Source: spec of the report's universe (listed, not ST, tradable).
    """
    enough = _traded_days(facts.quotes.traded, lookback, 0) >= min(MIN_TRADED, lookback)
    return evaluate(universe.base, facts) & facts.quotes.traded & enough


def known_before_open(universe: Universe, facts: Facts, lookback: int) -> Array:
    """The base universe by facts known before each day's open, bool [days, symbols]: whom normalisation is fitted on.

    Sees: listings and index lists in force on the day, and trading up to the day before.
    """
    before = Facts(facts.quotes, facts.index_members, lag=1, missing=facts.missing)
    enough = _traded_days(facts.quotes.traded, lookback, 1) >= min(MIN_TRADED, lookback)
    return evaluate(universe.base, before) & enough
