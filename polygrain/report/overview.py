"""The first screen: is it good, and against what."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from polygrain.report.facts import ReportFacts
from polygrain.report.results import Case, Evaluation
from polygrain.report.rows import Comparison, Row, against_naive, factor_row
from polygrain.report.views import number

LEVEL = 0.05
# Public replications on real A-shares reach .05-.07 and the broker's report .12: more than this is first a leak.
SUSPICIOUS_RANK_IC = 0.15
FEW_PERIODS = 24


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen with the line beneath it."""

    title: str
    title_zh: str
    value: str
    error: str
    line: str
    line_zh: str


@dataclass(frozen=True)
class LabelLine:
    """The headline model at one label: Rank IC and its difference to the naive composite, errors, net excess."""

    label_days: int
    rank_ic: str
    rank_ic_se: str
    vs_naive: str
    vs_naive_se: str
    net: str


@dataclass(frozen=True)
class Overview:
    """The verdict on the headline model and the figures it rests on; `tone` is good, bad or open."""

    tone: str
    verdict: str
    verdict_zh: str
    reason: str
    reason_zh: str
    tiles: tuple[Tile, ...]
    warnings: tuple[str, ...]
    warnings_zh: tuple[str, ...]
    labels: tuple[LabelLine, ...]


def threshold(configurations: int) -> float:
    """How many standard errors a difference must have: two-sided 5%, Bonferroni over the configurations tried."""
    return NormalDist().inv_cdf(1 - LEVEL / 2 / max(configurations, 1))


