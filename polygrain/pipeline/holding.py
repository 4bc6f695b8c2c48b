"""Holding: what worker processes do of the enhance stage: one portfolio with one score, walked from date to date."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.errors import DataError
from polygrain.execution.account import Account
from polygrain.execution.book import Book
from polygrain.execution.exact_book import ExactBook, Ledger
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market
from polygrain.market.rules import load_rules
from polygrain.pipeline import factor_history, ledger_rows
from polygrain.pipeline.enhancement_files import EnhancementFiles
from polygrain.pipeline.parquet import write_parquet
from polygrain.portfolio import plan
from polygrain.portfolio.conic import RiskObjective
from polygrain.portfolio.constraint import CONSTRAINTS, Constraint
from polygrain.portfolio.known import Known
from polygrain.portfolio.walk import Decision, Walked, walk
from polygrain.spec import Spec
from polygrain.store.panel import Array, Axes

TAGS = {"portfolio": pl.String, "model": pl.String, "label_days": pl.Int32}
_TEXT, _REAL, _COUNT = pl.String(), pl.Float64(), pl.Int32()
_COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "weights": {"symbol": _TEXT, "weight": _REAL, "benchmark_weight": _REAL},
    "trades": {"symbol": _TEXT, "ordered": _REAL, "traded": _REAL},
    "holdings": {"symbol": _TEXT, "shares": _REAL},
    "solves": {
        **dict.fromkeys(("objective", "primal", "dual", "gap", "bought"), _REAL),
        "names": _COUNT,
        "covered": _REAL,
        "conflict": _TEXT,
    },
    "relaxed": {"part": _TEXT, "key": _TEXT, "amount": _REAL},
    "active": {"kind": _TEXT, "of": _TEXT, "held": _REAL, "benchmark": _REAL},
    "prices": {"part": _TEXT, "price": _REAL, "binding": _COUNT},
    "nav": dict.fromkeys(("gross", "net", "benchmark", "cash", "turnover"), _REAL),
}
_DATE: dict[str, pl.DataType | type[pl.DataType]] = {**TAGS, "date": pl.Date}
SCHEMAS = {table: pl.Schema({**_DATE, **columns}) for table, columns in _COLUMNS.items()}
LEDGER = {"ledger": pl.Schema({**_DATE, **ledger_rows.COLUMNS})}


class HoldTask(Spec):
    """Walk `portfolio` with the scores of `model`, which are number `score`, over the index of number `index`.

    `drawn` scores are random. `constraints` are their settings as JSON; `cost` is a rate a round trip or an exact
    ledger's settings. The rows of every table go to files of `parts`, named by `number`.
    """

    folder: str
    parts: str
    number: int
    portfolio: str
    model: str
    label_days: int
    drawn: bool
    index: int
    score: int
    fill: str
    constraints: tuple[str, ...]
    order: tuple[tuple[str, ...], ...]
    cost: float | Ledger
    objective: RiskObjective | None
    last: int
    decisions: int

    def part(self, table: str) -> Path:
        """Where its rows of a table go."""
        return Path(self.parts) / f"{self.number:05d}-{table}.parquet"

    @property
    def schemas(self) -> dict[str, pl.Schema]:
        """Of its tables."""
        return SCHEMAS | LEDGER if isinstance(self.cost, Ledger) else SCHEMAS

    @property
    def finished(self) -> bool:
        """Whether an earlier call has written all its rows."""
        return all(self.part(table).is_file() for table in self.schemas)


def hold(task: HoldTask) -> None:
    """Walk a portfolio and write its rows; a task that is finished is left as it is."""
    if task.finished:
        return
    files = EnhancementFiles(Path(task.folder))
    axes, seen, trading = files.axes(), files.known(task.index, task.score), files.market(task.fill)
    noted, account = _Noted(axes), _account(task, files, trading)
    planned = _plan(task, files, seen)
    try:
        walked = walk(seen, account, planned, lag=trading.lag, last=task.last, record=noted.add)
    except DataError as error:
        raise type(error)(f"{task.portfolio} with {task.model}: {error.place}", error.reason) from None
    rows = noted.frames() | {"nav": noted.navs(walked, files.returns(task.index))}
    if isinstance(account, ExactBook):
        rows["ledger"] = ledger_rows.ledger_rows(account, axes, f"{task.portfolio} with {task.model}")
    tags = [pl.lit(getattr(task, name), kind).alias(name) for name, kind in TAGS.items()]
    for table, schema in task.schemas.items():
        frame = rows[table].select(*tags, *list(schema)[len(TAGS) :])
        write_parquet(frame.cast(schema), task.part(table))


def _account(task: HoldTask, files: EnhancementFiles, trading: Market) -> Account:
    if not isinstance(task.cost, Ledger):
        return Book(trading, cost_per_side=task.cost / 2)
    quotes = files.quotes()
    return ExactBook(task.cost.opened(quotes, FILLS[task.fill], load_rules()), quotes, trading)


def _plan(task: HoldTask, files: EnhancementFiles, seen: Known) -> plan.Plan:
    constraints = [_decoded(text) for text in task.constraints]
    if task.objective is None:
        return plan.most_score(constraints, task.order)
    # Of its own decisions: what else the config asks for changes nothing.
    history = files.factors(seen.days[0] - factor_history.DAYS)
    return plan.with_risk(constraints, task.order, task.objective, history, seen.symbols)


def _decoded(text: str) -> Constraint:
    return CONSTRAINTS[json.loads(text)["kind"]].model_validate_json(text)


@dataclass
class _Noted:
    """The rows of a walk's decisions by table, without tags."""

    axes: Axes
    rows: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    turnover: dict[int, float] = field(default_factory=dict)

    def add(self, made: Decision) -> None:
        """Note a decision."""
        for table, rows in _ROWS.items():
            day = made.fill if table in _AT_FILLS else made.day
            frame = pl.DataFrame(rows(made, self.axes)).select(pl.lit(self.axes.days[day]).alias("date"), pl.all())
            self.rows.setdefault(table, []).append(frame)
        self.turnover[made.fill] = made.filled.turnover

    def frames(self) -> dict[str, pl.DataFrame]:
        """All rows by table."""
        return {table: pl.concat(frames, how="vertical_relaxed") for table, frames in self.rows.items()}

    def navs(self, walked: Walked, returns: Array) -> pl.DataFrame:
        """The rows of nav.parquet; the index's NAV is 1 where the portfolio's is."""
        days = range(walked.base, walked.base + len(walked.gross))
        return pl.DataFrame(
            {
                "date": [self.axes.days[day] for day in days],
                "gross": walked.gross,
                "net": walked.net,
                "benchmark": np.cumprod(1.0 + np.append(0.0, returns[days.start + 1 : days.stop])),
                "cash": walked.cash,
                "turnover": pl.Series([self.turnover.get(day) for day in days], dtype=pl.Float64),
            }
        )


