"""What stands under each table of index-enhanced portfolios: its own conventions, its index and dates.

What is common to all of them is `enhancement_said.conventions`.
"""

from __future__ import annotations

from polygrain.report.enhancements import EnhancedIndex, Enhancements
from polygrain.report.rows import Row
from polygrain.report.views import number
from polygrain.report.words import Text


def _with_dates(enhancements: Enhancements, each: EnhancedIndex, *said: Text) -> Text:
    days = enhancements.held[each.key].navs.days
    en, zh = " ".join(text.en for text in said), "".join(text.zh for text in said)
    return Text(
        f"{en} Index {each.index}; {days[0]} to {days[-1]}, {len(days)} closes.",
        f"{zh}指数 {each.index}；{days[0]} 至 {days[-1]}，共 {len(days)} 个收盘。",
    )


def grid(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """Of tables 8, 9, 11 and 12."""
    said = Text(
        "Excess after costs ± its error: a year’s over all days, and of the latest year as it is. Portfolios have the "
        "limits of the shown one but for what their column names.",
        "费后超额 ± 标准误：全区间为年化，最近一年为实际值。除列标题所列外，各组合与所示组合约束相同。",
    )
    return _with_dates(enhancements, each, said)


def by_year(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """Of tables 10 and 13."""
    said = Text(
        "Each year as it is, all days a year’s. Drawdown and months won are of the portfolio’s NAV over the index’s, "
        "after costs; IR is the excess over the tracking error, of part of a year annualised.",
        "各年为实际值，全区间为年化。最大回撤和月胜率按费后组合净值 / 指数净值计；信息比率 = 超额 / 跟踪误差，"
        "非整年用年化超额。",
    )
    return _with_dates(enhancements, each, said)


def figures(enhancements: Enhancements, each: EnhancedIndex, random: Row | None) -> Text:
    """Of the table of every model; `random` is the row of random scores."""
    days = 3 * each.rebalance
    said = Text(
        f"The 95% interval is by circular block bootstrap of the daily excess, blocks of {days} days. Turnover: "
        "Σ|Δw| / 2. Cash: mean over closes; names and index with data: over decisions.",
        f"95% 区间：对每日超额作循环分块自助法，块长 {days} 日。换手：Σ|Δw| / 2。现金为各收盘均值；"
        "只数与指数有数据权重为各决策日均值。",
    )
    more = [] if random is None else [_of_random(random)]
    if each.tracks > 1:
        more.append(
            Text(
                f"By first day: standard deviation over the {each.tracks} portfolios that start a day apart.",
                f"起始日差异：逐日先后起始的 {each.tracks} 个组合之间的标准差。",
            )
        )
    return _with_dates(enhancements, each, said, *more)


def _of_random(row: Row) -> Text:
    """What the row of random scores holds, and by how much one of them differs."""
    found = row.get("net_std", row.get("net_period_std"))
    deviation = f"{found:.1%}" if isinstance(found, float) else None
    return Text(
        "Random scores: means ± one standard error over them"
        + (f"; one’s excess has a standard deviation of {deviation}." if deviation else "."),
        f"随机得分：各组均值 ± 一倍标准误{f'，单组超额的标准差为 {deviation}' if deviation else ''}。",
    )


def attribution(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """Of the attribution."""
    said = Text(
        "Daily contributions added up, times 242/n: together they are the sum of daily r_p − r_b, not the compounded "
        "excess. Trading: fills instead of closes.",
        "每日贡献之和乘 242/n：合计为每日 r_p − r_b 之和，而非复利超额。成交：按成交价而非收盘价成交的影响。",
    )
    return _with_dates(enhancements, each, said)


def contributions(enhancements: Enhancements, each: EnhancedIndex, names: int, shown: int) -> Text:
    """Of the stocks that added and took most: `shown` of `names`."""
    said = Text(
        f"Σ (w − b) r over all days, w and b at the close before; not annualised. The {shown} largest of {names} "
        "stocks, either way; all together are the industries, styles, selection and cash of the attribution, without "
        "trading and costs.",
        f"全部交易日 Σ (w − b) r，w、b 取前一收盘；未年化。{names} 只股票中绝对值最大的 {shown} 只；全部之和为归因中的"
        "行业、风格、选股与现金，不含成交与费用。",
    )
    return _with_dates(enhancements, each, said)


def exposures(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """Of the targets against the index."""
    said = Text(
        "Of the targets at decisions, before fills: Σ xw, x a style’s exposure in standard deviations, or a sum of "
        "weights. Contributions are the attribution’s, of what was held.",
        "各决策日的目标权重，成交之前：Σ xw，x 为以标准差计的风格暴露，或权重之和。贡献取自归因，按实际持仓计。",
    )
    return _with_dates(enhancements, each, said)


def infeasible(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """Of the dates without a solution."""
    said = Text(
        "A row is a set of constraints that exclude each other, none of which can be spared, and one that gave way. "
        "Its amount is the sum over its rows and bounds on a date, in their own unit.",
        "每行为一组互不相容、缺一不可的约束，及其中放松者；放松量为当日该约束各行与界之和，以其自身单位计。",
    )
    return _with_dates(enhancements, each, said)


def certificates(enhancements: Enhancements) -> Text:
    """Of the worst residuals and gaps."""
    days = [day for held in enhancements.held.values() for day in held.navs.days]
    limit, inner = number(1e-7, "residual"), number(1e-6, "residual")
    risky = any(each.objective is not None for each in enhancements.listed)
    within, within_zh = (f" ({inner} where risk is weighed)", f"（计入风险时为 {inner}）") if risky else ("", "")
    return Text(
        f"Computed from each program without its solver: residuals at most {limit}{within}, and the gap to the bound "
        f"that the prices prove no more of the objective, or of 1. All indices; {min(days)} to {max(days)}.",
        f"不借助求解器、由每个规划本身计算：残差不超过 {limit}{within_zh}，与影子价格所证上界的间隙相对目标值（或 1）"
        f"亦不超过此数。全部指数；{min(days)} 至 {max(days)}。",
    )
