"""Sample: a small part of a store as canonical tables, and a source that holds such tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from pydantic import ConfigDict

from polygrain.errors import ConfigError
from polygrain.market.calendar import month_of
from polygrain.market.rules import LimitRule
from polygrain.market.session import Session
from polygrain.sources.source import REFERENCE, DailyAmount, Source
from polygrain.store.commit import fingerprint
from polygrain.store.store import Store

SYMBOLS = 64
BAR_DAYS = 52
DAYS_BEFORE = 70


class Held(Source):
    """A source over tables that are already in memory, in the canonical schemas."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    held_session: Session
    held_limits: LimitRule
    bar: str
    amount: DailyAmount
    tables: Mapping[str, pl.DataFrame]

    def fingerprint(self) -> str:
        return fingerprint({name: _digest(table) for name, table in sorted(self.tables.items())})

    @property
    def base_bar(self) -> str:
        return self.bar

    @property
    def session(self) -> Session:
        return self.held_session

    @property
    def limits(self) -> LimitRule:
        return self.held_limits

    @property
    def daily_amount(self) -> DailyAmount:
        return self.amount

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        if "bars" not in self.tables:
            return
        bars = self.tables["bars"]
        months = bars["date"].dt.strftime("%Y-%m")
        for month in months.unique().sort():
            yield month, bars.filter(months == month)

    def daily(self) -> pl.DataFrame | None:
        return self.tables.get("daily")

    def reference(self, name: str) -> pl.DataFrame | None:
        return self.tables.get(name)

    def notes(self) -> tuple[str, ...]:
        return ()


def _digest(table: pl.DataFrame) -> str:
    rows = hashlib.sha256(table.hash_rows().to_numpy().tobytes()).hexdigest()
    return fingerprint([table.columns, [str(t) for t in table.dtypes], rows])


@dataclass(frozen=True)
class Sample:
    """A small part of a store, as canonical tables; `amount`: "none" where the store's days have none."""

    session: Session
    limits: LimitRule
    base_bar: str
    amount: DailyAmount
    tables: Mapping[str, pl.DataFrame]

    def source(self, tables: Mapping[str, pl.DataFrame]) -> Held:
        """The sample's market with these tables in the place of its own."""
        return Held(
            held_session=self.session, held_limits=self.limits, bar=self.base_bar, amount=self.amount, tables=tables
        )

    def write(self, folder: Path) -> None:
        """Put the sample into an empty folder, for other processes."""
        for name, table in self.tables.items():
            table.write_parquet(folder / f"{name}.parquet")
        facts = [self.session.segments, self.limits, self.base_bar, self.amount]
        (folder / "sample.json").write_text(json.dumps(facts))


def read_sample(folder: Path) -> Sample:
    """What `Sample.write` put into a folder."""
    segments, limits, base_bar, amount = json.loads((folder / "sample.json").read_text())
    tables = {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    return Sample(Session(segments=tuple(segments)), limits, base_bar, amount, tables)


def sample(
    store: Store,
    *,
    days: int = BAR_DAYS,
    before: int = DAYS_BEFORE,
    stocks: int = SYMBOLS,
    indices: Collection[str] = (),
) -> Sample:
    """Evenly chosen stocks over the store's middle `days` with bars and the `before` days that precede them; half of
    them from the weights of the `indices`, where there are so many.

    Nothing is drawn, so the sample is always the same. The store is read a month at a time.
    """
    if len(store.bar_days) < days:
        raise ConfigError("source", f"{len(store.bar_days)} days are too few to prove on; {days} are needed")
    start = (len(store.bar_days) - days) // 2
    span = store.bar_days[start : start + days]
    first = store.days[max(0, store.days.index(span[0]) - before)]
    daily = _daily(store, first, span[-1])
    active = pl.col("date").is_between(span[0], span[-1]) & ~pl.col("suspended")
    counts = daily.filter(active).group_by("symbol").len().filter(pl.col("len") > days // 10)
    symbols = counts["symbol"].sort()
    held = symbols.filter(symbols.is_in(_held(store, indices).implode()))
    held = _evenly(held, stocks // 2)
    others = _evenly(symbols.filter(~symbols.is_in(held.implode())), stocks - len(held))
    chosen = pl.col("symbol").is_in(pl.concat([held, others]).implode())
    tables = {"daily": daily.filter(chosen)}
    if store.facts.base_bar != "day":
        wanted = chosen & pl.col("date").is_between(span[0], span[-1])
        months = [month for month in store.bar_months if month_of(span[0]) <= month <= month_of(span[-1])]
        tables["bars"] = pl.concat([store.bars([month]).filter(wanted) for month in months])
    for name in REFERENCE:
        table = store.table(name)
        if table is not None:
            tables[name] = table.filter(chosen)
    if "index_weights" in tables:
        tables["index_weights"] = _adding_up(tables["index_weights"])
    amount: DailyAmount = "none" if store.facts.amount == "none" else "column"
    facts = store.facts
    return Sample(Session(segments=facts.segments), facts.limits, facts.base_bar, amount, tables)


def _held(store: Store, indices: Collection[str]) -> pl.Series:
    """The stocks that any list of the indices holds."""
    table = store.table("index_weights")
    if table is None:
        return pl.Series(dtype=pl.String)
    return table.filter(pl.col("index").is_in(list(indices)))["symbol"].unique()


def _evenly(symbols: pl.Series, count: int) -> pl.Series:
    return symbols.gather_every(max(1, len(symbols) // count)).head(count)


def _daily(store: Store, first: date, last: date) -> pl.DataFrame:
    months = [month for month in store.months if month_of(first) <= month <= month_of(last)]
    between = pl.col("date").is_between(first, last)
    return pl.concat([store.daily([month]).filter(between) for month in months])


def _adding_up(weights: pl.DataFrame) -> pl.DataFrame:
    """The weights of an index on a date as parts of their sum."""
    total = pl.col("weight").sum().over("index", "date")
    return weights.filter(total > 0).with_columns(pl.col("weight") / total)
