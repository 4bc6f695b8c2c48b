"""Four questions to a factor, each answered in a sentence with its numbers: good, stable, tradable, which model.

An answer is good, bad, or open where the data do not show either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from polygrain.report.candidates import Candidate, Portfolio
from polygrain.report.facts import ReportFacts
from polygrain.report.results import Case, Evaluation
from polygrain.report.rows import Comparison, against
from polygrain.report.views import TWO_SIDED, number
from polygrain.report.words import Text

LEVEL = 0.05
# R88's best models are right in .85 to .88 of its weeks; months are calmer than weeks.
STEADY_MONTHS, FEW_MONTHS = 0.75, 6
WHICH = Text("Which model should I use?", "用哪个模型")
Tone = Literal["good", "open", "bad"]


@dataclass(frozen=True)
class Answer:
    """A question, its short answer and what that rests on."""

    question: Text
    tone: Tone
    short: Text
    because: tuple[Text, ...]


def threshold(trials: int) -> float:
    """How many standard errors a difference must have: two-sided 5%, Bonferroni over what was tried."""
    return NormalDist().inv_cdf(1 - LEVEL / 2 / max(trials, 1))


def errors_of(difference: float, error: float) -> float:
    """How many standard errors a difference is."""
    return difference / error if error > 0 else math.copysign(math.inf, difference)


def named(case: Case) -> Text:
    """A model and the days of its label; an ensemble over labels, and scores from elsewhere, have none."""
    if not case.label_days:
        return Text(case.model)
    return Text(f"{case.model}, {case.label_days} d", f"{case.model}（{case.label_days} 日）")


def good(facts: ReportFacts, headline: Candidate) -> Answer:
    """Whether the model named beforehand ranks better than the naive composite, by more than was tried explains."""
    question = Text("Is it good?", "好不好")
    rank_ic, error = number(headline.rank_ic, "ic"), number(headline.error, "ic")
    above = number(errors_of(headline.rank_ic, headline.error), "tenths")
    subject = named(headline.case)
    icir = "" if headline.icir is None else f" ICIR {number(headline.icir, 'ratio')}."
    level = Text(
        f"{subject.en}, named before the results were known: Rank IC {rank_ic} ± {error}, {above} standard "
        f"errors.{icir}",
        f"{subject.zh or subject.en}，在结果出来之前选定：Rank IC {rank_ic} ± {error}，即 {above} 倍标准误。{icir}",
    )
    if headline.naive is None:
        short = Text("There is no naive composite to compare with", "没有可比的朴素合成因子")
        return Answer(question, "open", short, (level,))
    needed = threshold(len(facts.configurations))
    ratio = errors_of(headline.naive.difference, headline.naive.error)
    difference = number(headline.naive.difference, "difference")
    tried = _tried(facts)
    need = Text(
        f"Naive composite {number(headline.naive.theirs, 'ic')}, same dates; paired difference {difference} ± "
        f"{number(headline.naive.error, 'ic')}. Two-sided 5% needs {needed:.2f} errors: {tried.en}.",
        f"朴素合成因子在相同日期上为 {number(headline.naive.theirs, 'ic')}；配对之差 {difference} ± "
        f"{number(headline.naive.error, 'ic')}。{tried.zh}，双侧 5% 需要 {needed:.2f} 倍标准误。",
    )
    errors = number(abs(ratio), "tenths")
    tone: Tone = "good" if ratio > needed else "bad" if ratio < -needed else "open"
    said = {"good": ("Yes", "好"), "open": ("Not shown", "未能证明"), "bad": ("No", "不好")}[tone]
    short = Text(
        f"{said[0]}: {difference} on the naive composite, {errors} errors",
        f"{said[1]}：与朴素合成因子之差 {difference}，即 {errors} 倍标准误",
    )
    return Answer(question, tone, short, (level, need))


def _tried(facts: ReportFacts) -> Text:
    """How many configurations were tried, and on which dates."""
    searched = sum(tried.scored == "validation" for tried in facts.configurations)
    tested = max(len(facts.configurations) - searched, 1)
    said = f"{tested} configuration{'s' if tested > 1 else ''} tried on these dates"
    said_zh = f"在这些日期上试过 {tested} 个配置"
    if not searched:
        return Text(said, said_zh)
    more = f"{said} and {searched} more on validation dates alone"
    return Text(more, f"{said_zh}，另有 {searched} 个只在验证集上试过")


Steadiness = Literal["steady", "falling", "early", "mixed", "unsteady"]


def steadiness(headline: Candidate) -> Steadiness:
    """What the months and the halves of the dates say of a Rank IC."""
    positive, months = headline.months
    if months < FEW_MONTHS:
        return "early"
    if 2 * positive <= months:
        return "unsteady"
    if headline.change is not None and errors_of(*headline.change) < -TWO_SIDED:
        return "falling"
    return "steady" if positive >= STEADY_MONTHS * months else "mixed"


_STEADINESS: dict[Steadiness, tuple[Tone, str, str]] = {
    "steady": ("good", "Yes:", "稳定："),
    "falling": ("open", "Falling, though", "在走低，但 "),
    "early": ("open", "Too early to say:", "为时尚早："),
    "mixed": ("open", "Not shown:", "未能证明："),
    "unsteady": ("bad", "No:", "不稳定："),
}


def stable(headline: Candidate) -> Answer:
    """Whether the Rank IC is above 0 month after month, holds its level, and depends little on the seed."""
    tone, said, said_zh = _STEADINESS[steadiness(headline)]
    (positive, months), (above, years) = headline.months, headline.years
    of_years, of_years_zh = (f", {above} of {years} years", f"、{years} 年中 {above} 年") if years > 1 else ("", "")
    short = Text(
        f"{said} Rank IC above 0 in {positive} of {months} months{of_years}",
        f"{said_zh}{months} 个月中 {positive} 个月{of_years_zh} Rank IC 大于 0",
    )
    because = (_change(headline.change), _seeds(headline.seed_std), _half_life(headline))
    return Answer(Text("Is it stable?", "稳不稳"), tone, short, _there(because))


def _change(change: tuple[float, float] | None) -> Text:
    if change is None:
        return Text("Too few dates to set its halves against each other.", "日期太少，前后两半无从比较。")
    difference, error = number(change[0], "difference"), number(change[1], "ic")
    falls = errors_of(*change) < -TWO_SIDED
    return Text(
        f"Second half of the dates less the first: {difference} ± {error}{', a fall beyond chance' if falls else ''}.",
        f"后一半日期减前一半：{difference} ± {error}{'，下降超出偶然' if falls else ''}。",
    )


def _seeds(spread: float | None) -> Text:
    if spread is None:
        return Text("One seed: what another would change is not known.", "只有一个种子：换种子会差多少，未知。")
    return Text(f"Std over seeds {number(spread, 'ic')}.", f"种子间标准差 {number(spread, 'ic')}。")


def _half_life(headline: Candidate) -> Text | None:
    if headline.half_life is None or not headline.by_horizon:
        return None
    short, long = min(headline.by_horizon), max(headline.by_horizon)
    over = [number(headline.by_horizon[days], "ic") for days in (short, long)]
    if math.isinf(headline.half_life):
        keeps, keeps_zh = f"more than half of its order after {long} days", f"{long} 日后仍保持一半以上"
    else:
        days = number(headline.half_life, "tenths")
        keeps, keeps_zh = f"half of its order for {days} days", f"{days} 日减半"
    return Text(
        f"Its ranking keeps {keeps}; Rank IC {over[0]} over {short} d, {over[1]} over {long} d.",
        f"排序的自相关 {keeps_zh}；{short} 日 Rank IC {over[0]}，{long} 日 {over[1]}。",
    )


def tradable(facts: ReportFacts, headline: Candidate, naive: Candidate | None) -> Answer:
    """Whether the Top 10% keeps an excess after costs, and what cost would use it up."""
    question, held = Text("Is it tradable?", "能不能交易"), headline.portfolio
    if held is None:
        short = Text("Not shown: it has no portfolio in this run", "未能证明：本次运行没有其组合")
        return Answer(question, "open", short, ())
    ratio = errors_of(held.net, held.error) if math.isfinite(held.error) else 0.0
    tone: Tone = "good" if ratio > TWO_SIDED else "bad" if held.net <= 0 else "open"
    said = {"good": ("Yes", "能"), "open": ("Not shown", "未能证明"), "bad": ("No", "不能")}[tone]
    net = f"{number(held.net, 'signed_percent')} ± {number(held.error, 'percent')}"
    span, span_zh = _span(held)
    short = Text(
        f"{said[0]}: Top 10% {net} {span} after costs",
        f"{said[1]}：前 10% 费后{span_zh}超额 {net}",
    )
    cost, gross = f"{facts.cost:.2%}", number(held.gross, "signed_percent")
    times, a_year = number(held.turnover, "tenths"), " a year" if held.annual else ""
    because = [
        Text(
            f"{gross} before costs of {cost} per round trip; one-sided turnover {times} times{a_year}.",
            f"费前 {gross}，每买卖一次共 {cost}；{'年' if held.annual else '区间'}单边换手 {times} 倍。",
        )
    ]
    if held.break_even is not None:
        even = f"{held.break_even:.2%}".replace("-", "−")
        because.append(Text(f"Costs of {even} would use it up.", f"费用达 {even} 时超额耗尽。"))
    if naive is not None and naive.portfolio is not None:
        theirs = number(naive.portfolio.net, "signed_percent")
        because.append(Text(f"Naive composite {theirs} after costs.", f"朴素合成因子费后 {theirs}。"))
    return Answer(question, tone, short, tuple(because))


def _span(held: Portfolio) -> tuple[str, str]:
    return (
        ("a year", "年化") if held.annual else (f"in {held.days} days, not annualised,", f" {held.days} 日（未年化）")
    )


def which(evaluation: Evaluation, headline: Candidate, ranked: Sequence[Candidate]) -> Answer:
    """Which model to use: the one named beforehand, unless others beat it by more than chance among all of them."""
    facts, count = evaluation.facts, len(ranked)
    needed = threshold(count * max(len(facts.configurations), 1))
    compared = [each for each in ranked if each.naive is not None]
    able = [each for each in compared if each.naive is not None and _beyond(each.naive, needed)]
    if compared and not able:
        return _none(compared, needed)
    pool = able or ranked
    leads = {each.case: against(evaluation, each.case, headline.case) for each in pool}
    beating = [each for each in pool if _beyond(leads[each.case], needed)]
    chosen = beating[0] if beating else headline if headline in pool else pool[0]
    name = named(chosen.case)
    because = [_lead(ranked[0], headline, against(evaluation, ranked[0].case, headline.case), needed)]
    if compared:
        because.append(
            Text(
                f"{len(able)} of {count} beat the naive composite by so many.",
                f"{count} 个模型中有 {len(able)} 个以此倍数超过朴素合成因子。",
            )
        )
    because.append(_cheapest(evaluation, chosen, pool, needed))
    if chosen is headline:
        said = Text(
            f"{name.en}: named beforehand, none of {count} beats it beyond chance",
            f"{name.zh or name.en}：事先选定，{count} 个模型无一显著更好",
        )
        return Answer(WHICH, "good", said, _there(because))
    because.append(Text("Picked on these dates: confirm it on others.", "在这些日期上挑出：请用其他日期验证。"))
    reason = ("beats the one named beforehand", "显著优于事先选定的模型")
    if not beating:
        reason = ("beats the naive composite, the one named beforehand does not", "优于朴素合成因子，事先选定的则未能")
    said = Text(f"{name.en}: {reason[0]}", f"{name.zh or name.en}：{reason[1]}")
    return Answer(WHICH, "open", said, _there(because))


def _there(texts: Sequence[Text | None]) -> tuple[Text, ...]:
    return tuple(text for text in texts if text is not None)


def _beyond(comparison: Comparison | None, needed: float) -> bool:
    return comparison is not None and errors_of(comparison.difference, comparison.error) > needed


def _none(compared: Sequence[Candidate], needed: float) -> Answer:
    """That no model is worth more than the naive composite, and which one comes closest."""
    ratios = [errors_of(each.naive.difference, each.naive.error) for each in compared if each.naive is not None]
    most, name = number(max(ratios), "tenths"), named(compared[ratios.index(max(ratios))].case)
    short = Text(
        f"None: no model beats the naive composite by the {needed:.1f} errors needed among {len(compared)}",
        f"都不用：{len(compared)} 个模型无一超过朴素合成因子所需的 {needed:.1f} 倍标准误",
    )
    closest = Text(
        f"The closest is {name.en}, {most} errors. The composite costs no training: use it.",
        f"最接近的是 {name.zh or name.en}，{most} 倍标准误。朴素合成因子无需训练：用它即可。",
    )
    return Answer(WHICH, "bad", short, (closest,))


def _lead(best: Candidate, headline: Candidate, lead: Comparison | None, needed: float) -> Text | None:
    if lead is None:
        return None
    name = named(best.case)
    ratio, apart = number(errors_of(lead.difference, lead.error), "tenths"), number(lead.difference, "difference")
    return Text(
        f"Highest Rank IC: {name.en}, {number(best.rank_ic, 'ic')}; {apart} ± {number(lead.error, 'ic')} on "
        f"{headline.case.model}, {ratio} errors where {needed:.1f} are needed.",
        f"Rank IC 最高的是 {name.zh or name.en}：{number(best.rank_ic, 'ic')}，比 {headline.case.model} 高 {apart} ± "
        f"{number(lead.error, 'ic')}，即 {ratio} 倍标准误，需要 {needed:.1f} 倍。",
    )


def _cheapest(evaluation: Evaluation, chosen: Candidate, pool: Sequence[Candidate], needed: float) -> Text | None:
    """Which of the models that the chosen one does not beat trades least."""
    peers = [each for each in pool if not _beyond(against(evaluation, chosen.case, each.case), needed)]
    traded = [(each.portfolio.turnover, each) for each in peers if each.portfolio is not None]
    if len(traded) < 2:
        return None
    turnover, least = min(traded, key=lambda pair: pair[0])
    if least is chosen:
        return Text("None as good trades less.", "同样好的模型中，它换手最低。")
    name, times = named(least.case), number(turnover, "tenths")
    return Text(
        f"No worse beyond chance, and traded least: {name.en}, {times} times.",
        f"在与其无显著差别的模型中，{name.zh or name.en} 换手最低：{times} 倍。",
    )
