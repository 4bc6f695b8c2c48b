"""The features: one function each, the same at every granularity; what is not finite is null.

m base bars in a bar; r_j, a_j, v_j, c_j their log returns, amounts, shares and closes; O, H, L, C the bar's prices in
yuan, C₋ the close before it. Every feature sees its own bar, and `history` days before it where it says so. † =
log-scaled before normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polygrain.errors import ConfigError
from polygrain.features.bars import Bars
from polygrain.features.granularity import Granularity
from polygrain.features.totals import add_up, add_up_products
from polygrain.market.session import Session
from polygrain.plugins import Registry
from polygrain.store.panel import Array

Column = Literal["amount", "float_shares"]
Function = Callable[[Bars], Array]


@dataclass(frozen=True)
class Feature:
    """A feature's function and what it asks for: base bars in the bar, days of earlier bars, columns of the source.

    `log`: the ε of ln(x + ε), taken before normalisation; None for none.
    """

    name: str
    function: Function
    min_bars: int
    log: float | None
    history: int
    needs: Column | None


FEATURES: Registry[Feature] = Registry("feature")


def feature(
    *, min_bars: int, log: float | None = None, history: int = 0, needs: Column | None = None
) -> Callable[[Function], Function]:
    """Register a function of Bars [bars, stocks] under its name, range_ as range; ConfigError where it is taken."""

    def register(function: Function) -> Function:
        name = function.__name__.rstrip("_")
        FEATURES.register(name, Feature(name, function, min_bars, log, history, needs), function)
        return function

    return register


def missing(available: frozenset[str]) -> tuple[str, ...]:
    """The features that the source cannot give for lack of a column."""
    return tuple(f.name for f in FEATURES.values() if f.needs is not None and f.needs not in available)


def chosen(
    granularities: Sequence[Granularity], session: Session, base_bar: str, available: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """The features of each granularity, by its name, in the library's order; `available`: "amount", "float_shares".

    ConfigError for a named feature that is unknown, that needs more base bars, or that the source has no data for.
    """
    bars = {g.name: g.base_bars(session, base_bar) for g in granularities}
    can = {
        name: tuple(f.name for f in FEATURES.values() if f.min_bars <= m and (f.needs is None or f.needs in available))
        for name, m in bars.items()
    }
    common = set.intersection(*(set(names) for names in can.values()))
    result = {}
    for g in granularities:
        if g.features == "all":
            result[g.name] = can[g.name]
        elif g.features == "common":
            result[g.name] = tuple(name for name in can[g.name] if name in common)
        else:
            for name in g.features:
                _refuse(name, g, bars[g.name], base_bar, available)
            result[g.name] = tuple(name for name in FEATURES if name in g.features)
        if not result[g.name]:
            raise ConfigError(f"granularity.{g.name}.features", "leaves no feature; name at least one")
    return result


def _refuse(name: str, granularity: Granularity, m: int, base_bar: str, available: frozenset[str]) -> None:
    key = f"granularity.{granularity.name}.features"
    if name not in FEATURES:
        raise ConfigError(key, f"there is no feature {name!r}; choose from {', '.join(FEATURES)}")
    wanted = FEATURES[name]
    if wanted.min_bars > m:
        raise ConfigError(
            key,
            f"{name} needs {wanted.min_bars} base bars, and a bar of {granularity.bar} holds {m} of {base_bar}; "
            "leave it out or use a longer bar",
        )
    if wanted.needs is not None and wanted.needs not in available:
        raise ConfigError(key, f"{name} needs {wanted.needs}, which the source does not have; leave it out")


def compute(name: str, bars: Bars) -> Array:
    """A feature's values [bars, stocks], float64; NaN where it is not finite. ConfigError for another shape."""
    with np.errstate(all="ignore"):
        values = np.asarray(FEATURES[name].function(bars), dtype=float)
    wanted = (bars.rows, bars.stocks)
    if values.shape != wanted:
        raise ConfigError(f"feature {name}", f"gives {values.shape}, not bars × stocks {wanted}; mend it")
    absent = ~np.isfinite(values)
    if absent.any():
        # A copy: a feature may give one of the arrays of `bars`.
        values = values.copy()
        values[absent] = np.nan
    return values


