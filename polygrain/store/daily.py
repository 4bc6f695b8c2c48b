"""The daily table's columns as dense panels."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
import polars as pl

from polygrain.store.panel import Array, Axes
from polygrain.store.store import Store


def daily_panels(store: Store, axes: Axes, columns: Iterable[str]) -> dict[str, Array]:
    """Those of the named columns that the daily table has, float64 [days, symbols]; NaN where there is no value.

    It is read a year at a time: the table is never whole in memory. Row t holds day t alone.
    """
    wanted = tuple(columns)
    shape = (len(axes.days), len(axes.symbols))
    panels: dict[str, Array] = {}
    symbols = pl.Enum(axes.symbols)
    for _, year in groupby(store.months, key=lambda month: month[:4]):
        frame = store.daily(list(year))
        row = np.searchsorted(axes.dates, frame["date"].to_numpy())
        column = frame["symbol"].cast(symbols).to_physical().to_numpy()
        for name in (name for name in wanted if name in frame.columns):
            if name not in panels:
                panels[name] = np.full(shape, np.nan)
            panels[name][row, column] = frame[name].cast(pl.Float64).to_numpy()
    return panels
