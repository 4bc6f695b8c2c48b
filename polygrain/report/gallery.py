"""The report's figures in their order on the page."""

from __future__ import annotations

from collections.abc import Callable

from polygrain.report import bars, by_universe, lines
from polygrain.report.broker import beside
from polygrain.report.deciles import deciles
from polygrain.report.figures import Group
from polygrain.report.origins import origins
from polygrain.report.results import Evaluation

FIGURES: tuple[Callable[[Evaluation], Group], ...] = (
    lines.rank_ic_by_model,
    lines.cumulative_rank_ic,
    lines.cumulative_excess,
    deciles,
    bars.excess_of_singles,
    bars.excess_of_combinations,
    bars.excess_by_year,
    lines.latest_year,
    by_universe.rank_ic_by_universe,
    by_universe.excess_by_universe,
    by_universe.latest_year_by_universe,
    bars.residual_by_year,
    origins,
)


def gallery(evaluation: Evaluation) -> list[Group]:
    """Every group of figures; where the market is real, the broker report's own figures beside them."""
    made = [make(evaluation) for make in FIGURES]
    return made if evaluation.facts.simulated else beside(made, evaluation.facts.models)
