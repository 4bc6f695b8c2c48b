"""Files: market data in Parquet or CSV files of any layout."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import available_timezones

import polars as pl
from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from polygrain.errors import ConfigError, DataError
from polygrain.market.rules import LimitRule
from polygrain.market.session import A_SHARE_HOURS, Segments, Session
from polygrain.market.symbols import Spelling
from polygrain.sources.columns import CHUNK_ROWS, FIRST_YEAR, Chunk, chunks
from polygrain.sources.months import Months
from polygrain.sources.source import DailyAmount, Source, source
from polygrain.spec import Spec
from polygrain.store.commit import file_fingerprint, fingerprint
from polygrain.store.tables import SCHEMAS, check

DATA_VARIABLE = "POLYGRAIN_REAL_DATA"
# A snapshot that starts here covers every date.
FIRST_DAY = date(FIRST_YEAR, 1, 1)
_SPILL_ROWS = 4 * CHUNK_ROWS
_SUFFIXES = {".parquet", ".csv"}
_PRICES = {"open", "high", "low", "close", "up_limit", "down_limit"}
_FLAGS = {"suspended", "st"}


class Units(Spec):
    """Units of a file's columns: a lot (手) is 100 shares, thousand_yuan is 千元."""

    volume: Literal["share", "lot"] = "share"
    amount: Literal["yuan", "thousand_yuan"] = "yuan"


class Table(Spec):
    """Where a table lies: a file, a folder or a glob below the root; `columns` maps our names to the file's.

    `symbols`: "coded" names the exchange (600000.SH, SH600000 …), "bare" are six digits, "text" is taken as written.
    """

    path: str
    columns: dict[str, str] = Field(default_factory=dict)
    symbols: Spelling = "coded"


class BarTable(Table):
    """Intraday bars of length `bar`; `stamp` says whether their times mark a bar's start or end, `amount` whether
    there is a column of it."""

    bar: str
    stamp: Literal["start", "end"]
    units: Units = Units()
    amount: Literal["column", "typical_price"] = "column"


class DailyTable(Table):
    """Daily rows; `amount` says what the day's amount and VWAP are made from."""

    units: Units = Units()
    amount: DailyAmount = "column"


class WeightUnits(Spec):
    """Unit of index weights."""

    weight: Literal["fraction", "percent"] = "fraction"


class WeightTable(Table):
    """Index weights."""

    units: WeightUnits = WeightUnits()


class IndustryTable(Table):
    """Industries: intervals, or where not `point_in_time` one later snapshot without dates."""

    point_in_time: bool = True


