"""A foreign layout partitioned once by month, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl


class Months:
    """Collects frames with a `date` column in any order and gives them back by month; beyond `rows` rows in memory
    they are spilled to `folder`, which the caller removes."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._limit = rows
        self._rows = 0
        self._frames: dict[str, list[pl.DataFrame]] = {}
        self._files: dict[str, list[Path]] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Take in a frame."""
        number = pl.col("date").dt.year().cast(pl.Int32) * 12 + pl.col("date").dt.month() - 1
        parts = frame.with_columns(number.alias("month number")).partition_by(
            "month number", as_dict=True, include_key=False
        )
        for (month,), part in parts.items():
            self._frames.setdefault(f"{month // 12:04d}-{month % 12 + 1:02d}", []).append(part)
        self._rows += frame.height
        if self._rows > self._limit:
            self._spill()

    def __iter__(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """(month, its rows), months in order; rows keep the order they came in."""
        for month in sorted(set(self._frames) | set(self._files)):
            spilled = [pl.read_parquet(path) for path in self._files.get(month, [])]
            yield month, pl.concat(spilled + self._frames.pop(month, []))

    def _spill(self) -> None:
        for month, frames in self._frames.items():
            files = self._files.setdefault(month, [])
            path = self._folder / f"{month}-{len(files)}.parquet"
            pl.concat(frames).write_parquet(path, compression="lz4")
            files.append(path)
        self._frames, self._rows = {}, 0