def _figure(row: Row, key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else None


def _excess(row: Row, leg: str) -> float | None:
    """The top 10%'s excess: annualised, or of the whole span where that is too short."""
    annual = _figure(row, f"top10pct_{leg}")
    return _figure(row, f"top10pct_{leg}_period") if annual is None else annual


def _verdict(comparison: Comparison | None, needed: float, net: float | None) -> tuple[str, str, str]:
    if comparison is None:
        return "open", "There is no naive composite to compare with", "没有可比的朴素合成因子"
    better = comparison.difference > needed * comparison.error
    if better and net is not None and net <= 0:
        return (
            "open",
            "Ranks better than the naive composite, but does not earn its costs",
            "排序优于朴素合成因子，但费后不赚钱",
        )
    if better:
        return "good", "Better than the naive composite", "优于朴素合成因子"
    if comparison.difference < -needed * comparison.error:
        return "bad", "Worse than the naive composite", "劣于朴素合成因子"
    return "open", "Not distinguishable from the naive composite", "与朴素合成因子无显著差别"


def _reason(facts: ReportFacts, case: Case, comparison: Comparison | None, needed: float) -> tuple[str, str]:
    """What the verdict rests on, in English and in Chinese."""
    label, label_zh = "", ""
    if case.label_days:
        label, label_zh = f", {case.label_days}-day label", f"，{case.label_days} 日标签"
    subject = f"{facts.headline}{label}, named before the results were known"
    subject_zh = f"{facts.headline}{label_zh}，在结果出来之前选定"
    if comparison is None:
        return f"{subject}.", f"{subject_zh}。"
    errors = abs(comparison.difference) / comparison.error if comparison.error > 0 else float("inf")
    difference = number(comparison.difference, "difference")
    tried, tried_zh = _tried(facts)
    return (
        f"{subject}: the daily Rank IC differs by {difference} on the same dates, "
        f"{errors:.1f} standard errors. Two-sided 5% needs {needed:.2f} with {tried}.",
        f"{subject_zh}：相同日期上每日 Rank IC 之差为 {difference}，即 {errors:.1f} 倍标准误。"
        f"{tried_zh}，双侧 5% 需要 {needed:.2f} 倍。",
    )


def _tried(facts: ReportFacts) -> tuple[str, str]:
    """How many configurations were tried, and on which dates, in English and in Chinese."""
    searched = sum(tried.scored == "validation" for tried in facts.configurations)
    tested = max(len(facts.configurations) - searched, 1)
    said = f"{tested} configuration{'s' if tested > 1 else ''} tried on these dates"
    said_zh = f"在这些日期上试过 {tested} 个配置"
    if not searched:
        return said, said_zh
    return f"{said} and {searched} more on validation dates alone", f"{said_zh}，另有 {searched} 个只在验证集上试过"


def _rank_ic_tile(title: str, title_zh: str, row: Row) -> Tile:
    icir, win_rate = number(_figure(row, "icir"), "ratio"), number(_figure(row, "win_rate"), "share")
    error = number(_figure(row, "rank_ic_se"), "ic")
    return Tile(
        title,
        title_zh,
        number(_figure(row, "rank_ic"), "ic"),
        f"± {error}",
        f"ICIR {icir} · positive on {win_rate} of dates",
        f"ICIR {icir} · 胜率 {win_rate}",
    )


def _excess_tile(row: Row, naive: Row | None, days: int) -> Tile:
    annual = _figure(row, "top10pct_net") is not None
    gross = number(_excess(row, "gross"), "signed_percent")
    line, line_zh = f"{gross} before costs", f"费前 {gross}"
    if naive is not None:
        net = number(_excess(naive, "net"), "signed_percent")
        line, line_zh = f"{line} · naive {net} after", f"{line_zh} · 朴素合成费后 {net}"
    title = "Top 10% excess a year, after costs" if annual else f"Top 10% excess in {days} days, after costs"
    return Tile(
        title,
        "前 10% 年化超额（费后）" if annual else f"前 10% {days} 日超额（费后，未年化）",
        number(_excess(row, "net"), "signed_percent"),
        "",
        line,
        line_zh,
    )


def _warnings(facts: ReportFacts, row: Row) -> list[tuple[str, str]]:
    """What to be wary of, each in English and in Chinese."""
    said = []
    rank_ic, periods = _figure(row, "rank_ic"), _figure(row, "periods")
    if not facts.simulated and rank_ic is not None and rank_ic > SUSPICIOUS_RANK_IC:
        english = f"A Rank IC above {SUSPICIOUS_RANK_IC} on a real market is first suspected of a leak:"
        chinese = f"真实行情上 Rank IC 高于 {SUSPICIOUS_RANK_IC}，首先应怀疑用到了未来数据："
        said.append((f"{english} run polygrain prove.", f"{chinese}请运行 polygrain prove。"))
    if periods is not None and periods < FEW_PERIODS:
        said.append(
            (
                f"Only {periods:.0f} non-overlapping periods: the errors themselves are uncertain.",
                f"只有 {periods:.0f} 个互不重叠的期数：标准误本身也不可靠。",
            )
        )
    return said


def _labels(evaluation: Evaluation) -> tuple[LabelLine, ...]:
    cases = [evaluation.case(evaluation.facts.headline, label_days) for label_days in evaluation.facts.label_days]
    rows = [factor_row(evaluation, case) for case in cases if evaluation.series(case) is not None]
    return tuple(
        LabelLine(
            int(row["label_days"] or 0),
            number(_figure(row, "rank_ic"), "ic"),
            number(_figure(row, "rank_ic_se"), "ic"),
            number(_figure(row, "vs_naive"), "difference"),
            number(_figure(row, "vs_naive_se"), "ic"),
            number(_excess(row, "net"), "signed_percent"),
        )
        for row in rows
    )


def overview(evaluation: Evaluation) -> Overview | None:
    """The verdict for the headline model at the first label; None where it was not evaluated."""
    facts = evaluation.facts
    case = evaluation.case(facts.headline, facts.label_days[0])
    if evaluation.series(case) is None:
        return None
    row, naive_case = factor_row(evaluation, case), evaluation.naive_case()
    naive = factor_row(evaluation, naive_case) if naive_case and evaluation.series(naive_case) else None
    comparison = against_naive(evaluation, case)
    needed = threshold(len(facts.configurations))
    tiles = [_rank_ic_tile("Rank IC of the model", "模型 Rank IC", row)]
    if naive is not None and comparison is not None:
        tiles.append(_rank_ic_tile("Rank IC of the naive composite", "朴素合成 Rank IC", naive))
        error = f"± {number(comparison.error, 'ic')}"
        line = "paired by date; ± is one standard error"
        line_zh = "按日配对；± 为一倍标准误"
        tiles.append(Tile("Difference", "之差", number(comparison.difference, "difference"), error, line, line_zh))
    navs = evaluation.navs(case, "top10pct")
    if navs is not None:
        tiles.append(_excess_tile(row, naive, len(navs.days) - 1))
    warnings = _warnings(facts, row)
    return Overview(
        *_verdict(comparison, needed, _excess(row, "net")),
        *_reason(facts, case, comparison, needed),
        tuple(tiles),
        tuple(english for english, _ in warnings),
        tuple(chinese for _, chinese in warnings),
        _labels(evaluation),
    )