@feature(min_bars=1)
def open_ret(bars: Bars) -> Array:
    """ln(O / C₋) of the day's first bar, the overnight return; null in the others. R76, price family."""
    return np.where((bars.slot == 0)[:, None], np.log(bars.open / bars.previous_close), np.nan)


@feature(min_bars=1)
def high_ret(bars: Bars) -> Array:
    """ln(H / C₋). R76, price family."""
    return np.asarray(np.log(bars.high / bars.previous_close))


@feature(min_bars=1)
def low_ret(bars: Bars) -> Array:
    """ln(L / C₋). R76, price family."""
    return np.asarray(np.log(bars.low / bars.previous_close))


@feature(min_bars=1)
def close_ret(bars: Bars) -> Array:
    """ln(C / C₋). R76, price family."""
    return np.asarray(np.log(bars.close / bars.previous_close))


@feature(min_bars=1, needs="amount")
def vwap_ret(bars: Bars) -> Array:
    """ln(VWAP / C₋), VWAP = Σa / Σv; null without trades. R76, price family."""
    return np.asarray(np.log(bars.total("a") / bars.total("v") / bars.previous_close))


@feature(min_bars=1, needs="amount")
def close_to_vwap(bars: Bars) -> Array:
    """ln(C / VWAP), VWAP = Σa / Σv; null without trades. R86."""
    return np.asarray(np.log(bars.close / (bars.total("a") / bars.total("v"))))


@feature(min_bars=1)
def close_position(bars: Bars) -> Array:
    """(C − L) / (H − L); ½ where H = L. R86.

    The day's last bar closes at the official close, which may lie outside the range of its base bars.
    """
    spread = bars.high - bars.low
    return np.where(spread == 0, 0.5, (bars.close - bars.low) / spread)


@feature(min_bars=1, log=1e-3)
def range_(bars: Bars) -> Array:
    """ln(H / L) †. Parkinson (1980)."""
    return np.asarray(np.log(bars.high / bars.low))


@feature(min_bars=1, needs="amount")
def log_amount(bars: Bars) -> Array:
    """ln(1 + Σa), a in yuan. R76, volume family."""
    return np.log1p(bars.total("a"))


@feature(min_bars=1, history=20, needs="amount")
def amount_surge(bars: Bars) -> Array:
    """ln(Σa / mean of the slot's 20 values before, at least 10 of them present); weeks: 4 before, at least 2. R86.

    Sees the 20 days before the bar's.
    """
    now = bars.total("a")
    there = np.isfinite(now)
    amounts = bars.history(np.where(there, now, 0.0), 20, absent=0.0)
    present = add_up(bars.history(there.astype(float), 20, absent=0.0))
    return np.where(2 * present >= amounts.shape[1], np.log(now / (add_up(amounts) / present)), np.nan)


@feature(min_bars=1, log=1e-5, needs="float_shares")
def turnover(bars: Bars) -> Array:
    """Σv / free-float shares †. R76, liquidity family."""
    return np.asarray(bars.total("v") / bars.float_shares)


@feature(min_bars=4, log=0.0, needs="amount")
def amount_concentration(bars: Bars) -> Array:
    """m Σ(a_j / Σa)² †: 1 for an even flow, m for a single burst. R86."""
    return np.asarray(bars.m * bars.total("a2") / bars.total("a") ** 2)


@feature(min_bars=2, needs="amount")
def late_amount_share(bars: Bars) -> Array:
    """Share of Σa in the last ⌈m/4⌉ base bars. R76, intraday volume family."""
    return np.asarray(add_up(bars.a[:, -math.ceil(bars.m / 4) :]) / bars.total("a"))


@feature(min_bars=2, log=1e-3)
def realized_vol(bars: Bars) -> Array:
    """√Σr² †. R76, family of realised moments."""
    return np.sqrt(bars.total("r2"))