@source
class Files(Source):
    """Bars, daily rows and reference tables in Parquet or CSV files.

    `session` are the exchange's hours in `time_zone`. `limits`: where the daily table gives no limit prices, those of
    the A-share boards hold, or none; symbols as text tell no board and need "none". `root` may start with
    $POLYGRAIN_REAL_DATA, the one variable allowed; a relative root is taken from the folder of the configuration
    (validation context "folder"). Errors: ConfigError names the key, DataError the file and row.
    """

    # The methods of a Source have the names that the tables have in a configuration.
    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["files"] = "files"
    root: str
    time_zone: str = "Asia/Shanghai"
    hours: Segments = Field(default=A_SHARE_HOURS, alias="session")
    limit_rule: LimitRule = Field(default="cn_a", alias="limits")
    bar_table: BarTable | None = Field(default=None, alias="bars")
    daily_table: DailyTable | None = Field(default=None, alias="daily")
    listings: Table | None = None
    index_members: Table | None = None
    index_weights: WeightTable | None = None
    industries: IndustryTable | None = None

    @field_validator("root")
    @classmethod
    def _expanded(cls, root: str, info: ValidationInfo) -> str:
        first, _, rest = root.partition("/")
        if first == f"${DATA_VARIABLE}":
            data = os.environ.get(DATA_VARIABLE)
            if not data:
                raise ConfigError(
                    "source.root", f"the variable {DATA_VARIABLE} is not set; set it to the data's folder"
                )
            return str(Path(data) / rest)
        if "$" in root:
            raise ConfigError("source.root", f"{root!r} names a variable; only ${DATA_VARIABLE} at the start is read")
        folder = (info.context or {}).get("folder")
        return root if folder is None else str(Path(folder) / root)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, time_zone: str) -> str:
        if time_zone not in available_timezones():
            raise ValueError(f"{time_zone!r} is not a time zone such as Asia/Shanghai")
        return time_zone

    @model_validator(mode="after")
    def _known_columns(self) -> Files:
        tables = self._tables()
        if "bars" not in tables and "daily" not in tables:
            raise ConfigError("source", "has neither bars nor daily; name at least one")
        if self.bar_table is None and self.daily_amount == "bars":
            raise ConfigError("source.daily.amount", '"bars" needs bars; choose "column", "typical_price" or "none"')
        if self.bar_table is not None:
            self.session.check_base(self.bar_table.bar, "source.bars.bar")
        for name, table in tables.items():
            if table.symbols == "text" and self.limits == "cn_a":
                raise ConfigError(
                    "source.limits",
                    f'"cn_a" goes by the code of a symbol, and source.{name}.symbols is "text"; set limits = "none"',
                )
            known = set(SCHEMAS[name].columns) | ({"time"} if name == "bars" else set())
            for column in table.columns:
                if column not in known and not SCHEMAS[name].extra:
                    raise ConfigError(f"source.{name}.columns.{column}", f"is not one of {', '.join(sorted(known))}")
        return self

    def _tables(self) -> dict[str, Table]:
        """The tables that there are, by their names in the store."""
        tables = {"bars": self.bar_table, "daily": self.daily_table, "listings": self.listings}
        tables |= {"index_members": self.index_members, "index_weights": self.index_weights}
        tables |= {"industries": self.industries}
        return {name: table for name, table in tables.items() if table is not None}

    def fingerprint(self) -> str:
        """sha256 (hex) of every file's bytes and every setting but where the root lies."""
        content = {
            name: {self._where(path): file_fingerprint(path) for path in self._paths(name, table)}
            for name, table in self._tables().items()
        }
        return fingerprint({"settings": self.model_dump(mode="json", exclude={"root"}), "content": content})

    @property
    def base_bar(self) -> str:
        """The bars' length, "day" without bars."""
        return "day" if self.bar_table is None else self.bar_table.bar

    @property
    def session(self) -> Session:
        """The declared hours, by default those of the A-share exchanges."""
        return Session(segments=self.hours)

    @property
    def limits(self) -> LimitRule:
        """As declared."""
        return self.limit_rule

    @property
    def daily_amount(self) -> DailyAmount:
        """What the daily table declares; without one, the bars."""
        return "bars" if self.daily_table is None else self.daily_table.amount

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Industries where they are declared not to be point in time."""
        return () if self.industries is None or self.industries.point_in_time else ("industries",)

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """The bars by month; every file is read and checked before the first month is given."""
        if self.bar_table is not None:
            yield from self._by_month("bars", self.bar_table, self._bar_rows)

    def daily(self) -> pl.DataFrame | None:
        """The daily table, sorted by date and symbol."""
        if self.daily_table is None:
            return None
        months = [frame for _, frame in self._by_month("daily", self.daily_table, self._daily_rows)]
        return pl.concat(months)

    def reference(self, name: str) -> pl.DataFrame | None:
        """One reference table."""
        table = self._tables().get(name)
        if table is None:
            return None
        seen: dict[str, str] = {}
        frames = [
            check(
                self._reference_rows(name, table, chunk, seen), name, chunk.place.where, first_row=chunk.place.first_row
            )
            for path in self._paths(name, table)
            for chunk in chunks(path, self._where(path))
        ]
        _same_columns(frames, table.path)
        return check(pl.concat(frames), name, table.path)

    def notes(self) -> tuple[str, ...]:
        """What stands in for missing data, and what is not point in time."""
        notes = []
        if self.bar_table is not None and self.bar_table.amount == "typical_price":
            notes.append("No amount of the bars: a bar's amount is its volume times (O+H+L+C)/4.")
        if self.daily_table is None:
            notes.append(
                "No daily file: daily prices are those of the bars, without adjustment for splits and dividends."
            )
        elif self.daily_table.amount == "bars":
            notes.append("The daily file's amount is not used: a day's amount and VWAP are those of its bars.")
        elif self.daily_table.amount == "typical_price":
            notes.append("No amount: a day's VWAP is (O+H+L+C)/4 and its amount volume times that.")
        elif self.daily_table.amount == "none":
            notes.append("No daily amount: fills at the VWAP are not possible.")
        if self.daily_table is not None:
            path = self._paths("daily", self.daily_table)[0]
            names = next(chunks(path, self._where(path))).frame.columns
            if self.daily_table.columns.get("factor", "factor") not in names:
                notes.append("No adjustment factor: prices are not adjusted for splits and dividends.")
            if self.daily_table.columns.get("suspended", "suspended") not in names:
                notes.append("No suspension flag: a day without volume counts as suspended.")
        if self.snapshots:
            notes.append(f"Industries are a later date's snapshot, not point in time, taken to hold from {FIRST_DAY}.")
        if self.listings is None:
            notes.append("No listing dates: a stock's first row is its listing day, except on the data's first day.")
        return tuple(notes)

    def _paths(self, name: str, table: Table) -> list[Path]:
        """The table's files, sorted."""
        root, place = Path(self.root), Path(self.root) / table.path
        if any(mark in table.path for mark in "*?["):
            paths = [path for path in root.glob(table.path) if path.is_file()]
        elif place.is_dir():
            paths = [path for path in place.iterdir() if path.suffix.lower() in _SUFFIXES]
        else:
            paths = [place] if place.is_file() else []
        if not paths:
            raise ConfigError(f"source.{name}.path", f"there is no file at {place}")
        for path in paths:
            if path.suffix.lower() not in _SUFFIXES:
                raise ConfigError(f"source.{name}.path", f"{path.name} is neither .parquet nor .csv")
        return sorted(paths)

    def _where(self, path: Path) -> str:
        """A file's name in messages: below the root where it lies there."""
        return os.path.relpath(path, self.root)

    def _by_month(
        self, name: str, table: Table, rows: Callable[[Chunk, dict[str, str]], pl.DataFrame]
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        """The table's months in order, whatever its files' layout."""
        with tempfile.TemporaryDirectory(prefix="polygrain-") as folder:
            months = Months(Path(folder), _SPILL_ROWS)
            first: pl.DataFrame | None = None
            seen: dict[str, str] = {}
            for path in self._paths(name, table):
                for chunk in chunks(path, self._where(path)):
                    frame = check(rows(chunk, seen), name, chunk.place.where, first_row=chunk.place.first_row)
                    first = frame.clear() if first is None else first
                    _same_columns([first, frame], chunk.place.where)
                    months.add(frame)
            for month, frame in months:
                yield month, check(frame, name, f"{table.path} in {month}")

    def _bar_rows(self, chunk: Chunk, seen: dict[str, str]) -> pl.DataFrame:
        """A chunk of bars in the store's columns; rows keep their order and number."""
        table = self.bar_table
        assert table is not None
        theirs = {name: table.columns.get(name, name) for name in (*SCHEMAS["bars"].columns, "time")}
        for name in ("symbol", "time", "open", "high", "low", "close", "volume"):
            chunk.need(theirs[name], name)
        if table.amount == "column" and not chunk.has(theirs["amount"]):
            reason = f'has no column {theirs["amount"]}; name it in columns.amount, or set amount = "typical_price"'
            raise DataError(chunk.place.where, reason)
        day = theirs["date"] if "date" in table.columns else None
        if day is not None:
            chunk.need(day, "date")
        stamps = chunk.stamp(theirs["time"], day, self.time_zone)
        prices = {name: chunk.price(theirs[name]) for name in ("open", "high", "low", "close")}
        volume = chunk.volume(theirs["volume"], table.units.volume)
        if table.amount == "column":
            amount = chunk.amount(theirs["amount"], table.units.amount)
        else:
            amount = (prices["open"] + prices["high"] + prices["low"] + prices["close"]) / 4 * volume
        columns = {
            "symbol": chunk.symbol(theirs["symbol"], table.symbols, seen),
            "date": stamps.dt.date(),
            "bar": chunk.bar_number(
                theirs["time"], stamps, self.session, self.time_zone, bar=table.bar, mark=table.stamp
            ),
            **prices,
            "volume": volume,
            "amount": amount,
        }
        return pl.DataFrame(columns)

    def _daily_rows(self, chunk: Chunk, seen: dict[str, str]) -> pl.DataFrame:
        """A chunk of daily rows in the store's columns; rows keep their order and number."""
        table = self.daily_table
        assert table is not None
        theirs = {name: table.columns.get(name, name) for name in (*SCHEMAS["daily"].columns, *table.columns)}
        for name in ("symbol", "date", "open", "high", "low", "close", "volume", *table.columns):
            chunk.need(theirs[name], name)
        columns: dict[str, pl.Series] = {}
        for name, found in theirs.items():
            if not chunk.has(found):
                continue
            if name == "symbol":
                columns[name] = chunk.symbol(found, table.symbols, seen)
            elif name == "date":
                columns[name] = chunk.trading_day(found)
            elif name in _PRICES:
                columns[name] = chunk.price(found)
            elif name == "volume":
                columns[name] = chunk.volume(found, table.units.volume)
            elif name == "amount":
                columns[name] = chunk.amount(found, table.units.amount)
            else:
                columns[name] = chunk.flag(found) if name in _FLAGS else chunk.number(found)
        return _completed(pl.DataFrame(columns))

    def _reference_rows(self, name: str, table: Table, chunk: Chunk, seen: dict[str, str]) -> pl.DataFrame:
        """A chunk of a reference table in the store's columns."""
        columns: dict[str, pl.Series] = {}
        for column, rule in SCHEMAS[name].columns.items():
            found = table.columns.get(column, column)
            if column == "start" and name in self.snapshots:
                columns[column] = pl.repeat(FIRST_DAY, chunk.frame.height, dtype=pl.Date, eager=True)
                continue
            if rule.required or column in table.columns:
                chunk.need(found, column)
            if not chunk.has(found) or (column == "end" and name in self.snapshots):
                continue
            if column == "symbol":
                columns[column] = chunk.symbol(found, table.symbols, seen)
            elif rule.dtype == pl.Date:
                columns[column] = chunk.day(found)
            else:
                columns[column] = chunk.text(found) if rule.dtype == pl.String else chunk.number(found)
        if isinstance(table, WeightTable) and table.units.weight == "percent":
            columns["weight"] = columns["weight"].cast(pl.Float64) / 100
        return pl.DataFrame(columns)


def _completed(frame: pl.DataFrame) -> pl.DataFrame:
    """Daily rows with a factor and a suspension flag, and nothing but nulls where a suspended row has no price."""
    if "factor" not in frame.columns:
        frame = frame.with_columns(pl.lit(1.0).alias("factor"))
    if "suspended" not in frame.columns:
        frame = frame.with_columns((pl.col("volume") == 0).alias("suspended"))
    idle = pl.col("suspended").cast(pl.Boolean)
    prices = [
        pl.when(idle & (pl.col(name) == 0)).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    return frame.with_columns(
        *prices, pl.when(idle & pl.col("volume").is_null()).then(0).otherwise(pl.col("volume")).alias("volume")
    )


def _same_columns(frames: list[pl.DataFrame], where: str) -> None:
    """Refuse files of one table that do not have the same columns."""
    for frame in frames[1:]:
        odd = sorted(set(frame.columns) ^ set(frames[0].columns))
        if odd:
            raise DataError(where, f"the files do not all have the column {odd[0]}; name files alike in one table")
