"""Digests of a table's content, day by day: what an appended day leaves as it was has the digest it had."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl


def day_digests(frame: pl.DataFrame) -> dict[str, str]:
    """sha256 (hex) of each day's rows by ISO date; `frame` is sorted by its column `date`."""
    days = frame["date"]
    starts = np.flatnonzero(np.diff(days.to_physical().to_numpy(), prepend=-1))
    ends = np.append(starts[1:], len(days))
    return {days[a].isoformat(): _digest(frame.slice(a, b - a)) for a, b in zip(starts.tolist(), ends.tolist())}


def _digest(frame: pl.DataFrame) -> str:
    hashed = hashlib.sha256()
    for column in frame:
        hashed.update(f"{column.name} {column.dtype} {len(column)}\n".encode())
        if column.dtype == pl.String:
            runs = column.rle().struct.unnest()
            hashed.update(json.dumps(runs["value"].to_list()).encode())
            column = runs["len"]
        if column.null_count():
            hashed.update(column.is_null().to_numpy().tobytes())
            column = column.fill_null(strategy="zero")
        hashed.update(np.ascontiguousarray(column.to_physical().to_numpy()).data)
    return hashed.hexdigest()
