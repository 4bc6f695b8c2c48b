"""Ingest and store: daily rows beside bars, one snapshot whatever happens, nothing written in vain."""

import json
import random
from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
import reference_ingest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DAILY, market, tree, write_csv, write_parquet
from test_commit import run_driver

from polygrain.errors import DataError
from polygrain.market.session import Session
from polygrain.sources.files import Files
from polygrain.sources.ingest import ingest
from polygrain.sources.source import Source
from polygrain.store.commit import locked
from polygrain.store.store import Store

BARS_TABLE = {"path": "bars.csv", "bar": "60min", "stamp": "end"}


def source_of(folder, seed=1, **daily) -> Files:
    """A ragged small market as CSV files in `folder`, as a source."""
    folder.mkdir(exist_ok=True)
    bars, rows = market(seed)
    write_csv(folder / "bars.csv", bars)
    write_csv(folder / "daily.csv", rows)
    table = {"path": "daily.csv", "amount": "bars"} | daily
    return Files.model_validate({"root": str(folder), "bars": BARS_TABLE, "daily": table})


def daily_source(folder, rows, **daily) -> Files:
    """Daily rows alone."""
    folder.mkdir(exist_ok=True)
    write_csv(folder / "daily.csv", rows)
    return Files.model_validate({"root": str(folder), "daily": {"path": "daily.csv"} | daily})


def row(day="2025-01-02", symbol="600000.SH", **changes) -> dict:
    return dict(zip(DAILY, [symbol, day, "10", "11", "9", "10", "1000", "1", "0"])) | changes


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_plain_loops(tmp_path, seed):
    source = source_of(tmp_path / "in", seed)
    store = ingest(source, tmp_path / "store")
    bars, daily = reference_ingest.expected(*market(seed))
    columns = ["date", "symbol", "bar", "close", "volume", "amount"]
    assert store.bars(store.bar_months).select(columns).rows() == bars
    columns = ["date", "symbol", "close", "volume", "amount", "vwap", "suspended"]
    assert store.daily().select(columns).rows() == daily
    assert store.days == tuple(sorted({r[0] for r in daily}))
    assert store.bar_days == tuple(sorted({r[0] for r in bars}))
    assert store.symbols == tuple(sorted({r[1] for r in daily}))
    assert store.facts.counts["bars"] == len(bars)


def test_stock_days_in_one_table_only_are_counted_and_named(tmp_path):
    bar = {"time": "2025-01-02 10:30", "open": "10", "high": "10", "low": "10", "close": "10"}
    bar |= {"volume": "100", "amount": "1000"}
    # On the 2nd: 600000 in both, 600001 in bars only, 600002 in daily only. The 3rd has no bars at all.
    bars = [bar | {"symbol": "600000.SH"}, bar | {"symbol": "600001.SH"}]
    daily = [row(volume="100"), row(symbol="600002.SH"), row(symbol="600002.SH", day="2025-01-03")]
    write_csv(tmp_path / "bars.csv", bars)
    write_csv(tmp_path / "daily.csv", daily)
    table = {"path": "daily.csv", "amount": "bars"}
    store = ingest(
        Files.model_validate({"root": str(tmp_path), "bars": BARS_TABLE, "daily": table}), tmp_path / "store"
    )
    assert store.daily().select("date", "symbol", "amount", "vwap").rows() == [
        (date(2025, 1, 2), "600000.SH", 1000.0, 10.0),
        (date(2025, 1, 3), "600002.SH", None, None),
    ]
    assert store.facts.counts["stock_days_only_in_bars"] == 1
    assert store.facts.counts["stock_days_only_in_daily"] == 1
    assert "1 stock-days with bars but no traded daily row are left out: 600001.SH." in store.facts.notes
    assert "1 traded stock-days without bars, on bar days, are left out: 600002.SH." in store.facts.notes


def test_daily_is_made_from_the_bars_where_there_is_no_file(tmp_path):
    write_csv(tmp_path / "bars.csv", market(5)[0])
    store = ingest(Files.model_validate({"root": str(tmp_path), "bars": BARS_TABLE}), tmp_path / "store")
    wanted = {}
    for bar in sorted(market(5)[0], key=lambda r: r["time"]):
        day = wanted.setdefault((bar["time"][:10], bar["symbol"]), [float(bar["open"]), 0.0, 1e9, 0.0, 0, 0])
        day[1], day[2] = max(day[1], float(bar["high"])), min(day[2], float(bar["low"]))
        day[3] = float(bar["close"])
        day[4], day[5] = day[4] + int(bar["volume"]), day[5] + int(bar["amount"])
    columns = ["open", "high", "low", "close", "volume", "amount", "factor", "suspended"]
    assert store.daily().select(columns).rows() == [(*wanted[key], 1.0, False) for key in sorted(wanted)]
    assert store.facts.amount == "bars"
    assert any("without adjustment" in note for note in store.facts.notes)


