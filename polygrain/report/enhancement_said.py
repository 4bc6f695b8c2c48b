"""Sentences on index-enhanced portfolios: a line each for the first screen, and the conventions."""

from __future__ import annotations

from itertools import groupby

from polygrain.evaluation import excess, statistics
from polygrain.execution.exact_book import Ledger
from polygrain.portfolio.infeasible import ORDER
from polygrain.report.answers import named
from polygrain.report.enhancement_tables import interval
from polygrain.report.enhancements import EnhancedIndex, Enhancements
from polygrain.report.titles import part_title
from polygrain.report.views import FILL_TITLES, number
from polygrain.report.words import Text


def first_lines(enhancements: Enhancements) -> tuple[Text, ...]:
    """The shown portfolio of each enhancement: excess after costs, tracking error, information ratio."""
    return tuple(_first_line(enhancements, each) for each in enhancements.listed)


def _first_line(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    held = enhancements.held[each.key]
    net, benchmark = held.navs.net, held.navs.benchmark
    name, on = named(each.case), "" if each.index == each.name else f" on {each.index}"
    subject = f"Index enhancement {each.name}{on}, {name.en}: "
    subject_zh = f"指数增强 {each.name}{f'（{each.index}）' if on else ''}，{name.zh or name.en}："
    found = interval(held, each.rebalance)
    if found["net"] is None:
        days = len(held.navs.days) - 1
        so_far = number(statistics.period_excess(net, benchmark), "signed_percent")
        return Text(
            f"{subject}{so_far} on the index in {days} days after costs, too few to annualise.",
            f"{subject_zh}{days} 日费后超额 {so_far}，日数不足，不年化。",
        )
    gain = f"{_number(found['net'], 'signed_percent')} ± {_number(found['net_se'], 'percent')}"
    error = number(excess.tracking_error(net, benchmark), "percent")
    ratio = _number(excess.information_ratio(net, benchmark, whole_year=False), "ratio")
    return Text(
        f"{subject}{gain} a year on the index after costs, tracking error {error}, information ratio {ratio}.",
        f"{subject_zh}费后年化超额 {gain}，跟踪误差 {error}，信息比率 {ratio}。",
    )


def _number(value: object, form: str) -> str:
    return number(value if isinstance(value, float) and value == value else None, form)


def conventions(enhancements: Enhancements) -> tuple[Text, ...]:
    """How index-enhanced portfolios were made and are judged, a sentence a matter."""
    parts = [part_title(part) for part in enhancements.prices["part"].unique(maintain_order=True)]
    lags = sorted({3 * each.rebalance for each in enhancements.listed})
    days, days_zh = " or ".join(map(str, lags)), "或 ".join(map(str, lags))
    return (
        *_trading(enhancements),
        Text(
            "Benchmark: the newest list of the index’s weights dated before the day, drifted since, with dividends "
            "reinvested as the portfolio’s are; an official price index leaves them out and would flatter the excess.",
            "基准：该日之前最新一期指数权重，随行情漂移，与组合一样计入分红再投资；官方价格指数不含分红，会高估超额。",
        ),
        Text(
            "Weights w: Σ μw at its most, μ the date’s score as a z-score, subject to "
            f"{', '.join(part.en for part in parts)}; among optima the least bought.",
            f"权重 w：使 Σ μw 最大，μ 为当日得分的 z 值，约束为{'、'.join(part.zh or part.en for part in parts)}；"
            "最优解不唯一时取买入最少者。",
        ),
        _relaxation(),
        Text(
            "Excess, tracking error, drawdown and months won are after costs, the last two of the portfolio’s NAV over "
            "the index’s. Of a year the excess is R_p − R_b; of all days (1 + R_p)^(242/n) − (1 + R_b)^(242/n), which "
            f"needs 120 days. ± is one Newey-West standard error of daily excess, lag {days}, compounding left aside; "
            f"the 95% interval is by circular block bootstrap, blocks of {days} days.",
            "超额、跟踪误差、回撤和月胜率均为费后，后两者按组合净值 / 指数净值计。单年超额为 R_p − R_b；全区间为 "
            "(1 + R_p)^(242/n) − (1 + R_b)^(242/n)，不足 120 日不年化。"
            f"± 为每日超额的一倍 Newey-West 标准误，滞后 {days_zh} 期，不计复利；95% 区间用循环分块自助法，"
            f"块长 {days_zh} 日。",
        ),
        Text(
            "Attribution adds up daily contributions, times 242/n: together they are the sum of daily r_p − r_b, not "
            "the compounded excess. Trading: fills instead of closes.",
            "归因为每日贡献之和乘 242/n：合计为每日 r_p − r_b 之和，而非复利超额。成交：按成交价而非收盘价成交的影响。",
        ),
    )


def _trading(enhancements: Enhancements) -> tuple[Text, ...]:
    """When portfolios are decided on, how they are filled, and what that costs: once for those that do it alike."""

    def rule(each: EnhancedIndex) -> tuple[int, str, str, str]:
        costs = _costs(each.cost)
        return each.rebalance, each.fill, costs.en, costs.zh

    said = []
    for (rebalance, fill, *costs), part in groupby(sorted(enhancements.listed, key=rule), key=rule):
        names = [each.name for each in part]
        at, at_zh = FILL_TITLES.get(fill, (fill, fill))
        said += [
            Text(
                f"{', '.join(names)}: decided every {rebalance} trading days at the close of t with what is known "
                f"then, filled at {at}: sells first, buys scaled down to the cash there is, the rest stays cash.",
                f"{'、'.join(names)}：每 {rebalance} 个交易日在 t 日收盘按当时所知决策，按{at_zh}成交：先卖后买，"
                "买入按可用现金缩减，余下为现金。",
            ),
            Text(*costs),
        ]
    return tuple(said)


def _costs(cost: float | Ledger) -> Text:
    if isinstance(cost, Ledger):
        return Text(
            f"Costs: each day's stamp duty and transfer fee and a commission of {cost.commission:.3%} with its least "
            f"an order; whole shares in legal lots and whole fen, from {cost.capital:,.0f} yuan.",
            f"费用：按当日费率计印花税、过户费，佣金 {cost.commission:.3%}（设每笔最低）；按整股、合法手数成交，"
            f"现金精确到分，初始资金 {cost.capital:,.0f} 元。",
        )
    return Text(
        f"Costs: {cost:.2%} per round trip, half of it on every yuan bought or sold.",
        f"费用：一买一卖共 {cost:.2%}，买卖各半。",
    )


def _relaxation() -> Text:
    levels = [[part_title(part) for part in level] for level in reversed(ORDER)]
    said = "; ".join(" and ".join(part.en for part in level) for level in levels)
    said_zh = "；".join("与".join(part.zh for part in level) for level in levels)
    return Text(
        f"Where constraints exclude each other, they give way by the least they can, if the config sets no other "
        f"order: first {said}. Budget, w ≥ 0 and what cannot be traded never do.",
        f"约束相互冲突时，按最小幅度放松，若配置未另定顺序，先后为：{said_zh}。满仓、w ≥ 0 与不可交易者从不放松。",
    )
