"""The evaluated series of a run folder, looked up by what was evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.errors import DataError
from polygrain.evaluation import tracks
from polygrain.report.facts import ReportFacts, read_facts
from polygrain.store.panel import Array

RANK_IC_KEY = ("model", "label_days", "rebalance", "fill", "universe")
NAV_KEY = (*RANK_IC_KEY, "selection")
MODEL_KEY = ("model", "label_days")
_NAV_PANELS = ("gross", "net", "benchmark", "turnover", "participation")
SELECTIONS = ("top10pct", "top100")
TENTHS = tuple(rule.name for rule in tracks.TENTHS)


@dataclass(frozen=True)
class Case:
    """What was evaluated: a model's scores for a label, at a rebalance period, a fill and in a universe."""

    model: str
    label_days: int
    rebalance: int
    fill: str
    universe: str

    @property
    def key(self) -> tuple[str, int, int, str, str]:
        """The case in the column order of rank_ic.parquet."""
        return (self.model, self.label_days, self.rebalance, self.fill, self.universe)


@dataclass(frozen=True)
class Series:
    """Rank IC by score date; NaN where a date has none."""

    days: tuple[date, ...]
    rank_ic: Array
    rank_ic_all: Array


@dataclass(frozen=True)
class SeedSeries:
    """Rank IC of one seed's scores by score date."""

    seed: int
    rank_ic: Array


@dataclass(frozen=True)
class Navs:
    """Net asset values [tracks, days] at closes on the tracks' common span, whose first day is the base.

    `turnover` is Σ|Δw| on fill days and `participation` the share of the day's amount that a yuan traded takes, NaN
    elsewhere.
    """

    days: tuple[date, ...]
    gross: Array
    net: Array
    benchmark: Array
    turnover: Array
    participation: Array

    def leg(self, name: str) -> Array:
        """The portfolio before ("gross") or after ("net") costs."""
        return {"gross": self.gross, "net": self.net}[name]

    def part(self, days: slice) -> Navs:
        """The same of some of the days."""
        panels = (self.gross, self.net, self.benchmark, self.turnover, self.participation)
        return Navs(self.days[days], *(panel[:, days] for panel in panels))


@dataclass(frozen=True)
class Shares:
    """Where a model's scores come from at one granularity: [features, days back], the newest day first."""

    granularity: str
    features: tuple[str, ...]
    values: Array


@dataclass(frozen=True)
class Evaluation:
    """A run's Rank ICs and NAVs with the facts beside them; of trained models also the Rank ICs of single seeds, and by
    model and label where its scores come from, granularity by granularity, by number of days the mean Rank IC with
    returns over so many and the mean correlation with the ranking so much later, and by measure and what it is of the
    exposures of one score date in R."""

    facts: ReportFacts
    rank_ic: dict[tuple[object, ...], Series]
    nav: Mapping[tuple[object, ...], Navs]
    seeds: dict[tuple[object, ...], tuple[SeedSeries, ...]]
    origins: dict[tuple[object, ...], tuple[Shares, ...]]
    decay: dict[tuple[object, ...], dict[int, tuple[float, float]]]
    exposure: dict[tuple[object, ...], dict[tuple[str, str], Array]]

    def case(self, model: str, label_days: int) -> Case:
        """The evaluation that the tables show, of one model."""
        return Case(model, label_days, self.facts.rebalance, self.facts.fill, self.facts.universe)

    def series(self, case: Case) -> Series | None:
        """The case's Rank ICs, None where it was not evaluated."""
        return self.rank_ic.get(case.key)

    def navs(self, case: Case, selection: str) -> Navs | None:
        """The case's NAVs of a selection, None where it was not evaluated."""
        return self.nav.get((*case.key, selection))

    def naive_case(self) -> Case | None:
        """The naive composite, evaluated as the tables show it."""
        name = self.facts.naive
        return None if name is None else self.case(name, 0)


def _values(frame: pl.DataFrame, column: str) -> Array:
    return frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _series(frame: pl.DataFrame) -> Series:
    return Series(tuple(frame["date"]), _values(frame, "rank_ic"), _values(frame, "rank_ic_all"))


def _seed_series(frame: pl.DataFrame) -> tuple[SeedSeries, ...]:
    parts = frame.partition_by("seed", as_dict=True).items()
    return tuple(SeedSeries(int(seed), _values(part, "rank_ic")) for (seed,), part in parts)


def _navs(frame: pl.DataFrame) -> Navs:
    tracks = frame["track"].n_unique()
    counts = frame.group_by("date", maintain_order=True).len()
    days = counts.filter(pl.col("len") == tracks)["date"].sort()
    common = frame.filter(pl.col("date").is_in(days.implode())).sort("track", "date")

    def panel(name: str) -> Array:
        return _values(common, name).reshape(tracks, len(days))

    return Navs(tuple(days), *(panel(name) for name in _NAV_PANELS))


