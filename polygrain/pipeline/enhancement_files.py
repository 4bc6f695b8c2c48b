"""Files that the processes of the enhance stage share, mapped into memory and never copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

import numpy as np

from polygrain.execution.quotes import Quotes
from polygrain.pipeline.evaluation_files import EvaluationFiles
from polygrain.portfolio.context import NO_INDUSTRY
from polygrain.portfolio.factors import MARKET, Factor, FactorReturns
from polygrain.portfolio.known import Known
from polygrain.store.panel import Array

_PANELS = ("benchmark", "covered", "exposures", "industry", "buyable", "sellable", "frozen", "eligible")
_NAMES = ("styles", "industries")
_QUOTES = tuple(field.name for field in fields(Quotes) if field.name not in ("axes", "st", "notes"))


@dataclass(frozen=True, eq=False)
class DayExplained:
    """Of a day's `FactorReturns` what a risk model looks at."""

    names: tuple[Factor, ...]
    values: Array
    residual_S: Array


class EnhancementFiles(EvaluationFiles):
    """Axes, markets and scores as the evaluation's, and what portfolios may know of an index, by its number; quotes for
    ledgers and factor returns for risk where there are any."""

    def save_known(self, number: int, known: Known, returns: Array) -> None:
        """Write all but the scores, and the index's returns [days]."""
        self._save(f"returns-{number}", returns)
        self._save(f"decisions-{number}", np.array(known.days))
        for name in _PANELS:
            self._save(f"{name}-{number}", getattr(known, name))
        for name in _NAMES:
            self._save(f"{name}-{number}", np.array(getattr(known, name), dtype=np.str_))

    def returns(self, number: int) -> Array:
        """The returns [days] of an index."""
        return self._load(f"returns-{number}")

    def known(self, number: int, score: int) -> Known:
        """What portfolios of an index know that take the scores of that number."""
        axes, days = self.axes(), self._load(f"decisions-{number}").tolist()
        panels = {name: self._load(f"{name}-{number}") for name in _PANELS}
        styles, industries = (tuple(self._load(f"{name}-{number}").tolist()) for name in _NAMES)
        return Known(
            days=tuple(days),
            dates=tuple(axes.days[day] for day in days),
            symbols=axes.symbols,
            score=self.scores(score),
            styles=styles,
            industries=industries,
            benchmark=panels["benchmark"],
            covered=panels["covered"],
            exposures=panels["exposures"],
            industry=panels["industry"],
            buyable=panels["buyable"],
            sellable=panels["sellable"],
            frozen=panels["frozen"],
            eligible=panels["eligible"],
        )

    def save_quotes(self, quotes: Quotes) -> None:
        """Write all but who is ST, which no trade asks for."""
        for name in _QUOTES:
            self._save(f"quotes-{name}", getattr(quotes, name))

    def quotes(self) -> Quotes:
        """The quotes, of nobody of whom it is known whether he is ST."""
        panels = {name: self._load(f"quotes-{name}") for name in _QUOTES}
        return Quotes(self.axes(), st=None, notes=(), **panels)

    def save_factors(self, found: Mapping[int, FactorReturns]) -> None:
        """Write the factors, their returns and what is left, by day number; all are of the same panels."""
        days, some = sorted(found), next(iter(found.values()))
        industries = [Factor("industry", name) for name in (*some.industries, NO_INDUSTRY)]
        # A day's own come in this order.
        names = [MARKET, *industries, *(Factor("style", name) for name in some.styles)]
        values = [dict(zip(found[day].names, found[day].values.tolist())) for day in days]
        self._save("factor-days", np.array(days))
        self._save("factor-names", np.array(names, dtype=np.str_))
        self._save("factor-values", np.array([[day.get(name, np.nan) for name in names] for day in values]))
        self._save("factor-residuals", np.array([found[day].residual_S for day in days]))

    def factors(self, first: int) -> dict[date, DayExplained]:
        """The factor returns from day number `first` on."""
        axes, days, values = self.axes(), self._load("factor-days"), self._load("factor-values")
        names = [Factor(*name) for name in self._load("factor-names").tolist()]
        residuals = self._load("factor-residuals")
        return {
            axes.days[days[row]]: DayExplained(
                tuple(name for name, value in zip(names, values[row]) if np.isfinite(value)),
                values[row][np.isfinite(values[row])],
                residuals[row],
            )
            for row in np.flatnonzero(days >= first)
        }
