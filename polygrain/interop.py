"""Scores from elsewhere and for elsewhere: long frames, alphalens' factor frame, Qlib's predictions, wide sheets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeAlias

import polars as pl

from polygrain.errors import DataError
from polygrain.market.symbols import canonical_column
from polygrain.sources.columns import Chunk, chunks
from polygrain.store.commit import fingerprint
from polygrain.store.digest import day_digests
from polygrain.store.tables import Place

# What a score is called that has no name.
UNNAMED = "score"
UNNAMED_FILE = "scores"
# The report's own, made anew beside every score.
RESERVED = ("naive", "oracle")
# In tables a name has _se and _seed_std behind it.
_NAME = r"^[\pL\pN][\pL\pN_. +-]{0,59}$"
_TAKEN_ENDS = r"(_se|_seed_std)$"
_MIDNIGHT = r"^0?0:00(:00(\.0+)?)?\s*(Z|[+-]\d{2}:?\d{2})?$"
_TIMED = "is a time of day; a score is known at the close of its date: write the date alone, as the exchange counts it"
_LAYOUTS = (
    "give date, symbol, score (and model, label_days); alphalens' date, asset, factor; Qlib's datetime, instrument, "
    "score; or a date and one column per symbol"
)


def score_name(model: str, label_days: int) -> str:
    """A score in a sentence: alpha, or alpha (5 days) where it is made for a label."""
    return f"{model} ({label_days} days)" if label_days else model


class Arrow(Protocol):
    """A table of any library that hands it over as an Arrow stream: polars, pandas, pyarrow, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table's columns, its index among them."""


Scores: TypeAlias = str | Path | Arrow


@dataclass(frozen=True)
class Layout:
    """How scores may lie in a table: what its columns of date, symbol and score are called; `more` are read too."""

    said: str
    date: str
    symbol: str
    scores: tuple[str, ...]
    more: tuple[str, ...] = ()

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether a table of these columns is laid out so."""
        return self.date in columns and self.symbol in columns and any(name in columns for name in self.scores)


LAYOUTS = (
    Layout("a long frame", "date", "symbol", ("score",), ("model", "label_days", "segment")),
    Layout("alphalens’ factor frame", "date", "asset", ("factor",)),
    Layout("Qlib’s predictions", "datetime", "instrument", ("score", "0")),
)
_DATES = ("date", "datetime")
_FOREIGN = {"symbol", "asset", "instrument", "score", "factor"}


@dataclass(frozen=True)
class Given:
    """Scores as somebody gave them: `frame` (row, model, label_days, date, symbol, score) in the order of the file.

    `symbol` is as written, `row` counts from 1; no (model, label_days, date, symbol) comes twice and every score is
    finite. `where` is the file in messages and `name` in reports, `said` its layout; `notes` are sentences on what was
    not read.
    """

    frame: pl.DataFrame
    where: str
    name: str
    said: str
    notes: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> list[tuple[str, int]]:
        """(model, label_days) of every score, in order of their first rows."""
        return list(self.frame.select("model", "label_days").unique(maintain_order=True).iter_rows())

    def rows(self, model: str, label_days: int) -> pl.DataFrame:
        """One score's rows."""
        return self.frame.filter(pl.col("model") == model, pl.col("label_days") == label_days)

    @cached_property
    def fingerprints(self) -> dict[tuple[str, int], str]:
        """sha256 (hex) of each score's dates, symbols and values, whatever file, order and spelling they stand in."""
        texts = self.frame["symbol"].unique()
        spelled = pl.select(pl.coalesce(canonical_column(pl.lit(texts)), pl.lit(texts))).to_series()
        found = {}
        for key in self.keys:
            rows = self.rows(*key).select("date", pl.col("symbol").replace(texts, spelled), "score")
            found[key] = fingerprint(day_digests(rows.sort("date", "symbol")))
        return found


def read_scores(scores: Scores) -> Given:
    """The scores in a Parquet or CSV file, or in a table that is handed over; the layout is told by the columns.

    A score is a number per date and symbol; null is none. Of a run's scores.parquet the test dates are read. Errors:
    DataError FILE:ROW:COLUMN for the first score that is text, NaN or infinite, date that is a time of day, symbol that
    is a number, or key that comes twice; DataError FILE where no layout fits, nothing is there, or it is a pickle.
    """
    if isinstance(scores, str | Path):
        path = Path(scores)
        return _given(_chunks(path), path.name, texts=path.suffix.lower() == ".csv")
    return _given(iter([Chunk(_table(scores), Place(UNNAMED_FILE))]), UNNAMED_FILE, texts=False)


