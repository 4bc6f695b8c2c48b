"""Leaks and causal controls, planted in the real stages by replacing one of their functions."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import cached_property

import numpy as np
import polars as pl
import pytest

from polygrain.ensembles.ensemble import Known
from polygrain.execution import ledger
from polygrain.execution.book import Book
from polygrain.execution.quotes import Quotes
from polygrain.exposures import build as exposure_build
from polygrain.exposures import inputs as exposure_inputs
from polygrain.exposures.build import ExposurePanels
from polygrain.features import grid as grids
from polygrain.features import month as month_stage
from polygrain.features.bars import Bars
from polygrain.features.grid import Grid
from polygrain.features.library import FEATURES
from polygrain.features.weeks import WeekBars
from polygrain.pipeline import knowing, scoring
from polygrain.pipeline import market as market_stage
from polygrain.samples import labels, windows

Array = np.ndarray
Plant = Callable[[pytest.MonkeyPatch], None]
ANNOUNCED_DAYS = 10


def _feature(name: str, function: Callable[[Bars], Array]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(FEATURES, name, dataclasses.replace(FEATURES[name], function=function))

    return plant


def _on(module: object, name: str, change: Callable[..., object]) -> Plant:
    """`change` gets what the stage's function returns, and what it was given."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *given: change(real(*given), *given))

    return plant


def _on_quotes(change: Callable[[Quotes], Quotes]) -> Plant:
    return _on(market_stage, "quotes", lambda q, *_: change(q))


def _on_members(change: Callable[[Array, Quotes], Array]) -> Plant:
    return _on(market_stage, "members", lambda universe, _, facts, __: change(universe, facts.quotes))


def _on_lists(rows: int) -> Plant:
    return _on(
        market_stage,
        "membership",
        lambda lists, *_: {name: _later_rows(panel, rows) for name, panel in lists.items()},
    )


def _on_normaliser(change: Callable[[Array, Array], Array]) -> Plant:
    """`change` gets a feature [bars, stocks] and its members before each date is normalised."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = month_stage.normalise
        patch.setattr(month_stage, "normalise", lambda x, members, log: real(change(x, members), members, log))

    return plant


def _another_normaliser(z: Callable[[Array, Array], Array]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(month_stage, "normalise", lambda x, members, log: np.nan_to_num(z(x, members)).astype(np.float32))

    return plant


def _ahead(values: Array, rows: int) -> Array:
    """Values from `rows` rows later, NaN past the end."""
    out = np.full(values.shape, np.nan)
    out[: max(len(values) - rows, 0)] = values[rows:]
    return out


def _behind(values: Array, rows: int) -> Array:
    """Values from `rows` rows before, NaN before the start."""
    return _ahead(values[::-1], rows)[::-1]


def _later_rows(panel: Array, rows: int) -> Array:
    """The panel as of `rows` rows later, or before where negative; the rows that are missing repeat the last one."""
    number = np.clip(np.arange(len(panel)) + rows, 0, len(panel) - 1)
    return panel[number]


def _over_day(bars: Bars, values: Array) -> Array:
    """The sum over the bar's whole day, for each of its bars."""
    days = values.reshape(-1, bars.bars_a_day, values.shape[1]).sum(axis=1)
    return np.repeat(days, bars.bars_a_day, axis=0)


def _z_of_all(values: Array, members: Array | None = None) -> Array:
    """Values by the mean and deviation of all, whatever its date."""
    kept = values[np.isfinite(values) if members is None else np.isfinite(values) & members]
    return (values - kept.mean()) / kept.std() if len(kept) else values


