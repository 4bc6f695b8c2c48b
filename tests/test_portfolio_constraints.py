"""Constraints: read from plain values, refused by key, their rows and bounds by hand; a certificate that can fail."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from random_portfolios import context, random_constraints, random_date

from polygrain import decoding
from polygrain.config import decode
from polygrain.decoding import ByKind
from polygrain.errors import CheckError, ConfigError, DataError, Uncertified
from polygrain.plugins import Plugin, use
from polygrain.portfolio.certificate import certificate, certified, excludes
from polygrain.portfolio.constraint import CONSTRAINTS, Bounds, Constraint, Label, Row
from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    Linear,
    LongOnly,
    StockDeviation,
    StyleDeviation,
    Tradability,
    Turnover,
)
from polygrain.portfolio.problem import posed
from polygrain.portfolio.program import assembled
from polygrain.portfolio.reduction import optimum
from polygrain.portfolio.simplex import Ray, Vertex
from polygrain.portfolio.solve import solve
from polygrain.spec import Spec


class Listed(Spec):
    """Constraints as a configuration lists them."""

    constraints: list[Annotated[Constraint, ByKind(CONSTRAINTS)]]


def read(*constraints: dict[str, Any]) -> list[Constraint]:
    return decoding.decode(Listed, {"constraints": list(constraints)}, {}).constraints


def test_constraints_are_read_by_kind() -> None:
    assert read(
        {"kind": "stock_deviation", "limit": 0.01},
        {"kind": "style_deviation", "limits": {"size": 0.2, "valuation": 0}},
        {"kind": "style_deviation", "name": "loose", "limits": {"momentum": 0.8}, "optional": True},
        {"kind": "turnover", "limit": 0.3},
    ) == [
        StockDeviation(limit=0.01),
        StyleDeviation(limits={"size": 0.2, "valuation": 0}),
        StyleDeviation(name="loose", limits={"momentum": 0.8}, optional=True),
        Turnover(limit=0.3),
    ]


def test_every_kind_is_registered() -> None:
    assert list(CONSTRAINTS) == [
        "budget",
        "long_only",
        "stock_deviation",
        "holding_weight",
        "style_deviation",
        "industry_deviation",
        "constituents",
        "turnover",
        "linear",
        "tradability",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"kind": "stock_deviation", "limt": 0.01},
            "constraints.0.limt: unknown key; did you mean 'limit'? choose from kind, limit, name",
        ),
        (
            {"kind": "stock_deviation", "limit": -1},
            "constraints.0.limit: input should be greater than or equal to 0 (given: -1)",
        ),
        (
            {"kind": "style_deviation", "limits": {}},
            "constraints.0.limits: dictionary should have at least 1 item after validation, not 0",
        ),
        (
            {"kind": "holding_weight", "minimum": 0.5, "maximum": 0.1},
            "constraints.0: minimum 0.5 is above maximum 0.1",
        ),
        ({"kind": "linear", "lower": 0.1}, "constraints.0: give either a column or coefficients by symbol"),
        ({"kind": "linear", "column": "size"}, "constraints.0: give lower, upper or both"),
        ({"kind": "linear", "column": "size", "lower": 2, "upper": 1}, "constraints.0: lower 2 is above upper 1"),
    ],
)
def test_refused_by_key(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(value)
    assert str(refused.value) == message


def test_the_page_says_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "enhancement.md").read_text()
    settings, example, printed, own = (block.partition("\n")[2] for block in page.split("```")[1::2])
    described = tomllib.loads(f'version = 1\nname = "page"\nsource.kind = "synthetic"\n{settings}')
    assert len(decode(described, Path()).enhancement["csi300"].cells) == 4
    exec(compile(example, "page", "exec", dont_inherit=True), {})  # noqa: S102
    assert capsys.readouterr().out == printed
    try:
        use([Plugin(name="own.py", text=own)])
        # Twelve names: of the two least heavy ones, which have the least score, .3 must be held.
        date = context(np.arange(12.0)[::-1], np.arange(12.0)[::-1] / 66)
        (outside,) = read({"kind": "outside_top", "share": 0.3})
        assert solve(date, [outside]).weights.round(9).tolist() == [0.7, *[0] * 9, 0.3, 0]
    finally:
        use(())


def test_buys_that_are_limited_from_below_are_refused() -> None:
    with pytest.raises(ConfigError, match="constraint mine: limits buys from below, which is not linear; give upper"):
        Row(Label("mine", "mine"), np.zeros(2), 0.1, 0.3, buys=1.0)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two are called 'style_deviation'; give one of them a name of its own"):
        posed(THREE, [StyleDeviation(limits={"size": 1}), StyleDeviation(limits={"momentum": 1})])


THREE = context(
    np.array([1.0, 0, -1]),
    [0.5, 0.3, 0.2],
    previous=[0.2, 0.3, 0.4],
    cash=0.1,
    exposures=np.array([[1.0, 2, 3], [0, 1, 0], [np.nan] * 3]),
    industry=np.array([0, 1, -1]),
)


def test_rows_by_hand() -> None:
    constraints: list[Constraint] = [
        StyleDeviation(limits={"size": 0.2}),
        IndustryDeviation(limit=0.02),
        Constituents(share=0.8),
        Turnover(limit=0.3),
        Linear(name="pair", coefficients={"000002.SH": 2.0, "600000.SH": 1.0}, upper=0.5),
        Linear(name="smallness", column="size", lower=1.5),
    ]
    rows = {row.label: row for row in posed(THREE, constraints).rows}
    # Size of the index: .5 · 1 + .3 · 2 + .2 · 3 = 1.7. The third has no industry.
    assert {label: (row.coefficients.tolist(), row.lower, row.upper, row.buys) for label, row in rows.items()} == {
        Label("budget", "budget"): ([1, 1, 1], 1, 1, 0),
        Label("style_deviation.size", "size"): ([1, 2, 3], pytest.approx(1.5), pytest.approx(1.9), 0),
        Label("industry_deviation", "g0"): ([1, 0, 0], pytest.approx(0.48), pytest.approx(0.52), 0),
        Label("industry_deviation", "g1"): ([0, 1, 0], pytest.approx(0.28), pytest.approx(0.32), 0),
        Label("industry_deviation", "none"): ([0, 0, 1], pytest.approx(0.18), pytest.approx(0.22), 0),
        Label("constituents", "constituents"): ([1, 1, 1], 0.8, np.inf, 0),
        Label("turnover", "turnover"): ([0, 0, 0], -np.inf, 0.3, 1),
        Label("pair", "coefficients"): ([0, 0, 2], -np.inf, 0.5, 0),
        Label("smallness", "size"): ([1, 2, 3], 1.5, np.inf, 0),
    }
    # (.5, .1, .4): buys .3 of the first; size .5 + .2 + 1.2 = 1.9; the second industry lacks .28 − .1.
    w = np.array([0.5, 0.1, 0.4])
    assert rows[Label("turnover", "turnover")].value(THREE, w) == pytest.approx(0.3)
    assert rows[Label("style_deviation.size", "size")].excess(THREE, w) == pytest.approx(0)
    assert rows[Label("industry_deviation", "g1")].excess(THREE, w) == pytest.approx(0.18)


def test_bounds_by_hand() -> None:
    # b = (.5, .3, .2), δ = .1; the second holds no more than .25, which cuts (.2, .4); the third from .15 on.
    constraints: list[Constraint] = [
        StockDeviation(limit=0.1),
        HoldingWeight(name="cap", maximum=0.25, symbols=["000001.SH"]),
        HoldingWeight(name="floor", minimum=0.15, symbols=["000002.SH"]),
    ]
    bounds = posed(THREE, constraints).bounds
    np.testing.assert_allclose(bounds.lower, [0.4, 0.2, 0.15])
    np.testing.assert_allclose(bounds.upper, [0.6, 0.25, 0.3])
    assert [bounds.parts[part] for part in bounds.lower_part] == ["stock_deviation", "stock_deviation", "floor"]
    assert [bounds.parts[part] for part in bounds.upper_part] == ["stock_deviation", "cap", "stock_deviation"]


def test_tradability_has_the_last_word() -> None:
    """w⁰ = (.2, .3, .4) against b ± .1 = (.4, .6), (.2, .4), (.1, .3), for each state of all three names."""
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    expected = {
        "frozen": ([0.2, 0.3, 0.4], [0.2, 0.3, 0.4]),
        "buyable": ([0.2, 0.2, 0.1], [0.2, 0.3, 0.3]),
        "sellable": ([0.4, 0.3, 0.4], [0.6, 0.4, 0.4]),
        "eligible": ([0, 0, 0], [0.2, 0.3, 0.3]),
    }
    for state, (lower, upper) in expected.items():
        date = replace(THREE, **{state: yes if state == "frozen" else no})
        given = Bounds.free(3).within("b", date.benchmark - 0.1, date.benchmark + 0.1)
        bounds = Tradability().bounds(date, LongOnly().bounds(date, given))
        np.testing.assert_allclose(bounds.lower, lower, atol=1e-15)
        np.testing.assert_allclose(bounds.upper, upper, atol=1e-15)


def test_a_style_that_the_data_lacks() -> None:
    wanted = StyleDeviation(limits={"momentum": 0.1, "size": 0.2})
    with pytest.raises(DataError) as refused:
        posed(THREE, [wanted])
    assert str(refused.value) == (
        "2024-01-05:exposures: style_deviation: the data has no style 'momentum'; leave it out or say optional = true"
    )
    optional = posed(THREE, [wanted.model_copy(update={"optional": True})])
    assert optional.absent == ("style_deviation.momentum",)
    holes = THREE.exposures.copy()
    holes[0, 1] = np.nan
    with pytest.raises(DataError, match=r"exposures:size: 000001.SH has none; fill it or leave the symbol out"):
        posed(replace(THREE, exposures=holes), [StyleDeviation(limits={"size": 0.2})])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": np.full(3, np.nan)}, "2024-01-05:score: has no finite value; leave the date out"),
        ({"cash": 0.2}, "2024-01-05:previous: the weights and cash sum to 1.1, not 1; rescale them"),
        (
            {"benchmark": np.array([1.1, -0.1, 0])},
            "2024-01-05:benchmark: 000001.SH weighs -0.1; weights are 0 or more",
        ),
        (
            {"benchmark": np.array([np.nan, 1, 0])},
            "2024-01-05:benchmark: 000000.SH weighs nan; weights are 0 or more",
        ),
        ({"symbols": ("a", "b", "a")}, "2024-01-05:symbols: holds a symbol twice; give each one once"),
        ({"industry": np.array([0, 2, 0])}, "2024-01-05:industry: holds a code that is not in −1 … 1"),
        (
            {"member": np.ones(2, bool)},
            "2024-01-05:member: has shape (2,) for 3 symbols; give one value a symbol",
        ),
    ],
)
def test_dates_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        replace(THREE, **changes)
    assert str(refused.value) == message


def solved_program(seed: int = 0) -> tuple[Any, Vertex]:
    generator = np.random.default_rng(seed)
    while True:
        date = random_date(generator, 60)
        program = assembled(posed(date, random_constraints(generator, 0.4)), date.mu)
        found = optimum(program)
        if isinstance(found, Vertex):
            return program, found


def worse(program: Any, vertex: Vertex) -> Vertex:
    """Half way to another feasible point, that of the opposite scores."""
    other = optimum(replace(program, cost=-program.cost))
    assert isinstance(other, Vertex)
    return replace(vertex, x=(vertex.x + other.x) / 2)


def heavier(program: Any, vertex: Vertex) -> Vertex:
    return replace(vertex, x=vertex.x * 1.001)


def dearer(program: Any, vertex: Vertex) -> Vertex:
    return replace(vertex, y=vertex.y + 0.01)


def unknown(program: Any, vertex: Vertex) -> Vertex:
    return replace(vertex, x=np.full(len(vertex.x), np.nan))


@pytest.mark.parametrize("change", [worse, heavier, dearer, unknown])
def test_a_certificate_fails_for_what_is_not_optimal(change: Callable[[Any, Vertex], Vertex]) -> None:
    program, vertex = solved_program()
    assert certified(program, vertex.x, vertex.y).holds
    wrong = change(program, vertex)
    assert not certificate(program, wrong.x, wrong.y).holds
    with pytest.raises(Uncertified, match="not proven optimal: primal residual") as refused:
        certified(program, wrong.x, wrong.y)
    assert isinstance(refused.value, CheckError)


def test_only_the_gap_tells_that_a_priced_row_is_not_tight() -> None:
    # x + x′ ≤ 1 with 0 ≤ x, x′ ≤ 1 and both of cost 1, price 1: d = 0, so that nothing says that x = x′ = .25 should
    # move, but the bound is 1 and the objective .5.
    date = context(np.array([1.0, -1]), [0.5, 0.5])
    program = replace(
        assembled(posed(date, []), date.mu), cost=np.ones(2), lower=np.array([-np.inf]), upper=np.array([1.0])
    )
    found = certificate(program, np.full(2, 0.25), np.ones(1))
    assert (found.primal, found.dual, found.gap) == (0, 0, 0.5)
    assert not found.holds
    assert certificate(program, np.full(2, 0.5), np.ones(1)).holds


def test_a_bound_from_any_prices_is_a_bound() -> None:
    """Weak duality: with prices of sides that rows have, no feasible x is better than the bound."""
    program, vertex = solved_program(1)
    generator = np.random.default_rng(0)
    for _ in range(100):
        y = generator.standard_normal(len(vertex.y))
        y = np.where(np.isinf(program.upper), -np.abs(y), np.where(np.isinf(program.lower), np.abs(y), y))
        assert certificate(program, vertex.x, y).bound >= certificate(program, vertex.x, vertex.y).objective - 1e-9


def test_multipliers_of_a_feasible_program_exclude_nothing() -> None:
    program, vertex = solved_program(2)
    generator = np.random.default_rng(0)
    assert not any(excludes(program, generator.standard_normal(len(vertex.y))) for _ in range(100))


def test_multipliers_that_exclude() -> None:
    # w₁ + w₂ = 1 with w ≤ .3 each; the budget's multiplier −1 says −(w₁ + w₂) ≥ −.6 > −1.
    date = context(np.array([1.0, 0]), [0.5, 0.5])
    program = assembled(posed(date, [HoldingWeight(maximum=0.3)]), date.mu)
    found = optimum(program)
    assert isinstance(found, Ray)
    assert excludes(program, np.array([-1.0]))
    assert not excludes(program, np.array([1.0]))
