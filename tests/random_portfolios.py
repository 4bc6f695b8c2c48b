"""Random dates and constraints of index enhancement, tiny ones and real-sized ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    StockDeviation,
    StyleDeviation,
    Turnover,
)
from polygrain.portfolio.context import DateContext
from polygrain.store.panel import Array

DAY = date(2024, 1, 5)
STYLES = ("size", "valuation", "momentum")


def context(
    score: Array,
    benchmark: Array,
    *,
    previous: Array | None = None,
    cash: float = 0.0,
    exposures: Array | None = None,
    styles: tuple[str, ...] = STYLES,
    industry: Array | None = None,
) -> DateContext:
    """A date on which everything can be traded; the index holds what weighs more than 0."""
    symbols = len(score)
    industry = np.zeros(symbols, int) if industry is None else np.asarray(industry)
    yes = np.ones(symbols, bool)
    return DateContext(
        DAY,
        tuple(f"{place:06d}.SH" for place in range(symbols)),
        np.asarray(score, float),
        np.asarray(benchmark, float),
        np.asarray(benchmark) > 0,
        None if previous is None else np.asarray(previous, float),
        cash,
        styles,
        np.zeros((len(styles), symbols)) if exposures is None else np.asarray(exposures, float),
        tuple(f"g{code}" for code in range(int(industry.max(initial=0)) + 1)),
        industry,
        yes,
        yes,
        ~yes,
        yes,
    )


def random_date(
    generator: np.random.Generator, symbols: int, *, ties: bool = False, blocked: float = 0.1, industries: int = 5
) -> DateContext:
    """A random date; with `ties` the scores are of three values; this share of the names cannot be traded."""
    score = generator.integers(-1, 2, symbols) * 1.0 if ties else generator.standard_normal(symbols)
    score[generator.random(symbols) < 0.1] = np.nan
    if not np.isfinite(score).any():
        score[0] = 1.0
    member = generator.random(symbols) < 0.6
    member[generator.integers(symbols)] = True
    benchmark = np.where(member, generator.exponential(1, symbols), 0)
    held = np.where(generator.random(symbols) < 0.5, generator.exponential(1, symbols), 0)
    held[generator.integers(symbols)] = 1.0
    cash = float(generator.choice([0.0, 0.0, 0.05]))
    found = context(
        score,
        benchmark / benchmark.sum(),
        previous=None if generator.random() < 0.2 else held / held.sum() * (1 - cash),
        exposures=generator.standard_normal((3, symbols)),
        industry=generator.integers(0, industries, symbols),
        cash=cash,
    )
    frozen, dear, stuck, barred = (generator.random(symbols) < blocked / 2 for _ in range(4))
    return replace(found, frozen=frozen, buyable=~dear, sellable=~stuck, eligible=~barred)


def random_constraints(generator: np.random.Generator, width: float) -> list[Constraint]:
    """A random choice of constraints; the wider, the more often they can be satisfied."""
    some = [
        StockDeviation(limit=min(1.0, width * float(generator.uniform(0.2, 1)))),
        IndustryDeviation(limit=min(1.0, width * float(generator.uniform(0.1, 1)))),
        StyleDeviation(limits={"size": width * float(generator.uniform(0.2, 1.5)), "valuation": width / 5}),
        StyleDeviation(name="loose", limits={"momentum": 2 * width}),
        Constituents(share=float(generator.uniform(0.3, 0.9))),
        Turnover(limit=float(generator.uniform(0.1, 0.8))),
        HoldingWeight(maximum=float(generator.uniform(0.4, 1))),
    ]
    return [one for one in some if generator.random() < 0.75]
