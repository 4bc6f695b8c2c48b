"""Digests of a table's content, day by day: what an appended day leaves as it was has the digest it had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import polars as pl

from polygrain.store.panel import Array


def day_digests(frame: pl.DataFrame) -> dict[str, str]:
    """sha256 (hex) of each day's rows by ISO date; `frame` is sorted by its column `date`.

    Of every column in turn: name, type, number of rows; of text its runs, the values as JSON and their lengths; of
    others, where any are missing, which (one byte a row), and the numbers, 0 where missing.
    """
    days = frame["date"]
    starts = np.flatnonzero(np.diff(days.to_physical().to_numpy(), prepend=-1))
    edges = [*starts.tolist(), len(days)]
    digests = [hashlib.sha256() for _ in starts]
    for column in frame:
        # One look at the whole column: a day of a small table takes longer to cut out than to hash.
        pieces = _text(column, starts) if column.dtype == pl.String else _numbers(column)
        for digest, first, stop in zip(digests, edges, edges[1:]):
            digest.update(f"{column.name} {column.dtype} {stop - first}\n".encode())
            for piece in pieces(first, stop):
                digest.update(piece)
    return {days[first].isoformat(): digest.hexdigest() for first, digest in zip(edges, digests)}


_Pieces = Callable[[int, int], list[bytes]]


def _text(column: pl.Series, starts: Array) -> _Pieces:
    """The bytes of rows first..stop−1 of a column of text, which begin at one of `starts`."""
    begins = column.ne_missing(column.shift()).to_numpy(writable=True)
    begins[starts] = True
    runs = np.flatnonzero(begins)
    values, lengths = column.gather(runs).to_list(), np.diff(runs, append=len(column)).astype(np.uint32)

    def pieces(first: int, stop: int) -> list[bytes]:
        mine = slice(*np.searchsorted(runs, [first, stop]).tolist())
        return [json.dumps(values[mine]).encode(), lengths[mine].tobytes()]

    return pieces


def _numbers(column: pl.Series) -> _Pieces:
    """The bytes of rows first..stop−1 of any other column."""
    missing = column.is_null().to_numpy()
    values = column.fill_null(strategy="zero").to_physical().to_numpy()

    def pieces(first: int, stop: int) -> list[bytes]:
        here = missing[first:stop]
        return [*([here.tobytes()] if here.any() else []), values[first:stop].tobytes()]

    return pieces
