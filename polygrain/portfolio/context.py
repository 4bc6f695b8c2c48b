"""DateContext: all that an index-enhanced portfolio of one date may know, symbol by symbol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from polygrain.errors import DataError
from polygrain.samples.labels import standardise
from polygrain.store.panel import Array

# Weights are sums of thousands of numbers, each right to 16 digits.
ROUNDING = 1e-9
NO_INDUSTRY = "none"


@dataclass(frozen=True, eq=False)
class DateContext:
    """What is known of n symbols at the close of `day`; weights are fractions of the portfolio's worth.

    `score` [n], NaN where there is none · `benchmark` [n] sums to 1 · `member` [n], of the index · `previous` [n], the
    holdings drifted to this close, which sum to 1 with `cash`; None at the first date · `exposures` [styles, n], a
    style NaN throughout where the data lacks it · `industry` [n], a place in `industries`, −1 for none · `buyable`,
    `sellable` [n] · `frozen` [n], suspended · `eligible` [n], False for ST, new or without data. Symbols in any order.
    DataError names the first value that is out of place.
    """

    day: date
    symbols: tuple[str, ...]
    score: Array
    benchmark: Array
    member: Array
    previous: Array | None
    cash: float
    styles: tuple[str, ...]
    exposures: Array
    industries: tuple[str, ...]
    industry: Array
    buyable: Array
    sellable: Array
    frozen: Array
    eligible: Array

    def __post_init__(self) -> None:
        for name, array in self._by_symbol().items():
            if array.shape != (len(self.symbols),):
                self._refuse(name, f"has shape {array.shape} for {len(self.symbols)} symbols; give one value a symbol")
        if self.exposures.shape != (len(self.styles), len(self.symbols)):
            self._refuse("exposures", f"has shape {self.exposures.shape}; give a row a style and a column a symbol")
        if len(set(self.symbols)) < len(self.symbols):
            self._refuse("symbols", "holds a symbol twice; give each one once")
        if not np.isfinite(self.score).any():
            self._refuse("score", "has no finite value; leave the date out")
        if not ((self.industry >= -1) & (self.industry < len(self.industries))).all():
            self._refuse("industry", f"holds a code that is not in −1 … {len(self.industries) - 1}")
        self._check_weights("benchmark", self.benchmark, 0.0)
        if self.previous is not None:
            self._check_weights("previous", self.previous, self.cash)

    def _by_symbol(self) -> dict[str, Array]:
        names = ("score", "benchmark", "member", "industry", "buyable", "sellable", "frozen", "eligible")
        found: dict[str, Array] = {name: getattr(self, name) for name in names}
        return found if self.previous is None else found | {"previous": self.previous}

    def _check_weights(self, name: str, weights: Array, cash: float) -> None:
        for place in np.flatnonzero(~(weights >= 0))[:1]:
            self._refuse(name, f"{self.symbols[place]} weighs {weights[place]:g}; weights are 0 or more")
        total = float(weights.sum()) + cash
        if not abs(total - 1) <= ROUNDING:
            self._refuse(name, f"the weights {'and cash ' if cash else ''}sum to {total:.12g}, not 1; rescale them")

    def _refuse(self, field: str, reason: str) -> None:
        raise DataError(f"{self.day}:{field}", reason)

    @cached_property
    def mu(self) -> Array:
        """μ [n]: the score minus its mean, over its standard deviation (ddof 0); 0 where there is no score."""
        mu: Array = np.nan_to_num(standardise(self.score[None])[0], nan=0.0)
        return mu

    @cached_property
    def holdings(self) -> Array:
        """w⁰ [n]: previous, or 0 at the first date."""
        return np.zeros(len(self.symbols)) if self.previous is None else self.previous

    def bought(self, weights: Array) -> float:
        """Σ max(w − w⁰, 0)."""
        return float(np.maximum(weights - self.holdings, 0).sum())

    def style(self, name: str) -> Array | None:
        """One style's exposures [n], None where the data lacks it; DataError where single symbols lack it."""
        if name not in self.styles:
            return None
        values: Array = self.exposures[self.styles.index(name)]
        missing = ~np.isfinite(values)
        if missing.all():
            return None
        for place in np.flatnonzero(missing)[:1]:
            self._refuse(f"exposures:{name}", f"{self.symbols[place]} has none; fill it or leave the symbol out")
        return values

    def groups(self) -> dict[str, Array]:
        """Whether each symbol is of an industry, by its name; those of no industry are one too."""
        found = {name: self.industry == code for code, name in enumerate(self.industries)}
        return {name: where for name, where in (found | {NO_INDUSTRY: self.industry < 0}).items() if where.any()}

    def taken(self, order: Array) -> DateContext:
        """The same symbols in another order."""
        return replace(
            self,
            symbols=tuple(np.array(self.symbols, object)[order].tolist()),
            score=self.score[order],
            benchmark=self.benchmark[order],
            member=self.member[order],
            previous=None if self.previous is None else self.previous[order],
            exposures=np.take(self.exposures, order, axis=1),
            industry=self.industry[order],
            buyable=self.buyable[order],
            sellable=self.sellable[order],
            frozen=self.frozen[order],
            eligible=self.eligible[order],
        )
