"""The broker report's tables as published, and which portfolio they are of where their captions err."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from polygrain.report.words import Text


@cache
def published() -> dict[str, list[dict[str, float | int | str]]]:
    """The tables of R88 as published, by name."""
    content: dict[str, list[dict[str, float | int | str]]] = json.loads(
        files("polygrain.report").joinpath("published.json").read_text("utf-8")
    )
    return content


# Found by their figures, which tables 8 and 11 hold too; the captions say otherwise.
_HELD = {
    "table10_csi500_by_year": ("ensemble1_biagru", "the ensemble", "集成"),
    "table13_csi1000_by_year": ("ensemble_biagru", "80% constituents", "成分股占比 80%"),
}


def of_whom(name: str) -> Text | None:
    """Which portfolio a published table is of, where it does not say so itself."""
    if name not in _HELD:
        return None
    model, caption, caption_zh = _HELD[name]
    return Text(
        f"By its figures it is {model}, 10-day label, industry neutral, stock ± 1%, all stocks; its caption says "
        f"{caption}.",
        f"由数值可知为 {model}，10 日标签，行业中性，个股 ±1%，全市场选股；原表题作{caption_zh}。",
    )
