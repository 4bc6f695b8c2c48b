"""Which stocks count on which date: U_t, its part known before the open, and the algebra of named universes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.spec import Spec
from polygrain.store.panel import Array, Axes

MIN_TRADED = 20
_AMOUNT_DAYS = 20
_TOKEN = re.compile(r"\s*(listed\s*>=\s*\d+|top\s+\d+(?:\.\d+)?%\s+by\s+amount|[A-Za-z_]\w*|[()])")


class Universe(Spec):
    """The base universe in one line of algebra; U_t adds: traded on t, and ≥ 20 traded days in the look-back."""

    base: str = "listed >= 60 and not st"


@dataclass
class Facts:
    """What an expression may ask about each (day, symbol), as bool arrays [days, symbols].

    `lag` = 0: as known at a day's close. `lag` = 1: as known before its open, so that everything which a day's trading
    decides (ST status, amounts) is the day before's; listing age and index membership are announced beforehand.
    `missing` collects the names that the data could not answer; they count as false.
    """

    quotes: Quotes
    index_members: dict[str, Array]
    lag: int = 0
    missing: set[str] = field(default_factory=set)

    def _seen(self, values: Array) -> Array:
        if self.lag == 0:
            return values
        seen = np.zeros_like(values)
        seen[1:] = values[:-1]
        return seen

    def answer(self, atom: str) -> Array:
        shape = self.quotes.close.shape
        if atom == "all":
            return np.ones(shape, bool)
        if atom == "st":
            if self.quotes.st is None:
                self.missing.add("st")
                return np.zeros(shape, bool)
            return self._seen(self.quotes.st)
        if atom.startswith("listed"):
            return np.asarray(self.quotes.age >= int(atom.split(">=")[1]))
        if atom.startswith("top"):
            return self._seen(_top_by_amount(self.quotes, float(atom.split()[1].rstrip("%")) / 100))
        if atom in self.index_members:
            return self.index_members[atom]
        self.missing.add(atom)
        return np.zeros(shape, bool)


def _trailing_mean(values: Array, days: int) -> Array:
    """Mean of what is present among the last `days` rows, today included; NaN where nothing is."""
    present = np.isfinite(values)
    total = np.zeros(values.shape)
    count = np.zeros(values.shape)
    for back in range(min(days, len(values))):
        total[back:] += np.where(present, values, 0.0)[: len(values) - back]
        count[back:] += present[: len(values) - back]
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _top_by_amount(quotes: Quotes, share: float) -> Array:
    """The given share of the day's traded stocks with the largest 20-day mean amount; ties by symbol."""
    amount = np.where(quotes.traded, _trailing_mean(quotes.amount, _AMOUNT_DAYS), np.nan)
    order = np.argsort(np.where(np.isnan(amount), np.inf, -amount), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(amount.shape[1]), amount.shape), axis=1)
    count = np.floor(share * np.isfinite(amount).sum(1) + 0.5)
    return np.asarray((place < count[:, None]) & np.isfinite(amount))


def tokens(expression: str, key: str) -> list[str]:
    """The words of an expression; ConfigError names the first character that is none."""
    words: list[str] = []
    position = 0
    while expression[position:].strip():
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ConfigError(
                key,
                f"cannot read {expression[position:].strip()!r}; use and, or, not, parentheses, all, st, listed >= N, "
                "top X% by amount, or the name of an index",
            )
        words.append(re.sub(r"\s+", " ", match.group().strip()))
        position = match.end()
    return words


def evaluate(expression: str, facts: Facts, key: str = "universe.base") -> Array:
    """The days and symbols [days, symbols] for which the expression holds.

    Grammar: or < and < not < ( … ) | all | st | listed >= N | top X% by amount | index name.
    """
    words = tokens(expression, key)

    def disjunction(at: int) -> tuple[Array, int]:
        left, at = conjunction(at)
        while at < len(words) and words[at] == "or":
            right, at = conjunction(at + 1)
            left = left | right
        return left, at

    def conjunction(at: int) -> tuple[Array, int]:
        left, at = negation(at)
        while at < len(words) and words[at] == "and":
            right, at = negation(at + 1)
            left = left & right
        return left, at

    def negation(at: int) -> tuple[Array, int]:
        if at >= len(words):
            raise ConfigError(key, f"{expression!r} ends too early; a name or a parenthesis must follow")
        if words[at] == "not":
            value, at = negation(at + 1)
            return ~value, at
        if words[at] == "(":
            value, at = disjunction(at + 1)
            if at >= len(words) or words[at] != ")":
                raise ConfigError(key, f"{expression!r} lacks a closing parenthesis")
            return value, at + 1
        if words[at] in ("and", "or", ")"):
            raise ConfigError(key, f"{expression!r}: {words[at]!r} stands where a name must")
        return facts.answer(words[at]), at + 1

    value, at = disjunction(0)
    if at != len(words):
        raise ConfigError(key, f"{expression!r}: {words[at]!r} is not expected; join names by and / or")
    return value


def membership(table: pl.DataFrame | None, axes: Axes) -> dict[str, Array]:
    """Per index, who is a member on each day: bool [days, symbols], from intervals with both days included."""
    members: dict[str, Array] = {}
    if table is None:
        return members
    days = np.array(axes.days, dtype="datetime64[D]")
    for index, symbol, start, end in table.select("index", "symbol", "start", "end").iter_rows():
        panel = members.setdefault(index, np.zeros((len(axes.days), len(axes.symbols)), bool))
        column = axes.symbol_number.get(symbol)
        if column is not None:
            panel[_span(days, start, end), column] = True
    return members


def _span(days: Array, start: date, end: date | None) -> slice:
    first = int(np.searchsorted(days, np.datetime64(start), "left"))
    last = len(days) if end is None else int(np.searchsorted(days, np.datetime64(end), "right"))
    return slice(first, last)


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


def unanswered(expressions: Iterable[str], known: Sequence[str]) -> list[str]:
    """The index names in the expressions that no table holds."""
    words = {word for expression in expressions for word in tokens(expression, "evaluation.universes")}
    fixed = {"and", "or", "not", "(", ")", "all", "st", *known}
    return sorted(w for w in words if w not in fixed and not w.startswith(("listed", "top")))