class NavFile(Mapping[tuple[object, ...], Navs]):
    """The NAVs of nav.parquet by case and selection, read a fill, rebalance period and universe at a time.

    Of a large run a page shows a small part of them.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._frame = path, checked(path, (*NAV_KEY, "track", "date", *_NAV_PANELS), "evaluate")
        self._found: dict[tuple[object, ...], dict[tuple[object, ...], Navs]] = {}

    @cached_property
    def _keys(self) -> list[tuple[object, ...]]:
        with blaming(self._path, "evaluate"):
            return list(self._frame.select(NAV_KEY).unique(maintain_order=True).collect().iter_rows())

    def __getitem__(self, key: tuple[object, ...]) -> Navs:
        # The tenths of few universes are looked at.
        part = (*key[2:5], key[5] in TENTHS)
        if part not in self._found:
            self._found[part] = self._read(*part)
        return self._found[part][key]

    def _read(
        self, rebalance: object, fill: object, universe: object, tenths: object
    ) -> dict[tuple[object, ...], Navs]:
        wanted = pl.col("selection").is_in(TENTHS) if tenths else ~pl.col("selection").is_in(TENTHS)
        case = [pl.col("rebalance") == rebalance, pl.col("fill") == fill, pl.col("universe") == universe]
        with blaming(self._path, "evaluate"):
            frame = self._frame.filter(*case, wanted).collect().sort(*NAV_KEY, "track", "date")
        return {key: _navs(part) for key, part in frame.partition_by(NAV_KEY, as_dict=True).items()}

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _shares(frame: pl.DataFrame) -> tuple[Shares, ...]:
    found = []
    for (granularity,), part in frame.partition_by("granularity", as_dict=True).items():
        features = tuple(part["feature"].unique().sort())
        values = part.sort("feature", "days_back")["share"].to_numpy().reshape(len(features), -1)
        found.append(Shares(str(granularity), features, values))
    return tuple(found)


def _decay(frame: pl.DataFrame) -> dict[int, tuple[float, float]]:
    found = {}
    for (days,), part in frame.partition_by("days", as_dict=True).items():
        columns = (_values(part, name) for name in ("rank_ic", "autocorrelation"))
        ic, same = (float(np.mean(v[np.isfinite(v)])) if np.isfinite(v).any() else np.nan for v in columns)
        found[int(days)] = (ic, same)
    return found


def _exposure(frame: pl.DataFrame) -> dict[tuple[str, str], Array]:
    parts = frame.partition_by("measure", "of", as_dict=True, maintain_order=True).items()
    return {(str(measure), str(of)): _values(part.sort("date"), "value") for (measure, of), part in parts}


def _read(run: Path, name: str, columns: tuple[str, ...], stage: str = "evaluate") -> pl.DataFrame:
    with blaming(run / name, stage):
        return checked(run / name, columns, stage).collect()


def checked(path: Path, columns: tuple[str, ...], stage: str) -> pl.LazyFrame:
    """A file with these columns; DataError names the file or the column that is missing."""
    if not path.is_file():
        raise DataError(str(path), f"the file is missing; run the {stage} stage first")
    with blaming(path, stage):
        frame = pl.scan_parquet(path)
        lacking = [column for column in columns if column not in frame.collect_schema()]
    if lacking:
        raise DataError(f"{path}:{lacking[0]}", f"the column is missing; rerun the {stage} stage")
    return frame


@contextmanager
def blaming(path: Path, stage: str) -> Iterator[None]:
    """Whatever polars finds wrong with a file, as a DataError that names it."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(str(path), f"is damaged ({reason}); rerun the {stage} stage") from error


def read_evaluation(run: Path) -> Evaluation:
    """A run folder's evaluation; DataError names the file that is missing or incomplete."""
    facts = read_facts(run)
    rank_ic = _read(run, "rank_ic.parquet", (*RANK_IC_KEY, "date", "rank_ic", "rank_ic_all")).sort(*RANK_IC_KEY, "date")
    seeds = _read(run, "seed_rank_ic.parquet", (*RANK_IC_KEY, "seed", "date", "rank_ic"))
    shares = _read(run, "explain.parquet", (*MODEL_KEY, "granularity", "feature", "days_back", "share"), "explain")
    decay = _read(run, "decay.parquet", (*MODEL_KEY, "days", "date", "rank_ic", "autocorrelation"))
    exposure = _read(run, "exposure.parquet", (*MODEL_KEY, "measure", "of", "date", "value"))
    return Evaluation(
        facts,
        {key: _series(part) for key, part in rank_ic.partition_by(RANK_IC_KEY, as_dict=True).items()},
        NavFile(run / "nav.parquet"),
        {
            key: _seed_series(part)
            for key, part in seeds.sort("seed", "date").partition_by(RANK_IC_KEY, as_dict=True).items()
        },
        {key: _shares(part) for key, part in shares.partition_by(MODEL_KEY, as_dict=True).items()},
        {key: _decay(part) for key, part in decay.partition_by(MODEL_KEY, as_dict=True).items()},
        {key: _exposure(part) for key, part in exposure.partition_by(MODEL_KEY, as_dict=True).items()},
    )
