"""The tables at every boundary: polars frames, exact dtypes, a unique sorted key, null (never NaN) for missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from polygrain.errors import DataError

# Half a fen: prices are whole ticks, so what float32 adds to a comparison of two of them is far below it.
PRICE_TOLERANCE = 0.005
_ROW = "row in the input"


@dataclass(frozen=True)
class Column:
    """A column's dtype; `required`: it must be there; `nullable`: single values may be missing."""

    dtype: pl.DataType
    required: bool = True
    nullable: bool = False


@dataclass(frozen=True)
class Schema:
    """A table's key and columns; `extra`: columns under other names are allowed, numbers as Float64."""

    key: tuple[str, ...]
    columns: Mapping[str, Column]
    extra: bool = False


_TEXT, _DATE, _REAL, _WHOLE, _FLAG = pl.String(), pl.Date(), pl.Float64(), pl.Int64(), pl.Boolean()
_OPTIONAL = Column(_REAL, required=False, nullable=True)

# Reference tables of what was in force from one day to another: the columns of its first and its last day.
INTERVALS = {
    "index_members": ("start", "end"),
    "industries": ("start", "end"),
    "listings": ("listed", "delisted"),
}

SCHEMAS: dict[str, Schema] = {
    "bars": Schema(
        ("date", "symbol", "bar"),
        {"symbol": Column(_TEXT), "date": Column(_DATE), "bar": Column(pl.UInt16())}
        | {name: Column(_REAL) for name in ("open", "high", "low", "close")}
        | {"volume": Column(_WHOLE), "amount": Column(_REAL)},
    ),
    "daily": Schema(
        ("date", "symbol"),
        {"symbol": Column(_TEXT), "date": Column(_DATE)}
        | {name: Column(_REAL, nullable=True) for name in ("open", "high", "low", "close")}
        | {"volume": Column(_WHOLE), "amount": _OPTIONAL, "vwap": _OPTIONAL}
        | {"factor": Column(_REAL), "suspended": Column(_FLAG), "st": Column(_FLAG, required=False, nullable=True)}
        | dict.fromkeys(("up_limit", "down_limit", "float_shares", "total_shares", "book_value"), _OPTIONAL),
        extra=True,
    ),
    "listings": Schema(
        ("symbol",),
        {
            "symbol": Column(_TEXT),
            "listed": Column(_DATE),
            "delisted": Column(_DATE, required=False, nullable=True),
            "board": Column(_TEXT, required=False, nullable=True),
        },
    ),
    "index_weights": Schema(
        ("index", "date", "symbol"),
        {"index": Column(_TEXT), "date": Column(_DATE), "symbol": Column(_TEXT), "weight": Column(_REAL)},
    ),
    "index_members": Schema(
        ("index", "symbol", "start"),
        {
            "index": Column(_TEXT),
            "symbol": Column(_TEXT),
            "start": Column(_DATE),
            "end": Column(_DATE, required=False, nullable=True),
        },
    ),
    "industries": Schema(
        ("symbol", "start"),
        {
            "symbol": Column(_TEXT),
            "start": Column(_DATE),
            "end": Column(_DATE, required=False, nullable=True),
            "industry": Column(_TEXT),
        },
    ),
}


def check(frame: pl.DataFrame, name: str, where: str, *, first_row: int = 1) -> pl.DataFrame:
    """The table `name` with the dtypes and column order of its schema, sorted by its key.

    Errors: DataError `where:ROW:COLUMN: reason (value)` for the first row that breaks a rule; rows are counted from
    `first_row`. Whole floats are taken for integers and 0 / 1 for flags; nothing else changes its value.
    """
    schema = SCHEMAS[name]
    _columns(frame, schema, where)
    place = Place(where, first_row)
    frame = _typed(frame, schema, place)
    missing = [
        (column, pl.col(column).is_null(), "is missing")
        for column, rule in schema.columns.items()
        if column in frame.columns and not rule.nullable
    ]
    values = [rule for rule in _VALUE_RULES.get(name, []) if rule[0] in frame.columns]
    place.refuse_any(frame, [*missing, *values])
    frame = _keyed(frame, schema, place)
    if name == "index_weights":
        _full_weights(frame, where)
    return frame


