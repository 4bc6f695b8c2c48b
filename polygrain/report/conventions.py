"""How the figures were made, in one sentence per matter: printed under every table, in both languages."""

from __future__ import annotations

from polygrain.report.facts import ReportFacts
from polygrain.report.results import Case
from polygrain.report.views import FILL_TITLES


def conventions_line(facts: ReportFacts, first: str, last: str, dates: int) -> str:
    """The conventions of every table; `dates` score dates lie between `first` and `last`."""
    fill = FILL_TITLES.get(facts.fill, (facts.fill, ""))[0]
    seeds = len(facts.seeds)
    averaged = f", {seeds} seed{'s' if seeds > 1 else ''}" if seeds else ""
    several = " Std over seeds: of each seed's own Rank IC, ddof 1." if seeds > 1 else ""
    oracle = " SIMULATED: the oracle knows the hidden states; a share is of its Rank IC on the same dates."
    return (
        f"{first} to {last}, {dates} score dates. Universe {facts.universe}; rebalanced every {facts.rebalance} days "
        f"at {fill}, mean of {facts.rebalance} tracks started one day apart{averaged}. "
        f"Rank IC over the stocks that can be bought at the fill; ± is one Newey-West standard error, "
        f"lag {3 * facts.rebalance}; ICIR = mean / std × √(260/{facts.rebalance}). Excess over all of the universe at "
        f"equal weights, same fills, without costs; net of {facts.cost:.2%} per round trip; a year has 242 days and "
        f"nothing below 120 days is annualised; ± of an excess is that of its daily values before costs, compounding "
        f"left aside.{several}{oracle if facts.oracle else ''}"
    )


def conventions_line_zh(facts: ReportFacts, first: str, last: str, dates: int) -> str:
    """The same in Chinese."""
    fill = FILL_TITLES.get(facts.fill, ("", facts.fill))[1]
    seeds = len(facts.seeds)
    averaged = f"，{seeds} 个随机种子" if seeds else ""
    several = "种子间标准差：各种子自身 Rank IC 的样本标准差（自由度 n − 1）。" if seeds > 1 else ""
    oracle = (
        "模拟行情：全知者知道隐藏状态；占比为模型 Rank IC 与其在相同日期上的 Rank IC 之比。" if facts.oracle else ""
    )
    return (
        f"{first} 至 {last}，共 {dates} 个打分日。选股范围 {facts.universe}；每 {facts.rebalance} 日按{fill}调仓，"
        f"{facts.rebalance} 条相差一日的轨道取平均{averaged}。Rank IC 只计成交时买得进的股票；"
        f"± 为一倍 Newey-West 标准误，滞后 {3 * facts.rebalance} 期；ICIR = 均值 / 标准差 × √(260/{facts.rebalance})。"
        f"超额相对于选股范围内全部股票的等权组合，成交价相同，基准不计费用；费后按一买一卖共 {facts.cost:.2%} 扣除；"
        f"一年计 242 日，不足 120 日不年化；超额的 ± 由费前每日超额估计，不计复利。{several}{oracle}"
    )


def pairs_line(case: Case, first: str, last: str, threshold: float, rows: int, mark: str) -> str:
    """The conventions of a table of two runs; a difference of more than `threshold` errors looks like `mark`."""
    fill = FILL_TITLES.get(case.fill, (case.fill, ""))[0]
    return (
        f"{first} to {last}. Universe {case.universe}; rebalanced every {case.rebalance} days at {fill}. A row "
        f"holds the score dates, and the span of closes, that both runs have. Rank IC: mean over those dates; ± of a "
        f"difference is one Newey-West standard error of the daily differences, lag {3 * case.rebalance}; {mark}: "
        f"beyond {threshold:.2f} errors, 5% over all {rows} rows (Bonferroni). Excess: of "
        f"the whole common span, not annualised, over each run’s own benchmark and net of its own costs; its ± is that "
        f"of daily differences, compounding left aside. Std over seeds: on each run’s own dates; no ± holds the luck "
        f"of a seed."
    )


def pairs_line_zh(case: Case, first: str, last: str, threshold: float, rows: int) -> str:
    """The same in Chinese: as the page shows it, in bold."""
    fill = FILL_TITLES.get(case.fill, ("", case.fill))[1]
    return (
        f"{first} 至 {last}。选股范围 {case.universe}；每 {case.rebalance} 日按{fill}调仓。每行只计两次运行共有的打分日"
        f"和收盘区间。Rank IC 为这些日期的均值；差值的 ± 为每日之差的一倍 Newey-West 标准误，滞后 {3 * case.rebalance} "
        f"期；粗体：超过 {threshold:.2f} 倍标准误，即全部 {rows} 行合计 5%（Bonferroni）。超额为整个共同区间的超额，"
        f"未年化，各自相对于该次运行的基准、扣除该次运行的费用；其 ± 由每日之差估计，不计复利。种子间标准差：在各次运行"
        f"自身的日期上；任何 ± 都不含种子的偶然。"
    )