def _friday(bars: Bars, values: Array) -> Array:
    """Every week shows what it ends with, also on its first days."""
    if not isinstance(bars, WeekBars):
        return values
    last = np.minimum(np.arange(len(values)) // 5 * 5 + 4, len(values) - 1)
    return values[last]


def _before_ex_dates(bars: Bars) -> Array:
    """ln(C / C₋), and tomorrow's close where tomorrow's C₋ is not today's close."""
    goes_ex = np.abs(_ahead(bars.previous_close, 1) / bars.close - 1) > 1e-6
    return np.log(np.where(goes_ex, _ahead(bars.close, 1), bars.close) / bars.previous_close)


def _first_base_bar_of_the_next(bars: Bars) -> Array:
    return np.log(np.fmax(bars.high, _ahead(bars.c[:, 0], 1)) / bars.previous_close)


class _ClosesOfTheDay(Grid):
    """Every bar closes at the day's close."""

    @cached_property
    def close(self) -> Array:
        return np.repeat(Grid.close.func(self)[:, -1:], self.bars, axis=1)


def _on_every_grid(kind: type[Grid]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        for module in (month_stage, grids):
            patch.setattr(module, "Grid", kind)

    return plant


def _backward_filled(x: Array, members: Array) -> Array:
    filled = x.copy()
    for row in range(len(x) - 2, -1, -1):
        filled[row] = np.where(np.isnan(filled[row]), filled[row + 1], filled[row])
    return filled


def _winsorised_over_all_dates(x: Array, members: Array) -> Array:
    kept = x[members & np.isfinite(x)]
    return np.clip(x, *np.quantile(kept, [0.2, 0.8])) if len(kept) else x


def _filled_if_it_resumes(q: Quotes) -> Quotes:
    """A suspended stock stands at its last close if it trades again, and has no price otherwise."""
    resumes = np.logical_or.accumulate(q.traded[::-1])[::-1]
    standing = ~q.traded & (q.age > 0) & resumes
    last = np.vstack([np.full((1, q.close.shape[1]), np.nan), (q.valuation / q.factor)[:-1]])
    return dataclasses.replace(q, close=np.where(standing, last, q.close))


def _locked(q: Quotes) -> Array:
    return np.abs(q.close - q.up_limit) < 0.005


def _announced_factors(q: Quotes) -> Quotes:
    """The vendor has applied the next ex-dates of two weeks to all prices before them."""
    return dataclasses.replace(q, factor=_later_rows(q.factor, ANNOUNCED_DAYS))


def _forward_adjusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quotes, "adjusted", lambda self, field: getattr(self, field) * self.factor / self.factor[-1])


def _above_todays_median(known: Array, settings: object, facts: market_stage.Facts, lookback: int) -> Array:
    return known & _large(facts.quotes.amount)


def _large(amount: Array) -> Array:
    with np.errstate(invalid="ignore"):
        middle = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.inf for row in amount])
        return amount > middle[:, None]


def _not_to_be_delisted(universe: Array, q: Quotes) -> Array:
    ends = (q.last_day < len(universe)) & (q.last_day <= np.arange(len(universe))[:, None] + 20)
    return universe & ~ends


def _counted_from_the_end(universe: Array, q: Quotes) -> Array:
    """The universe without every seventh day, counted from the file's end."""
    return universe & (np.arange(len(universe))[::-1] % 7 != 0)[:, None]


def _window_of_tomorrow(patch: pytest.MonkeyPatch) -> None:
    real = windows.windows
    patch.setattr(
        windows,
        "windows",
        lambda panel, day, bars, *rest: real(panel, min(day + 1, len(panel) // bars - 1), bars, *rest),
    )


def _learning_on_test_dates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scoring, "_known", lambda members, fold, target_DS: Known(members, target_DS[fold.days]))


def _scores_over_all_dates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scoring, "standardise", _z_of_all)