@dataclass(frozen=True)
class Place:
    """Where a frame's rows come from, for messages: a file or a table, and the number of the first row."""

    where: str
    first_row: int = 1

    def refuse_any(self, frame: pl.DataFrame, rules: Sequence[tuple[str, pl.Expr, str]]) -> None:
        """`refuse` for the first of the rules (column, bad, reason) that a row breaks; one pass where none does."""
        broken = frame.select(bad.fill_null(False).any().alias(str(n)) for n, (_, bad, _) in enumerate(rules)).row(0)
        for column, bad, reason in (rule for rule, found in zip(rules, broken) if found):
            self.refuse(frame, bad, column, reason)

    def refuse(self, frame: pl.DataFrame, bad: pl.Expr, column: str, reason: str, *, value: str | None = None) -> None:
        """Raise DataError for the first row where `bad` holds, naming `column` and its value (or `value`'s)."""
        mask = frame.select(bad.fill_null(False).alias("bad")).to_series()
        first = mask.arg_max()
        if first is None or not mask[first]:
            return
        row = frame[_ROW][first] if _ROW in frame.columns else first
        found = frame[value or column][first]
        text = reason if found is None else f"{reason} ({found})"
        raise DataError(f"{self.where}:{row + self.first_row}:{column}", text)


def _columns(frame: pl.DataFrame, schema: Schema, where: str) -> None:
    """Refuse a table that lacks a required column or has one it does not take."""
    for column, rule in schema.columns.items():
        if rule.required and column not in frame.columns:
            raise DataError(where, f"has no column {column}; it has {', '.join(frame.columns) or 'none'}")
    extra = sorted(set(frame.columns) - set(schema.columns))
    if extra and not schema.extra:
        raise DataError(where, f"has the column {extra[0]}, which this table does not take")


def _typed(frame: pl.DataFrame, schema: Schema, place: Place) -> pl.DataFrame:
    """The frame's columns in the schema's order and dtypes; extra ones after them by name."""
    typed = [_cast(frame, name, rule.dtype, place) for name, rule in schema.columns.items() if name in frame.columns]
    for column in sorted(set(frame.columns) - set(schema.columns)):
        numeric = frame.schema[column].is_numeric()
        typed.append(_cast(frame, column, _REAL if numeric else frame.schema[column], place))
    return frame.select(typed)


def _cast(frame: pl.DataFrame, column: str, dtype: pl.DataType, place: Place) -> pl.Expr:
    """The expression that gives `column` as `dtype` without changing any value; refuses what it cannot."""
    found, value = frame.schema[column], pl.col(column)
    if found.is_float():
        place.refuse(frame, ~value.is_finite(), column, "is not a finite number")
    if found == dtype:
        return value
    numeric = found.is_numeric()
    if dtype.is_integer() and numeric:
        if found.is_float():
            place.refuse(frame, value != value.round(), column, "is not a whole number")
        most = 2**16 - 1 if dtype == pl.UInt16 else 2**53
        place.refuse(frame, (value > most) | (value < -most), column, "is too large a number")
        if dtype.is_unsigned_integer():
            place.refuse(frame, value < 0, column, "is negative")
        return value.cast(dtype)
    if dtype == pl.Boolean and numeric:
        place.refuse(frame, (value != 0) & (value != 1), column, "is neither 0 nor 1")
        return value == 1
    if (dtype.is_float() and numeric) or found == pl.Null:
        return value.cast(dtype)
    if dtype == pl.String and isinstance(found, pl.Categorical | pl.Enum):
        return value.cast(dtype)
    raise DataError(f"{place.where}:{place.first_row}:{column}", f"is {found}, not {dtype} ({frame[column].first()!r})")


