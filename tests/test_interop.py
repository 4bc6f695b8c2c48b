"""Scores from elsewhere: every layout and fault by hand, round trips at random, and with pandas and alphalens."""

from __future__ import annotations

import warnings
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from polygrain.errors import DataError
from polygrain.interop import read_scores, to_alphalens, to_long, to_qlib

DAY = date(2025, 1, 2)
NIGHT = datetime(2025, 1, 2)
LONG = {"date": [DAY, DAY], "symbol": ["600000.SH", "000001.SZ"], "score": [0.5, -1.0]}
ROWS = [(1, "score", 0, DAY, "600000.SH", 0.5), (2, "score", 0, DAY, "000001.SZ", -1.0)]


def long(**columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame(LONG | columns, strict=False)


def test_a_long_frame() -> None:
    found = read_scores(long())
    assert found.frame.rows() == ROWS
    assert (found.said, found.name, found.notes, found.keys) == ("a long frame", "scores", (), [("score", 0)])


def test_models_and_labels_in_order_of_their_first_rows() -> None:
    found = read_scores(long(model=["动量 12-1", "a"], label_days=[5, 0]))
    assert found.keys == [("动量 12-1", 5), ("a", 0)]
    assert found.rows("a", 0)["symbol"].to_list() == ["000001.SZ"]


def test_alphalens_factor_data_whose_returns_and_quantiles_are_not_read() -> None:
    table = {"date": [NIGHT] * 2, "asset": LONG["symbol"], "5D": [0.1, 0.2], "factor": LONG["score"]}
    found = read_scores(pl.DataFrame(table | {"group": ["a", "b"], "factor_quantile": [1, 2]}))
    assert found.frame.rows() == ROWS
    assert found.said == "alphalens’ factor frame"
    assert found.notes == ("scores: columns not read: 5D, group, factor_quantile.",)


@pytest.mark.parametrize("name", ["score", "0"])
def test_qlib_predictions(name: str) -> None:
    table = {"datetime": [NIGHT] * 2, "instrument": ["SH600000", "SZ000001"], name: LONG["score"]}
    found = read_scores(pl.DataFrame(table))
    assert found.said == "Qlib’s predictions"
    assert found.frame["symbol"].to_list() == ["SH600000", "SZ000001"]
    assert found.fingerprints == read_scores(long()).fingerprints


def test_a_wide_sheet_whose_blank_cells_are_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text("date,600000,000001\n2025/1/2,0.5,\n2025/1/3,,-1\n")
    found = read_scores(path)
    assert (found.said, found.name, found.notes) == ("a wide sheet", "sheet.csv", ())
    assert found.frame.select("row", "date", "symbol", "score").sort("row").rows() == [
        (1, DAY, "600000", 0.5),
        (2, date(2025, 1, 3), "000001", -1.0),
    ]


def test_a_run_s_own_file_gives_its_test_dates() -> None:
    """The naive composite is made anew."""
    table = long(model=["day", "day"], segment=["valid", "test"])
    table = pl.concat([table, long(model=["naive", "oracle"], segment=["test", "test"])])
    found = read_scores(table)
    assert found.frame.select("row", "model", "symbol").rows() == [(2, "day", "000001.SZ")]
    assert found.notes == ("scores: the test dates of the run are read; its naive composite is made anew.",)


def test_null_is_no_score_and_counted() -> None:
    found = read_scores(long(score=[None, -1.0]))
    assert found.frame["row"].to_list() == [2]
    assert found.notes == ("scores: rows without a score: 1 of 2.",)


ZONED = pl.Series([NIGHT, NIGHT]).dt.replace_time_zone("UTC")


@pytest.mark.parametrize(
    "dates",
    [
        ["2025-01-02", "2025-01-02 00:00:00"],
        ["2025-01-02T00:00:00Z", "2025-01-02 00:00:00+08:00"],
        ["20250102", "20250102"],
        [20250102, 20250102],
        [NIGHT, NIGHT],
        ZONED,
        ZONED.dt.replace_time_zone(None).dt.replace_time_zone("Asia/Shanghai"),
        ZONED.dt.cast_time_unit("ns"),
    ],
)
def test_dates(dates: list[object]) -> None:
    assert read_scores(long(date=dates)).frame["date"].to_list() == [DAY, DAY]


TIMED = "is a time of day; a score is known at the close of its date: write the date alone, as the exchange counts it"
FAULTS = [
    (long(score=[0.5, float("nan")]), "2:score: is not a finite number; leave it empty where there is no score (nan)"),
    (long(score=[float("inf"), 1.0]), "1:score: is not a finite number; leave it empty where there is no score (inf)"),
    (long(score=["0.5", "1"]), "1:score: is text; store scores as numbers (0.5)"),
    (long(score=[True, False]), "1:score: is Boolean, not a number (True)"),
    (long(symbol=[1, 2]), "1:symbol: is Int64, so leading zeros are lost; store symbols as text (1)"),
    (long(symbol=["600000.SH", " "]), "2:symbol: is missing; give every score a symbol ( )"),
    (long(symbol=["600000.SH", None]), "2:symbol: is missing; give every score a symbol"),
    (long(date=[DAY, None]), "2:date: is missing; give every score a date"),
    (long(date=[NIGHT, datetime(2025, 1, 2, 15)]), f"2:date: {TIMED} (2025-01-02 15:00:00)"),
    (long(date=["2025-01-02", "2025-01-02 15:00"]), f"2:date: {TIMED} (2025-01-02 15:00)"),
    # Midnight in Shanghai, written as UTC: the date of which it is cannot be told.
    (
        long(date=ZONED.dt.replace_time_zone(None).dt.replace_time_zone("Asia/Shanghai").dt.convert_time_zone("UTC")),
        f"1:date: {TIMED} (2025-01-01 16:00:00+00:00)",
    ),
    (long(date=["2025-01-02", "x"]), "2:date: is not a date in the form of the first row's (x)"),
    (long(date=[1.5, 2.5]), "1:date: is Float64, not a date (1.5)"),
    (long(symbol=["600000.SH"] * 2), "2:symbol: 600000.SH has a second score on 2025-01-02; keep one, or tell them "
     "apart by a column model"),
    (long(symbol=["600000.SH"] * 2, model=["a", "a"], label_days=[5, 5]), "2:symbol: 600000.SH has a second score of "
     "a (5 days) on 2025-01-02; keep one, or tell them apart by a column model"),
    (long(model=["a", "naive"]), "2:model: is what the report calls its own; give the score another name (naive)"),
    (long(model=["a", "a_se"]), "2:model: cannot name a score; use at most 60 letters, digits, blanks and _ . + -, and "
     "no _se or _seed_std at the end (a_se)"),
    (long(model=["a", "=1+1"]), "2:model: cannot name a score; use at most 60 letters, digits, blanks and _ . + -, and "
     "no _se or _seed_std at the end (=1+1)"),
    (long(label_days=[5, 2.5]), "2:label_days: is not a number of trading days; give 0 where a score has no label "
     "(2.5)"),
    (long().clear(), "has no score; give at least one date with scores"),
    (long(score=[None, None]).cast({"score": pl.Float64}), "has no score; give at least one date with scores"),
    (
        long().rename({"symbol": "asset"}),
        "has the columns date, asset, score, which is no layout of scores; give date, symbol, score (and model, "
        "label_days); alphalens' date, asset, factor; Qlib's datetime, instrument, score; or a date and one column per "
        "symbol",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("table", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_faults_name_file_row_and_column(table: pl.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read_scores(table)
    assert str(refusal.value) in (f"scores:{message}", f"scores: {message}")
    path = tmp_path / "mine.parquet"
    table.write_parquet(path)
    with pytest.raises(DataError) as refusal:
        read_scores(str(path))
    assert str(refusal.value) in (f"{path}:{message}", f"{path}: {message}")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", ": cannot be read as CSV: empty CSV"),
        ("a.csv", "date,symbol,score\n", ": has no score; give at least one date with scores"),
        ("a.csv", "date,symbol,score\n2025-01-02,600000,x\n", ":1:score: is not a number (x)"),
        ("a.csv", "date,600000\n2025-01-02,1\n2025-01-03,nan\n", ":2:600000: is not a finite number; leave it empty "
         "where there is no score (nan)"),
        ("a.parquet", "nothing", ": cannot be read as Parquet: "),
        ("a.xlsx", "nothing", ": is neither .parquet nor .csv; save the scores as one of these"),
        ("pred.pkl", "nothing", ": is a pickle, which runs what it holds; where you trust it, convert it once by "
         'pandas: pd.read_pickle("pred.pkl").to_parquet("pred.parquet")'),
    ],
)  # fmt: skip
def test_faults_of_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as refusal:
        read_scores(path)
    assert str(refusal.value).startswith(f"{path}{message}")


def test_what_is_no_file_and_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.parquet: no such file; give the path of a Parquet or CSV file"):
        read_scores(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"^scores: dict is neither the path of a file nor a table; give a frame of"):
        read_scores({"score": [1.0]})  # type: ignore[arg-type]


def test_one_model_is_written_at_a_time() -> None:
    twice = pl.concat([pl.DataFrame(LONG)] * 2)
    for write in (to_alphalens, to_qlib, to_long):
        with pytest.raises(
            DataError, match=r"^scores: \S+ has several scores on 2025-01-02; choose one model and label$"
        ):
            write(twice)


SYMBOLS = ["600000.SH", "000001.SZ", "430047.BJ", "AAPL", "0700.HK"]
TABLES = st.dictionaries(
    st.tuples(st.integers(0, 40).map(lambda n: DAY + timedelta(n)), st.sampled_from(SYMBOLS)),
    st.floats(allow_nan=False, allow_infinity=False),
    min_size=1,
    max_size=30,
)


@given(table=TABLES, random=st.randoms(use_true_random=False))
def test_every_layout_comes_back(table: dict[tuple[date, str], float], random: object) -> None:
    """And a score's fingerprint is that of its values, whatever layout, order or spelling they come in."""
    rows = [(day, symbol, score) for (day, symbol), score in table.items()]
    random.shuffle(rows)  # type: ignore[attr-defined]
    frame = pl.DataFrame(rows, schema=["date", "symbol", "score"], orient="row")
    wide = frame.pivot(on="symbol", index="date", values="score")
    laid_out = [frame, to_long(frame), to_alphalens(frame), to_qlib(frame), wide]
    prints = set()
    for each in laid_out:
        found = read_scores(each)
        spelled = found.frame["symbol"].str.replace(r"^(SH|SZ|BJ)(\d{6})$", "${2}.${1}")
        back = dict(zip(zip(found.frame["date"], spelled), found.frame["score"]))
        assert back == table
        prints.add(found.fingerprints["score", 0])
    assert len(prints) == 1
    first = rows[0]
    other = frame.with_columns(score=pl.when(pl.int_range(pl.len()) == 0).then(first[2] / 2 + 1).otherwise("score"))
    if other["score"][0] != first[2]:
        assert read_scores(other).fingerprints["score", 0] not in prints


def pandas_factor(zone: str | None = None) -> object:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    days = pandas.date_range("2025-01-02", periods=2, tz=zone)
    index = pandas.MultiIndex.from_product([days, LONG["symbol"]], names=["date", "asset"])
    return pandas.DataFrame({"factor": [0.5, -1.0, float("nan"), 2.0]}, index=index)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_pandas_writes_and_hands_over_alphalens_factors(zone: str | None, tmp_path: Path) -> None:
    frame = pandas_factor(zone)
    frame.to_parquet(tmp_path / "factor.parquet")  # type: ignore[attr-defined]
    expected = [(DAY, "600000.SH", 0.5), (DAY, "000001.SZ", -1.0), (DAY + timedelta(1), "000001.SZ", 2.0)]
    for given_so in (tmp_path / "factor.parquet", frame):
        found = read_scores(given_so)  # type: ignore[arg-type]
        assert found.frame.select("date", "symbol", "score").rows() == expected
        assert found.notes == (f"{found.name}: rows without a score: 1 of 4.",)


def test_pandas_hands_over_long_wide_and_qlib_frames() -> None:
    factor = pandas_factor()
    with warnings.catch_warnings():
        # pandas names a column 0 by text, and says so.
        warnings.simplefilter("ignore")
        long_one = factor.reset_index().rename(columns={"asset": "symbol", "factor": "score"})  # type: ignore[attr-defined]
        wide = long_one.pivot(index="date", columns="symbol", values="score")
        qlib = factor.rename_axis(["datetime", "instrument"]).rename(columns={"factor": 0})  # type: ignore[attr-defined]
        # A filtered frame keeps an index without a name.
        found = [read_scores(each) for each in (long_one.dropna(), wide, qlib, qlib.rename(columns={0: "score"}))]
    for each in found:
        assert not any("not read" in note for note in each.notes)
        assert_frame_equal(
            each.frame.select("date", "symbol", "score").sort("date", "symbol"),
            found[0].frame.select("date", "symbol", "score").sort("date", "symbol"),
        )


def test_pandas_reads_what_is_written(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pl.DataFrame(LONG, schema_overrides={"score": pl.Float32})
    to_qlib(frame).write_parquet(tmp_path / "pred.parquet")
    predictions = pandas.read_parquet(tmp_path / "pred.parquet").set_index(["datetime", "instrument"])
    assert predictions["score"].loc[pandas.Timestamp(DAY), "SH600000"] == 0.5
    assert str(predictions["score"].dtype) == "float32"
    to_alphalens(frame).write_parquet(tmp_path / "factor.parquet")
    factor = pandas.read_parquet(tmp_path / "factor.parquet").set_index(["date", "asset"])["factor"]
    assert isinstance(factor.index.levels[0], pandas.DatetimeIndex)
    assert factor.to_dict() == {(pandas.Timestamp(DAY), "600000.SH"): 0.5, (pandas.Timestamp(DAY), "000001.SZ"): -1.0}


def test_alphalens_takes_what_is_written_and_gives_it_back(tmp_path: Path) -> None:
    alphalens = pytest.importorskip("alphalens")
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    days = [DAY + timedelta(n) for n in range(20) if (DAY + timedelta(n)).weekday() < 5]
    rows = [(day, symbol, (7 * i + 3 * k) % 11 / 10) for i, day in enumerate(days) for k, symbol in enumerate(SYMBOLS)]
    frame = pl.DataFrame(rows, schema=["date", "symbol", "score"], orient="row")
    to_alphalens(frame).write_parquet(tmp_path / "factor.parquet")
    factor = pandas.read_parquet(tmp_path / "factor.parquet").set_index(["date", "asset"])["factor"]
    prices = pandas.DataFrame(
        {symbol: [10 + k + 0.1 * ((i * (k + 2)) % 7) for i in range(len(days))] for k, symbol in enumerate(SYMBOLS)},
        index=pandas.DatetimeIndex(days),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = alphalens.utils.get_clean_factor_and_forward_returns(
            factor, prices, quantiles=2, periods=(1, 5), max_loss=1.0
        )
    data.to_parquet(tmp_path / "factor_data.parquet")
    found = read_scores(tmp_path / "factor_data.parquet")
    assert found.notes == ("factor_data.parquet: columns not read: 1D, 5D, factor_quantile.",)
    kept = found.frame.select("date", "symbol", "score")
    assert kept.height == (len(days) - 5) * len(SYMBOLS)
    assert_frame_equal(kept.join(frame, on=["date", "symbol", "score"], how="inner"), kept, check_row_order=False)