@pytest.mark.parametrize(
    ("rule", "more", "amount", "vwap"),
    [
        # (10 + 11 + 9 + 10) / 4 = 10 yuan, times 1,000 shares.
        ("typical_price", {}, 10_000.0, 10.0),
        ("none", {}, None, None),
        ("column", {"amount": "9500"}, 9500.0, 9.5),
        ("column", {"amount": "9500", "vwap": "9.6"}, 9500.0, 9.6),
    ],
)
def test_amount_rules(tmp_path, rule, more, amount, vwap):
    rows = [row(**more), row(day="2025-01-03", volume="0", suspended="1", **dict.fromkeys(more, "0") | {"vwap": ""})]
    if "vwap" not in more:
        rows[1].pop("vwap")
    store = ingest(daily_source(tmp_path / "in", rows, amount=rule), tmp_path / "store")
    assert store.daily().select("amount", "vwap").row(0) == (amount, vwap)
    assert store.daily()["vwap"][1] is None
    assert store.facts.base_bar == "day"
    assert store.bar_days == store.days
    assert store.bar_months == ()


def test_refused_input_writes_nothing(tmp_path):
    store = tmp_path / "store"
    ingest(daily_source(tmp_path / "in", [row(), row(day="2025-02-03")], amount="none"), store)
    before = tree(store)
    refused = [
        ([row(), row(close="x")], "none", "daily.csv:2:close: is not a number (x)"),
        ([row(), row()], "none", "daily.csv:2:symbol: its key is that of an earlier row (2025-01-02 600000.SH)"),
        ([row(), row(day="2025-02-03", factor="0")], "none", "daily.csv:2:factor: is not positive (0.0)"),
        ([row()], "column", 'daily: has no column amount; set daily.amount to "bars", "typical_price" or "none"'),
        (
            [row(amount="10000"), row(day="2025-02-03", amount="100")],
            "column",
            "daily in 2025-02: amount / volume is typically 0.01 times the close; check units of both",
        ),
    ]
    for rows, rule, message in refused:
        source = daily_source(tmp_path / "bad", rows, amount=rule)
        for folder in (store, tmp_path / "fresh"):
            with pytest.raises(DataError) as error:
                ingest(source, folder)
            assert str(error.value) == message
        assert tree(store) == before
        assert not (tmp_path / "fresh").exists()


def test_a_second_call_does_nothing_and_a_change_rewrites_only_its_month(tmp_path):
    rows = [row(day=f"2025-{month:02d}-03") for month in (1, 2, 3, 4)]
    store = tmp_path / "store"
    ingest(daily_source(tmp_path / "in", rows, amount="none"), store)
    stamps = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    lines: list[str] = []
    ingest(daily_source(tmp_path / "in", rows, amount="none"), store, lines.append)
    assert not lines
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == stamps
    rows[2]["close"] = "10.5"
    changed = ingest(daily_source(tmp_path / "in", rows[:3], amount="none"), store, lines.append)
    assert len(lines) == 3
    after = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    kept = {path for path in after if stamps.get(path) == after[path]}
    assert sorted(path.name[:7] for path in kept) == ["2025-01", "2025-02"]
    assert sorted(path.name[:7] for path in set(after) - kept) == ["2025-03", "manifes"]
    assert changed.months == ("2025-01", "2025-02", "2025-03")


def test_fingerprints_of_months(tmp_path):
    rows = [row(day=f"2025-{month:02d}-03") for month in (1, 2)]
    one = ingest(daily_source(tmp_path / "in", rows, amount="none"), tmp_path / "a")
    rows[1]["close"] = "10.5"
    other = ingest(daily_source(tmp_path / "in", rows, amount="none"), tmp_path / "b")
    assert one.fingerprint(["2025-01"]) == other.fingerprint(["2025-01"])
    assert one.fingerprint(["2025-02"]) != other.fingerprint(["2025-02"])
    assert one.fingerprint() != other.fingerprint()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_rows_and_layout_of_files_change_no_byte(tmp_path_factory, seed):
    place = tmp_path_factory.mktemp("order")
    bars, daily = market(seed, stocks=3, days=15)
    clean, mixed = place / "clean", place / "mixed"
    clean.mkdir()
    mixed.mkdir()
    write_csv(clean / "bars.csv", bars)
    write_csv(clean / "daily.csv", daily)
    draw = random.Random(seed)
    draw.shuffle(bars)
    draw.shuffle(daily)
    half = len(bars) // 2
    (mixed / "bars").mkdir()
    write_parquet(mixed / "bars" / "a.parquet", bars[half:])
    write_parquet(mixed / "bars" / "b.parquet", bars[:half])
    write_parquet(mixed / "daily.parquet", daily)
    for folder, bar_path, daily_path in ((clean, "bars.csv", "daily.csv"), (mixed, "bars", "daily.parquet")):
        tables = {"bars": BARS_TABLE | {"path": bar_path}, "daily": {"path": daily_path, "amount": "bars"}}
        ingest(Files.model_validate({"root": str(folder)} | tables), folder / "store")
    one, other = tree(clean / "store"), tree(mixed / "store")
    assert set(one) == set(other)
    assert all(one[name] == other[name] for name in one if name != "manifest.json")


