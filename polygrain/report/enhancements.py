"""The index-enhanced portfolios of a run folder, 指数增强组合, with what is known of every date that was solved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import ValidationError

from polygrain.errors import DataError
from polygrain.execution.exact_book import Ledger
from polygrain.portfolio.conic import RiskObjective
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.enhancement import Grid, Portfolio, Tradable
from polygrain.report.limits import Foreign, decoded
from polygrain.report.results import Case, Navs, blaming, checked
from polygrain.report.words import Text
from polygrain.store.panel import Array

FOLDER, STAGE = "portfolios", "enhance"
KEY = ("portfolio", "model", "label_days")
Key = tuple[str, str, int]
_SETTINGS = (
    *("models", "label_days", "rebalance", "tracks", "fill", "cost"),
    *("tradability", "objective", "constraints", "order"),
)
HARD = ("budget", "long_only", "tradability")
"""The parts that are in every problem and never give way."""
_NAV = ("date", "gross", "net", "benchmark", "cash", "turnover")
_COLUMNS = {
    "solves": ("date", "primal", "dual", "gap", "names", "covered", "conflict"),
    "relaxed": ("date", "part", "key", "amount"),
    "active": ("date", "kind", "of", "held", "benchmark"),
    "prices": ("date", "part", "price", "binding"),
    "attribution": ("date", "source", "of", "value"),
    "contributions": ("symbol", "value"),
}


@dataclass(frozen=True)
class Held:
    """One portfolio of one model and label: its NAVs as those of one track, whose first close is the one before the
    first fill, and the share of cash at each close; where it is of several that start a day apart, net NAV and index
    [tracks, closes] of each of them, on the days that all have."""

    navs: Navs
    cash: Array
    starts: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class EnhancedIndex:
    """What a configuration calls an enhancement: a portfolio for each combination of what varies, for each model and
    label. The first of all of these is the one that is shown where there is room for one; `constraints` are its, and
    `order` says what gives way last. `called` is what titles and files call it: its index, where it is the only one on
    it, else its name."""

    name: str
    called: str
    index: str
    portfolios: tuple[Portfolio, ...]
    models: tuple[str, ...]
    label_days: tuple[int, ...]
    rebalance: int
    tracks: int
    fill: str
    cost: float | Ledger
    tradability: Tradable
    objective: RiskObjective | None
    order: tuple[tuple[str, ...], ...]
    constraints: tuple[Constraint | Foreign, ...]
    random_scores: int

    @property
    def shown(self) -> Portfolio:
        """The portfolio of all first values."""
        return next(portfolio for portfolio in self.portfolios if portfolio.shown)

    @property
    def key(self) -> Key:
        """The shown portfolio of the first model and label."""
        return (self.shown.name, self.models[0], self.label_days[0])

    @property
    def random_keys(self) -> Iterator[Key]:
        """The shown portfolio of scores drawn at random."""
        return ((self.shown.name, f"random {number}", 0) for number in range(1, self.random_scores + 1))

    @property
    def case(self) -> Case:
        """Whose scores that portfolio follows."""
        return Case(self.models[0], self.label_days[0], self.rebalance, self.fill, self.index)


@dataclass(frozen=True)
class Enhancements:
    """A run's enhancements, their portfolios by `KEY`, and the files beside them: `solves` and `relaxed` of all
    portfolios, the others of those that are shown. `missing` is what could not be made."""

    listed: tuple[EnhancedIndex, ...]
    held: Mapping[Key, Held]
    solves: pl.DataFrame
    relaxed: pl.DataFrame
    active: pl.DataFrame
    prices: pl.DataFrame
    attribution: pl.DataFrame
    contributions: pl.DataFrame
    missing: tuple[Text, ...]


def of(frame: pl.DataFrame, key: Key) -> pl.DataFrame:
    """The rows of one portfolio, model and label."""
    return frame.filter(*(pl.col(name) == value for name, value in zip(KEY, key)))


def read_enhancements(run: Path) -> Enhancements | None:
    """A run folder's enhancements, None where it has none; DataError names the file that is missing or incomplete."""
    folder = run / FOLDER
    if not folder.is_dir():
        return None
    grid, every = _grid(folder / "grid.json")
    held = _held(folder / "nav.parquet")
    if any(each.tracks > 1 for each in every):
        held |= _started(folder / "tracks.parquet", held)
    listed = tuple(enhancement for enhancement in every if enhancement.key in held)
    shown = [enhancement.shown.name for enhancement in listed]
    said = [Text(en, zh) for en, zh in grid.missing]
    said += [_unwalked(enhancement) for enhancement in every if enhancement.key not in held]
    frames = {name: _read(folder, name, None if name in ("solves", "relaxed") else shown) for name in _COLUMNS}
    return Enhancements(listed, held, **frames, missing=tuple(said))


