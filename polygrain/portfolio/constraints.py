"""The constraints of index enhancement, 指数增强约束: one class each, with its equation.

w weights, b benchmark, w⁰ holdings drifted to the close, all fractions of the portfolio's worth; i a symbol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from polygrain.errors import DataError
from polygrain.portfolio.constraint import BoundConstraint, Bounds, Label, Row, RowConstraint, constraint
from polygrain.portfolio.context import DateContext

Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(ge=0)]


@constraint
class Budget(RowConstraint):
    """Σ_i w_i = 1: all is invested. In every problem, listed or not."""

    hard = True
    kind: Literal["budget"] = "budget"

    def rows(self, date: DateContext) -> Iterator[Row]:
        yield Row(Label(self.label, self.label), np.ones(len(date.symbols)), 1.0, 1.0)


@constraint
class LongOnly(BoundConstraint):
    """w_i ≥ 0, so that w_i ≤ 1 with the budget. In every problem, listed or not."""

    hard = True
    kind: Literal["long_only"] = "long_only"

    def bounds(self, date: DateContext, given: Bounds) -> Bounds:
        return given.within(self.label, 0.0, 1.0)


@constraint
class StockDeviation(BoundConstraint):
    """|w_i − b_i| ≤ limit for every symbol, 个股偏离."""

    kind: Literal["stock_deviation"] = "stock_deviation"
    limit: Share

    def bounds(self, date: DateContext, given: Bounds) -> Bounds:
        return given.within(self.label, date.benchmark - self.limit, date.benchmark + self.limit)


@constraint
class HoldingWeight(BoundConstraint):
    """minimum ≤ w_i ≤ maximum for the `symbols`, by default for all."""

    kind: Literal["holding_weight"] = "holding_weight"
    minimum: Share = 0.0
    maximum: Share = 1.0
    symbols: list[str] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> HoldingWeight:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self

    def bounds(self, date: DateContext, given: Bounds) -> Bounds:
        meant = np.ones(len(date.symbols), bool) if self.symbols is None else np.isin(date.symbols, self.symbols)
        return given.within(self.label, np.where(meant, self.minimum, 0), np.where(meant, self.maximum, 1))


@constraint
class StyleDeviation(RowConstraint):
    """|Σ_i x_i (w_i − b_i)| ≤ limit for each style's exposures x, 风格偏离; `limits` by style, 0 for neutral.

    Each style is a part: style_deviation.size. DataError where the data lacks a style, unless `optional`.
    """

    kind: Literal["style_deviation"] = "style_deviation"
    limits: dict[str, Limit] = Field(min_length=1)
    optional: bool = False

    @property
    def pieces(self) -> Sequence[str]:
        return tuple(self.limits)

    def rows(self, date: DateContext) -> Iterator[Row]:
        for style, limit in self.limits.items():
            exposures = date.style(style)
            if exposures is None and not self.optional:
                reason = f"{self.label}: the data has no style {style!r}; leave it out or say optional = true"
                raise DataError(f"{date.day}:exposures", reason)
            if exposures is not None:
                middle = float(exposures @ date.benchmark)
                yield Row(Label(f"{self.label}.{style}", style), exposures, middle - limit, middle + limit)


@constraint
class IndustryDeviation(RowConstraint):
    """|Σ_{i∈g} (w_i − b_i)| ≤ limit for every industry g, 行业偏离; symbols of no industry are one more."""

    kind: Literal["industry_deviation"] = "industry_deviation"
    limit: Share

    def rows(self, date: DateContext) -> Iterator[Row]:
        for name, group in date.groups().items():
            middle = float(date.benchmark[group].sum())
            yield Row(Label(self.label, name), group.astype(float), middle - self.limit, middle + self.limit)


@constraint
class Constituents(RowConstraint):
    """Σ_{i∈index} w_i ≥ share, 成分股占比."""

    kind: Literal["constituents"] = "constituents"
    share: Share

    def rows(self, date: DateContext) -> Iterator[Row]:
        yield Row(Label(self.label, self.label), date.member.astype(float), self.share, np.inf)


@constraint
class Turnover(RowConstraint):
    """max(Σ_i max(w_i − w⁰_i, 0), Σ_i max(w⁰_i − w_i, 0)) ≤ limit, 换手率; none at the first date.

    Buys less sells are the cash that w⁰ leaves, as Σ w = 1: the larger of the two is Σ buys − min(cash, 0).
    """

    kind: Literal["turnover"] = "turnover"
    limit: Limit

    def rows(self, date: DateContext) -> Iterator[Row]:
        if date.previous is not None:
            upper = self.limit + min(date.cash, 0.0)
            yield Row(Label(self.label, self.label), np.zeros(len(date.symbols)), -np.inf, upper, buys=1.0)


@constraint
class Linear(RowConstraint):
    """lower ≤ Σ_i a_i w_i ≤ upper; a is a `column` of the exposures, or `coefficients` by symbol, 0 for the rest."""

    kind: Literal["linear"] = "linear"
    column: str | None = None
    coefficients: dict[str, float] | None = None
    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> Linear:
        if (self.column is None) == (self.coefficients is None):
            raise ValueError("give either a column or coefficients by symbol")
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}")
        return self

    def rows(self, date: DateContext) -> Iterator[Row]:
        if self.coefficients is not None:
            given = np.array([self.coefficients.get(symbol, 0.0) for symbol in date.symbols])
        else:
            assert self.column is not None
            column = date.style(self.column)
            if column is None:
                known = ", ".join(date.styles)
                reason = f"{self.label}: the data has no column {self.column!r}; choose from {known}"
                raise DataError(f"{date.day}:exposures", reason)
            given = column
        lower = -np.inf if self.lower is None else self.lower
        upper = np.inf if self.upper is None else self.upper
        yield Row(Label(self.label, self.column or "coefficients"), given, lower, upper)


@constraint
class Tradability(BoundConstraint):
    """What can be traded, 可交易性. In every problem, listed or not; it has the last word on the bounds [l, u].

    not eligible: l = 0, u = min(u, w⁰) · not buyable: l = min(l, w⁰), u = min(u, w⁰) · not sellable: l = max(l, w⁰),
    u = max(u, w⁰) · frozen: l = u = w⁰.
    """

    hard = True
    kind: Literal["tradability"] = "tradability"

    def bounds(self, date: DateContext, given: Bounds) -> Bounds:
        held = date.holdings
        lower = np.where(date.eligible, given.lower, 0.0)
        lower = np.where(date.buyable, lower, np.minimum(lower, held))
        upper = np.where(date.buyable & date.eligible, given.upper, np.minimum(given.upper, held))
        lower = np.where(date.sellable, lower, np.maximum(lower, held))
        upper = np.where(date.sellable, upper, np.maximum(upper, held))
        return given.changed(self.label, np.where(date.frozen, held, lower), np.where(date.frozen, held, upper))
