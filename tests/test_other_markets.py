"""Other markets than A-shares: hours, time zones, half days, symbols as written, no limits, and a whole run."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from ragged_bars import Ragged, ragged, tickers
from ragged_files import source_of
from small_files import write_csv
from test_cli import Command
from test_files import BAR_ROW, DAILY_ROW, files, read_bars

from polygrain.compute import pool
from polygrain.config import decode, load
from polygrain.errors import ConfigError, DataError, PolygrainError
from polygrain.features.bars import SlotBars
from polygrain.features.grid import grid
from polygrain.features.library import compute
from polygrain.features.totals import Totals
from polygrain.market.session import Session
from polygrain.market.symbols import case_twin, text_column
from polygrain.prove.causality import Proof, proof_settings, sample
from polygrain.prove.perturb import REPLACEMENTS
from polygrain.sources.files import BarTable, DailyTable, Files, Units
from polygrain.sources.ingest import ingest
from polygrain.store.store import Store

EXAMPLES = Path(__file__).parents[1] / "examples"
NEW_YORK = {"session": ["09:30-16:00"], "time_zone": "America/New_York", "limits": "none"}
AAPL = BAR_ROW | {"symbol": "AAPL"}


def bars_of(folder: Path, bar: str = "30min", stamp: str = "end", **more: object) -> Files:
    """New York bars in bars.csv, or in the `path` given."""
    table = {"path": "bars.csv", "bar": bar, "stamp": stamp, "symbols": "text"} | more
    return files(folder, bars=table, **NEW_YORK)


# On 2024-03-10 clocks go from UTC−5 to UTC−4, on 2024-11-03 back. The session begins at 09:30 and ends at 16:00.
IN_UTC = [
    ("2024-03-08T14:30:00Z", "2024-03-08T21:00:00Z"),
    ("2024-03-11T13:30:00Z", "2024-03-11T20:00:00Z"),
    ("2024-11-01T13:30:00Z", "2024-11-01T20:00:00Z"),
    ("2024-11-04T14:30:00Z", "2024-11-04T21:00:00Z"),
]
WITH_OFFSET = [
    ("2024-03-08T09:30:00-05:00", "2024-03-08T16:00:00-05:00"),
    ("2024-03-11T09:30:00-04:00", "2024-03-11T16:00:00-04:00"),
    ("2024-11-01T09:30:00-04:00", "2024-11-01T16:00:00-04:00"),
    ("2024-11-04T09:30:00-05:00", "2024-11-04T16:00:00-05:00"),
]
LOCAL = [(f"{day} 09:30", f"{day} 16:00") for day in ("2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04")]


@pytest.mark.parametrize("stamps", [IN_UTC, WITH_OFFSET, LOCAL], ids=["utc", "offset", "local"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_stamps_on_both_sides_of_a_change_of_clocks(tmp_path: Path, stamps: list[tuple[str, str]], form: str) -> None:
    days = [date(2024, 3, 8), date(2024, 3, 11), date(2024, 11, 1), date(2024, 11, 4)]
    for side, stamp, number in ((0, "start", 0), (1, "end", 12)):
        rows = [AAPL | {"time": pair[side]} for pair in stamps]
        if form == "csv":
            write_csv(tmp_path / "bars.csv", rows)
        else:
            # Zoned texts become one column in UTC, as Parquet holds them.
            frame = pl.DataFrame(rows)
            pattern = "%Y-%m-%d %H:%M" if stamps is LOCAL else "%Y-%m-%dT%H:%M:%S%#z"
            frame.with_columns(pl.col("time").str.to_datetime(pattern)).write_parquet(tmp_path / "bars.parquet")
        frame = read_bars(bars_of(tmp_path, stamp=stamp, path=f"bars.{form}"))
        assert frame.select("date", "bar").rows() == [(day, number) for day in days]


def test_zoned_parquet_of_the_exchanges_own_zone(tmp_path: Path) -> None:
    times = pl.Series("time", ["2024-03-08 10:00", "2024-03-11 10:00"]).str.to_datetime("%Y-%m-%d %H:%M")
    frame = pl.DataFrame([AAPL, AAPL]).with_columns(times.dt.replace_time_zone("America/New_York"))
    frame.write_parquet(tmp_path / "bars.parquet")
    read = read_bars(bars_of(tmp_path, path="bars.parquet"))
    assert read.select("date", "bar").rows() == [(date(2024, 3, 8), 0), (date(2024, 3, 11), 0)]


BAR_REFUSALS = [
    # Half an hour before the open, the open as an end, the close as a start, after hours, off the grid.
    ("end", "2024-03-08 09:00"),
    ("end", "2024-03-08 09:30"),
    ("start", "2024-03-08 16:00"),
    ("end", "2024-03-08 16:30"),
    ("end", "2024-03-08 10:10"),
    # 16:00 in winter is 21:00 UTC: an hour too late in summer time.
    ("end", "2024-03-11T21:00:00Z"),
]


@pytest.mark.parametrize(("stamp", "time"), BAR_REFUSALS)
def test_a_stamp_outside_the_session_is_refused(tmp_path: Path, stamp: str, time: str) -> None:
    zoned = time.endswith("Z")
    write_csv(
        tmp_path / "bars.csv",
        [AAPL | {"time": "2024-03-07T20:30:00Z" if zoned else "2024-03-07 15:30"}, AAPL | {"time": time}],
    )
    with pytest.raises(DataError) as error:
        read_bars(bars_of(tmp_path, stamp=stamp))
    where = "09:30-16:00 America/New_York"
    assert str(error.value) == f"bars.csv:2:time: is not the {stamp} of a 30min bar of {where} ({time})"


SETTINGS = [
    (
        {"session": ["09:30-16:00"], "bar": "60min"},
        "source.bars.bar: 60min does not divide the session of 390 minutes, which base bars must; give bars of 30min "
        "or of another length that does",
    ),
    (
        {"session": ["09:30-12:00", "13:00-16:00"], "bar": "20min"},
        "source.bars.bar: 20min does not divide the session of 330 minutes, which base bars must; give bars of 10min "
        "or of another length that does",
    ),
    (
        {"session": ["09:30-16:00"], "bar": "500min"},
        "source.bars.bar: 500min does not divide the session of 390 minutes, which base bars must; give bars of 10min "
        "or of another length that does",
    ),
    ({"bar": "day"}, "source.bars.bar: day is no intraday bar; write minutes such as 15min, and daily rows as daily"),
    ({"bar": "week"}, "source.bars.bar: week is no intraday bar; write minutes such as 15min, and daily rows as daily"),
    (
        {"limits": "cn_a"},
        'source.limits: "cn_a" goes by the code of a symbol, and source.bars.symbols is "text"; set limits = "none"',
    ),
]


@pytest.mark.parametrize(("change", "message"), SETTINGS)
def test_refused_settings(tmp_path: Path, change: dict[str, object], message: str) -> None:
    table = {"path": "bars.csv", "bar": change.get("bar", "30min"), "stamp": "end", "symbols": "text"}
    settings = NEW_YORK | {key: value for key, value in change.items() if key != "bar"}
    with pytest.raises(ConfigError) as error:
        files(tmp_path, bars=table, **settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.session=['9:30-16:00']"], "source.session: '9:30-16:00' is not HH:MM-HH:MM"),
        (["source.session=[]"], "source.session: tuple should have at least 1 item after validation, not 0"),
        (
            ["source.session=['13:00-16:00', '09:30-12:00']"],
            "source.session: '09:30-12:00' does not lie after the segment before it",
        ),
        (["source.limits=us"], "source.limits: input should be 'cn_a' or 'none' (given: 'us')"),
        (["source.bars.symbols=any"], "source.bars.symbols: input should be 'coded', 'bare' or 'text' (given: 'any')"),
        (
            ["source.session=['09:30-16:00']"],
            "granularity.60min.bar: 60min does not divide the session of 390 minutes; choose a length that does, or "
            "set short_last_bar = true",
        ),
    ],
)
def test_refused_configs(overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYGRAIN_REAL_DATA", str(tmp_path))
    with pytest.raises(ConfigError) as error:
        load(EXAMPLES / "cn_a_15min.toml", overrides)
    assert str(error.value) == message


def test_sixty_minutes_of_a_session_of_390_with_a_short_last_bar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLYGRAIN_REAL_DATA", str(tmp_path))
    config = load(
        EXAMPLES / "cn_a_15min.toml", ["source.session=['09:30-16:00']", "granularity.60min.short_last_bar=true"]
    )
    session = config.source.session
    assert {g.name: g.bars_a_day(session) for g in config.granularity} == {"day": 1, "60min": 7, "30min": 13}


GOOD = ["AAPL", "BRK.B", "BF-B", "0700.HK", "M&M.NS", "ABR^D", "BRK/B", "a_b", "7203", "A" * 32]
WRONG = ["", " ", "AAPL ", " AAPL", "A A", "../../x", "A..B", "A/", "/A", ".A", "A\n", "=A1", "A|B", "ÄA", "Ａ", "A" * 33, "😀"]  # fmt: skip  # noqa: E501


def test_symbols_as_text() -> None:
    frame = pl.DataFrame({"s": [*GOOD, *WRONG, None]}, schema={"s": pl.String})
    read = frame.select(text_column(pl.col("s")))["s"].to_list()
    assert read == [*GOOD, *[None] * len(WRONG), None]


@given(st.text(st.sampled_from("Ab0.-_^/&= \nÄ"), max_size=40))
def test_what_is_read_as_a_symbol_is_safe_wherever_it_is_written(text: str) -> None:
    if pl.DataFrame({"s": [text]}).select(text_column(pl.col("s"))).item() is None:
        return
    assert text.isascii()
    assert text[0].isalnum()
    assert text[-1].isalnum()
    assert not any(a + b in text for a in ".-_^/&" for b in ".-_^/&")
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_^/&")


def test_twins_that_differ_in_case() -> None:
    seen: dict[str, str] = {}
    assert case_twin(["AAPL", "BRK.B", "AAPL"], seen) is None
    assert case_twin(["MSFT", "brk.b", "aapl"], seen) == ("brk.b", "BRK.B")


def test_refused_symbols_are_named_by_row(tmp_path: Path) -> None:
    def refused(*symbols: str, **more: object) -> str:
        rows = [AAPL | {"symbol": symbol, "time": f"2024-03-08 1{i}:00"} for i, symbol in enumerate(symbols)]
        write_csv(tmp_path / "bars.csv", rows)
        with pytest.raises(PolygrainError) as error:
            read_bars(bars_of(tmp_path, **more))
        return str(error.value)

    assert refused("AAPL", "A..B") == (
        "bars.csv:2:symbol: is not a symbol of at most 32 letters and digits with single . - _ ^ / & between them "
        "(A..B)"
    )
    assert refused("AAPL", "BRK.B", "AAPL", "BRK.b") == (
        "bars.csv:4:symbol: differs from BRK.B in case alone; write it one way (BRK.b)"
    )
    assert refused("600000.SH", "AAPL", symbols="coded") == (
        'bars.csv:2:symbol: is not a symbol such as 600000.SH; other markets\' are read where symbols is "text" (AAPL)'
    )


def test_twins_in_two_files_and_in_two_tables(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    write_csv(tmp_path / "bars" / "1.csv", [AAPL | {"time": "2024-03-08 10:00"}])
    write_csv(tmp_path / "bars" / "2.csv", [AAPL | {"symbol": "aapl", "time": "2024-03-08 10:30"}])
    with pytest.raises(
        DataError, match=r"^bars/2.csv:1:symbol: differs from AAPL in case alone; write it one way \(aapl"
    ):
        read_bars(bars_of(tmp_path, path="bars"))
    write_csv(tmp_path / "bars.csv", [AAPL | {"time": "2024-03-08 10:00"}])
    write_csv(tmp_path / "daily.csv", [DAILY_ROW | {"symbol": "Aapl", "date": "2024-03-08"}])
    daily = {"path": "daily.csv", "symbols": "text", "amount": "bars"}
    bars = {"path": "bars.csv", "bar": "30min", "stamp": "end", "symbols": "text"}
    with pytest.raises(DataError) as error:
        ingest(files(tmp_path, bars=bars, daily=daily, **NEW_YORK), tmp_path / "store")
    assert str(error.value) == "daily in 2024-03:symbol: Aapl differs from AAPL in case alone; write it one way"
    assert not (tmp_path / "store").exists()


def test_bars_without_an_amount(tmp_path: Path) -> None:
    row = {key: value for key, value in AAPL.items() if key != "amount"} | {"time": "2024-03-08 10:00"}
    write_csv(tmp_path / "bars.csv", [row])
    with pytest.raises(DataError) as error:
        read_bars(bars_of(tmp_path))
    assert str(error.value) == (
        'bars.csv: has no column amount; name it in columns.amount, or set amount = "typical_price"'
    )
    source = bars_of(tmp_path, amount="typical_price")
    # 1,000 shares at (10.00 + 10.20 + 9.90 + 10.10) / 4 = 10.05.
    assert read_bars(source)["amount"].to_list() == pytest.approx([10_050.0], rel=1e-15)
    assert source.notes()[0] == "No amount of the bars: a bar's amount is its volume times (O+H+L+C)/4."


HALF = [
    # (number, open, high, low, close, volume, amount); bars 0-6 are the morning until 13:00, 1 and 3-5 had no trades.
    (0, 100.0, 102.0, 100.0, 102.0, 100, 10_100.0),
    (2, 102.0, 103.0, 101.0, 101.0, 200, 20_400.0),
    (6, 101.0, 104.0, 101.0, 104.0, 300, 30_900.0),
]


def half_day(folder: Path) -> Store:
    """AAPL on a whole day that stands at 100, and on 2024-11-29, which ends at 13:00."""
    whole = [(j, 100.0, 100.0, 100.0, 100.0, 100, 10_000.0) for j in range(13)]
    rows = []
    for day, bars in (("2024-11-27", whole), ("2024-11-29", HALF)):
        for number, *values in bars:
            minute = 570 + 30 * (number + 1)
            time = f"{day} {minute // 60:02d}:{minute % 60:02d}"
            rows.append(dict(zip(AAPL, ["AAPL", time, *map(str, values)])))
    write_csv(folder / "bars.csv", rows)
    return ingest(bars_of(folder), folder / "store")


def test_a_half_day_ends_with_flat_bars(tmp_path: Path) -> None:
    store = half_day(tmp_path)
    session = Session(segments=store.facts.segments)
    dense = grid(store.bars(store.bar_months), store.daily(), store.days, store.symbols, session, "30min")
    closes = [102, 102, 101, 101, 101, 101, 104, 104, 104, 104, 104, 104, 104]
    np.testing.assert_array_equal(dense.close[1, :, 0], closes)
    np.testing.assert_array_equal(dense.open[1, 7:, 0], [104] * 6)
    np.testing.assert_array_equal(dense.volume[1, :, 0], [100, 0, 200, 0, 0, 0, 300, 0, 0, 0, 0, 0, 0])
    # C₋ = 100: 100 → 102 → 101 → 104, and nothing in between.
    r = [math.log(1.02), 0, math.log(101 / 102), 0, 0, 0, math.log(104 / 101), 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(dense.r[1, :, 0], r, atol=1e-15)

    def last_day(name: str, minutes: int) -> list[float]:
        bars = SlotBars(Totals(dense), minutes, 0)
        return compute(name, bars)[-bars.bars_a_day :, 0].tolist()

    assert last_day("close_ret", 390) == pytest.approx([math.log(1.04)])
    assert last_day("realized_vol", 390) == pytest.approx([math.sqrt(r[0] ** 2 + r[2] ** 2 + r[6] ** 2)])
    # The last ⌈13/4⌉ = 4 base bars had no trades.
    assert last_day("late_amount_share", 390) == [0.0]
    assert last_day("log_amount", 390) == pytest.approx([math.log(1 + 61_400)])
    # Seven 60-minute bars, the last of one base bar: amounts 10,100, 20,400, 0, 30,900 and nothing after 13:30.
    amounts = [10_100, 20_400, 0, 30_900, 0, 0, 0]
    assert last_day("log_amount", 60) == pytest.approx([math.log(1 + a) for a in amounts])
    assert last_day("close_ret", 60) == pytest.approx([r[0], r[2], 0, r[6], 0, 0, 0], abs=1e-15)
    assert last_day("close_position", 60) == pytest.approx([1.0, 0.0, 0.5, 1.0, 0.5, 0.5, 0.5])


def test_a_page_of_the_documentation_says_how_files_are_declared(tmp_path: Path) -> None:
    text = (EXAMPLES.parent / "docs" / "how-to" / "own-data.md").read_text()
    snippets = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]
    assert len(snippets) == 3
    rest = tomllib.loads((EXAMPLES / "tiny.toml").read_text())
    read = [decode(rest | tomllib.loads(snippet), tmp_path) for snippet in snippets]
    assert [config.source.session.minutes for config in read] == [390, 330, 240]
    assert [config.source.limits for config in read] == ["none", "none", "cn_a"]
    # Every key of the source and of its tables is named.
    for spec in (Files, BarTable, DailyTable, Units):
        for name, field in spec.model_fields.items():
            assert f"`{field.alias or name}`" in text, name


CONFIG = {
    "version": 1,
    "name": "us_30min",
    "note": "SIMULATED bars of a session of 390 minutes",
    "workers": 1,
    "granularity": [
        {"name": "day", "bar": "day"},
        {"name": "60min", "bar": "60min", "short_last_bar": True},
    ],
    "universe": {"base": "listed >= 5"},
    "label": {"days": [5], "minimum": 30},
    "protocol": {
        "lookback": 5,
        "train": 40,
        "train_min": 30,
        "valid": 10,
        "refit": 40,
        "max_epochs": 1,
        "patience": 1,
        "seeds": [1],
    },
    "network": {"gru": {"kind": "single", "suffix": "", "encoder": {"hidden": 4}}},
    "ensemble": {"ensemble": {"kind": "mean"}},
}


def opening(market: Ragged) -> Ragged:
    """Every day's first trades moved into its first bar: that a day has any at all is not known before they are."""
    assert market.bars is not None
    first = pl.col("bar") == pl.col("bar").min().over("date", "symbol")
    zero = pl.lit(0, pl.UInt16)
    return replace(market, bars=market.bars.with_columns(pl.when(first).then(zero).otherwise("bar").alias("bar")))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ragged market of 72 stocks and 120 days in Parquet files, and the config of a run on it."""
    folder = tmp_path_factory.mktemp("us")
    session = Session(segments=("09:30-16:00",))
    market = opening(ragged(8, days=120, stocks=72, nb=13, session=session, symbols=tickers(72)))
    source = source_of(market, folder / "data", "parquet", stamp="start")
    settings = source.model_dump(mode="json", exclude_none=True, by_alias=True)
    path = folder / "us.toml"
    path.write_text(tomli_w.dumps(CONFIG | {"source": settings | {"root": "data", "time_zone": "America/New_York"}}))
    return path


def test_a_whole_run(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    called = Command(monkeypatch, capsys)("run", str(config), "--out", str(config.parent / "run"))
    assert called.code == 0, called.err
    run = config.parent / "run"
    facts = json.loads((run / "report_facts.json").read_text())
    assert {"label": "Session", "value": "09:30-16:00: 390 minutes"} in facts["data"]
    assert facts["conventions"][0]["en"] == (
        "Bars: cut from the session 09:30-16:00; a missing base bar is one without trades. The last 60min bar of a day "
        "has 30 minutes, what it lacks is without trades."
    )
    assert {"en": "Price limits are not assumed.", "zh": "涨跌停价：不作假定。"} in facts["notes"]
    assert not any("ST" in sentence for sentence in (*facts["notes"], *facts["missing"]))
    page = (run / "report.html").read_text()
    assert "09:30-16:00: 390 minutes" in page
    assert "Price limits are not assumed." in page
    scores = pl.read_parquet(run / "scores.parquet")
    assert set(scores["symbol"]) <= set(tickers(72))
    assert scores.filter(pl.col("model") == "ensemble").height > 1000


def test_no_value_depends_on_the_future(config: Path, tmp_path: Path) -> None:
    experiment = load(config)
    part = sample(ingest(experiment.source, tmp_path / "store"))
    assert part.limits == "none"
    with pool(1) as alone:
        proof = Proof(proof_settings(experiment), part, tmp_path, alone)
        cutoffs = proof.cutoffs(4)
        assert {c.bars is None for c in cutoffs} == {True, False}
        checked = [proof.check(c, how, seed=i) for i, c in enumerate(cutoffs) for how in REPLACEMENTS]
        found = [str(v) for each in checked for v in each.violations]
    assert found == []
