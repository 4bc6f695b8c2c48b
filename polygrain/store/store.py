"""Store: the read side of one ingested source, a snapshot that one manifest switches as a whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path

import polars as pl
from pydantic import ConfigDict, ValidationError

from polygrain.errors import DataError
from polygrain.market.calendar import month_of
from polygrain.market.rules import LimitRule
from polygrain.spec import Spec
from polygrain.store.commit import JSON, MANIFEST, commit_bytes, fingerprint
from polygrain.store.tables import ended

STORE_VERSION = 2


class Facts(Spec):
    """What a report has to say about the data; counts are rows, days or stock-days as their names say."""

    source: str
    base_bar: str
    segments: tuple[str, ...]
    limits: LimitRule
    amount: str
    notes: tuple[str, ...]
    counts: dict[str, int]
    point_in_time: dict[str, bool]


class Shard(Spec):
    """A file of the store: its name carries its content's hash, so a new content never overwrites an old one.

    `days` are the digests of each day's rows by ISO date; none for a reference table.
    """

    file: str
    sha256: str
    size: int
    rows: int
    days: dict[str, str] = {}


class Manifest(Spec):
    """The store's table of contents; the file is written last and names every other one."""

    version: int
    inputs: str
    facts: Facts
    days: tuple[str, ...]
    bar_days: tuple[str, ...]
    symbols: tuple[str, ...]
    bars: dict[str, Shard]
    daily: dict[str, Shard]
    tables: dict[str, Shard]

    def shards(self) -> list[Shard]:
        """Every file of the store."""
        return [*self.bars.values(), *self.daily.values(), *self.tables.values()]

    def commit(self, folder: Path) -> None:
        """Make this the store's state."""
        commit_bytes(folder / MANIFEST, (self.model_dump_json(indent=1) + "\n").encode())


class _Version(Spec):
    """The one field that the manifests of all versions have."""

    model_config = ConfigDict(extra="ignore")

    version: int