@feature(min_bars=4)
def realized_skew(bars: Bars) -> Array:
    """√m Σr³ / (Σr²)^1.5. Amaya et al. (2015); R76, family of realised moments."""
    return np.asarray(math.sqrt(bars.m) * bars.total("r3") / bars.total("r2") ** 1.5)


@feature(min_bars=4, log=0.0)
def realized_kurt(bars: Bars) -> Array:
    """m Σr⁴ / (Σr²)² †. Amaya et al. (2015); R76, family of realised moments."""
    return np.asarray(bars.m * bars.total("r4") / bars.total("r2") ** 2)


@feature(min_bars=4)
def downside_share(bars: Bars) -> Array:
    """Σ r²·1[r<0] / Σr². Barndorff-Nielsen et al. (2010); R76."""
    return np.asarray(bars.total("down_r2") / bars.total("r2"))


@feature(min_bars=4)
def jump_share(bars: Bars) -> Array:
    """max(0, 1 − (π/2) Σ|r_j||r_{j−1}| / Σr²), pairs inside the bar. Barndorff-Nielsen and Shephard (2004)."""
    size = np.abs(bars.r)
    return np.maximum(0.0, 1 - math.pi / 2 * add_up_products(size[:, 1:], size[:, :-1]) / bars.total("r2"))


@feature(min_bars=4)
def path_efficiency(bars: Bars) -> Array:
    """|Σr| / Σ|r|: 1 for a straight move. Kaufman (1995)."""
    return np.asarray(np.abs(bars.total("r")) / bars.total("abs_r"))


@feature(min_bars=4, log=1e-3)
def intrabar_drawdown(bars: Bars) -> Array:
    """Largest fall of the cumulative r from its running top, which starts at 0 †. R86."""
    r = bars.r
    level, top, fall = np.zeros_like(r[:, 0]), np.zeros_like(r[:, 0]), np.zeros_like(r[:, 0])
    for j in range(bars.m):
        level += r[:, j]
        np.maximum(top, level, out=top)
        np.maximum(fall, top - level, out=fall)
    return fall


@feature(min_bars=1, needs="amount")
def amihud(bars: Bars) -> Array:
    """ln(.01 + 10⁹ |ln(C / C₋)| / Σa), Σa in yuan. Amihud (2002)."""
    return np.asarray(np.log(0.01 + 1e9 * np.abs(np.log(bars.close / bars.previous_close)) / bars.total("a")))


@feature(min_bars=4)
def price_volume_corr(bars: Bars) -> Array:
    """corr(c_j, v_j). R76, price-volume family."""
    return bars.correlation("c", "v")


@feature(min_bars=4)
def return_volume_corr(bars: Bars) -> Array:
    """corr(r_j, v_j). R76, price-volume family."""
    return bars.correlation("r", "v")


@feature(min_bars=4)
def return_leads_volume(bars: Bars) -> Array:
    """corr(r_j, v_{j+1}), pairs inside the bar. R86."""
    return bars.correlation("r", "v", lead=1)


@feature(min_bars=2, needs="amount")
def volume_weighted_tilt(bars: Bars) -> Array:
    """Σ a_j r_j / Σa − Σr / m: whether the money came on the rises. R86."""
    return np.asarray(bars.total("ar") / bars.total("a") - bars.total("r") / bars.m)


@feature(min_bars=4, needs="amount")
def large_volume_return(bars: Bars) -> Array:
    """Σ r_j over the base bars whose amount is above the bar's mean. R86."""
    total, r = bars.total("a"), bars.r
    large = bars.a * bars.m > total[:, None]
    # A fall that is not chosen gives −0, which + 0 makes the 0 that it is.
    values = add_up_products(r, large.astype(float)) + 0.0
    # The first return after the listing is unknown, which matters only where it is chosen.
    young = np.flatnonzero((np.isnan(values) & np.isfinite(total)).any(axis=0))
    if len(young):
        values[:, young] = add_up(np.where(large[:, :, young], r[:, :, young], 0.0))
    return np.where(np.isnan(total), np.nan, values)
