"""The first screen: is it good, stable and tradable, which model to use, and the models beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from polygrain.report.answers import (
    Answer,
    Steadiness,
    Tone,
    errors_of,
    good,
    named,
    stable,
    steadiness,
    threshold,
    tradable,
    which,
)
from polygrain.report.candidates import Candidate, Portfolio, candidate, candidates
from polygrain.report.facts import ReportFacts
from polygrain.report.figures import NAIVE_HUE, looks
from polygrain.report.results import Evaluation
from polygrain.report.still import Scale, interval
from polygrain.report.views import number
from polygrain.report.words import Text

# Public replications on real A-shares reach .05-.07 and the broker's report .12: more than this is first a leak.
SUSPICIOUS_RANK_IC = 0.15
FEW_PERIODS = 24
# Models beside the naive composite: what a screen of 900 pixels holds.
MOST_LINES = 9
_STRIP = 150


@dataclass(frozen=True)
class Line:
    """A model on the first screen; `role` is headline, naive or "", `strip` its Rank IC ± 2 errors drawn to scale,
    `seeds` what seeds differ by, "" with one.

    A difference from the naive composite is `strong` beyond what chance explains among all models.
    """

    name: Text
    role: str
    strip: Markup
    rank_ic: str
    error: str
    seeds: str
    difference: str
    difference_error: str
    strong: bool
    months: str
    half_life: str
    turnover: str
    net: str
    break_even: str


@dataclass(frozen=True)
class Overview:
    """The verdict on the headline model, the answers that it rests on, and the models beside each other.

    `headings` are those of the models' figures; `more` counts the models that are left to the tables.
    """

    tone: Tone
    verdict: Text
    warnings: tuple[Text, ...]
    answers: tuple[Answer, ...]
    headings: tuple[Text, ...]
    lines: tuple[Line, ...]
    more: int


def _verdict(better: Tone, steady: Steadiness, pays: Tone, compared: bool) -> tuple[Tone, Text]:
    """One sentence over the three answers; what does not rank better needs no more words."""
    if not compared:
        return "open", Text("There is no naive composite to compare with", "没有可比的朴素合成因子")
    if better == "bad":
        return "bad", Text("Worse than the naive composite", "劣于朴素合成因子")
    if better == "open":
        return "open", Text("Not distinguishable from the naive composite", "与朴素合成因子无显著差别")
    holds = {
        "steady": ("steady", "稳定"),
        "falling": ("falling over its dates", "区间内走低"),
        "early": ("too early to call steady", "稳定与否为时尚早"),
        "mixed": ("not shown to be steady", "是否稳定未能证明"),
        "unsteady": ("unsteady", "不稳定"),
    }[steady]
    earns = {
        "good": (" and earns its costs", "，费后有超额"),
        "open": (", not shown to earn its costs", "，费后超额未能证明"),
        "bad": (" but does not earn its costs", "，但费后不赚钱"),
    }[pays]
    whole: Tone = "good" if (steady, pays) == ("steady", "good") else "open"
    return whole, Text(
        f"Better than the naive composite{earns[0]}; {holds[0]}", f"优于朴素合成因子{earns[1]}；{holds[1]}"
    )


def _warnings(facts: ReportFacts, headline: Candidate, best: Candidate) -> tuple[Text, ...]:
    """What to be wary of."""
    said = []
    if not facts.simulated and best.rank_ic > SUSPICIOUS_RANK_IC:
        said.append(
            Text(
                f"A Rank IC above {SUSPICIOUS_RANK_IC} on a real market is first suspected of a leak: run polygrain "
                "prove.",
                f"真实行情上 Rank IC 高于 {SUSPICIOUS_RANK_IC}，首先应怀疑用到了未来数据：请运行 polygrain prove。",
            )
        )
    if headline.periods < FEW_PERIODS:
        said.append(
            Text(
                f"Only {headline.periods:.0f} non-overlapping periods: the errors themselves are uncertain.",
                f"只有 {headline.periods:.0f} 个互不重叠的期数：标准误本身也不可靠。",
            )
        )
    return tuple(said)


def _lines(
    evaluation: Evaluation, headline: Candidate, naive: Candidate | None, ranked: Sequence[Candidate]
) -> tuple[tuple[Line, ...], int]:
    """The highest Rank ICs, the headline among them, and the naive composite last; how many are left out."""
    kept = [each for place, each in enumerate(ranked) if place < MOST_LINES or each is headline]
    kept = kept if len(kept) <= MOST_LINES else [*kept[: MOST_LINES - 1], kept[-1]]
    shown = [*kept, *([naive] if naive else [])]
    needed = threshold(len(ranked) * max(len(evaluation.facts.configurations), 1))
    ends = [each.rank_ic + sign * 2 * each.error for each in shown for sign in (-1, 1)]
    scale = Scale(min(0.0, *ends), max(0.0, *ends), 6, _STRIP - 6)
    hues = looks(evaluation.facts.models).hues
    lines = []
    for each in shown:
        role = "naive" if each is naive else "headline" if each is headline else ""
        hue = NAIVE_HUE if each is naive else hues[each.case.model]
        strip = interval(scale, each.rank_ic, 2 * each.error, hue, naive.rank_ic if naive else None)
        lines.append(_line(each, role, strip, needed))
    return tuple(lines), len(ranked) - len(kept)


def _line(each: Candidate, role: str, strip: Markup, needed: float) -> Line:
    held, paired = each.portfolio, each.naive
    life = each.half_life
    return Line(
        named(each.case),
        role,
        strip,
        number(each.rank_ic, "ic"),
        f"± {number(each.error, 'ic')}",
        "" if each.seed_std is None else number(each.seed_std, "ic"),
        number(paired.difference if paired else None, "difference"),
        f"± {number(paired.error, 'ic')}" if paired else "",
        paired is not None and abs(errors_of(paired.difference, paired.error)) > needed,
        f"{each.months[0]} / {each.months[1]}",
        "–" if life is None else f"> {max(each.by_horizon)}" if math.isinf(life) else number(life, "tenths"),
        number(held.turnover if held else None, "tenths"),
        number(held.net if held else None, "signed_percent"),
        "–" if held is None or held.break_even is None else f"{held.break_even:.2%}".replace("-", "−"),
    )


def _headings(held: Portfolio | None) -> tuple[Text, ...]:
    """Excess and turnover of less than 120 days are those of the days alone."""
    annual = held is None or held.annual
    days = 0 if held is None else held.days
    return (
        Text("Rank IC"),
        Text("against naive", "与朴素合成之差"),
        Text("months above 0", "大于 0 的月份"),
        Text("half-life, days", "排序半衰期（日）"),
        Text("turnover a year", "年换手") if annual else Text(f"turnover in {days} days", f"{days} 日换手"),
        Text("Top 10% a year, net", "前 10% 年化费后")
        if annual
        else Text(f"Top 10% in {days} days, net", f"前 10% {days} 日费后"),
        Text("break-even cost", "盈亏平衡费用"),
    )


def overview(evaluation: Evaluation) -> Overview | None:
    """The first screen for the headline model at the first label; None where it was not evaluated there."""
    facts = evaluation.facts
    ranked = candidates(evaluation)
    case = evaluation.case(facts.headline, facts.label_days[0])
    headline = next((each for each in ranked if each.case == case), None)
    if headline is None:
        return None
    naive_case = evaluation.naive_case()
    naive = None if naive_case is None else candidate(evaluation, naive_case)
    better, steady, pays = good(facts, headline), stable(headline), tradable(facts, headline, naive)
    tone, verdict = _verdict(better.tone, steadiness(headline), pays.tone, headline.naive is not None)
    lines, more = _lines(evaluation, headline, naive, ranked)
    return Overview(
        tone,
        verdict,
        _warnings(facts, headline, ranked[0]),
        (better, steady, pays, which(evaluation, headline, ranked)),
        _headings(headline.portfolio),
        lines,
        more,
    )