def read_manifest(folder: Path) -> Manifest | None:
    """The store's manifest, None where there is none; DataError where it is damaged or of another version."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    mend = f"remove the folder {folder} and run `polygrain ingest` again"
    try:
        content = path.read_bytes()
        version = _Version.model_validate_json(content).version
        if version == STORE_VERSION:
            return Manifest.model_validate_json(content)
    except (OSError, ValidationError):
        raise DataError(str(path), f"is damaged or not a store's; {mend}") from None
    raise DataError(str(path), f"is of version {version}, this is {STORE_VERSION}; {mend}")


class Store:
    """The tables of one ingested source. Every read hashes the file's bytes, so damage is an error, never a number.

    With `until` it is what the source showed on that day: nothing later is in any table. Symbols are those of the whole
    source, `facts` say what it holds.
    """

    def __init__(self, folder: Path, until: date | None = None) -> None:
        manifest = read_manifest(folder)
        if manifest is None:
            raise DataError(str(folder), "holds no store; run `polygrain ingest` first")
        self.folder, self.until = folder, until
        self._manifest = manifest

    @property
    def facts(self) -> Facts:
        """What the report says about the data."""
        return self._manifest.facts

    @cached_property
    def days(self) -> tuple[date, ...]:
        """All trading days, in order."""
        return self._known(self._manifest.days)

    @cached_property
    def bar_days(self) -> tuple[date, ...]:
        """The days with bars, in order; all days where the base bar is the day."""
        return self._known(self._manifest.bar_days)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the daily table, sorted."""
        return self._manifest.symbols

    @property
    def months(self) -> tuple[str, ...]:
        """The months of the daily table, in order; the bars may cover fewer."""
        return self._begun(self._manifest.daily)

    @property
    def bar_months(self) -> tuple[str, ...]:
        """The months with bars, in order; none where the base bar is the day."""
        return self._begun(self._manifest.bars)

    def bars(self, months: Sequence[str]) -> pl.DataFrame:
        """The bars of `months`, sorted by date, symbol, bar; months without bars add nothing.

        Errors: DataError where the store has no bars at all in these months, or a file is damaged.
        """
        shards = [self._manifest.bars[month] for month in sorted(set(months)) if month in self.bar_months]
        if not shards:
            raise DataError(str(self.folder), f"has no bars in {', '.join(months) or 'no month'}")
        return pl.concat([self._cut(self._read(shard)) for shard in shards])

    def bar_columns(self, month: str, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of the month's bars, sorted by date, symbol, bar; the file is read and its hash checked."""
        content = self._content(self._manifest.bars[month])
        columns = pl.read_parquet(io.BytesIO(content), columns=list(names))
        if self.until is None or month < month_of(self.until):
            return columns
        return columns.head(len(self._cut(pl.read_parquet(io.BytesIO(content), columns=["date"]))))

    def daily(self, months: Sequence[str] | None = None) -> pl.DataFrame:
        """The daily table of `months` (all), sorted by date, symbol; `amount` and `vwap` are always columns."""
        wanted = self.months if months is None else sorted(set(months))
        shards = [self._manifest.daily[month] for month in wanted if month in self.months]
        if not shards:
            raise DataError(str(self.folder), f"has no days in {', '.join(wanted) or 'no month'}")
        return pl.concat([self._cut(self._read(shard)) for shard in shards])

    def table(self, name: str) -> pl.DataFrame | None:
        """A reference table (listings, index_members, index_weights, industries), None where the source has none."""
        shard = self._manifest.tables.get(name)
        if shard is None:
            return None
        table = self._read(shard)
        return table if self.until is None else ended(name, table, self.until)

    def fingerprint(self, months: Sequence[str] | None = None) -> str:
        """sha256 (hex) of the content of these months' bars and daily rows; of everything where `months` is None."""
        chosen = None if months is None else set(months)
        content = {
            f"{kind} {name}": shard.sha256
            for kind, shards in (("bars", self._manifest.bars), ("daily", self._manifest.daily))
            for name, shard in shards.items()
            if name in self._begun(shards) and (chosen is None or name in chosen)
        }
        if self.until is not None:
            content["until"] = self.until.isoformat()
        if chosen is None:
            content |= {f"table {name}": shard.sha256 for name, shard in self._manifest.tables.items()}
            content["limits"] = self.facts.limits
        return fingerprint({"base_bar": self.facts.base_bar, "segments": self.facts.segments, "content": content})

    @property
    def layout(self) -> list[JSON]:
        """How the bars are laid out over the day: the base bar, then the session's segments."""
        return [self.facts.base_bar, *self.facts.segments]

    def day_digests(self, month: str) -> dict[date, str]:
        """Fingerprint of the content of each day of a month, its bars and its daily rows."""
        parts = [shards[month].days for shards in (self._manifest.bars, self._manifest.daily) if month in shards]
        days = self._known(sorted(set().union(*parts)))
        return {day: fingerprint([part.get(day.isoformat()) for part in parts]) for day in days}

    def verify(self) -> None:
        """Read and hash every file; DataError names the first that is damaged."""
        for shard in self._manifest.shards():
            self._read(shard)

    def _known(self, days: Sequence[str]) -> tuple[date, ...]:
        found = (date.fromisoformat(day) for day in days)
        return tuple(day for day in found if self.until is None or day <= self.until)

    def _begun(self, shards: Mapping[str, Shard]) -> tuple[str, ...]:
        """The months that have a day which may be seen."""
        last = None if self.until is None else self.until.isoformat()
        return tuple(month for month in sorted(shards) if last is None or min(shards[month].days) <= last)

    def _cut(self, table: pl.DataFrame) -> pl.DataFrame:
        return table if self.until is None else table.filter(pl.col("date") <= self.until)

    def _read(self, shard: Shard) -> pl.DataFrame:
        return pl.read_parquet(io.BytesIO(self._content(shard)))

    def _content(self, shard: Shard) -> bytes:
        path = self.folder / shard.file
        mend = "run `polygrain ingest` again"
        try:
            content = path.read_bytes()
        except OSError:
            raise DataError(str(path), f"is in {MANIFEST} but cannot be read; {mend}") from None
        if len(content) != shard.size or hashlib.sha256(content).hexdigest() != shard.sha256:
            raise DataError(str(path), f"is damaged: its bytes are not those of {MANIFEST}; remove it and {mend}")
        return content
