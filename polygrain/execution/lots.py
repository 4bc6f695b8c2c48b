"""Lots: how many shares an order may have."""

from __future__ import annotations

from polygrain.market.rules import Lot


def purchase(shares: int, lot: Lot) -> int:
    """The largest legal buy order of at most `shares`: `least` + k · `step`, or 0.

    On the main board and ChiNext whole hundreds; on STAR from 200 shares by one (科创板 200 股起，1 股递增); in Beijing
    from 100 by one.
    """
    return 0 if shares < lot.least else lot.least + (shares - lot.least) // lot.step * lot.step


def sale(shares: int, held: int, lot: Lot) -> int:
    """The largest legal sell order of at most `shares`: as a purchase, or all of `held`.

    A remainder below a lot (零股) is sold only together with everything else that is held.
    """
    return held if shares >= held else purchase(shares, lot)
