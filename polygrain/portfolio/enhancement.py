"""Enhancement, 指数增强: the settings of enhanced portfolios of an index, and the grid of portfolios they describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue, ValidationError, model_validator

from polygrain.decoding import ByKind
from polygrain.execution.exact_book import Ledger
from polygrain.execution.fills import FILLS
from polygrain.portfolio.conic import RiskObjective
from polygrain.portfolio.constraint import CONSTRAINTS, Constraint
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.problem import check_names
from polygrain.spec import Spec

Tradable: TypeAlias = Literal["known", "fill"]


@dataclass(frozen=True)
class Cell:
    """One portfolio of the grid: its constraints, and by key what sets it apart, in the order of `vary`."""

    varied: dict[str, float]
    constraints: tuple[Constraint, ...]


class Enhancement(Spec):
    """Portfolios that hold an index within constraints and take the most score, every `rebalance` trading days.

    `tracks`: 1, or as many as `rebalance`: then so many start a day apart, each with an equal part of the capital, and
    are one portfolio, which depends on no day to start on.
    `index`: its name in index_weights. `models`, `label_days`: whose scores, all where empty; the first is shown.
    `ledger` keeps whole shares and fen and takes the fees of each day; without it the book is in fractions, and `cost`
    is per round trip: one excludes the other. `objective` adds risk and trading costs to the score, by Clarabel.
    `tradability` is what the plan at t knows: `known`, who is suspended on t; `fill`, what can be traded at the fill,
    as broker reports do. `order`: what gives way last where a date has no solution comes first. `vary`: by constraint
    and field, such as "stock_deviation.limit", the values that the grid takes, a portfolio for every combination; the
    first of each is shown. `random_scores`: how many portfolios of scores drawn at random stand beside that one, as
    what index and constraints earn by themselves.
    """

    index: str
    models: list[str] = []
    label_days: list[int] = []
    rebalance: int = Field(default=5, ge=1)
    tracks: int = Field(default=1, ge=1)
    fill: str = "t1_vwap"
    ledger: Ledger | None = None
    cost: Annotated[float, Field(ge=0)] | None = Field(
        default_factory=lambda given: None if given.get("ledger") else 0.003
    )
    objective: RiskObjective | None = None
    tradability: Tradable = "known"
    constraints: list[Annotated[Constraint, ByKind(CONSTRAINTS)]] = []
    order: list[list[str]] = [list(level) for level in ORDER]
    vary: dict[str, Annotated[list[float], Field(min_length=1)]] = {}
    random_scores: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Enhancement:
        if self.fill not in FILLS:
            raise ValueError(f"unknown fill {self.fill!r}; choose from {', '.join(FILLS)}")
        if self.tracks not in (1, self.rebalance):
            raise ValueError(f"tracks is {self.tracks}; choose 1, or {self.rebalance}, one for every day to start on")
        if (self.cost is None) == (self.ledger is None):
            raise ValueError("cost and ledger exclude each other: a ledger takes each day's fees; leave one out")
        check_names(self.constraints)
        self._check_order()
        self._check_distinct()
        return self

    @property
    def charged(self) -> float | Ledger:
        """What trading costs a track: a rate a round trip, or the fees of a ledger with its part of the capital."""
        if self.cost is not None:
            return self.cost
        assert self.ledger is not None
        return self.ledger.model_copy(update={"capital": self.ledger.capital / self.tracks})

    def _check_order(self) -> None:
        """Refuse a name in `order` that no constraint and no usual level has, or that is there twice."""
        named = [name for level in self.order for name in level]
        known = {name for one in self.constraints for name in (one.label, *one.parts)}
        known |= {name for level in ORDER for name in level}
        for name in named:
            if name not in known:
                choices = ", ".join(sorted(known))
                raise ValueError(f"order: {name!r} is no constraint or part of one; choose from {choices}")
            if named.count(name) > 1:
                raise ValueError(f"order: {name!r} is there twice; name each one once")

    def _check_distinct(self) -> None:
        """Refuse what would be two portfolios of one name; `cells` refuses what the grid cannot be made of."""
        cells = [portfolio_name("", cell.varied).removeprefix(":") for cell in self.cells]
        for key, names in (("models", self.models), ("label_days", map(str, self.label_days)), ("vary", cells)):
            found = Counter(names)
            for name in found:
                if found[name] > 1:
                    raise ValueError(f"{key}: {name} is there twice; name each one once")

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The portfolios of the grid, the one that is shown first."""
        return tuple(
            Cell(varied, tuple(_changed(self.constraints, varied)))
            for values in product(*self.vary.values())
            for varied in [dict(zip(self.vary, values))]
        )


def _changed(constraints: Sequence[Constraint], values: dict[str, float]) -> list[Constraint]:
    """The constraints with fields set by key; ValueError names the key that is none or refuses its value."""
    trees = {one.label: (type(one), one.model_dump(mode="json")) for one in constraints}
    for key, value in values.items():
        label, _, path = key.partition(".")
        *parents, field = path.split(".")
        node: Any = trees[label][1] if label in trees else None
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or field not in node:
            known = ", ".join(f"{name}.{each}" for name, (_, tree) in trees.items() for each in tree if each != "kind")
            raise ValueError(f"vary: {key!r} is no field of a constraint; choose from {known or 'none'}")
        node[field] = value
    try:
        return [kind.model_validate(tree) for kind, tree in trees.values()]
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"vary: a value is refused: {said}") from None


class Portfolio(Spec):
    """One portfolio of a run's grid: `name` is what files call it, `shown` the one that figures show."""

    name: str
    enhancement: str
    index: str
    varied: dict[str, float]
    shown: bool


class Grid(Spec):
    """All enhanced portfolios of a run: by enhancement the models, labels and settings.

    `cost` is a rate a round trip, or the ledger where an exact one was kept, with the capital of all tracks.
    `constraints` are those of the portfolio that is shown, with all their fields; `order` says what gives way last. The
    models "random 1", "random 2", … of label 0 have `random_scores`. `missing` are sentences in English and Chinese on
    what was left out.
    """

    portfolios: tuple[Portfolio, ...]
    models: dict[str, tuple[str, ...]]
    label_days: dict[str, tuple[int, ...]]
    rebalance: dict[str, int]
    tracks: dict[str, int]
    fill: dict[str, str]
    cost: dict[str, float | Ledger]
    tradability: dict[str, Tradable]
    objective: dict[str, RiskObjective | None]
    constraints: dict[str, tuple[dict[str, JsonValue], ...]]
    order: dict[str, tuple[tuple[str, ...], ...]]
    random_scores: dict[str, int] = {}
    missing: tuple[tuple[str, str], ...] = ()


def portfolio_name(enhancement: str, varied: dict[str, float]) -> str:
    """What a portfolio is called: large:stock_deviation.limit=0.01,constituents.share=0.8."""
    said = ",".join(f"{key}={value:g}" for key, value in varied.items())
    return f"{enhancement}:{said}" if said else enhancement