def _given(found: Iterator[Chunk], name: str, *, texts: bool) -> Given:
    """The scores of a table's pieces; `texts`: all it holds is text, numbers too."""
    parts, notes, said, where = [], list[str](), "", name
    for chunk in found:
        where = chunk.place.where
        layout = next((each for each in LAYOUTS if each.fits(chunk.frame.columns)), None)
        said = "a wide sheet" if layout is None else layout.said
        parts.append(_wide(chunk, texts) if layout is None else _long(chunk, layout, texts))
        notes = [] if layout is None else _unread(chunk, layout, name)
    frame = pl.concat(parts)
    empty = frame["score"].null_count()
    if empty:
        notes.append(f"{name}: rows without a score: {empty:,} of {frame.height:,}.")
    frame = frame.drop_nulls("score")
    if frame.is_empty():
        raise DataError(where, "has no score; give at least one date with scores")
    _refuse_twice(frame, where)
    return Given(frame, where, name, said, tuple(notes))


def _table(scores: Arrow) -> pl.DataFrame:
    """What another library hands over, with its index."""
    if isinstance(scores, pl.DataFrame):
        return scores
    if not hasattr(scores, "__arrow_c_stream__"):
        reason = "is neither the path of a file nor a table; give a frame of polars, pandas or pyarrow"
        raise DataError(UNNAMED_FILE, f"{type(scores).__name__} {reason}")
    try:
        return pl.from_dataframe(scores)
    except ImportError as error:
        reason = f"cannot be handed over: {str(error).splitlines()[0]} Install polygrain[interop]"
        raise DataError(UNNAMED_FILE, reason) from None


def _chunks(path: Path) -> Iterator[Chunk]:
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        reason = "is a pickle, which runs what it holds; where you trust it, convert it once by pandas:"
        raise DataError(str(path), f'{reason} pd.read_pickle("{path.name}").to_parquet("{path.stem}.parquet")')
    if not path.is_file():
        raise DataError(str(path), "no such file; give the path of a Parquet or CSV file of scores")
    if suffix not in (".parquet", ".csv"):
        raise DataError(str(path), "is neither .parquet nor .csv; save the scores as one of these")
    return chunks(path, str(path))


def _unread(chunk: Chunk, layout: Layout, file: str) -> list[str]:
    """What the table holds beside the scores; an unnamed index of pandas is not worth a word."""
    read = {layout.date, layout.symbol, next(s for s in layout.scores if chunk.has(s)), *layout.more}
    beside = [name for name in chunk.frame.columns if name not in read and not name.startswith("__index_level_")]
    notes = []
    if "segment" in layout.more and chunk.has("segment"):
        notes.append(f"{file}: the test dates of the run are read; its naive composite is made anew.")
    if beside:
        notes.append(f"{file}: columns not read: {', '.join(beside)}.")
    return notes


def _long(chunk: Chunk, layout: Layout, texts: bool) -> pl.DataFrame:
    """A row per date and symbol."""
    rows = chunk.frame.height
    score = next(name for name in layout.scores if chunk.has(name))
    has_model, has_days = (name in layout.more and chunk.has(name) for name in ("model", "label_days"))
    frame = pl.DataFrame(
        {
            "row": pl.int_range(chunk.place.first_row, chunk.place.first_row + rows, eager=True),
            "model": chunk.text("model") if has_model else pl.repeat(UNNAMED, rows, eager=True),
            "label_days": _label_days(chunk) if has_days else pl.zeros(rows, dtype=pl.Int32, eager=True),
            "date": _dates(chunk, layout.date),
            "symbol": _symbols(chunk, layout.symbol),
            "score": _numbers(chunk, score, texts),
        }
    )
    if "segment" in layout.more and chunk.has("segment"):
        frame = frame.filter((chunk.text("segment") == "test") & ~pl.col("model").is_in(RESERVED))
    elif has_model:
        _refuse_names(chunk, frame["model"])
    return frame


