"""Parquet written block by block: the rows of all blocks, the same bytes again, a few blocks in memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from polygrain.errors import DataError
from polygrain.pipeline.parquet import blocks_written, write_blocks

SCHEMA = pl.Schema({"model": pl.String, "score": pl.Float32})
# A block is 24 MB; prints by how many more the peak of memory grew over the whole file than over its first fifth.
GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np
import polars as pl
from polygrain.pipeline.parquet import write_blocks

def blocks(count):
    for i in range(count):
        values = np.random.default_rng(i).standard_normal(3_000_000)
        yield pl.DataFrame({"score": values})

peaks = []
for count in (5, 25):
    write_blocks(blocks(count), pl.Schema({"score": pl.Float64}), Path(sys.argv[1]))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print((peaks[1] - peaks[0]) / 24)
"""


def block(i: int) -> pl.DataFrame:
    return pl.DataFrame({"model": f"m{i}", "score": [float(i), -0.5, None]}, schema=SCHEMA)


def test_the_rows_are_those_of_all_blocks_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        write_blocks((block(i) for i in range(7)), SCHEMA, path)
    assert pl.read_parquet(paths[0]).equals(pl.concat([block(i) for i in range(7)]))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    write_blocks(iter([]), SCHEMA, paths[0])
    assert pl.read_parquet(paths[0]).schema == SCHEMA


def test_an_error_between_blocks_is_itself_and_leaves_the_file(tmp_path: Path) -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield block(1)
        raise DataError("predictions", "is damaged")

    path = tmp_path / "a.parquet"
    write_blocks(iter([block(0)]), SCHEMA, path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="predictions: is damaged"):
        write_blocks(broken(), SCHEMA, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_memory_does_not_grow_with_the_blocks(tmp_path: Path) -> None:
    words = [sys.executable, "-c", GROWTH, str(tmp_path / "a.parquet")]
    grown = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    # Twenty blocks more; what the allocator keeps is worth two or three.
    assert grown < 8


def test_blocks_that_are_put_are_those_that_are_written(tmp_path: Path) -> None:
    with blocks_written(SCHEMA, tmp_path / "a.parquet") as put:
        for i in range(7):
            put(block(i))
    write_blocks((block(i) for i in range(7)), SCHEMA, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def put_all(path: Path, count: int, then: BaseException | None = None) -> None:
    with blocks_written(SCHEMA, path) as put:
        for i in range(count):
            put(block(i))
        if then:
            raise then


def test_who_puts_blocks_and_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    put_all(path, 1)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        put_all(path, 2, KeyboardInterrupt())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_a_writer_that_fails_stops_who_puts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no folder")
    with pytest.raises(DataError, match=r"a/b\.parquet: cannot be written"):
        put_all(tmp_path / "a" / "b.parquet", 100)
