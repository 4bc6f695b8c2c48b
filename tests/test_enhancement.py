"""The settings of enhanced portfolios: the grid they describe, and what they refuse."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from polygrain.config import decode, load, to_toml
from polygrain.errors import ConfigError
from polygrain.execution.exact_book import Ledger
from polygrain.portfolio.conic import RiskObjective
from polygrain.portfolio.constraints import IndustryDeviation, StockDeviation, StyleDeviation
from polygrain.portfolio.enhancement import Enhancement, portfolio_name

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo.toml"
STOCK, INDUSTRY = StockDeviation(limit=0.01), IndustryDeviation(limit=0.0)
STYLE = StyleDeviation(limits={"size": 0.2})


def test_the_grid_is_every_combination_the_first_of_each_first() -> None:
    settings = Enhancement(
        index="large",
        constraints=[STOCK, INDUSTRY, STYLE],
        vary={"stock_deviation.limit": [0.005, 0.01], "style_deviation.limits.size": [0.0, 0.2]},
    )
    assert [tuple(cell.varied.values()) for cell in settings.cells] == [
        (0.005, 0.0),
        (0.005, 0.2),
        (0.01, 0.0),
        (0.01, 0.2),
    ]
    first, *_, last = settings.cells
    assert first.constraints == (StockDeviation(limit=0.005), INDUSTRY, StyleDeviation(limits={"size": 0.0}))
    assert last.constraints == (STOCK, INDUSTRY, STYLE)
    assert portfolio_name("a", last.varied) == "a:stock_deviation.limit=0.01,style_deviation.limits.size=0.2"


def test_without_a_grid_there_is_one_portfolio() -> None:
    (cell,) = Enhancement(index="large", constraints=[STOCK]).cells
    assert (cell.varied, cell.constraints, portfolio_name("a", {})) == ({}, (STOCK,), "a")


def test_constraints_can_be_told_apart_by_name_in_the_grid() -> None:
    named = [
        StockDeviation(limit=0.01),
        StyleDeviation(limits={"size": 0.2}),
        StyleDeviation(name="low", limits={"x": 0.8}),
    ]
    settings = Enhancement(index="large", constraints=named, vary={"low.limits.x": [0.1]})
    assert settings.cells[0].constraints[2] == StyleDeviation(name="low", limits={"x": 0.1})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('fill = "noon"', r"unknown fill 'noon'; choose from t0_close"),
        ('vary = { "stock_deviation.limi" = [1.0] }', r"vary: 'stock_deviation.limi' is no field of a constraint"),
        (
            'vary = { "turnover.limit" = [1.0] }',
            r"vary: 'turnover.limit' is no field of a constraint; choose from stock",
        ),
        ('vary = { "stock_deviation.limit" = [2.0] }', r"vary: a value is refused: limit: Input should be less"),
        ('vary = { "stock_deviation.limit" = [] }', r"enhancement.large.vary.stock_deviation.limit"),
        (
            'vary = { "stock_deviation.limit" = [0.01, 0.02, 0.01] }',
            r"vary: stock_deviation.limit=0.01 is there twice; name each one once",
        ),
        # Files call both 0.0123457.
        ('vary = { "stock_deviation.limit" = [0.01234568, 0.01234569] }', r"vary: .*=0.0123457 is there twice"),
        ('models = ["a", "b", "a"]', r"models: a is there twice; name each one once"),
        ("label_days = [5, 5]", r"label_days: 5 is there twice; name each one once"),
        ('order = [["turnovr"]]', r"order: 'turnovr' is no constraint or part of one; choose from"),
        ('order = [["stock_deviation"], ["stock_deviation"]]', r"order: 'stock_deviation' is there twice"),
        ("tracks = 3", r"tracks is 3; choose 1, or 5, one for every day to start on"),
        ("rebalance = 0", r"enhancement.large.rebalance"),
        ("indeks = 3", r"enhancement.large.indeks: unknown key; did you mean 'index'"),
        (
            'constraints = [{ kind = "stock_deviation", limit = 0.1 }, { kind = "stock_deviation", limit = 0.2 }]',
            r"two are called 'stock_deviation'",
        ),
        ('constraints = [{ kind = "nothing" }]', r"kind 'nothing' is unknown"),
        ("cost = 0.003\nledger = { capital = 1e8, commission = 0.00025 }", r"cost and ledger exclude each other"),
        ("ledger = { capital = 1e8 }", r"enhancement.large.ledger.commission: is required but missing"),
        ("ledger = { capital = 0.0, commission = 0.0 }", r"enhancement.large.ledger.capital: input should be greater"),
        ("objective = { risk_aversion = -1.0 }", r"enhancement.large.objective.risk_aversion: input should be greater"),
    ],
)
def test_refused(change: str, said: str, tmp_path: Path) -> None:
    lines = {"index": '"large"', "constraints": '[{ kind = "stock_deviation", limit = 0.01 }]'}
    key, _, value = change.partition(" = ")
    text = "\n".join(f"{name} = {given}" for name, given in {**lines, key: value}.items())
    path = tmp_path / "bad.toml"
    path.write_text(f'version = 1\nname = "bad"\n[source]\nkind = "synthetic"\n[enhancement.large]\n{text}\n')
    with pytest.raises(ConfigError, match=said):
        load(path)


def test_costs_are_a_rate_or_those_of_a_ledger() -> None:
    ledger = Ledger(capital=1e8, commission=0.00025)
    assert Enhancement(index="large").charged == 0.003
    assert Enhancement(index="large", cost=0.0).charged == 0.0
    assert Enhancement(index="large", ledger=ledger).charged == ledger


def test_options_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    options = ("ledger = { capital = 1e8, commission = 0.00025 }", "objective = { tracking_error = 0.04 }")
    path = tmp_path / "options.toml"
    path.write_text(
        EXAMPLE.read_text().partition("[enhancement")[0] + "\n".join(("[enhancement.x]", 'index="x"', *options))
    )
    experiment = load(path)
    assert experiment.enhancement["x"].objective == RiskObjective(tracking_error=0.04)
    assert decode(tomllib.loads(to_toml(experiment)), tmp_path) == experiment


def test_a_config_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    experiment = load(EXAMPLE)
    assert len(experiment.enhancement["large"].cells) == 8
    assert decode(tomllib.loads(to_toml(experiment)), tmp_path) == experiment