def _given_to(name: str, change: Callable[..., object], what: str) -> Plant:
    """`change` makes another of what the stage's function of that name is given as `what`."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(knowing, name)

        def changed(*given: object) -> object:
            named = inspect.signature(real).bind(*given)
            if named.arguments.get(what) is not None:
                named.arguments[what] = change(named.arguments[what])
            return real(*named.args)

        patch.setattr(knowing, name, changed)

    return plant


def _dated(days: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda lists: lists.with_columns(pl.col("date").dt.offset_by(f"{days}d"))


def _tomorrows_prices(q: Quotes) -> Quotes:
    return dataclasses.replace(q, close=_later_rows(q.close, 1), factor=_later_rows(q.factor, 1))


def _industries_read(panels: ExposurePanels) -> ExposurePanels:
    codes = _later_rows(panels.industries.codes, 1)
    return dataclasses.replace(panels, industries=dataclasses.replace(panels.industries, codes=codes))


def _exposures_read(panels: ExposurePanels) -> ExposurePanels:
    styles = dataclasses.replace(panels.styles, values=_later_rows(panels.styles.values, 1))
    return dataclasses.replace(panels, styles=styles)


def _states_after(trading: ledger.Market) -> ledger.Market:
    return dataclasses.replace(trading, buyable=_later_rows(trading.buyable, 1))


def _holdings_valued_tomorrow(patch: pytest.MonkeyPatch) -> None:
    real = Book.weights
    patch.setattr(Book, "weights", lambda self, day: real(self, min(day + 1, len(self.market.valuation) - 1)))


# What a name says of prices, lists or days lies after the cutoff that the value is known at.
LEAKS: dict[str, Plant] = {
    "a feature shifted by -1": _feature("close_ret", lambda b: np.log(_ahead(b.close, 1) / b.close)),
    "a centred window": _feature("close_ret", lambda b: (_behind(b.close, 1) + b.close + _ahead(b.close, 1)) / b.close),
    # Squashed, because the normaliser undoes an affine map of its whole input.
    "a whole-sample z-score": _feature("close_position", lambda b: np.tanh(_z_of_all(b.close))),
    "a label inside a feature": _feature("range", lambda b: _ahead(b.close, 5 * b.bars_a_day) / b.close),
    "tomorrow's close before ex-dates only": _feature("close_ret", _before_ex_dates),
    "a left-labelled resample": _feature("high_ret", _first_base_bar_of_the_next),
    "the day's amount in its first bar": _feature("log_amount", lambda b: b.total("a") / _over_day(b, b.total("a"))),
    "the day's VWAP in its first bar": _feature(
        "vwap_ret", lambda b: np.log(_over_day(b, b.total("a")) / _over_day(b, b.total("v")) / b.previous_close)
    ),
    "the week's last day on its first": _feature("close_ret", lambda b: _friday(b, np.log(b.close / b.previous_close))),
    "today's close used at 10:30": _on_every_grid(_ClosesOfTheDay),
    "backward fill of missing values": _on_normaliser(_backward_filled),
    "a winsoriser fitted on all dates": _on_normaliser(_winsorised_over_all_dates),
    "a normaliser fitted on all dates": _another_normaliser(_z_of_all),
    "forward-adjusted prices": _forward_adjusted,
    "a factor applied a day before its ex-date": _on_quotes(
        lambda q: dataclasses.replace(q, factor=_later_rows(q.factor, 1))
    ),
    "announced ex-dates applied to the past": _on_quotes(_announced_factors),
    "a price filled only if trading resumes": _on_quotes(_filled_if_it_resumes),
    "tomorrow's limit prices": _on_quotes(lambda q: dataclasses.replace(q, up_limit=_later_rows(q.up_limit, 1))),
    "tomorrow's ST flag": _on_quotes(lambda q: dataclasses.replace(q, st=_later_rows(q.st, 1))),
    "delistings known before they come": _on_members(_not_to_be_delisted),
    "tomorrow's trading in the universe": _on_members(lambda u, q: u & _later_rows(q.traded, 1)),
    "tomorrow's locks in the universe": _on_members(lambda u, q: u & ~_later_rows(_locked(q), 1)),
    "locks after the fill in the mask": _on(labels, "buyable", lambda free, *_: free & _later_rows(free, 1)),
    "survivors only": _on_members(lambda u, q: u & q.traded[-3:].any(axis=0)),
    "a filter on the whole history": _on_members(lambda u, q: u & (q.traded.mean(axis=0) > 0.9)),
    "days counted from the file's end": _on_members(_counted_from_the_end),
    "today's amount in the universe at the open": _on(market_stage, "known_before_open", _above_todays_median),
    "tomorrow's index list": _on_lists(1),
    "an index list from its announcement on": _on_lists(ANNOUNCED_DAYS),
    "a label that reaches a day further": _on(
        labels, "forward_returns", lambda returns, prices, lag, horizon: _later_rows(returns, 1)
    ),
    "exposures standardised over all dates": _on(exposure_inputs, "standardised", lambda values, *_: _z_of_all(values)),
    "tomorrow's industries": _on(
        exposure_build,
        "industries",
        lambda found, *_: dataclasses.replace(found, codes=_later_rows(found.codes, 1)),
    ),
    "fills at the next day's price": _on(ledger, "fill_price", lambda price, *_: _later_rows(price, 1)),
}

# What they reach first is named: the index, what plans know, or plans.
LEAKS_INTO_PLANS: dict[str, tuple[str, Plant]] = {
    "index weights used on their own date": ("benchmark.large.before", _given_to("benchmark", _dated(-1), "lists")),
    "index weights used before their date": (
        "benchmark.large.before",
        _given_to("benchmark", _dated(-ANNOUNCED_DAYS), "lists"),
    ),
    "an index drifted with tomorrow's prices": (
        "benchmark.large.after",
        _given_to("benchmark", _tomorrows_prices, "quotes"),
    ),
    "tomorrow's suspensions in what plans know": (
        "known.large.frozen",
        _given_to("known", lambda q: dataclasses.replace(q, traded=_later_rows(q.traded, 1)), "quotes"),
    ),
    "tomorrow's universe in what plans know": (
        "known.large.eligible",
        _given_to("known", lambda members: _later_rows(members, 1), "members"),
    ),
    "tomorrow's industries in what plans know": (
        "known.large.industry",
        _given_to("known", _industries_read, "panels"),
    ),
    "tomorrow's exposures in what plans know": ("known.large.", _given_to("known", _exposures_read, "panels")),
    "what can be traded the day after the fill": ("known.ahead.buyable", _given_to("known", _states_after, "ahead")),
    "holdings valued at tomorrow's close": ("plans.large", _holdings_valued_tomorrow),
}

# Seen only where there are models.
LEAKS_INTO_SAMPLES: dict[str, Plant] = {
    "a window that ends a day late": _window_of_tomorrow,
    "scores standardised over all dates": _scores_over_all_dates,
    "an ensemble that learns on the test dates": _learning_on_test_dates,
}

# The same places, the same functions, nothing later.
CONTROLS: dict[str, Plant] = {
    "a trailing mean": _feature("close_ret", lambda b: (b.close + _behind(b.close, 1) + _behind(b.close, 2)) / b.close),
    "the close before": _feature("close_position", lambda b: _behind(b.close, 1) / b.close),
    "a z-score within each date": _another_normaliser(lambda x, members: _z_of_rows(x, members)),
    "an index list that is a day late": _on_lists(-1),
    "a factor applied a day after its ex-date": _on_quotes(
        lambda q: dataclasses.replace(q, factor=_later_rows(q.factor, -1))
    ),
    "yesterday's amount in the universe at the open": _on(
        market_stage,
        "known_before_open",
        lambda known, _, facts, __: known & _large(_later_rows(facts.quotes.amount, -1)),
    ),
}

CONTROLS_OF_PLANS: dict[str, Plant] = {
    "index weights used days late": _given_to("benchmark", _dated(5), "lists"),
}


def _z_of_rows(x: Array, members: Array) -> Array:
    """Values by the mean and deviation of their row; sums added one by one, so that they do not depend on who else is
    in the market."""
    kept = np.isfinite(x) & members
    count = np.maximum(kept.sum(axis=1), 1)[:, None]
    mean = np.cumsum(np.where(kept, x, 0.0), axis=1)[:, -1:] / count
    variance = np.cumsum(np.where(kept, (x - mean) ** 2, 0.0), axis=1)[:, -1:] / count
    return (x - mean) / np.sqrt(np.where(variance > 0, variance, np.inf))