Columns = Mapping[str, object]


def _weights(made: Decision, axes: Axes) -> Columns:
    weights, benchmark = made.solution.weights, made.context.benchmark
    some = np.flatnonzero((weights > 0) | (benchmark > 0))
    names = [made.context.symbols[place] for place in some]
    return {"symbol": names, "weight": weights[some], "benchmark_weight": benchmark[some]}


def _trades(made: Decision, axes: Axes) -> Columns:
    ordered, traded = made.filled.ordered_S, made.filled.traded_S
    some = np.flatnonzero((ordered != 0) | (traded != 0))
    return {"symbol": [axes.symbols[column] for column in some], "ordered": ordered[some], "traded": traded[some]}


def _holdings(made: Decision, axes: Axes) -> Columns:
    held = np.flatnonzero(made.shares > 0)
    return {"symbol": [axes.symbols[column] for column in held], "shares": made.shares[held]}


def _solves(made: Decision, axes: Axes) -> Columns:
    solution, proof = made.solution, made.solution.certificate
    return {
        "objective": [solution.objective],
        "primal": [proof.primal],
        "dual": [proof.dual],
        "gap": [proof.gap],
        "bought": [made.context.bought(solution.weights)],
        "names": [int((solution.weights > 0).sum())],
        "covered": [made.covered],
        "conflict": pl.Series([None if solution.conflict is None else str(solution.conflict)], dtype=pl.String),
    }


def _relaxed(made: Decision, axes: Axes) -> Columns:
    relaxed = made.solution.relaxed
    return {
        "part": pl.Series([one.label.part for one in relaxed], dtype=pl.String),
        "key": pl.Series([one.label.key for one in relaxed], dtype=pl.String),
        "amount": pl.Series([one.amount for one in relaxed], dtype=pl.Float64),
    }


def _active(made: Decision, axes: Axes) -> Columns:
    here, weights = made.context, made.solution.weights
    found = [("style", name, values) for name in here.styles if (values := here.style(name)) is not None]
    found += [("industry", name, group.astype(float)) for name, group in here.groups().items()]
    found.append(("constituents", "", here.member.astype(float)))
    return {
        "kind": [kind for kind, _, _ in found],
        "of": [name for _, name, _ in found],
        "held": [float(values @ weights) for *_, values in found],
        "benchmark": [float(values @ here.benchmark) for *_, values in found],
    }


def _prices(made: Decision, axes: Axes) -> Columns:
    prices = made.solution.prices
    at_limit = Counter([label.part for label in prices.binding] + prices.bound_parts.tolist())
    parts = prices.parts
    return {"part": list(parts), "price": list(parts.values()), "binding": [at_limit[part] for part in parts]}


_ROWS = {
    "weights": _weights,
    "trades": _trades,
    "holdings": _holdings,
    "solves": _solves,
    "relaxed": _relaxed,
    "active": _active,
    "prices": _prices,
}
_AT_FILLS = ("trades", "holdings")
