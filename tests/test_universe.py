"""Universes: the algebra by hand, U_t and its part known before the open against plain loops, and every refusal."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import reference_universe as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from random_markets import quotes_of

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array, Axes
from polygrain.universe import Facts, Universe, evaluate, known_before_open, members, membership, parse

DAYS = tuple(date(2021, 1, 1) + timedelta(i) for i in range(3))


def market(
    *,
    age: list[list[int]] | None = None,
    st: list[list[int]] | None = None,
    amount: list[list[float]] | None = None,
    shape: tuple[int, int] = (3, 4),
) -> Quotes:
    """Every stock trades every day; a NaN amount is a day without trading."""
    known = [values for values in (age, st, amount) if values is not None]
    if known:
        shape = (len(known[0]), len(known[0][0]))
    amounts = np.full(shape, 1.0) if amount is None else np.array(amount)
    found = quotes_of(
        np.where(np.isnan(amounts), np.nan, 10.0),
        amount=amounts,
        age=None if age is None else np.array(age, np.int32),
    )
    return found if st is None else dataclasses.replace(found, st=np.array(st, bool))


def ask(expression: str, quotes: Quotes, index: dict[str, list[list[int]]] | None = None) -> list[list[int]]:
    facts = Facts(quotes, {name: np.array(rows, bool) for name, rows in (index or {}).items()})
    found = evaluate(expression, facts)
    assert found.dtype == bool
    assert facts.missing == set()
    return found.astype(int).tolist()


def test_atoms() -> None:
    quotes = market(age=[[0, 1, 59, 60], [0, 2, 60, 61]], st=[[0, 0, 1, 0], [0, 1, 1, 0]])
    index = {"csi300": [[1, 0, 0, 1], [0, 0, 0, 1]], "沪深300": [[0, 0, 1, 0], [0, 0, 1, 0]]}
    assert ask("all", quotes) == [[1, 1, 1, 1], [1, 1, 1, 1]]
    assert ask("st", quotes) == [[0, 0, 1, 0], [0, 1, 1, 0]]
    assert ask("listed >= 60", quotes) == [[0, 0, 0, 1], [0, 0, 1, 1]]
    assert ask("listed>=1", quotes) == [[0, 1, 1, 1], [0, 1, 1, 1]]
    assert ask("csi300", quotes, index) == index["csi300"]
    assert ask("沪深300", quotes, index) == index["沪深300"]


# Three sets that meet in every way: columns are a, b, c = 000, 001, …, 111.
A = [[0, 0, 0, 0, 1, 1, 1, 1]]
B = [[0, 0, 1, 1, 0, 0, 1, 1]]
C = [[0, 1, 0, 1, 0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("a or b and c", {3, 4, 5, 6, 7}),  # a or (b and c)
        ("(a or b) and c", {3, 5, 7}),
        ("not a and b", {2, 3}),  # (not a) and b
        ("not (a and b)", {0, 1, 2, 3, 4, 5}),
        ("not a or b", {0, 1, 2, 3, 6, 7}),
        ("not not a", {4, 5, 6, 7}),
        ("a and not b or c", {1, 3, 4, 5, 7}),  # (a and (not b)) or c
        ("a and b and c or not (a or b or c)", {0, 7}),
        ("((a))", {4, 5, 6, 7}),
        ("  a\tor\n b ", {2, 3, 4, 5, 6, 7}),
    ],
)
def test_precedence(expression: str, columns: set[int]) -> None:
    found = ask(expression, market(shape=(1, 8)), {"a": A, "b": B, "c": C})
    assert {i for i, held in enumerate(found[0]) if held} == columns


# An expression, the columns for which it holds, and how tightly it binds: or 0, and 1, not and names 2.
Stated = tuple[str, frozenset[int], int]
EVERY = frozenset(range(8))
NAMES = [("a", frozenset({4, 5, 6, 7}), 2), ("b", frozenset({2, 3, 6, 7}), 2), ("c", frozenset({1, 3, 5, 7}), 2)]


def inside(stated: Stated, least: int) -> str:
    """The text, in parentheses where it binds too loosely for its place."""
    return stated[0] if stated[2] >= least else f"({stated[0]})"


def negated(x: Stated) -> Stated:
    return f"not {inside(x, 2)}", EVERY - x[1], 2


def joined(pair: tuple[Stated, Stated]) -> list[Stated]:
    x, y = pair
    return [
        (f"{inside(x, 1)} and {inside(y, 1)}", x[1] & y[1], 1),
        (f"{inside(x, 0)} or {inside(y, 0)}", x[1] | y[1], 0),
    ]


EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: inner.map(negated) | st.tuples(inner, inner).map(joined).flatmap(st.sampled_from),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS)
def test_random_expressions_with_as_few_parentheses_as_they_need(stated: Stated) -> None:
    found = ask(stated[0], market(shape=(1, 8)), {"a": A, "b": B, "c": C})
    assert {i for i, held in enumerate(found[0]) if held} == stated[1]


def test_top_by_amount_of_the_day_s_traded_stocks() -> None:
    quotes = market(amount=[[4, 3, 2, 1, 5, 9, 8, 7, 6, 0]])
    # 20 % of 10 = 2: the 9 and the 8.
    assert ask("top 20% by amount", quotes) == [[0, 0, 0, 0, 0, 1, 1, 0, 0, 0]]
    assert ask("not top  20 %  by  amount", quotes) == [[1, 1, 1, 1, 1, 0, 0, 1, 1, 1]]
    assert ask("top 100% by amount", quotes) == [[1] * 10]
    # Two did not trade: 25 % of 8 = 2.
    gaps = market(amount=[[4, 3, 2, 1, 5, np.nan, 8, np.nan, 6, 0]])
    assert ask("top 25% by amount", gaps) == [[0, 0, 0, 0, 0, 0, 1, 0, 1, 0]]


def test_top_by_amount_takes_the_mean_of_the_last_20_days() -> None:
    # Stock 0 traded 100 on the first day only and 1 since; stock 1 always 5. Over 20 days the mean of the first is
    # (100 + 19)/20 = 5.95 on the twentieth day, and 1 on the next, when the first day has left.
    amount = np.tile([1.0, 5.0], (21, 1))
    amount[0, 0] = 100.0
    found = ask("top 50% by amount", market(amount=amount.tolist()))
    assert found[19] == [1, 0]
    assert found[20] == [0, 1]
    # Days without trading do not count: (100 + 1)/2 beats 5 though 18 days are missing.
    amount[1:19, 0] = np.nan
    found = ask("top 50% by amount", market(amount=amount[:20].tolist()))
    assert found[19] == [1, 0]
    # Who did not trade today is not among today's; then stock 1 is half of one, rounded up.
    amount[19, 0] = np.nan
    assert ask("top 50% by amount", market(amount=amount[:20].tolist()))[19] == [0, 1]


@pytest.mark.parametrize(
    ("stocks", "percent", "count"),
    [
        (4, "12.5", 1),  # .5 rounds up
        (4, "12", 0),  # .48
        (4, "37.5", 2),  # 1.5
        (50, "29", 15),  # 14.5; .29 · 50 is 14.499999999999998 in floats
        (50, "5", 3),  # 2.5
        (10, "0.1", 0),
        (1, "50", 1),
    ],
)
def test_the_count_of_the_top_is_rounded_half_up(stocks: int, percent: str, count: int) -> None:
    (found,) = ask(f"top {percent}% by amount", market(amount=[[float(stocks - i) for i in range(stocks)]]))
    assert found == [1] * count + [0] * (stocks - count)


def test_ties_go_to_the_first_symbol() -> None:
    assert ask("top 50% by amount", market(amount=[[7, 7, 9, 7, 7, 7]])) == [[1, 1, 1, 0, 0, 0]]


def test_membership_includes_both_days() -> None:
    axes = Axes(tuple(date(2024, 3, d) for d in (4, 5, 6, 7, 11, 12)), ("000001.SZ", "600000.SH", "600519.SH"))
    rows = [
        ("a", "600000.SH", date(2024, 3, 5), date(2024, 3, 7)),
        ("a", "600000.SH", date(2024, 3, 12), None),
        ("a", "000001.SZ", date(2020, 1, 1), date(2024, 3, 4)),
        ("a", "300750.SZ", date(2020, 1, 1), None),  # not in the market
        ("b", "600519.SH", date(2024, 3, 8), date(2024, 3, 10)),  # between trading days
        ("c", "600519.SH", date(2024, 3, 8), date(2024, 3, 11)),
        ("d", "600519.SH", date(2024, 3, 13), None),  # after the last day
        ("e", "600519.SH", date(2024, 3, 1), date(2024, 3, 3)),  # before the first
    ]
    table = pl.DataFrame(rows, schema=["index", "symbol", "start", "end"], orient="row")
    found = membership(table, axes)
    assert set(found) == {"a", "b", "c", "d", "e"}
    assert found["a"].astype(int).T.tolist() == [[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]]
    assert found["c"][:, 2].tolist() == [False, False, False, False, True, False]
    assert not any(found[name].any() for name in "bde")
    assert membership(None, axes) == {}


@pytest.mark.parametrize(
    ("expression", "missing"),
    [("csi300", {"csi300"}), ("all and (csi300 or csi500)", {"csi300", "csi500"}), ("st", {"st"}), ("all", set())],
)
def test_what_the_data_lacks_is_named_and_false(expression: str, missing: set[str]) -> None:
    facts = Facts(market(), {})
    assert evaluate(expression, facts).any() == (not missing)
    assert facts.missing == missing


def test_a_top_without_amounts_is_named_and_false() -> None:
    facts = Facts(dataclasses.replace(market(), amount=np.full((3, 4), np.nan)), {})
    assert not evaluate("top 20% by amount", facts).any()
    assert facts.missing == {"amount"}


def test_known_before_open_names_what_is_missing_to_the_same_facts() -> None:
    facts = Facts(market(), {})
    assert known_before_open(Universe(base="not st"), facts, 1).tolist() == [[False] * 4, [True] * 4, [True] * 4]
    assert facts.missing == {"st"}


HELP = "; use and, or, not, parentheses, all, st, listed >= N, top X% by amount, or the name of an index"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "'': ends too early; a name or a parenthesis must follow"),
        ("a and", "'a and': ends too early; a name or a parenthesis must follow"),
        ("not", "'not': ends too early; a name or a parenthesis must follow"),
        ("(a or b", "'(a or b': a closing parenthesis is missing"),
        ("(a b)", "'(a b)': a closing parenthesis is missing"),
        ("()", "'()': ')' stands where a name must"),
        ("or a", "'or a': 'or' stands where a name must"),
        ("a and or b", "'a and or b': 'or' stands where a name must"),
        ("a b", "'a b': 'b' is not expected; join names by and / or"),
        ("a)", "'a)': ')' is not expected; join names by and / or"),
        ("a AND b", "'a AND b': 'AND' is not expected; join names by and / or"),
        ("listed >= 60 st", "'listed >= 60 st': 'st' is not expected; join names by and / or"),
        ("st listed >= 60", "'st listed >= 60': 'listed >= 60' is not expected; join names by and / or"),
        ("listed > 60", f"cannot read '> 60'{HELP}"),
        ("listed >= x", f"cannot read '>= x'{HELP}"),
        ("listed >= 60x", f"cannot read '>= 60x'{HELP}"),
        ("a & b", f"cannot read '& b'{HELP}"),
        ("300", f"cannot read '300'{HELP}"),
        ("top 20 by amount", f"cannot read '20 by amount'{HELP}"),
        ("top 20% by amounts", f"cannot read '20% by amounts'{HELP}"),
        ("top 0% by amount", "'top 0% by amount': top 0% must be more than 0% and at most 100%"),
        ("top 100.5% by amount", "'top 100.5% by amount': top 100.5% must be more than 0% and at most 100%"),
    ],
)
def test_refusals(expression: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(expression, "universe.base")
    assert str(refusal.value) == f"universe.base: {message}"
    with pytest.raises(ConfigError):
        Universe(base=expression)


@pytest.mark.parametrize("name", ["top", "topix", "listed", "listed_large", "stocks", "android", "nothing", "allshare"])
def test_index_names_may_begin_like_words_of_the_grammar(name: str) -> None:
    member = [[1, 0, 0, 1]]
    assert ask(name, market(shape=(1, 4)), {name: member}) == member


@st.composite
def tapes(draw: st.DrawFn) -> oracle.Tape:
    days, stocks = draw(st.integers(1, 45)), draw(st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (days, stocks)
    first = generator.integers(-5, days, stocks)
    age = np.maximum(np.arange(days)[:, None] - first + 1, 0)
    traded = (generator.random(shape) < draw(st.sampled_from([0.5, 0.9, 1.0]))) & (age > 0)
    # Few amounts, so that many means are equal; sums of integers are exact.
    amount = generator.integers(1, 4, shape)
    return oracle.Tape(
        age=age.tolist(),
        traded=traded.tolist(),
        st=(generator.random(shape) < 0.2).tolist(),
        amount=[[x if here else None for x, here in zip(*row)] for row in zip(amount.tolist(), traded.tolist())],
        index=(generator.random(shape) < 0.5).tolist(),
    )


def facts_of(tape: oracle.Tape) -> Facts:
    traded = np.array(tape.traded)
    quotes = quotes_of(
        np.where(traded, 10.0, np.nan),
        amount=np.array([[np.nan if x is None else x for x in row] for row in tape.amount], float),
        age=np.array(tape.age, np.int32),
    )
    return Facts(dataclasses.replace(quotes, st=np.array(tape.st)), {"x": np.array(tape.index)})


PERCENTS = st.sampled_from(["12.5", "20", "33.3", "50", "100"])
LOOKBACKS = st.integers(1, 40)


@settings(max_examples=100, deadline=None)
@given(tapes(), st.integers(0, 6), PERCENTS, LOOKBACKS)
def test_universes_against_plain_loops(tape: oracle.Tape, least_age: int, percent: str, lookback: int) -> None:
    universe = Universe(base=f"listed >= {least_age} and not st and (x or top {percent}% by amount)")
    facts, share = facts_of(tape), Fraction(percent)
    assert members(universe, facts, lookback).tolist() == oracle.members(tape, least_age, share, lookback)
    assert known_before_open(universe, facts, lookback).tolist() == oracle.before_open(tape, least_age, share, lookback)


@settings(max_examples=50, deadline=None)
@given(tapes(), PERCENTS, LOOKBACKS, st.data())
def test_known_before_open_never_reads_the_day_s_own_trading(
    tape: oracle.Tape, percent: str, lookback: int, data: st.DataObject
) -> None:
    universe = Universe(base=f"listed >= 2 and not st and (x or not top {percent}% by amount)")
    facts = facts_of(tape)
    day = data.draw(st.integers(0, tape.days - 1))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    traded = facts.quotes.traded.copy()
    traded[day:] = generator.random(traded[day:].shape) < 0.5

    def otherwise(values: Array) -> Array:
        changed = values.copy()
        changed[day:] = np.where(traded[day:], generator.random(changed[day:].shape) * 100, np.nan)
        return changed

    other = dataclasses.replace(
        facts.quotes,
        traded=traded,
        st=np.vstack([facts.quotes.st[:day], generator.random(traded[day:].shape) < 0.5]),
        **{name: otherwise(getattr(facts.quotes, name)) for name in ("open", "high", "low", "close", "vwap", "amount")},
    )
    changed = Facts(other, facts.index_members)
    assert (
        known_before_open(universe, facts, lookback)[: day + 1].tolist()
        == known_before_open(universe, changed, lookback)[: day + 1].tolist()
    )
    # And U_t reads no later day.
    assert members(universe, facts, lookback)[:day].tolist() == members(universe, changed, lookback)[:day].tolist()