def _keyed(frame: pl.DataFrame, schema: Schema, place: Place) -> pl.DataFrame:
    """The frame sorted by its key; refuses a key that comes twice and intervals of one thing that overlap."""
    key = list(schema.key)
    rows = frame.with_row_index(_ROW).sort(*key, maintain_order=True)
    same = [pl.col(column) == pl.col(column).shift(1) for column in key]
    key_text = pl.concat_str([pl.col(column).cast(pl.String) for column in key], separator=" ")
    twice = pl.all_horizontal(same)
    if rows.select(twice.fill_null(False).any()).item():
        place.refuse(
            rows.with_columns(key_text.alias("key")), twice, key[-1], "its key is that of an earlier row", value="key"
        )
    if "start" in schema.columns:
        end = pl.col("end") if "end" in frame.columns else pl.lit(None, dtype=pl.Date)
        place.refuse(rows, end < pl.col("start"), "end", "is before start")
        before = end.shift(1)
        overlaps = pl.all_horizontal(same[:-1]) & (before.is_null() | (before >= pl.col("start")))
        place.refuse(rows, overlaps, "start", "lies in the interval before it")
    return rows.drop(_ROW)


def _full_weights(frame: pl.DataFrame, where: str) -> None:
    """Refuse an index whose weights on a date do not add up to 1 within 2% (published ones are rounded)."""
    sums = frame.group_by("index", "date", maintain_order=True).agg(pl.col("weight").sum())
    for index, day, total in sums.filter((pl.col("weight") - 1).abs() > 0.02).head(1).iter_rows():
        raise DataError(where, f"the weights of {index} on {day} add up to {total:.4f}, not 1; check units.weight")


def _price_rules() -> list[tuple[str, pl.Expr, str]]:
    low, high = pl.col("low") - PRICE_TOLERANCE, pl.col("high") + PRICE_TOLERANCE
    positive = [(column, pl.col(column) <= 0, "is not a positive price") for column in ("open", "high", "low", "close")]
    return [
        *positive,
        ("high", pl.col("high") < low, "is below low"),
        ("open", (pl.col("open") < low) | (pl.col("open") > high), "is outside [low, high]"),
        ("close", (pl.col("close") < low) | (pl.col("close") > high), "is outside [low, high]"),
        ("volume", pl.col("volume") < 0, "is negative"),
        ("amount", pl.col("amount") < 0, "is negative"),
    ]


_VALUE_RULES: dict[str, list[tuple[str, pl.Expr, str]]] = {
    "bars": _price_rules(),
    "daily": [
        *(
            (column, pl.col(column).is_null() & ~pl.col("suspended"), "is missing on a day that is not suspended")
            for column in ("open", "high", "low", "close")
        ),
        *_price_rules(),
        ("volume", (pl.col("volume") > 0) & pl.col("suspended"), "is traded on a suspended day"),
        ("factor", pl.col("factor") <= 0, "is not positive"),
        ("vwap", pl.col("vwap") <= 0, "is not a positive price"),
    ],
    "listings": [("delisted", pl.col("delisted") < pl.col("listed"), "is before listed")],
    "index_weights": [("weight", (pl.col("weight") < 0) | (pl.col("weight") > 1), "is not a fraction from 0 to 1")],
}


def ended(name: str, table: pl.DataFrame, day: date) -> pl.DataFrame:
    """A table as its file shows it on `day`: no row of a later day, no interval that starts later, no later end."""
    if name not in INTERVALS:
        return table.filter(pl.col("date") <= day)
    start, end = INTERVALS[name]
    known = table.filter(pl.col(start) <= day)
    if end not in table.columns:
        return known
    return known.with_columns(pl.when(pl.col(end) <= day).then(pl.col(end)).alias(end))
