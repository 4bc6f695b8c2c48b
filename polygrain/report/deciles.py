"""The figure of the ten deciles: whether a better score means a better return, all the way down."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from urllib.parse import quote

from polygrain.report.bars import Bars, bar_figure, bars_of, excess_title, is_annual, whole_span
from polygrain.report.facts import ModelFacts
from polygrain.report.figures import LEG_TITLES, Figure, Group, case_of, label, looks
from polygrain.report.results import TENTHS, Evaluation
from polygrain.report.tables import JUDGED, in_order
from polygrain.report.words import Text


def deciles(evaluation: Evaluation) -> Group:
    """Excess of each tenth of the universe by score, the first holding the best: a figure per label, model and leg."""
    figures = tuple(_figures(evaluation))
    title = Text("Excess by decile of the score, the first is the best", "按得分分十组的超额，第一组得分最高")
    lacks = None if figures else Text("This run has no portfolios by decile.", "本次运行没有十分组组合。")
    note = Text(
        "Ten portfolios in equal weights, the universe’s tenths by score, each against all of the universe. Names that "
        "cannot be bought are not passed over, so the first is not the Top 10% portfolio.",
        "按得分把选股范围等分为十组，各组等权，均相对于整个选股范围。买不进的股票不顺延，故第一组不等于前 10% 组合。",
    )
    return Group("deciles", title, figures, lacks, note if figures else None)


def _figures(evaluation: Evaluation) -> Iterator[Figure]:
    annual, facts = is_annual(evaluation), evaluation.facts
    drawn = looks(facts.models)
    naive = in_order(facts.models, ("naive",))
    # The headline's is shown first.
    models = sorted(in_order(facts.models, JUDGED), key=lambda model: model.name != facts.headline)
    for label_days, model, leg in product(facts.label_days, models, LEG_TITLES):
        pairs = [(each, _bars(evaluation, each, label_days, leg, annual)) for each in (model, *naive)]
        if pairs[0][1].names:
            traces = [bars_of(drawn, each, bars) for each, bars in pairs if bars.names]
            choice = (label(label_days), model.name, LEG_TITLES[leg])
            # Quoted: the name is part of a file's.
            name = f"deciles_{quote(model.name, safe='')}_{leg}_{label_days}d"
            yield Figure(name, choice, bar_figure(excess_title(annual), traces))


def _bars(evaluation: Evaluation, model: ModelFacts, label_days: int, leg: str, annual: bool) -> Bars:
    case = case_of(evaluation, model, label_days)
    navs = [evaluation.navs(case, tenth) for tenth in TENTHS]
    found = {
        str(number): whole_span(each, leg, case.rebalance, annual)
        for number, each in enumerate(navs, start=1)
        if each is not None
    }
    return Bars(list(found), [excess for excess, _ in found.values()], [error for _, error in found.values()])
