"""What an enhancement asks for and data or scores do not have: refused as early as it can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from polygrain.config import Experiment
from polygrain.errors import ConfigError
from polygrain.pipeline.scoring import Key
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


def chosen(name: str, settings: Enhancement, scored: Sequence[Key]) -> list[Key]:
    """Of the scores that there are those an enhancement asks for, by label, then in the order of its models.

    ConfigError for a model or a label without scores.
    """
    models = settings.models or list(dict.fromkeys(model for model, _ in scored))
    labels = settings.label_days or list(dict.fromkeys(days for _, days in scored))
    found = [(model, days) for days in labels for model in models if (model, days) in scored]
    for place, field, wanted in ((0, "models", models), (1, "label_days", labels)):
        known = list(dict.fromkeys(key[place] for key in scored))
        for one in wanted:
            if one not in known:
                choices = ", ".join(map(str, known))
                raise ConfigError(f"enhancement.{name}.{field}", f"{one!r} has no scores; choose from {choices}")
    for model in models:
        if model not in [key[0] for key in found]:
            said = f"{model!r} has no scores with labels of {', '.join(map(str, labels))} days; leave one out"
            raise ConfigError(f"enhancement.{name}.models", said)
    return found


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
