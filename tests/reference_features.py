"""Slow oracle of the features: plain loops over rows, floats and lists; shares nothing with polygrain.features.

A day of a stock is a dict with its daily row and its bars; everything is worked out per (symbol, day, slot).
"""

from __future__ import annotations

import itertools
import math

NULL = None
Row = dict[str, float]


class Stock:
    """One stock: `daily[d]` a row or None, `bars[d]` {bar number: row}; days are numbers, nb base bars a day."""

    def __init__(self, daily: list[Row | None], bars: list[dict[int, Row]] | None, nb: int) -> None:
        self.nb = nb
        self.daily = daily
        self.days: list[dict | None] = []
        last: tuple[float, float] | None = None
        for d, row in enumerate(daily):
            traded_daily = row is not None and not row["suspended"] and row["volume"] > 0
            there = traded_daily and (bars is None or bool(bars[d]))
            self.days.append(self._day(row, None if bars is None else bars[d], last) if there else None)
            if self.days[-1] is None and last is not None:
                self.days[-1] = {"traded": False, "last": last}
            if traded_daily:
                last = (row["close"], row["factor"])

    def _day(self, row: Row, bars: dict[int, Row] | None, last: tuple[float, float] | None) -> dict:
        before = None if last is None else last[0] * round(last[1] / row["factor"], 9)
        base, price = [], before
        for j in range(self.nb):
            bar = row if bars is None else bars.get(j)
            if bar is None:
                one = {"open": price, "high": price, "low": price, "close": price, "volume": 0.0, "amount": 0.0}
            else:
                one = {k: bar[k] for k in ("open", "high", "low", "close", "volume", "amount")}
            if j == self.nb - 1:
                one["close"] = row["close"]
            if bar is None and j < self.nb - 1:
                one["r"] = 0.0
            else:
                one["r"] = NULL if price is None else math.log(one["close"] / price)
            price = one["close"]
            base.append(one)
        return {"traded": True, "row": row, "before": before, "base": base, "last": last}

    def traded(self, d: int) -> bool:
        return d >= 0 and self.days[d] is not None and self.days[d]["traded"]


def slot_bar(stock: Stock, d: int, slot: int, m: int) -> dict | None:
    """A bar within day d, or None on a day without trades."""
    if not stock.traded(d):
        return None
    day = stock.days[d]
    base = day["base"][slot * m : (slot + 1) * m]
    # What a short last bar lacks is time without trades.
    end = base[-1]["close"]
    flat = dict.fromkeys(("open", "high", "low", "close"), end) | {"volume": 0.0, "amount": 0.0, "r": 0.0}
    base = base + [flat] * (m - len(base))
    whole = m == stock.nb
    return {
        "base": base,
        "m": m,
        "slot": slot,
        "open": day["row"]["open"] if whole else base[0]["open"],
        "high": day["row"]["high"] if whole else _most(max, [b["high"] for b in base]),
        "low": day["row"]["low"] if whole else _most(min, [b["low"] for b in base]),
        "close": base[-1]["close"],
        "before": day["before"] if slot == 0 else day["base"][slot * m - 1]["close"],
        "float_shares": day["row"].get("float_shares"),
    }


def _most(pick, values):
    return NULL if any(v is None for v in values) else pick(values)


def week_bar(stock: Stock, d: int) -> dict | None:
    """The five days that end on d, in d's yuan and shares."""
    if d < 4 or not stock.traded(d):
        return None
    factor = stock.days[d]["row"]["factor"]
    base, opens, highs, lows = [], [], [], []
    before = NULL
    for k in range(d - 4, d + 1):
        day = stock.days[k]
        last = None if day is None else day["last"]
        standing = NULL if last is None else last[0] * round(last[1] / factor, 9)
        if k == d - 4:
            before = standing
        if stock.traded(k):
            unit = round(day["row"]["factor"] / factor, 9)
            for b in day["base"]:
                close = NULL if b["close"] is None else b["close"] * unit
                base.append({"close": close, "volume": b["volume"] / unit, "amount": b["amount"], "r": b["r"]})
            opens.append(day["row"]["open"] * unit)
            highs.append(day["row"]["high"] * unit)
            lows.append(day["row"]["low"] * unit)
        else:
            base += [{"close": standing, "volume": 0.0, "amount": 0.0, "r": 0.0}] * stock.nb
            for prices in (opens, highs, lows):
                prices.append(standing)
    return {
        "base": base,
        "m": 5 * stock.nb,
        "slot": 0,
        "open": opens[0],
        "high": _most(max, highs),
        "low": _most(min, lows),
        "close": base[-1]["close"],
        "before": before,
        "float_shares": stock.days[d]["row"].get("float_shares"),
    }


def _corr(x: list, y: list) -> float | None:
    if any(v is None for v in x + y) or max(x) == min(x) or max(y) == min(y):
        return NULL
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    sxy = math.fsum((a - mx) * (b - my) for a, b in zip(x, y))
    return sxy / math.sqrt(math.fsum((a - mx) ** 2 for a in x) * math.fsum((b - my) ** 2 for b in y))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _divide(x: float, y: float) -> float:
    return x / y if y != 0 else math.nan


def value(name: str, bar: dict | None, past_amounts: list[float | None]) -> float | None:
    """A feature of one bar; `past_amounts`: Σa of the slot's earlier bars that the surge looks at, None = absent."""
    if bar is None:
        return NULL
    try:
        out = _value(name, bar, past_amounts)
    except (TypeError, ZeroDivisionError):
        # A null among the inputs, or a division by zero.
        return NULL
    return out if out is not None and math.isfinite(out) else NULL


