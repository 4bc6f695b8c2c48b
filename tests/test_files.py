"""Files: what is read, in which units and forms, and what is refused in one line."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_files import BARS, DAILY, market, write_csv, write_parquet

from polygrain.errors import ConfigError, DataError, PolygrainError
from polygrain.sources.columns import Chunk
from polygrain.sources.files import FIRST_DAY, Files
from polygrain.sources.months import Months
from polygrain.store.tables import Place

BAR_ROW = dict(zip(BARS, ["600000.SH", "2025-01-02 10:30", "10.00", "10.20", "9.90", "10.10", "1000", "10050"]))
DAILY_ROW = dict(zip(DAILY, ["600000.SH", "2025-01-02", "10.00", "10.20", "9.90", "10.10", "1000", "1.5", "0"]))


def files(folder, **tables) -> Files:
    return Files.model_validate({"kind": "files", "root": str(folder), **tables})


def bar_source(folder, **changes) -> Files:
    return files(folder, bars={"path": "bars.csv", "bar": "60min", "stamp": "end"} | changes)


def read_bars(source: Files) -> pl.DataFrame:
    return pl.concat([frame for _, frame in source.bars()])


def test_bars_of_csv(tmp_path):
    write_csv(tmp_path / "bars.csv", [BAR_ROW | {"time": "2025-01-02 15:00"}, BAR_ROW])
    frame = read_bars(bar_source(tmp_path))
    assert frame.rows() == [
        ("600000.SH", date(2025, 1, 2), 0, 10.0, 10.2, 9.9, 10.1, 1000, 10050.0),
        ("600000.SH", date(2025, 1, 2), 3, 10.0, 10.2, 9.9, 10.1, 1000, 10050.0),
    ]


@pytest.mark.parametrize(("bom", "end"), [(True, "\n"), (False, "\r\n"), (True, "\r\n")])
def test_bom_crlf_and_reordered_columns_are_harmless(tmp_path, bom, end):
    write_csv(tmp_path / "bars.csv", [BAR_ROW])
    clean = read_bars(bar_source(tmp_path))
    write_csv(tmp_path / "bars.csv", [BAR_ROW], BARS[::-1], bom=bom, end=end)
    assert read_bars(bar_source(tmp_path)).equals(clean)


@pytest.mark.parametrize(
    "time",
    [
        "2025-01-02 10:30:00",
        "2025/01/02 10:30",
        "2025-01-02T10:30:00",
        "20250102103000",
        "20250102103000000",
        "2025-01-02T10:30:00+08:00",
        "2025-01-02T02:30:00Z",
    ],
)
def test_forms_of_time(tmp_path, time):
    write_csv(tmp_path / "bars.csv", [BAR_ROW | {"time": time}])
    assert read_bars(bar_source(tmp_path))["bar"].to_list() == [0]


@pytest.mark.parametrize(("day", "clock"), [("2025-01-02", "10:30:00"), ("20250102", "1030"), ("2025/01/02", "10:30")])
def test_date_and_time_in_two_columns(tmp_path, day, clock):
    write_csv(tmp_path / "bars.csv", [BAR_ROW | {"time": clock, "day": day}])
    frame = read_bars(bar_source(tmp_path, columns={"date": "day"}))
    assert frame.select("date", "bar").rows() == [(date(2025, 1, 2), 0)]


def test_times_with_a_zone_are_converted(tmp_path):
    write_parquet(tmp_path / "bars.parquet", [BAR_ROW])
    frame = pl.read_parquet(tmp_path / "bars.parquet")
    zoned = pl.col("time").dt.replace_time_zone("Asia/Shanghai").dt.convert_time_zone("UTC")
    frame.with_columns(zoned).write_parquet(tmp_path / "bars.parquet")
    assert read_bars(bar_source(tmp_path, path="bars.parquet"))["bar"].to_list() == [0]


def test_start_stamps(tmp_path):
    write_csv(tmp_path / "bars.csv", [BAR_ROW | {"time": "2025-01-02 13:00"}])
    assert read_bars(bar_source(tmp_path, stamp="start"))["bar"].to_list() == [2]


def test_units_and_bare_codes(tmp_path):
    row = BAR_ROW | {"symbol": "000001", "volume": "123.45", "amount": "124.068"}
    write_csv(tmp_path / "bars.csv", [row])
    frame = read_bars(bar_source(tmp_path, symbols="bare", units={"volume": "lot", "amount": "thousand_yuan"}))
    # 123.45 lots of 100 shares; 124.068 thousand yuan.
    assert frame.select("symbol", "volume", "amount").row(0) == ("000001.SZ", 12345, 124068.0)


@pytest.mark.parametrize("symbol", ["SH600000", "sh.600000", "600000.XSHG", "600000.SSE"])
def test_spellings_of_symbols(tmp_path, symbol):
    write_csv(tmp_path / "bars.csv", [BAR_ROW | {"symbol": symbol}])
    assert read_bars(bar_source(tmp_path))["symbol"].to_list() == ["600000.SH"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 350_000), min_size=1, max_size=50))
def test_float32_prices_become_whole_fen(fen):
    exact = [value / 100 for value in fen]
    frame = pl.DataFrame({"single": pl.Series(exact, dtype=pl.Float32), "double": exact})
    chunk = Chunk(frame.with_columns(pl.col("single").cast(pl.Float64).alias("widened")), Place("x"))
    for column in ("single", "double", "widened"):
        assert chunk.price(column).to_list() == exact


HOURS = "09:30-11:30, 13:00-15:00 Asia/Shanghai"
NO_SYMBOL = 'is not a symbol such as 600000.SH; other markets\' are read where symbols is "text"'
REFUSED_BARS = [
    ({"close": "nan"}, "bars.csv:2:close: is not a finite number (nan)"),
    ({"close": "1e400"}, "bars.csv:2:close: is not a finite number (inf)"),
    ({"close": "--"}, "bars.csv:2:close: is not a number (--)"),
    ({"close": "1,234"}, "bars.csv:2:close: is not a number (1,234)"),
    ({"close": "１０.１"}, "bars.csv:2:close: is not a number (１０.１)"),
    ({"close": ""}, "bars.csv:2:close: is missing"),
    ({"close": "0"}, "bars.csv:2:close: is not a positive price (0.0)"),
    ({"high": "9.00"}, "bars.csv:2:high: is below low (9.0)"),
    ({"volume": "-5"}, "bars.csv:2:volume: is negative (-5)"),
    ({"volume": "5.5"}, "bars.csv:2:volume: is not a whole number (5.5)"),
    ({"time": "2025-01-03 12:00"}, f"bars.csv:2:time: is not the end of a 60min bar of {HOURS} (2025-01-03 12:00)"),
    ({"time": "2025-01-03 09:30"}, f"bars.csv:2:time: is not the end of a 60min bar of {HOURS} (2025-01-03 09:30)"),
    ({"time": "2025-01-03 15:01"}, f"bars.csv:2:time: is not the end of a 60min bar of {HOURS} (2025-01-03 15:01)"),
    ({"time": "2025-01-04 15:00"}, "bars.csv:2:time: is a Saturday or Sunday (2025-01-04 15:00)"),
    ({"time": "1970-01-01 15:00"}, "bars.csv:2:time: is before 1990 (1970-01-01 15:00)"),
    (
        {"time": "2025-01-03T15:00:00Z"},
        "bars.csv:2:time: is not a time in the form of the first row's (2025-01-03T15:00:00Z)",
    ),
    ({"symbol": "1"}, f"bars.csv:2:symbol: {NO_SYMBOL} (1)"),
    ({"symbol": "../../x"}, f"bars.csv:2:symbol: {NO_SYMBOL} (../../x)"),
    ({}, "bars.csv:2:bar: its key is that of an earlier row (2025-01-02 600000.SH 0)"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED_BARS)
def test_refused_bars(tmp_path, change, message):
    write_csv(tmp_path / "bars.csv", [BAR_ROW, BAR_ROW | change])
    with pytest.raises(DataError) as error:
        read_bars(bar_source(tmp_path))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bars.csv: cannot be read as CSV: empty CSV"),
        (b"symbol,time\n\xff\xfe,1\n", "bars.csv: cannot be read as CSV: invalid utf-8 sequence"),
        (b"symbol,symbol\n1,2\n", "bars.csv: has the column symbol twice"),
        (b"symbol,time\n1,2\n", "bars.csv: has no column open; it has symbol, time"),
        (b"symbol,time\n1,2,3\n", "bars.csv: cannot be read as CSV: found more fields than defined in 'Schema'"),
    ],
)
def test_refused_csv(tmp_path, content, message):
    (tmp_path / "bars.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_bars(bar_source(tmp_path))
    assert str(error.value) == message


@pytest.mark.parametrize("content", [b"", b"symbol,time\n", b"PAR1" + bytes(40)])
def test_refused_parquet_is_one_line(tmp_path, content):
    (tmp_path / "bars.parquet").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_bars(bar_source(tmp_path, path="bars.parquet"))
    assert str(error.value).startswith("bars.parquet: cannot be read as Parquet: ")
    assert "\n" not in str(error.value)


def test_truncated_parquet_is_refused(tmp_path):
    write_parquet(tmp_path / "bars.parquet", [BAR_ROW])
    whole = (tmp_path / "bars.parquet").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "bars.parquet").write_bytes(whole[:length])
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read_bars(bar_source(tmp_path, path="bars.parquet"))


def test_numbers_for_codes_are_refused(tmp_path):
    pl.DataFrame({"symbol": [1], "listed": [date(2025, 1, 2)]}).write_parquet(tmp_path / "listings.parquet")
    write_csv(tmp_path / "daily.csv", [DAILY_ROW])
    source = files(tmp_path, daily={"path": "daily.csv", "amount": "none"}, listings={"path": "listings.parquet"})
    with pytest.raises(DataError) as error:
        source.reference("listings")
    text = "is Int64, so leading zeros are lost; store symbols as text (1)"
    assert str(error.value) == f"listings.parquet:1:symbol: {text}"


def test_daily_is_completed(tmp_path):
    idle = DAILY_ROW | {"date": "2025-01-03", "volume": "0", "open": "0", "high": "0", "low": "0", "close": "0"}
    rows = [{k: v for k, v in row.items() if k not in ("factor", "suspended")} for row in (DAILY_ROW, idle)]
    write_csv(tmp_path / "daily.csv", rows)
    daily = files(tmp_path, daily={"path": "daily.csv", "amount": "none"}).daily()
    assert daily.select("close", "factor", "suspended").rows() == [(10.1, 1.0, False), (None, 1.0, True)]


def test_other_columns_of_daily_are_kept_where_named(tmp_path):
    write_csv(tmp_path / "daily.csv", [DAILY_ROW | {"isST": "1", "peTTM": "", "pb": "1.5", "other": "x"}])
    columns = {"st": "isST", "pe": "peTTM", "pb": "pb"}
    daily = files(tmp_path, daily={"path": "daily.csv", "columns": columns, "amount": "none"}).daily()
    assert daily.select("st", "pb", "pe").row(0) == (True, 1.5, None)
    assert "other" not in daily.columns


def test_references(tmp_path):
    write_csv(tmp_path / "daily.csv", [DAILY_ROW])
    write_csv(tmp_path / "industry.csv", [{"symbol": "SH600000", "industry": "银行"}])
    weight = {"index": "csi300", "date": "2025-01-02", "symbol": "600000.SH", "weight": "100.0"}
    write_csv(tmp_path / "weights.csv", [weight])
    source = files(
        tmp_path,
        daily={"path": "daily.csv", "amount": "none"},
        industries={"path": "industry.csv", "point_in_time": False},
        index_weights={"path": "weights.csv", "units": {"weight": "percent"}},
    )
    assert source.reference("industries").rows() == [("600000.SH", FIRST_DAY, "银行")]
    assert source.reference("index_weights")["weight"].to_list() == [1.0]
    assert source.reference("listings") is None
    assert source.snapshots == ("industries",)
    assert any(str(FIRST_DAY) in note for note in source.notes())


def test_layout_of_files_does_not_matter(tmp_path):
    bars, _ = market(3, days=40)
    for name in ("one", "many", "glob"):
        (tmp_path / name).mkdir()
    write_parquet(tmp_path / "one" / "bars.parquet", bars[::-1])
    for symbol in {row["symbol"] for row in bars}:
        write_csv(tmp_path / "many" / f"{symbol}.csv", [row for row in bars if row["symbol"] == symbol])
    write_parquet(tmp_path / "glob" / "a-1.parquet", bars[::2])
    write_parquet(tmp_path / "glob" / "a-2.parquet", bars[1::2])
    (tmp_path / "glob" / "readme.txt").write_text("not data")
    frames = [read_bars(bar_source(tmp_path, path=path)) for path in ("one/bars.parquet", "many", "glob/a-*.parquet")]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_spilled_months_are_those_kept_in_memory(tmp_path):
    frames = [pl.DataFrame({"date": [date(2025, 1 + n % 3, 1 + n)], "n": [n]}) for n in range(12)]
    kept, spilled = Months(tmp_path, 1000), Months(tmp_path, 2)
    for frame in frames:
        kept.add(frame)
        spilled.add(frame)
    assert list(tmp_path.iterdir())
    one, other = list(kept), list(spilled)
    assert [month for month, _ in one] == ["2025-01", "2025-02", "2025-03"]
    assert all(a[0] == b[0] and a[1].equals(b[1]) for a, b in zip(one, other, strict=True))


def test_files_of_one_table_must_be_alike(tmp_path):
    (tmp_path / "d").mkdir()
    write_csv(tmp_path / "d" / "a.csv", [DAILY_ROW])
    write_csv(tmp_path / "d" / "b.csv", [DAILY_ROW | {"date": "2025-01-03", "amount": "1"}])
    with pytest.raises(DataError, match=r"^d/b.csv: the files do not all have the column amount"):
        files(tmp_path, daily={"path": "d", "amount": "none"}).daily()


def test_root(tmp_path, monkeypatch):
    table = {"path": "daily.csv", "amount": "none"}
    monkeypatch.delenv("POLYGRAIN_REAL_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"^source.root: the variable POLYGRAIN_REAL_DATA is not set"):
        files("$POLYGRAIN_REAL_DATA/x", daily=table)
    with pytest.raises(ConfigError, match=r"^source.root: '\$HOME/x' names a variable"):
        files("$HOME/x", daily=table)
    monkeypatch.setenv("POLYGRAIN_REAL_DATA", "/data")
    assert files("$POLYGRAIN_REAL_DATA/x", daily=table).root == "/data/x"
    values = {"root": "x", "daily": table}
    assert Files.model_validate(values, context={"folder": tmp_path}).root == str(tmp_path / "x")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "source: has neither bars nor daily; name at least one"),
        (
            {"daily": {"path": "daily.csv", "amount": "bars"}},
            'source.daily.amount: "bars" needs bars; choose "column", "typical_price" or "none"',
        ),
        (
            {"bars": {"path": "b.csv", "bar": "60min", "stamp": "end", "columns": {"tme": "t"}}},
            "source.bars.columns.tme: is not one of amount, bar, close, date, high, low, open, symbol, time, volume",
        ),
    ],
)
def test_refused_settings(tmp_path, tables, message):
    with pytest.raises(PolygrainError) as error:
        files(tmp_path, **tables)
    assert str(error.value) == message


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(ValidationError):
        files(tmp_path, daily={"path": "daily.csv", "amuont": "none"})
    with pytest.raises(ValidationError, match="is not a time zone"):
        files(tmp_path, daily={"path": "daily.csv"}, time_zone="Asia/Beijing")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError) as error:
        read_bars(bar_source(tmp_path))
    assert str(error.value) == f"source.bars.path: there is no file at {tmp_path / 'bars.csv'}"


def test_fingerprint_is_of_content_and_settings_not_of_the_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "bars.csv", [BAR_ROW])
    first = bar_source(tmp_path / "a").fingerprint()
    assert bar_source(tmp_path / "b").fingerprint() == first
    assert bar_source(tmp_path / "b", stamp="start").fingerprint() != first
    write_csv(tmp_path / "b" / "bars.csv", [BAR_ROW | {"close": "10.11"}])
    assert bar_source(tmp_path / "b").fingerprint() != first
