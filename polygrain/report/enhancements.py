"""The index-enhanced portfolios of a run folder, 指数增强组合, with what is known of every date that was solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import ValidationError

from polygrain.errors import DataError
from polygrain.execution.exact_book import Ledger
from polygrain.portfolio.enhancement import Grid, Portfolio
from polygrain.report.results import Case, Navs, blaming, checked
from polygrain.report.words import Text
from polygrain.store.panel import Array

FOLDER, STAGE = "portfolios", "enhance"
KEY = ("portfolio", "model", "label_days")
Key = tuple[str, str, int]
_NAV = ("date", "gross", "net", "benchmark", "cash", "turnover")
_COLUMNS = {
    "solves": ("date", "primal", "dual", "gap", "names", "covered", "conflict"),
    "relaxed": ("date", "part", "key", "amount"),
    "active": ("date", "kind", "of", "held", "benchmark"),
    "prices": ("date", "part", "price", "binding"),
    "attribution": ("date", "source", "of", "value"),
}


@dataclass(frozen=True)
class Held:
    """One portfolio of one model and label: its NAVs as those of one track, whose first close is the one before the
    first fill, and the share of cash at each close."""

    navs: Navs
    cash: Array


@dataclass(frozen=True)
class EnhancedIndex:
    """What a configuration calls an enhancement: a portfolio for each combination of what varies, for each model and
    label. The first of all of these is the one that is shown where there is room for one. `called` is what titles and
    files call it: its index, where it is the only one on it, else its name."""

    name: str
    called: str
    index: str
    portfolios: tuple[Portfolio, ...]
    models: tuple[str, ...]
    label_days: tuple[int, ...]
    rebalance: int
    fill: str
    cost: float | Ledger

    @property
    def shown(self) -> Portfolio:
        """The portfolio of all first values."""
        return next(portfolio for portfolio in self.portfolios if portfolio.shown)

    @property
    def key(self) -> Key:
        """The shown portfolio of the first model and label."""
        return (self.shown.name, self.models[0], self.label_days[0])

    @property
    def case(self) -> Case:
        """Whose scores that portfolio follows."""
        return Case(self.models[0], self.label_days[0], self.rebalance, self.fill, self.index)


@dataclass(frozen=True)
class Enhancements:
    """A run's enhancements, their portfolios by `KEY`, and the files beside them: `solves` and `relaxed` of all
    portfolios, `active`, `prices` and `attribution` of those that are shown. `missing` is what could not be made."""

    listed: tuple[EnhancedIndex, ...]
    held: Mapping[Key, Held]
    solves: pl.DataFrame
    relaxed: pl.DataFrame
    active: pl.DataFrame
    prices: pl.DataFrame
    attribution: pl.DataFrame
    missing: tuple[Text, ...]


def of(frame: pl.DataFrame, key: Key) -> pl.DataFrame:
    """The rows of one portfolio, model and label."""
    return frame.filter(*(pl.col(name) == value for name, value in zip(KEY, key)))


def read_enhancements(run: Path) -> Enhancements | None:
    """A run folder's enhancements, None where it has none; DataError names the file that is missing or incomplete."""
    folder = run / FOLDER
    if not folder.is_dir():
        return None
    grid = _grid(folder / "grid.json")
    held = _held(folder / "nav.parquet")
    every = _enhancements(grid)
    listed = tuple(enhancement for enhancement in every if enhancement.key in held)
    shown = [enhancement.shown.name for enhancement in listed]
    said = [Text(en, zh) for en, zh in grid.missing]
    said += [_unwalked(enhancement) for enhancement in every if enhancement.key not in held]
    frames = {name: _read(folder, name, None if name in ("solves", "relaxed") else shown) for name in _COLUMNS}
    return Enhancements(listed, held, **frames, missing=tuple(said))


def _grid(path: Path) -> Grid:
    if not path.is_file():
        raise DataError(str(path), f"the file is missing; rerun the {STAGE} stage")
    try:
        grid = Grid.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(str(path), f"{where}: {first['msg']}; rerun the {STAGE} stage") from error
    for portfolio in grid.portfolios:
        for name in ("models", "label_days", "rebalance", "fill", "cost"):
            if getattr(grid, name).get(portfolio.enhancement) in (None, ()):
                said = f"{name}: nothing is said of {portfolio.enhancement!r}; rerun the {STAGE} stage"
                raise DataError(str(path), said)
    return grid


def _enhancements(grid: Grid) -> list[EnhancedIndex]:
    indices = {portfolio.enhancement: portfolio.index for portfolio in grid.portfolios}
    made = []
    for name, index in indices.items():
        cells = tuple(portfolio for portfolio in grid.portfolios if portfolio.enhancement == name)
        rule = (grid.models[name], grid.label_days[name], grid.rebalance[name], grid.fill[name], grid.cost[name])
        called = index if list(indices.values()).count(index) == 1 else name
        made.append(EnhancedIndex(name, called, index, cells, *rule))
    return made


def _unwalked(enhancement: EnhancedIndex) -> Text:
    name = enhancement.name
    return Text(f"Enhancement {name}: no two closes to show.", f"指数增强 {name}：没有可供展示的两个收盘。")


def _read(folder: Path, name: str, shown: list[str] | None) -> pl.DataFrame:
    """A file's rows, of some portfolios alone where these are given."""
    path = folder / f"{name}.parquet"
    frame = checked(path, (*KEY, *_COLUMNS[name]), STAGE)
    with blaming(path, STAGE):
        wanted = frame if shown is None else frame.filter(pl.col("portfolio").is_in(shown))
        return wanted.collect().sort(*KEY, "date", maintain_order=True)


def _held(path: Path) -> dict[Key, Held]:
    frame = checked(path, (*KEY, *_NAV), STAGE)
    with blaming(path, STAGE):
        parts = frame.collect().sort(*KEY, "date").partition_by(KEY, as_dict=True, maintain_order=True)
    found = {}
    for (portfolio, model, label_days), part in parts.items():
        if part.height > 1:
            gross, net, benchmark, cash, turnover = (_values(part, name) for name in _NAV[1:])
            panels = (panel[None] for panel in (gross, net, benchmark, turnover, np.full(part.height, np.nan)))
            found[str(portfolio), str(model), int(label_days)] = Held(Navs(tuple(part["date"]), *panels), cash)
    return found


def _values(frame: pl.DataFrame, column: str) -> Array:
    return frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
