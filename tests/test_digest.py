"""Digests of days: their definition row by row, and what they depend on."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from itertools import groupby

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.store.digest import day_digests

DAY = date(2024, 2, 28)
TYPES = {"number": np.float64, "count": np.int64, "flag": bool}


def _digest(rows: list[dict[str, object]], schema: pl.Schema) -> str:
    said = b""
    for name, kind in schema.items():
        said += f"{name} {kind} {len(rows)}\n".encode()
        values = [row[name] for row in rows]
        if kind == pl.String:
            runs = [(value, len(list(same))) for value, same in groupby(values)]
            said += json.dumps([value for value, _ in runs]).encode()
            said += np.array([length for _, length in runs], np.uint32).tobytes()
        elif kind == pl.Date:
            said += np.array([(value - date(1970, 1, 1)).days for value in values], np.int32).tobytes()
        else:
            if None in values:
                said += bytes(value is None for value in values)
            said += np.array([0 if value is None else value for value in values], TYPES[name]).tobytes()
    return hashlib.sha256(said).hexdigest()


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["a", "b", "招", None]),
        st.one_of(st.none(), st.floats(width=64, allow_nan=True)),
        st.one_of(st.none(), st.integers(-(2**40), 2**40)),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_equal_the_definition(rows: list[tuple[object, ...]]) -> None:
    names = ("date", "text", *TYPES)
    ordered = [(DAY + timedelta(days=number), *rest) for number, *rest in sorted(rows, key=lambda row: row[0])]
    schema = pl.Schema(dict(zip(names, (pl.Date, pl.String, pl.Float64, pl.Int64, pl.Boolean))))
    frame = pl.DataFrame(ordered, schema, orient="row")
    by_day = groupby(frame.iter_rows(named=True), lambda row: row["date"])
    assert day_digests(frame) == {day.isoformat(): _digest(list(of), schema) for day, of in by_day}


def test_a_day_does_not_depend_on_the_others() -> None:
    # The second day begins with the text that the first ends with, and alone has nothing missing.
    first = pl.DataFrame({"date": [DAY, DAY], "text": ["a", "b"], "number": [None, 1.0]})
    second = pl.DataFrame({"date": [DAY + timedelta(days=1)], "text": ["b"], "number": [2.0]})
    both = day_digests(pl.concat([first, second]))
    assert both == day_digests(first) | day_digests(second)
    assert len(set(both.values())) == 2
