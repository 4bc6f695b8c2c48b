"""Columns of foreign files: read, and turned into the store's types; what cannot be turned is refused by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from polygrain.errors import DataError
from polygrain.market.session import Session
from polygrain.market.symbols import Spelling, canonical_column, case_twin, text_column
from polygrain.store.tables import Place

# Rows in memory at a time; large enough that a chunk's fixed costs vanish, small enough for a laptop.
CHUNK_ROWS = 2_000_000
_DATES = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H%M%S", "%H%M")
_STAMPS = (
    *(
        f"{day}{gap}{clock}"
        for day in ("%Y-%m-%d", "%Y/%m/%d")
        for gap in (" ", "T")
        for clock in ("%H:%M:%S", "%H:%M")
    ),
    "%Y%m%d%H%M%S%3f",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
)
_ZONED = ("%Y-%m-%dT%H:%M:%S%#z", "%Y-%m-%d %H:%M:%S%#z")
# No row is older: an earlier date is a number misread, most often as seconds since 1970.
FIRST_YEAR = 1990


def chunks(path: Path, where: str) -> Iterator[Chunk]:
    """The rows of a file that messages call `where`: a Parquet file in pieces, a CSV file at once, all as text.

    Errors: DataError where the file cannot be read, or a column name comes twice.
    """
    try:
        if path.suffix.lower() == ".csv":
            frame = pl.read_csv(path, infer_schema=False)
            twice = [name for name in frame.columns if "_duplicated_" in name]
            if twice:
                raise DataError(where, f"has the column {twice[0].split('_duplicated_')[0]} twice")
            yield Chunk(frame, Place(where))
            return
        scan = pl.scan_parquet(path, glob=False)
        rows = int(scan.select(pl.len()).collect().item())
        for start in range(0, max(rows, 1), CHUNK_ROWS):
            yield Chunk(scan.slice(start, CHUNK_ROWS).collect(), Place(where, start + 1))
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "CSV" if path.suffix.lower() == ".csv" else "Parquet"
        reason = (str(error).splitlines() or ["unknown reason"])[0]
        raise DataError(where, f"cannot be read as {kind}: {reason}") from None


@dataclass(frozen=True)
class Chunk:
    """Rows of one file under the file's own column names; every method gives one column of the same length."""

    frame: pl.DataFrame
    place: Place

    def has(self, column: str) -> bool:
        """Whether the file has the column."""
        return column in self.frame.columns

    def need(self, column: str, meaning: str) -> None:
        """Refuse a file without `column`; `meaning` is what the store calls it."""
        if not self.has(column):
            also = "" if column == meaning else f", which columns.{meaning} names"
            raise DataError(self.place.where, f"has no column {column}{also}; it has {', '.join(self.frame.columns)}")

    def symbol(self, column: str, spelling: Spelling, seen: dict[str, str]) -> pl.Series:
        """Canonical symbols, or other markets' as written, where `seen` holds those of the table's chunks before."""
        found = self.frame[column]
        if not isinstance(found.dtype, pl.String | pl.Categorical | pl.Enum):
            self._refuse_first(column, f"is {found.dtype}, so leading zeros are lost; store symbols as text")
        texts = found.cast(pl.String).unique(maintain_order=True).drop_nulls()
        text = pl.col("text")
        read = text_column(text) if spelling == "text" else canonical_column(text, bare=spelling == "bare")
        known = texts.to_frame("text").select("text", read.alias("symbol"))
        symbols = found.cast(pl.String).replace_strict(known["text"], known["symbol"], return_dtype=pl.String)
        reason = 'is not a symbol such as 600000.SH; other markets\' are read where symbols is "text"'
        if spelling == "text":
            reason = "is not a symbol of at most 32 letters and digits with single . - _ ^ / & between them"
        self._refuse_lost(column, symbols, reason)
        if spelling == "text":
            twin = case_twin(known["symbol"].drop_nulls(), seen)
            if twin is not None:
                self._refuse(column, symbols == twin[0], f"differs from {twin[1]} in case alone; write it one way")
        return symbols

    def text(self, column: str) -> pl.Series:
        """Text as it stands."""
        if not isinstance(self.frame.schema[column], pl.String | pl.Categorical | pl.Enum):
            self._refuse_first(column, f"is {self.frame.schema[column]}, not text")
        return self.frame[column].cast(pl.String)

    def number(self, column: str) -> pl.Series:
        """Numbers; text is read as a decimal number, empty text as missing."""
        found = self.frame[column]
        if isinstance(found.dtype, pl.String):
            values = found.replace("", None).cast(pl.Float64, strict=False)
            self._refuse_lost(column, values, "is not a number")
            return values
        if not found.dtype.is_numeric() and found.dtype != pl.Null:
            self._refuse_first(column, f"is {found.dtype}, not a number")
        return found

    def price(self, column: str) -> pl.Series:
        """Prices in whole ticks: a number that float32 could not hold exactly becomes the decimal it stood for."""
        exact = self.number(column).cast(pl.Float64)
        single = exact.cast(pl.Float32)
        held = single.cast(pl.Float64) == exact
        for decimals in (4, 3, 2):
            tick = exact.round(decimals)
            exact = tick.zip_with(held & (tick.cast(pl.Float32) == single), exact)
        return exact

    def volume(self, column: str, unit: Literal["share", "lot"]) -> pl.Series:
        """Shares; a lot (手) is 100."""
        values = self.number(column)
        if unit == "share":
            return values
        shares = values.cast(pl.Float64) * 100
        # 123.45 lots are 12345 shares, not 12345.000000000002.
        return shares.round().zip_with((shares - shares.round()).abs() < 1e-3, shares)

    def amount(self, column: str, unit: Literal["yuan", "thousand_yuan"]) -> pl.Series:
        """Yuan; a thousand yuan (千元) is 1000."""
        values = self.number(column).cast(pl.Float64)
        return values if unit == "yuan" else (values * 1000).round(2)

    def flag(self, column: str) -> pl.Series:
        """True and false, from flags, 0 and 1, or these as text."""
        found = self.frame[column]
        if isinstance(found.dtype, pl.String):
            known = {"0": False, "1": True, "false": False, "true": True}
            values = found.str.to_lowercase().replace("", None)
            flags = values.replace_strict(known, default=None, return_dtype=pl.Boolean)
            self._refuse_lost(column, flags, "is neither 0, 1, true nor false")
            return flags
        return found

    def day(self, column: str) -> pl.Series:
        """Dates, from dates, midnights, 2025-01-02, 2025/01/02, 20250102 as text or number."""
        found = self.frame[column]
        if found.dtype.is_integer():
            found = found.cast(pl.String)
        if isinstance(found.dtype, pl.String):
            found = found.replace("", None)
            days = found.str.to_date(_form(found, _DATES) or _DATES[0], strict=False)
            self._refuse_lost(column, days, "is not a date in the form of the first row's")
            return days
        if isinstance(found.dtype, pl.Datetime):
            if found.dtype.time_zone is not None:
                self._refuse_first(column, "is a time with a zone, not a date")
            self._refuse(column, found.dt.truncate("1d") != found, "is a time of day, not a date")
            return found.dt.date()
        if found.dtype not in (pl.Date, pl.Null):
            self._refuse_first(column, f"is {found.dtype}, not a date")
        return found.cast(pl.Date)

    def trading_day(self, column: str) -> pl.Series:
        """Dates on which an exchange can have traded."""
        days = self.day(column)
        self.refuse_closed(column, days)
        return days

    def refuse_closed(self, column: str, days: pl.Series) -> None:
        """Refuse weekends (make-up working days are closed too) and dates before the first year that is read."""
        self._refuse(column, days.dt.year() < FIRST_YEAR, f"is before {FIRST_YEAR}")
        self._refuse(column, days.dt.weekday() > 5, "is a Saturday or Sunday")

    def stamp(self, column: str, day: str | None, time_zone: str) -> pl.Series:
        """Exchange-local time (naive) from stamps, or from a time column beside the date column `day`."""
        found = self.frame[column]
        if day is not None:
            both = pl.DataFrame({"day": self.trading_day(day), "clock": self._clock(column)})
            return both.select(pl.col("day").dt.combine(pl.col("clock"))).to_series()
        if isinstance(found.dtype, pl.String):
            form = _form(found, _STAMPS)
            zoned = _form(found, _ZONED) if form is None else None
            stamps = found.str.to_datetime(form or zoned or _STAMPS[0], strict=False, time_unit="us")
            self._refuse_lost(column, stamps, "is not a time in the form of the first row's")
            found = stamps
        if not isinstance(found.dtype, pl.Datetime):
            self._refuse_first(column, f"is {found.dtype}, not a date and time; name a date column too, or a datetime")
        if isinstance(found.dtype, pl.Datetime) and found.dtype.time_zone is not None:
            found = found.dt.convert_time_zone(time_zone).dt.replace_time_zone(None)
        self.refuse_closed(column, found.dt.date())
        return found

    def bar_number(
        self,
        column: str,
        stamps: pl.Series,
        session: Session,
        time_zone: str,
        *,
        bar: str,
        mark: Literal["start", "end"],
    ) -> pl.Series:
        """Bar numbers of exchange-local stamps; refuses one that is no start or end, as declared, of a bar of the
        session."""
        whole = stamps.dt.truncate("1m") == stamps
        minutes = stamps.dt.hour().cast(pl.Int32) * 60 + stamps.dt.minute()
        frame = pl.DataFrame({"minute": minutes, "whole": whole})
        minute = pl.when(pl.col("whole")).then(pl.col("minute"))
        numbers = frame.select(session.bar_number(minute, bar, mark)).to_series()
        hours = ", ".join(session.segments)
        self._refuse_lost(column, numbers, f"is not the {mark} of a {bar} bar of {hours} {time_zone}")
        return numbers

    def _clock(self, column: str) -> pl.Series:
        """Times of day from times, 09:45, 09:45:00, 0945, or numbers such as 945 and 94500."""
        found = self.frame[column]
        if found.dtype.is_integer():
            seconds = bool((found > 2400).any())
            found = found.cast(pl.String).str.zfill(6 if seconds else 4)
        if isinstance(found.dtype, pl.String):
            clocks = found.str.to_time(_form(found, _CLOCKS) or _CLOCKS[0], strict=False)
            self._refuse_lost(column, clocks, "is not a time of day in the form of the first row's")
            return clocks
        if found.dtype != pl.Time:
            self._refuse_first(column, f"is {found.dtype}, not a time of day")
        return found

    def _refuse_lost(self, column: str, values: pl.Series, reason: str) -> None:
        """Refuse the first row that had something and lost it; empty text is nothing."""
        found = self.frame[column]
        had = found.is_not_null()
        if isinstance(found.dtype, pl.String):
            had = had & (found != "")
        self._refuse(column, had & values.is_null(), reason)

    def _refuse(self, column: str, bad: pl.Series, reason: str) -> None:
        self.place.refuse(self.frame, pl.lit(bad), column, reason)

    def _refuse_first(self, column: str, reason: str) -> None:
        self.place.refuse(self.frame, pl.lit(pl.Series([True])), column, reason)


def _form(texts: pl.Series, forms: tuple[str, ...]) -> str | None:
    """The form that reads the first text there is; one file keeps to one form."""
    first = texts.drop_nulls().head(1)
    for form in forms:
        parsed = first.str.strptime(pl.Time if form in _CLOCKS else pl.Datetime, form, strict=False)
        if len(first) and parsed.null_count() == 0:
            return form
    return None