def _wide(chunk: Chunk, texts: bool) -> pl.DataFrame:
    """A row per date and a column per symbol."""
    names = [name for name in chunk.frame.columns if not name.startswith("__index_level_")]
    dates = [name for name in _DATES if name in names]
    if len(dates) != 1 or len(names) < 2 or _FOREIGN & set(names):
        raise DataError(
            chunk.place.where, f"has the columns {_listed(names)}, which is no layout of scores; {_LAYOUTS}"
        )
    symbols = [name for name in names if name != dates[0]]
    first = chunk.place.first_row
    frame = pl.DataFrame(
        {
            "row": pl.int_range(first, first + chunk.frame.height, eager=True),
            "date": _dates(chunk, dates[0]),
            **{name: _numbers(chunk, name, texts) for name in symbols},
        }
    )
    # A blank cell is no row that lacks its score.
    long = frame.unpivot(on=symbols, index=["row", "date"], variable_name="symbol", value_name="score").drop_nulls()
    return long.select(
        "row",
        pl.lit(UNNAMED).alias("model"),
        pl.lit(0, pl.Int32).alias("label_days"),
        "date",
        "symbol",
        "score",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "none"


def _refuse(chunk: Chunk, column: str, bad: pl.Series, reason: str) -> None:
    chunk.place.refuse(chunk.frame, pl.lit(bad), column, reason)


def _dates(chunk: Chunk, column: str) -> pl.Series:
    """Dates, from dates or midnights of any zone, as text or not."""
    found = chunk.frame[column]
    if isinstance(found.dtype, pl.Datetime):
        # Whatever its zone, a midnight there stands for the date.
        wall = found.dt.replace_time_zone(None)
        _refuse(chunk, column, wall.dt.truncate("1d") != wall, _TIMED)
        found = wall.dt.date()
    elif isinstance(found.dtype, pl.String):
        clock = found.str.extract(r"^\s*\S+?[T ](.+)$", 1)
        _refuse(chunk, column, clock.is_not_null() & ~clock.str.contains(_MIDNIGHT), _TIMED)
        found = found.str.strip_chars().str.replace(r"[T ].*$", "")
    _refuse(chunk, column, found.is_null() | _blank(found), "is missing; give every score a date")
    return Chunk(found.to_frame(column), chunk.place).day(column)


def _symbols(chunk: Chunk, column: str) -> pl.Series:
    found = chunk.frame[column]
    if not isinstance(found.dtype, pl.String | pl.Categorical | pl.Enum):
        _refuse(chunk, column, _any(found), f"is {found.dtype}, so leading zeros are lost; store symbols as text")
    found = found.cast(pl.String).str.strip_chars()
    _refuse(chunk, column, found.is_null() | _blank(found), "is missing; give every score a symbol")
    return found


def _blank(found: pl.Series) -> pl.Series:
    return found.cast(pl.String) == ""


def _any(found: pl.Series) -> pl.Series:
    return pl.repeat(True, len(found), eager=True)


def _numbers(chunk: Chunk, column: str, texts: bool) -> pl.Series:
    """Finite numbers or nulls; text is a number where the whole file is text."""
    found = chunk.frame[column]
    if isinstance(found.dtype, pl.String) and not texts:
        _refuse(chunk, column, found.is_not_null(), "is text; store scores as numbers")
    values = chunk.number(column).cast(pl.Float64)
    _refuse(chunk, column, ~values.is_finite(), "is not a finite number; leave it empty where there is no score")
    return values


def _label_days(chunk: Chunk) -> pl.Series:
    values = chunk.number("label_days").cast(pl.Float64)
    bad = values.is_null() | ~values.is_between(0, 10_000) | (values != values.round())
    _refuse(chunk, "label_days", bad, "is not a number of trading days; give 0 where a score has no label")
    return values.cast(pl.Int32)


def _refuse_names(chunk: Chunk, models: pl.Series) -> None:
    """Names stand in tables and figures, some with an ending."""
    _refuse(chunk, "model", models.is_in(RESERVED), "is what the report calls its own; give the score another name")
    odd = ~models.str.contains(_NAME) | models.str.contains(_TAKEN_ENDS) | models.is_null()
    reason = (
        "cannot name a score; use at most 60 letters, digits, blanks and _ . + -, and no _se or _seed_std at the end"
    )
    _refuse(chunk, "model", odd, reason)


def _refuse_twice(frame: pl.DataFrame, where: str) -> None:
    key = ["model", "label_days", "date", "symbol"]
    twice = frame.filter(~pl.struct(key).is_first_distinct()).head(1)
    for row, model, label_days, day, symbol, _ in twice.iter_rows():
        named = "" if model == UNNAMED else f" of {score_name(model, label_days)}"
        reason = f"has a second score{named} on {day}; keep one, or tell them apart by a column model"
        raise DataError(f"{where}:{row}:symbol", f"{symbol} {reason}")


def to_alphalens(scores: pl.DataFrame) -> pl.DataFrame:
    """(date, symbol, score) of one model as alphalens' factor frame: date (midnight, ns), asset, factor.

    In pandas `.set_index(["date", "asset"])["factor"]` is what alphalens takes. DataError where a key comes twice.
    """
    return _one(scores).select(
        pl.col("date").cast(pl.Datetime("ns")), pl.col("symbol").alias("asset"), pl.col("score").alias("factor")
    )


def to_qlib(scores: pl.DataFrame) -> pl.DataFrame:
    """(date, symbol, score) of one model as Qlib's predictions: datetime (midnight, ns), instrument (SH600000), score.

    In pandas `.set_index(["datetime", "instrument"])` is what pred.pkl holds. Symbols that are not of the form
    600000.SH stay as they are. DataError where a key comes twice.
    """
    instrument = pl.col("symbol").str.replace(r"^([0-9]{6})\.(SH|SZ|BJ)$", "${2}${1}").alias("instrument")
    return _one(scores).select(pl.col("date").cast(pl.Datetime("ns")).alias("datetime"), instrument, "score")


def to_long(scores: pl.DataFrame) -> pl.DataFrame:
    """(date, symbol, score) of one model, sorted. DataError where a key comes twice."""
    return _one(scores).select("date", "symbol", "score")


WRITERS: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "alphalens": to_alphalens,
    "qlib": to_qlib,
    "long": to_long,
}


def _one(scores: pl.DataFrame) -> pl.DataFrame:
    """Sorted rows of one score."""
    for day, symbol in scores.filter(~pl.struct("date", "symbol").is_first_distinct()).head(1)["date", "symbol"].rows():
        raise DataError("scores", f"{symbol} has several scores on {day}; choose one model and label")
    return scores.sort("date", "symbol")