def _value(name: str, bar: dict, past: list[float | None]) -> float | None:
    m, base, before = bar["m"], bar["base"], bar["before"]
    r = [b["r"] for b in base]
    a, v, c = ([b[k] for b in base] for k in ("amount", "volume", "close"))
    if name == "open_ret":
        return _log(bar["open"] / before) if bar["slot"] == 0 else NULL
    if name in ("high_ret", "low_ret", "close_ret"):
        return _log(bar[name[:-4]] / before)
    if name == "vwap_ret":
        return _log(math.fsum(a) / math.fsum(v) / before)
    if name == "close_to_vwap":
        return _log(bar["close"] / (math.fsum(a) / math.fsum(v)))
    if name == "close_position":
        h, l = bar["high"], bar["low"]
        return 0.5 if h == l and h is not None else (bar["close"] - l) / (h - l)
    if name == "range":
        return _log(bar["high"] / bar["low"])
    if name == "log_amount":
        return math.log(1 + math.fsum(a))
    if name == "amount_surge":
        there = [x for x in past if x is not None]
        if len(there) * 2 < len(past):
            return NULL
        return _log(math.fsum(a) / (math.fsum(there) / len(there)))
    if name == "turnover":
        return math.fsum(v) / bar["float_shares"]
    if name == "amount_concentration":
        return m * math.fsum((x / math.fsum(a)) ** 2 for x in a)
    if name == "late_amount_share":
        return math.fsum(a[m - math.ceil(m / 4) :]) / math.fsum(a)
    if name == "amihud":
        return math.log(0.01 + 1e9 * abs(_log(bar["close"] / before)) / math.fsum(a))
    if name == "price_volume_corr":
        return _corr(c, v)
    if name == "return_volume_corr":
        return _corr(r, v)
    if name == "return_leads_volume":
        return _corr(r[:-1], v[1:])
    if name == "volume_weighted_tilt":
        return math.fsum(x * y for x, y in zip(a, r)) / math.fsum(a) - math.fsum(r) / m
    if name == "large_volume_return":
        return math.fsum([y for x, y in zip(a, r) if x * m > math.fsum(a)])
    return _moments(name, m, r)


def _moments(name: str, m: int, r: list[float]) -> float | None:
    r2 = math.fsum(x * x for x in r)
    if name == "realized_vol":
        return math.sqrt(r2)
    if name == "realized_skew":
        return math.sqrt(m) * math.fsum(x**3 for x in r) / r2**1.5
    if name == "realized_kurt":
        return m * math.fsum(x**4 for x in r) / r2**2
    if name == "downside_share":
        return math.fsum(x * x for x in r if x < 0) / r2
    if name == "jump_share":
        pairs = math.fsum(abs(x) * abs(y) for x, y in itertools.pairwise(r))
        return max(0.0, 1 - math.pi / 2 * pairs / r2)
    if name == "path_efficiency":
        return abs(math.fsum(r)) / math.fsum(abs(x) for x in r)
    if name == "intrabar_drawdown":
        level = top = fall = 0.0
        for x in r:
            level += x
            top = max(top, level)
            fall = max(fall, top - level)
        return fall
    raise AssertionError(f"the oracle does not know {name}")


def at(name: str, stock: Stock, m: int | None, d: int, slot: int) -> float | None:
    """A feature of one bar at m base bars a bar; m None = week."""

    def bar(d: int) -> dict | None:
        return week_bar(stock, d) if m is None else slot_bar(stock, d, slot, m)

    def amount(d: int) -> float | None:
        one = bar(d) if d >= 0 else None
        return NULL if one is None else math.fsum(b["amount"] for b in one["base"])

    back = [5, 10, 15, 20] if m is None else list(range(1, 21))
    past = [amount(d - k) for k in back] if name == "amount_surge" else []
    return value(name, bar(d), past)


def feature(name: str, stock: Stock, m: int | None, days: int) -> list[list[float | None]]:
    """Values [day][slot] of a feature."""
    slots = 1 if m is None else math.ceil(stock.nb / m)
    return [[at(name, stock, m, d, slot) for slot in range(slots)] for d in range(days)]


def normalised(x: list[float | None], member: list[bool], log: float | None) -> list[float]:
    """One cross-section, steps (1)-(6)."""
    if log is not None:
        x = [NULL if v is None or v + log <= 0 else math.log(v + log) for v in x]
    fit = sorted(v for v, m in zip(x, member) if m and v is not None)
    n = len(fit)
    if n < 30:
        return [0.0] * len(x)

    def median(values: list[float]) -> float:
        values = sorted(values)
        k = len(values) // 2
        return values[k] if len(values) % 2 else (values[k - 1] + values[k]) / 2

    centre = median(fit)
    mad = median([abs(v - centre) for v in fit])
    low, high = (centre - 3 * 1.4826 * mad, centre + 3 * 1.4826 * mad) if mad > 0 else (-math.inf, math.inf)
    fit = [min(max(v, low), high) for v in fit]
    mean = math.fsum(fit) / n
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in fit) / n)
    if max(fit) == min(fit):
        return [0.0] * len(x)
    return [0.0 if v is None else (min(max(v, low), high) - mean) / std for v in x]
