"""Ingest: a source's tables, checked and made consistent, become a store."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from polygrain.errors import DataError
from polygrain.market.calendar import month_of
from polygrain.market.symbols import case_twin
from polygrain.sources.source import REFERENCE, SOURCES, DailyAmount, Source
from polygrain.store.commit import code_fingerprint, commit_bytes, fingerprint, locked, sweep
from polygrain.store.digest import day_digests
from polygrain.store.store import STORE_VERSION, Facts, Manifest, Shard, Store, read_manifest
from polygrain.store.tables import check

_FOLDERS = ("bars", "daily", "tables")
# Below this many days the absence of delisted stocks says nothing.
_SURVIVOR_DAYS = 120
_RECENT_DAYS = 20
_KEY = ["date", "symbol"]
_TRADED = ~pl.col("suspended")


def ingest(source: Source, folder: Path, progress: Callable[[str], None] | None = None) -> Store:
    """The store of `source` in `folder`: monthly shards and reference tables first, the manifest that names them last.

    Nothing is done where source and code are those of the store that is there; files whose bytes would be the same are
    left alone; files of the state before are removed after the switch. Errors: DataError or ConfigError, and the
    folder is as it was.
    """
    content = source.fingerprint()
    code = code_fingerprint("sources", "store", "market")
    inputs = fingerprint({"source": content, "code": code, "plugin": SOURCES.hashes([source.kind])})
    new = not folder.exists()
    with locked(folder):
        try:
            before = read_manifest(folder)
            if before is not None and before.inputs == inputs and _complete(folder, before):
                return Store(folder)
            manifest = _Writer(source, folder, progress or _silent).write(content, inputs)
            manifest.commit(folder)
        finally:
            _drop_unlisted(folder, new)
    return Store(folder)


def _silent(_: str) -> None:
    """Progress for nobody."""


def _complete(folder: Path, manifest: Manifest) -> bool:
    """Whether every file of the manifest is there at its size."""
    places = [(folder / shard.file, shard.size) for shard in manifest.shards()]
    return all(path.is_file() and path.stat().st_size == size for path, size in places)


def _drop_unlisted(folder: Path, new: bool) -> None:
    """Remove the files that the manifest on disk does not name, and the folder itself where nothing came of it."""
    try:
        manifest = read_manifest(folder)
    except DataError:
        return
    listed = {shard.file for shard in manifest.shards()} if manifest else set()
    sweep(folder)
    for name in _FOLDERS:
        sweep(folder / name)
        for path in sorted((folder / name).glob("*.parquet")):
            if f"{name}/{path.name}" not in listed:
                path.unlink()
        if manifest is None and (folder / name).is_dir() and not any((folder / name).iterdir()):
            (folder / name).rmdir()
    if manifest is None and new and not any(folder.iterdir()):
        folder.rmdir()


@dataclass
class _Writer:
    """One ingest under way: what has been written and counted so far."""

    source: Source
    folder: Path
    progress: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    bars: dict[str, Shard] = field(default_factory=dict)
    daily: dict[str, Shard] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    bar_days: set[date] = field(default_factory=set)
    last_days: dict[str, date] = field(default_factory=dict)
    # Stocks of the stock-days that were left out.
    only_bars: set[str] = field(default_factory=set)
    only_daily: set[str] = field(default_factory=set)
    # Every symbol by its lower case.
    spellings: dict[str, str] = field(default_factory=dict)

    def write(self, content: str, inputs: str) -> Manifest:
        """Every file of the store, and the manifest that is to be committed after them."""
        tables = self._references()
        daily = self.source.daily()
        amount: DailyAmount = "bars" if daily is None else self.source.daily_amount
        for month, bars, rows in _paired(self.source, daily):
            self._month(month, bars, rows, amount)
        if not self.daily:
            raise DataError("source", "has no rows")
        with_bars = self.source.base_bar != "day"
        facts = Facts(
            source=content,
            base_bar=self.source.base_bar,
            segments=self.source.session.segments,
            limits=self.source.limits,
            amount=amount,
            notes=(*self.source.notes(), *self._notes()),
            counts=self._counts(),
            point_in_time={name: name not in self.source.snapshots for name in tables},
        )
        return Manifest(
            version=STORE_VERSION,
            inputs=inputs,
            facts=facts,
            days=tuple(day.isoformat() for day in sorted(self.days)),
            bar_days=tuple(day.isoformat() for day in sorted(self.bar_days if with_bars else self.days)),
            symbols=tuple(sorted(self.last_days)),
            bars=self.bars,
            daily=self.daily,
            tables=tables,
        )

    def _references(self) -> dict[str, Shard]:
        """The reference tables that the source has."""
        tables = {}
        for name in REFERENCE:
            frame = self.source.reference(name)
            if frame is not None:
                tables[name] = self._shard("tables", name, self._checked(frame, name, name))
        return tables

    def _checked(self, frame: pl.DataFrame, name: str, where: str) -> pl.DataFrame:
        """The table as the store holds it; refuses one symbol in two spellings, whichever tables they stand in."""
        frame = check(frame, name, where)
        twin = case_twin(frame["symbol"].unique().sort(), self.spellings)
        if twin is not None:
            raise DataError(f"{where}:symbol", f"{twin[0]} differs from {twin[1]} in case alone; write it one way")
        return frame

    def _month(self, month: str, bars: pl.DataFrame | None, daily: pl.DataFrame | None, amount: DailyAmount) -> None:
        """One month's shards."""
        if bars is not None:
            bars = self._checked(bars, "bars", f"bars in {month}")
            _refuse_units(bars, f"bars in {month}")
        if daily is not None:
            daily = self._checked(daily, "daily", f"daily in {month}")
        elif bars is not None:
            daily = _daily_of(bars)
        assert daily is not None
        if bars is not None:
            bars, daily = self._matched(bars, daily)
        daily = check(_with_amount(daily, bars, amount), "daily", f"daily in {month}")
        _refuse_units(daily, f"daily in {month}")
        if bars is not None and bars.height:
            self.bars[month] = self._shard("bars", month, bars)
            self.bar_days.update(bars["date"].unique())
        if daily.height:
            self.daily[month] = self._shard("daily", month, daily)
            self.days.update(daily["date"].unique())
            self.last_days.update(daily.group_by("symbol").agg(pl.col("date").max()).iter_rows())
        self.progress(f"{month}: {0 if bars is None else bars.height:,} bars, {daily.height:,} stock-days")

    def _matched(self, bars: pl.DataFrame, daily: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Both tables without the stock-days that only one of them has, on days with bars."""
        in_bars = bars.select(_KEY).unique(maintain_order=True)
        traded = daily.filter(_TRADED & pl.col("date").is_in(bars["date"].unique().implode())).select(_KEY)
        only_bars = in_bars.join(traded, on=_KEY, how="anti", maintain_order="left")
        only_daily = traded.join(in_bars, on=_KEY, how="anti", maintain_order="left")
        self.counts["stock_days_only_in_bars"] += only_bars.height
        self.counts["stock_days_only_in_daily"] += only_daily.height
        self.only_bars.update(only_bars["symbol"])
        self.only_daily.update(only_daily["symbol"])
        if only_bars.height:
            bars = bars.join(only_bars, on=_KEY, how="anti", maintain_order="left")
        if only_daily.height:
            daily = daily.join(only_daily, on=_KEY, how="anti", maintain_order="left")
        return bars, daily

    def _shard(self, folder: str, name: str, frame: pl.DataFrame) -> Shard:
        """Commit a frame under a name that carries its content's hash."""
        buffer = io.BytesIO()
        # One row group, so that a column that is read is one piece of memory; lz4 is unpacked in less than half of
        # zstd's time and takes about 1.7 times its room.
        frame.rechunk().write_parquet(buffer, compression="lz4", statistics=True, row_group_size=max(1, frame.height))
        content = buffer.getvalue()
        sha256 = hashlib.sha256(content).hexdigest()
        file = f"{folder}/{name}-{sha256[:16]}.parquet"
        commit_bytes(self.folder / file, content)
        days = {} if folder == "tables" else day_digests(frame)
        return Shard(file=file, sha256=sha256, size=len(content), rows=frame.height, days=days)

    def _counts(self) -> dict[str, int]:
        """What the store holds, in rows, days and stocks, and what was left out."""
        return {
            "bars": sum(shard.rows for shard in self.bars.values()),
            "stock_days": sum(shard.rows for shard in self.daily.values()),
            "days": len(self.days),
            "bar_days": len(self.bar_days),
            "symbols": len(self.last_days),
            **{name: self.counts[name] for name in ("stock_days_only_in_bars", "stock_days_only_in_daily")},
        }

    def _notes(self) -> Iterator[str]:
        """What the data themselves show to be wrong."""
        if self.only_bars:
            count = self.counts["stock_days_only_in_bars"]
            yield f"{count:,} stock-days with bars but no traded daily row are left out: {_named(self.only_bars)}."
        if self.only_daily:
            count = self.counts["stock_days_only_in_daily"]
            yield f"{count:,} traded stock-days without bars, on bar days, are left out: {_named(self.only_daily)}."
        if self.bar_days:
            first, last = min(self.bar_days), max(self.bar_days)
            gaps = sum(first <= day <= last for day in self.days - self.bar_days)
            if gaps:
                yield f"{gaps:,} trading days between the first and the last day with bars have none at all."
        if len(self.days) >= _SURVIVOR_DAYS:
            recent = sorted(self.days)[-_RECENT_DAYS]
            gone = sum(day < recent for day in self.last_days.values())
            stocks = len(self.last_days)
            if gone <= stocks / 1000:
                yield (
                    f"Survivors only: {gone} of {stocks:,} stocks end before the last {_RECENT_DAYS} days; what is "
                    "measured on them is flattered."
                )


def _named(symbols: set[str]) -> str:
    """Up to five symbols and how many more."""
    names = sorted(symbols)
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _paired(
    source: Source, daily: pl.DataFrame | None
) -> Iterator[tuple[str, pl.DataFrame | None, pl.DataFrame | None]]:
    """(month, its bars, its daily rows), months in order; without a daily table its place is None."""
    slices = {} if daily is None else _month_slices(daily)
    waiting = deque(slices)
    last = ""
    for month, bars in source.bars():
        if month <= last:
            raise DataError("bars", f"the source gives {month} after {last}; months must come in order, once each")
        last = month
        while waiting and waiting[0] < month:
            yield waiting[0], None, slices[waiting.popleft()]
        if waiting and waiting[0] == month:
            waiting.popleft()
        yield month, bars, None if daily is None else slices.get(month, daily.clear())
    for month in waiting:
        yield month, None, slices[month]


def _month_slices(daily: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The daily rows of each month, months in order; views of one sorted frame."""
    if "date" not in daily.columns or daily["date"].null_count():
        check(daily, "daily", "daily")
    daily = daily.sort("date", maintain_order=True)
    days = daily["date"]
    number = (days.dt.year().cast(pl.Int32) * 12 + days.dt.month()).to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist()] if len(number) else []
    ends = [*starts[1:], len(number)]
    return {month_of(days[start]): daily.slice(start, end - start) for start, end in zip(starts, ends)}


def _daily_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Daily rows made from the bars, which are sorted by date, symbol, bar; the factor is 1."""
    return bars.group_by(_KEY, maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
        pl.lit(1.0).alias("factor"),
        pl.lit(False).alias("suspended"),
    )


def _with_amount(daily: pl.DataFrame, bars: pl.DataFrame | None, rule: DailyAmount) -> pl.DataFrame:
    """Daily rows with `amount` (yuan) and `vwap` (raw yuan per share) by the declared rule, else null."""
    if rule == "column":
        if "amount" not in daily.columns:
            raise DataError("daily", 'has no column amount; set daily.amount to "bars", "typical_price" or "none"')
        vwap = pl.when(pl.col("volume") > 0).then(pl.col("amount") / pl.col("volume"))
        given = [pl.col("vwap")] if "vwap" in daily.columns else []
        return daily.with_columns(pl.coalesce(*given, pl.when(vwap > 0).then(vwap)).alias("vwap"))
    if rule == "typical_price":
        mean = (pl.col("open") + pl.col("high") + pl.col("low") + pl.col("close")) / 4
        vwap = pl.when(_TRADED).then(mean)
        return daily.with_columns(vwap.alias("vwap"), (vwap * pl.col("volume")).alias("amount"))
    empty = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("amount", "vwap")]
    daily = daily.with_columns(empty)
    if rule == "none" or bars is None or not bars.height:
        return daily
    return daily.drop("amount", "vwap").join(_bar_sums(bars), on=_KEY, how="left", maintain_order="left")


def _bar_sums(bars: pl.DataFrame) -> pl.DataFrame:
    """(date, symbol, Σ amount, Σ amount / Σ volume) of sorted bars, summed in the order of the bars."""
    keys = bars.with_row_index("first").group_by(_KEY, maintain_order=True).agg(pl.col("first").first())
    starts = keys["first"].to_numpy()
    amount = np.add.reduceat(bars["amount"].to_numpy(), starts)
    volume = np.add.reduceat(bars["volume"].to_numpy(), starts)
    sums = keys.select(_KEY).with_columns(pl.Series("amount", amount), pl.Series("volume", volume))
    vwap = pl.when((pl.col("volume") > 0) & (pl.col("amount") > 0)).then(pl.col("amount") / pl.col("volume"))
    return sums.select(*_KEY, "amount", vwap.alias("vwap"))


def _refuse_units(frame: pl.DataFrame, where: str) -> None:
    """Refuse amounts that are typically not volume × price: lots taken for shares, or thousands of yuan for yuan."""
    if "amount" not in frame.columns:
        return
    traded = frame.filter((pl.col("volume") > 0) & (pl.col("amount") > 0))
    ratio = traded.select((pl.col("amount") / pl.col("volume") / pl.col("close")).median()).item()
    if ratio is not None and not 0.5 < ratio < 2:
        raise DataError(where, f"amount / volume is typically {ratio:.3g} times the close; check units of both")
