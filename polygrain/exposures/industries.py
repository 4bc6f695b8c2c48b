"""Industries: which group of the industries list each stock is in on each day."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl

from polygrain.store.panel import Array, Axes, interval

UNKNOWN = "unknown"
MANY = 40


@dataclass(frozen=True, eq=False)
class Industries:
    """`codes` int16 [days, symbols] number `names`; 0 is `UNKNOWN`, also where there is no list at all.

    `notes` are sentences about what was put together. Row t sees what the list holds for day t.
    """

    codes: Array
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is any industry."""
        return len(self.names) > 1


@cache
def usual_groups() -> dict[str, str]:
    """The first-level group of the finer industries of industry_groups.toml."""
    text = files("polygrain.exposures").joinpath("industry_groups.toml").read_text("utf-8")
    return {finer: group for group, members in tomllib.loads(text).items() for finer in members}


def industries(table: pl.DataFrame | None, axes: Axes, listed: Array, groups: Mapping[str, str]) -> Industries:
    """The industry of each stock that is `listed` [days, symbols], by intervals with both days included.

    A finer industry counts as its group in `groups`, else in industry_groups.toml, else as itself. Names are in the
    order in which their first interval begins, so that no code depends on what comes later.
    """
    codes = np.zeros(listed.shape, np.int16)
    if table is None:
        return Industries(codes, (UNKNOWN,))
    given = {str(finer) for finer in table["industry"].unique()}
    group_of = {finer: groups.get(finer, usual_groups().get(finer, finer)) for finer in given}
    grouped = table.with_columns(pl.col("industry").replace_strict(group_of, return_dtype=pl.String).alias("group"))
    first = grouped.group_by("group").agg(pl.col("start").min()).sort("start", "group")
    names = (UNKNOWN, *first["group"])
    number = {name: code for code, name in enumerate(names)}
    ends = pl.col("end") if "end" in table.columns else pl.lit(None, pl.Date).alias("end")
    for symbol, start, end, group in grouped.select("symbol", "start", ends, "group").iter_rows():
        column = axes.symbol_number.get(symbol)
        if column is not None:
            codes[interval(axes, start, end), column] = number[group]
    codes[~listed] = 0
    return Industries(codes, names, tuple(_notes(given, group_of, groups)))


def _notes(given: set[str], group_of: Mapping[str, str], groups: Mapping[str, str]) -> list[str]:
    count, notes = len(set(group_of.values())), []
    if count < len(given):
        notes.append(f"{len(given)} industries are put together into {count} groups.")
    if count > MANY:
        notes.append(f"{count} industries are many; exposures.industry_groups puts finer ones together.")
    absent = sorted(set(groups) - given)
    if absent:
        notes.append(f"exposures.industry_groups names {', '.join(absent)}, which the data does not have.")
    return notes