def _grid(path: Path) -> tuple[Grid, list[EnhancedIndex]]:
    if not path.is_file():
        raise DataError(str(path), f"the file is missing; rerun the {STAGE} stage")
    try:
        grid = Grid.model_validate_json(path.read_bytes())
        _check(path, grid)
        return grid, _enhancements(grid)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(str(path), f"{where}: {first['msg']}; rerun the {STAGE} stage") from error


def _check(path: Path, grid: Grid) -> None:
    for portfolio in grid.portfolios:
        for name in _SETTINGS:
            if portfolio.enhancement not in getattr(grid, name):
                said = f"{name}: nothing is said of {portfolio.enhancement!r}; rerun the {STAGE} stage"
                raise DataError(str(path), said)


def _enhancements(grid: Grid) -> list[EnhancedIndex]:
    indices = {portfolio.enhancement: portfolio.index for portfolio in grid.portfolios}
    made = []
    for name, index in indices.items():
        cells = tuple(portfolio for portfolio in grid.portfolios if portfolio.enhancement == name)
        made.append(
            EnhancedIndex(
                name=name,
                called=index if list(indices.values()).count(index) == 1 else name,
                index=index,
                portfolios=cells,
                models=grid.models[name],
                label_days=grid.label_days[name],
                rebalance=grid.rebalance[name],
                tracks=grid.tracks[name],
                fill=grid.fill[name],
                cost=grid.cost[name],
                tradability=grid.tradability[name],
                objective=grid.objective[name],
                order=grid.order[name],
                constraints=tuple(map(decoded, grid.constraints[name])),
                random_scores=grid.random_scores.get(name, 0),
            )
        )
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
        return wanted.collect().sort(*KEY, _COLUMNS[name][0], maintain_order=True)


def _held(path: Path) -> dict[Key, Held]:
    frame = checked(path, (*KEY, *_NAV), STAGE)
    with blaming(path, STAGE):
        parts = frame.collect().sort(*KEY, "date").partition_by(KEY, as_dict=True, maintain_order=True)
    found = {}
    for (portfolio, model, label_days), part in parts.items():
        if part.height > 1:
            gross, net, benchmark, cash, turnover = (floats(part[name]) for name in _NAV[1:])
            panels = (panel[None] for panel in (gross, net, benchmark, turnover, np.full(part.height, np.nan)))
            found[str(portfolio), str(model), int(label_days)] = Held(Navs(tuple(part["date"]), *panels), cash)
    return found


def _started(path: Path, held: Mapping[Key, Held]) -> dict[Key, Held]:
    """The portfolios that are of several, with those."""
    frame = checked(path, (*KEY, "track", "date", "net", "benchmark"), STAGE)
    with blaming(path, STAGE):
        parts = frame.collect().sort(*KEY, "track", "date").partition_by(KEY, as_dict=True, maintain_order=True)
    found = {}
    for (portfolio, model, label_days), part in parts.items():
        key = (str(portfolio), str(model), int(label_days))
        common = part.filter(pl.col("date") >= part.group_by("track").agg(pl.col("date").min())["date"].max())
        panels = (floats(common[name]).reshape(part["track"].n_unique(), -1) for name in ("net", "benchmark"))
        net, benchmark = panels
        found[key] = replace(held[key], starts=(net, benchmark))
    return found


def floats(values: pl.Series) -> Array:
    """A column's values, NaN where there is none."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def sums(frame: pl.DataFrame, *by: str, of: str) -> dict[tuple[object, ...], float]:
    """Sums of a column by others. Polars' own have other last bits from one number of threads to another."""
    parts = frame.partition_by(by, as_dict=True, maintain_order=True)
    return {key: float(floats(part[of]).sum()) for key, part in parts.items()}


def mean_of(values: pl.Series) -> float:
    """Mean of a column, NaN of an empty one."""
    return float(floats(values).mean()) if len(values) else np.nan
