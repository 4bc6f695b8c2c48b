"""What an enhancement asks for and the data does not have: refused before there are scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from polygrain.config import Experiment
from polygrain.errors import ConfigError
from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import HoldingWeight, Linear, StyleDeviation
from polygrain.portfolio.enhancement import Enhancement
from polygrain.store.store import Store


def check_enhancements(experiment: Experiment, store: Store) -> None:
    """ConfigError for an index without weights, and for a constraint on a style or a symbol that there is not.

    A style that the data merely lacks is for the constraint to refuse, or to leave out where it is optional.
    """
    styles, symbols = experiment.exposures.styles, set(store.symbols)
    for name, settings in experiment.enhancement.items():
        index_lists(store, name, settings)
        for constraint in settings.constraints:
            place = f"enhancement.{name}.constraints.{constraint.label}"
            for style in _styles(constraint):
                if style not in styles:
                    known = ", ".join(styles)
                    said = f"{style!r} is no style; choose from {known}, or name its column in exposures.columns"
                    raise ConfigError(place, said)
            for symbol in _symbols(constraint):
                if symbol not in symbols:
                    raise ConfigError(
                        place, f"the data has no {symbol!r}; write it as {store.symbols[0]}, or leave it out"
                    )


def index_lists(store: Store, name: str, settings: Enhancement) -> pl.DataFrame:
    """The lists of weights of an enhancement's index; ConfigError where the data has none."""
    table = store.table("index_weights")
    names = [] if table is None else sorted(table["index"].unique())
    if table is None or settings.index not in names:
        known = f"choose from {', '.join(names)}" if names else "the source has no index_weights"
        raise ConfigError(f"enhancement.{name}.index", f"the data has no weights of {settings.index!r}; {known}")
    return table.filter(pl.col("index") == settings.index)


def _styles(constraint: Constraint) -> Iterator[str]:
    match constraint:
        case StyleDeviation(limits=limits):
            yield from limits
        case Linear(column=str(column)):
            yield column


def _symbols(constraint: Constraint) -> Iterable[str]:
    match constraint:
        case HoldingWeight(symbols=some) | Linear(coefficients=some):
            return some or ()
    return ()
