"""Parquet files of a run folder, whole or block by block: equal rows are equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Full, Queue

import polars as pl
from polars.io.plugins import register_io_source

from polygrain.store.commit import commit

# About 20 MB of scores: small enough for the memory, large enough for a reader to pass over what it does not want.
ROW_GROUP = 1 << 20
_SECONDS_UNTIL_A_LOOK = 0.2


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Commit a frame."""
    commit(path, lambda temporary: frame.write_parquet(temporary, compression="zstd", statistics=False))


@contextmanager
def blocks_written(schema: pl.Schema, path: Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Commit the rows of the blocks that are put, in their order, while the caller makes the next ones.

    Where the caller fails nothing is written.
    """
    waiting: Queue[pl.DataFrame | BaseException | None] = Queue(maxsize=2)

    def blocks() -> Iterator[pl.DataFrame]:
        while (block := waiting.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block

    with ThreadPoolExecutor(1) as thread:
        written = thread.submit(write_blocks, blocks(), schema, path)

        def put(block: pl.DataFrame | BaseException | None) -> None:
            # A writer that has failed takes nothing any more.
            while not written.done():
                with suppress(Full):
                    waiting.put(block, timeout=_SECONDS_UNTIL_A_LOOK)
                    return
            written.result()

        try:
            yield put
        except BaseException as error:
            with suppress(BaseException):
                put(error)
            raise
        put(None)
        written.result()


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
