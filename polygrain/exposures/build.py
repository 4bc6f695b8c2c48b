"""The exposures of a store: every style that the data can give, and industries, for every listed stock and day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from polygrain.errors import ConfigError
from polygrain.execution.quotes import Quotes
from polygrain.exposures.industries import Industries, industries
from polygrain.exposures.inputs import AMOUNT, CAP, Inputs, price
from polygrain.exposures.library import STYLES, Style
from polygrain.exposures.standardise import filled
from polygrain.plugins import blaming
from polygrain.spec import Spec
from polygrain.store.daily import daily_panels
from polygrain.store.panel import Array, Panel, carried
from polygrain.store.store import Store

_SHARES = ("total_shares", "float_shares")
StyleName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Exposures(Spec):
    """What stands for data that is not in the usual columns.

    `cap`: the column of the daily table that holds the market value in yuan; without it that is the raw close times
    total_shares, or float_shares where there are none. `columns`: by style the column that is its raw value, of ours or
    of a new name. `industry_groups`: by finer industry the group that it counts as.
    """

    cap: str | None = None
    columns: dict[StyleName, str] = {}
    industry_groups: dict[str, str] = {}

    @property
    def styles(self) -> dict[str, Style]:
        """Every style by name, ours and plug-ins' first; one that is a column needs nothing else."""
        named = {name: _of_column(name, column) for name, column in self.columns.items()}
        return {**STYLES, **named}

    def check(self, store: Store) -> None:
        """ConfigError for a column that the store's daily table does not have, or that holds no numbers."""
        schema = store.daily(store.months[-1:]).schema
        wanted = {} if self.cap is None else {"cap": self.cap}
        wanted |= {f"columns.{name}": column for name, column in self.columns.items()}
        for key, column in wanted.items():
            if column not in schema:
                known = ", ".join(name for name, kind in schema.items() if kind.is_numeric())
                raise ConfigError(f"exposures.{key}", f"the daily table has no column {column!r}; choose from {known}")
            if not schema[column].is_numeric():
                raise ConfigError(f"exposures.{key}", f"the column {column} holds no numbers; name another")


@dataclass(frozen=True, eq=False)
class ExposurePanels:
    """Exposures float32 [days, symbols, styles] of every listed stock, and its industry.

    A style is NaN for all on dates when most of U_t lacks it, and for stocks that are not listed or never traded.
    `cap` [days, symbols] is the market value in yuan that they are weighted by, None where there is none. `missing` are
    sentences on what the data lacks, `notes` on stand-ins. Row t sees t's close and what is before it.
    """

    styles: Panel
    industries: Industries
    cap: Array | None
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The styles that the data gives."""
        return self.styles.features

    def style(self, name: str) -> Array:
        """One style's exposures [days, symbols]."""
        values: Array = self.styles.values[..., self.names.index(name)]
        return values


def exposures(store: Store, quotes: Quotes, members: Array, settings: Exposures) -> ExposurePanels:
    """The exposures of every listed stock to every style that the data can give, over all days of the store.

    `members` [days, symbols] is U_t, whose values set median, mean and deviation. ConfigError for a column that the
    data does not have, and for a style of a plug-in that gives another shape.
    """
    settings.check(store)
    needed = {need for style in STYLES.values() for need in style.needs} - {CAP, AMOUNT}
    wanted = {*needed, *_SHARES, *settings.columns.values()} | ({settings.cap} if settings.cap else set())
    panels = daily_panels(store, quotes.axes, sorted(wanted))
    columns = {name: carried(panels.pop(name)) for name in list(panels)}
    cap, notes = _cap(quotes, columns, settings)
    given = Inputs(quotes, members, columns, cap)
    groups = industries(store.table("industries"), quotes.axes, _listed(quotes), settings.industry_groups)
    styles = settings.styles.values()
    missing = [_lack(style, given) for style in styles if not _possible(style, given)]
    panel = measured(given, [style for style in styles if _possible(style, given)], groups)
    return ExposurePanels(panel, groups, cap, (*missing, *_industry_gaps(store, groups)), (*notes, *groups.notes))


def measured(given: Inputs, styles: Sequence[Style], groups: Industries) -> Panel:
    """Exposures float32 [days, symbols, styles] of every listed stock; those that it lacks are its industry's mean."""
    # Style by style in memory: each is computed where it stays.
    values = np.empty((len(styles), *given.members.shape), np.float32)
    for place, style in enumerate(styles):
        own = given.standardised(_raw(style, given))
        values[place] = filled(own, given.members, _listed(given.quotes), groups)
    return Panel(given.quotes.axes, np.moveaxis(values, 0, -1), tuple(style.name for style in styles))


def _listed(quotes: Quotes) -> Array:
    listed: Array = (quotes.age > 0) & np.isfinite(quotes.valuation)
    return listed


def _of_column(name: str, column: str) -> Style:
    return Style(name, lambda given: given.column(column), (column,))


def _cap(quotes: Quotes, columns: dict[str, Array], settings: Exposures) -> tuple[Array | None, list[str]]:
    """The market value [days, symbols] in yuan, and a sentence where it is not the raw close times total_shares."""
    if settings.cap is not None:
        return _positive(columns[settings.cap]), [f"Market value: the column {settings.cap}."]
    for name in _SHARES:
        if name in columns and np.isfinite(columns[name]).any():
            stands_in = "Market value: that of float_shares; the data has no total_shares."
            return _positive(price(quotes) * columns[name]), [] if name == _SHARES[0] else [stands_in]
    return None, ["No market value: exposures are centred on equal-weighted means, not on cap-weighted ones."]


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


def _raw(style: Style, given: Inputs) -> Array:
    """A style's raw values, NaN where they are not finite."""
    with blaming(), np.errstate(all="ignore"):
        values = np.asarray(style.function(given), dtype=float)
    if values.shape != given.members.shape:
        wanted = given.members.shape
        raise ConfigError(f"style {style.name}", f"gives {values.shape}, not days × symbols {wanted}; mend it")
    return np.where(np.isfinite(values), values, np.nan)


def _possible(style: Style, given: Inputs) -> bool:
    return all(given.has(need) for need in style.needs)


def _lack(style: Style, given: Inputs) -> str:
    gaps = ", ".join(need for need in style.needs if not given.has(need))
    return f"Exposure to {style.name} is left out: the data has no {gaps}."


def _industry_gaps(store: Store, groups: Industries) -> list[str]:
    if not groups.known:
        return ["The data has no industries: nothing is measured by industry or neutralised to it."]
    snapshot = (
        "Industries are one later date's, not point in time: so is what is measured by them or neutralised to them."
    )
    return [] if store.facts.point_in_time.get("industries", True) else [snapshot]
