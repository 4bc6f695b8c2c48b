"""Parquet files of a run folder, whole or block by block: equal rows are equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from polygrain.store.commit import commit

# About 20 MB of scores: small enough for the memory, large enough for a reader to pass over what it does not want.
ROW_GROUP = 1 << 20


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Commit a frame."""
    commit(path, lambda temporary: frame.write_parquet(temporary, compression="zstd", statistics=False))


def write_blocks(blocks: Iterable[pl.DataFrame], schema: pl.Schema, path: Path) -> None:
    """Commit the rows of all blocks in their order, holding a few blocks at a time.

    The row groups, of a fixed size, say their columns' least and largest values, so that a filter reads what it needs.
    """
    errors: list[BaseException] = []

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        # Polars would report an error of ours as one of its own.
        try:
            yield from blocks
        except BaseException as error:
            errors.append(error)

    def write(temporary: Path) -> None:
        register_io_source(source, schema=schema).sink_parquet(
            temporary, compression="zstd", statistics=True, row_group_size=ROW_GROUP
        )
        for error in errors:
            raise error

    commit(path, write)
