"""Tables at the boundary: exact dtypes, sorted unique keys, and one-line refusals that name the first bad row."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.errors import DataError
from polygrain.store.tables import SCHEMAS, check

DAY = date(2025, 1, 2)


def bars(**changes: list) -> pl.DataFrame:
    """Three good bars of one stock, with columns replaced."""
    columns = {
        "symbol": ["600000.SH"] * 3,
        "date": [DAY] * 3,
        "bar": [0, 1, 2],
        "open": [10.0, 10.1, 10.2],
        "high": [10.2, 10.2, 10.3],
        "low": [10.0, 10.0, 10.1],
        "close": [10.1, 10.2, 10.3],
        "volume": [100, 0, 300],
        "amount": [1000.0, 0.0, 3060.0],
    }
    return pl.DataFrame(columns | changes)


def daily(**changes: list) -> pl.DataFrame:
    """A traded row and a suspended one, with columns replaced."""
    columns = {
        "symbol": ["600000.SH", "600004.SH"],
        "date": [DAY] * 2,
        "open": [10.0, None],
        "high": [10.2, None],
        "low": [9.9, None],
        "close": [10.1, 8.0],
        "volume": [100, 0],
        "factor": [1.0, 2.0],
        "suspended": [False, True],
    }
    return pl.DataFrame(columns | changes)


def intervals(*rows: tuple[str, date, date | None]) -> pl.DataFrame:
    schema = {"symbol": pl.String, "start": pl.Date, "end": pl.Date}
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(pl.lit("csi300").alias("index"))


def test_good_tables_pass_with_exact_dtypes():
    checked = check(bars(), "bars", "x")
    assert dict(checked.schema) == {name: column.dtype for name, column in SCHEMAS["bars"].columns.items()}
    checked = check(daily(pe=[1, None], note=["a", "b"]), "daily", "x")
    assert checked.columns[-2:] == ["note", "pe"]
    assert checked.schema["pe"] == pl.Float64


def test_safe_casts():
    frame = bars(volume=[100.0, 0.0, 300.0]).cast({"open": pl.Float32, "amount": pl.Int32})
    assert check(frame, "bars", "x").schema == check(bars(), "bars", "x").schema
    assert check(daily(suspended=[0, 1]), "daily", "x")["suspended"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("table", "frame", "message"),
    [
        ("bars", bars(close=[10.1, None, 10.3]), "x:2:close: is missing"),
        ("bars", bars(close=[10.1, float("nan"), 10.3]), "x:2:close: is not a finite number (nan)"),
        ("bars", bars(amount=[1.0, 2.0, float("inf")]), "x:3:amount: is not a finite number (inf)"),
        ("bars", bars(low=[-1.0, 10.0, 10.1]), "x:1:low: is not a positive price (-1.0)"),
        ("bars", bars(high=[10.2, 9.9, 10.3]), "x:2:high: is below low (9.9)"),
        ("bars", bars(open=[10.0, 10.1, 10.4]), "x:3:open: is outside [low, high] (10.4)"),
        ("bars", bars(close=[9.8, 10.2, 10.3]), "x:1:close: is outside [low, high] (9.8)"),
        ("bars", bars(volume=[100, -1, 300]), "x:2:volume: is negative (-1)"),
        ("bars", bars(volume=[100.0, 0.5, 300.0]), "x:2:volume: is not a whole number (0.5)"),
        ("bars", bars(amount=[100.0, -1.0, 300.0]), "x:2:amount: is negative (-1.0)"),
        ("bars", bars(bar=[0, 1, 70000]), "x:3:bar: is too large a number (70000)"),
        ("bars", bars(bar=[0, 1, 1]), "x:3:bar: its key is that of an earlier row (2025-01-02 600000.SH 1)"),
        ("bars", bars(volume=["1", "2", "3"]), "x:1:volume: is String, not Int64 ('1')"),
        ("bars", bars(colour=[1, 2, 3]), "x: has the column colour, which this table does not take"),
        (
            "bars",
            bars().drop("amount"),
            "x: has no column amount; it has symbol, date, bar, open, high, low, close, volume",
        ),
        ("daily", daily(close=[None, 8.0]), "x:1:close: is missing on a day that is not suspended"),
        ("daily", daily(factor=[1.0, 0.0]), "x:2:factor: is not positive (0.0)"),
        ("daily", daily(volume=[100, 5]), "x:2:volume: is traded on a suspended day (5)"),
        ("daily", daily(pe=[1.0, float("nan")]), "x:2:pe: is not a finite number (nan)"),
        (
            "listings",
            pl.DataFrame({"symbol": ["600000.SH"], "listed": [DAY], "delisted": [date(2024, 1, 1)]}),
            "x:1:delisted: is before listed (2024-01-01)",
        ),
        (
            "index_members",
            intervals(("600000.SH", DAY, date(2025, 1, 1))),
            "x:1:end: is before start (2025-01-01)",
        ),
        (
            "index_members",
            intervals(("600000.SH", DAY, date(2025, 3, 1)), ("600000.SH", date(2025, 3, 1), None)),
            "x:2:start: lies in the interval before it (2025-03-01)",
        ),
        (
            "index_members",
            intervals(("600000.SH", date(2025, 3, 1), None), ("600000.SH", DAY, None)),
            "x:1:start: lies in the interval before it (2025-03-01)",
        ),
        (
            "index_weights",
            pl.DataFrame({"index": ["csi300"], "date": [DAY], "symbol": ["600000.SH"], "weight": [60.0]}),
            "x:1:weight: is not a fraction from 0 to 1 (60.0)",
        ),
        (
            "index_weights",
            pl.DataFrame({"index": ["csi300"], "date": [DAY], "symbol": ["600000.SH"], "weight": [0.6]}),
            "x: the weights of csi300 on 2025-01-02 add up to 0.6000, not 1; check units.weight",
        ),
    ],
)
def test_refusals(table, frame, message):
    with pytest.raises(DataError) as error:
        check(frame, table, "x")
    assert str(error.value) == message


def test_rows_are_counted_from_the_first():
    with pytest.raises(DataError, match=r"^x:1002:close: is missing"):
        check(bars(close=[10.1, None, 10.3]), "bars", "x", first_row=1001)


def test_half_a_fen_of_float32_noise_is_allowed():
    check(bars(open=[10.204, 10.1, 10.2]), "bars", "x")
    with pytest.raises(DataError):
        check(bars(open=[10.206, 10.1, 10.2]), "bars", "x")


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)))
def test_row_order_does_not_matter(order):
    frame = pl.concat([bars(symbol=[f"60000{n}.SH"] * 3) for n in range(4)])
    assert check(frame[list(order)], "bars", "x").equals(check(frame, "bars", "x"))