def test_every_flipped_byte_of_a_shard_is_an_error_when_read(tmp_path):
    store = ingest(daily_source(tmp_path / "in", [row()], amount="none"), tmp_path / "store")
    (path,) = (tmp_path / "store" / "daily").iterdir()
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match="is damaged: its bytes are not those of"):
            store.daily()
    path.unlink()
    with pytest.raises(DataError, match="cannot be read; run `polygrain ingest` again"):
        store.daily()
    ingest(daily_source(tmp_path / "in", [row()], amount="none"), tmp_path / "store").verify()


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}'])
def test_damaged_manifest_names_itself_and_the_mend(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="is damaged or not a store's; remove the folder"):
        Store(tmp_path)


def test_a_store_of_another_version_names_both(tmp_path):
    store = ingest(daily_source(tmp_path / "in", [row()], amount="none"), tmp_path / "store")
    manifest = json.loads((store.folder / "manifest.json").read_text())
    # Version 1 did not say whose limits hold.
    manifest["version"] = 1
    del manifest["facts"]["limits"]
    (store.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"is of version 1, this is 2; remove the folder .* and run `polygrain ingest`"):
        Store(store.folder)


def test_whose_limits_hold_is_part_of_what_the_store_is(tmp_path):
    ours = daily_source(tmp_path / "in", [row()], amount="none")
    free = Files.model_validate(ours.model_dump(by_alias=True) | {"limits": "none"})
    first, second = ingest(ours, tmp_path / "first"), ingest(free, tmp_path / "second")
    assert (first.facts.limits, second.facts.limits) == ("cn_a", "none")
    assert first.fingerprint() != second.fingerprint()
    # Features know no limits.
    assert first.fingerprint(first.months) == second.fingerprint(second.months)


def test_no_store_no_bars_no_month(tmp_path):
    with pytest.raises(DataError, match="holds no store; run `polygrain ingest` first"):
        Store(tmp_path)
    store = ingest(daily_source(tmp_path / "in", [row()], amount="none"), tmp_path / "store")
    with pytest.raises(DataError, match="has no bars in 2025-01"):
        store.bars(["2025-01"])
    with pytest.raises(DataError, match="has no days in 2024-01"):
        store.daily(["2024-01"])
    assert store.table("listings") is None


def test_one_ingest_at_a_time(tmp_path):
    source = daily_source(tmp_path / "in", [row()], amount="none")
    with locked(tmp_path / "store"), pytest.raises(DataError, match="another process is writing here"):
        ingest(source, tmp_path / "store")


def test_survivors_are_named(tmp_path):
    days = [day for day in pl.date_range(date(2024, 1, 1), date(2024, 12, 31), eager=True) if day.weekday() < 5]
    rows = [row(day=str(day), symbol=symbol) for day in days for symbol in ("600000.SH", "600001.SH")]
    rows.sort(key=lambda cells: cells["symbol"])
    store = ingest(daily_source(tmp_path / "in", rows, amount="none"), tmp_path / "a")
    assert any(note.startswith("Survivors only") for note in store.facts.notes)
    store = ingest(daily_source(tmp_path / "in", rows[:-25], amount="none"), tmp_path / "b")
    assert not any(note.startswith("Survivors only") for note in store.facts.notes)


class Disordered(Source):
    """A source that gives its months backwards."""

    def fingerprint(self) -> str:
        return "x"

    @property
    def base_bar(self) -> str:
        return "60min"

    @property
    def session(self) -> Session:
        return Session()

    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        bar = {"symbol": "600000.SH", "bar": 0, "volume": 1, "amount": 10.0}
        bar |= dict.fromkeys(("open", "high", "low", "close"), 10.0)
        for month in (2, 1):
            yield f"2025-{month:02d}", pl.DataFrame([bar | {"date": date(2025, month, 3)}])

    def daily(self) -> None:
        return None

    def reference(self, name: str) -> None:
        return None

    def notes(self) -> tuple[str, ...]:
        return ()


def test_months_must_come_in_order(tmp_path):
    with pytest.raises(DataError, match="gives 2025-01 after 2025-02"):
        ingest(Disordered(), tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("first", ["none", "old"])
def test_killed_at_every_step_a_store_is_old_or_new(tmp_path, first):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    rows = [row(day=f"2025-{month:02d}-03") for month in (1, 2, 3)]
    daily_source(inputs / "old", rows)
    # One month stays, one changes, one goes, one is new.
    daily_source(inputs / "new", [rows[0], rows[1] | {"close": "10.5"}, row(day="2025-04-03")])
    found = run_driver("ingest", inputs, first)
    assert found["old"] != found["new"]
    assert found["steps"] >= 15
    for trial in found["trials"]:
        assert trial["code"] == 137
        assert trial["state"] in (found["old"], found["new"])
        assert trial["again"]
