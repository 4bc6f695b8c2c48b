"""The oracle of a simulated market: what who knows its hidden states scores, judged beside the models alone.

It enters after the score stage: no feature, label, training or scores.parquet knows of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from polygrain.pipeline.market import Market
from polygrain.pipeline.scoring import Key
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array, from_table

ORACLE = "oracle"


def oracle_scores(market: Market, horizons: Iterable[int]) -> dict[Key, Array]:
    """Per label the oracle's z-scores float32 [score days, symbols] over U_t; none where the source has no oracle.

    Row t sees the states at t's close.
    """
    source, found = market.experiment.source, {}
    for horizon in horizons if source.predictable else ():
        frame = source.oracle(horizon)
        if frame is not None:
            values = np.where(market.members, from_table(frame, "score", market.quotes.axes), np.nan)
            found[ORACLE, horizon] = standardise(values)[market.bar_rows].astype(np.float32)
    return found
