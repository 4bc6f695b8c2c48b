"""Sentences on index-enhanced portfolios: a line each for the first screen, and the conventions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from polygrain.evaluation import excess, statistics
from polygrain.execution.exact_book import Ledger
from polygrain.report.answers import named
from polygrain.report.enhancement_models import interval, random_row
from polygrain.report.enhancements import HARD, EnhancedIndex, Enhancements, of
from polygrain.report.facts import ReportFacts
from polygrain.report.limits import grouped, limit_titles
from polygrain.report.views import FILL_TITLES, number
from polygrain.report.words import Text, chinese

# A look ahead that the broker report has: it is printed.
_AHEAD = (" and with what can be traded at the fill, which nobody knows then", "、并假定已知成交时能否交易")
Say = Callable[[Enhancements, EnhancedIndex], Text]


def first_lines(enhancements: Enhancements) -> tuple[Text, ...]:
    """The shown portfolio of each enhancement: excess after costs, tracking error, information ratio."""
    return tuple(_first_line(enhancements, each) for each in enhancements.listed)


def _first_line(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    held = enhancements.held[each.key]
    net, benchmark = held.navs.net, held.navs.benchmark
    name, on = named(each.case), "" if each.index == each.name else f" on {each.index}"
    subject = f"Index enhancement {each.name}{on}, {name.en}: "
    subject_zh = f"指数增强 {each.name}{f'（{each.index}）' if on else ''}，{name.zh or name.en}："
    found, beside = interval(held, each.rebalance), _beside(enhancements, each)
    if found["net"] is None:
        days = len(held.navs.days) - 1
        so_far = number(statistics.period_excess(net, benchmark), "signed_percent")
        return Text(
            f"{subject}{so_far} on the index in {days} days after costs, too few to annualise{beside.en}.",
            f"{subject_zh}{days} 日费后超额 {so_far}，日数不足，不年化{beside.zh}。",
        )
    gain = f"{_number(found['net'], 'signed_percent')} ± {_number(found['net_se'], 'percent')}"
    error = number(excess.tracking_error(net, benchmark), "percent")
    ratio = _number(excess.information_ratio(net, benchmark, whole_year=False), "ratio")
    return Text(
        f"{subject}{gain} a year on the index after costs, tracking error {error}, information ratio {ratio}"
        f"{beside.en}.",
        f"{subject_zh}费后年化超额 {gain}，跟踪误差 {error}，信息比率 {ratio}{beside.zh}。",
    )


def _beside(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """What random scores earn in its place, nothing where there are none."""
    row = random_row(enhancements, each)
    if row is None:
        return Text("")
    leg = "net" if row.get("net") is not None else "net_period"
    error = row.get(f"{leg}_se")
    gain = _number(row[leg], "signed_percent") + ("" if error is None else f" ± {_number(error, 'percent')}")
    who = str(row["model"])
    return Text(f"; {who}: {gain}", f"；{chinese(who)}：{gain}")


def _number(value: object, form: str) -> str:
    return number(value if isinstance(value, float) and value == value else None, form)


def conventions(enhancements: Enhancements) -> tuple[Text, ...]:
    """How index-enhanced portfolios were made and are judged, a sentence a matter: what their tables have in common."""
    return (
        *_trading(enhancements),
        Text(
            "Benchmark: the newest list of the index’s weights dated before the day, drifted since, with dividends "
            "reinvested as the portfolio’s are; an official price index leaves them out and would flatter the excess.",
            "基准：该日之前最新一期指数权重，随行情漂移，与组合一样计入分红再投资；官方价格指数不含分红，会高估超额。",
        ),
        *_alike(enhancements, _weights),
        *_alike(enhancements, _limits),
        *_alike(enhancements, _relaxation),
        _errors(enhancements),
        *_random(enhancements),
    )


def _alike(enhancements: Enhancements, say: Say) -> list[Text]:
    """A sentence on each enhancement behind its name, once for those of which it is the same."""
    names: dict[Text, list[str]] = {}
    for each in enhancements.listed:
        names.setdefault(say(enhancements, each), []).append(each.name)
    return [Text(f"{', '.join(who)}: {said.en}", f"{'、'.join(who)}：{said.zh}") for said, who in names.items()]


def _parts(enhancements: Enhancements, each: EnhancedIndex) -> list[str]:
    """The parts of the constraints that hold in the shown portfolio."""
    parts: list[str] = of(enhancements.prices, each.key)["part"].unique(maintain_order=True).to_list()
    return parts


def _weights(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """What plans make the most of."""
    most, ties, ties_zh = "Σ μw", "; among optima the least bought", "；最优解不唯一时取买入最少者"
    risk = each.objective
    if risk is not None:
        terms = ((risk.risk_aversion, "½ · {} · TE²"), (risk.quadratic_cost, "{} · Σ (w − w⁰)²"))
        most += "".join(f" − {said.format(f'{size:g}')}" for size, said in terms if size)
        limit = risk.tracking_error
        ties = "" if limit is None else f", and a tracking error of at most {limit:.2%} a year before the fact"
        ties_zh = "" if limit is None else f"，且事前年化跟踪误差不超过 {limit:.2%}"
    return Text(
        f"weights w make the most of {most}, μ the date’s score as a z-score, with Σ w = 1 and w ≥ 0{ties}. Only "
        "stocks of U_t are bought.",
        f"权重 w 使 {most} 最大，μ 为当日得分的 z 值，Σ w = 1，w ≥ 0{ties_zh}。只买入 U_t 中的股票。",
    )


def _limits(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    said = limit_titles(each.constraints, _parts(enhancements, each)) or [Text("nothing else", "无其他约束")]
    return Text(
        f"the shown portfolio’s limits are {', '.join(text.en for text in said)}.",
        f"所示组合的约束为{'，'.join(text.zh or text.en for text in said)}。",
    )


def _relaxation(enhancements: Enhancements, each: EnhancedIndex) -> Text:
    """What gives way first; a part's own name in the order counts before its constraint's."""
    level_of = {name: level for level, names in enumerate(each.order) for name in names}
    by_level: dict[int | None, list[str]] = {}
    for part in _parts(enhancements, each):
        if part not in HARD:
            by_level.setdefault(level_of.get(part, level_of.get(part.rpartition(".")[0])), []).append(part)
    firm = grouped(by_level.pop(None, []))
    levels = [grouped(by_level[level]) for level in sorted(by_level, key=lambda level: -1 if level is None else -level)]
    never, never_zh = (f"{firm.en}, ", f"{firm.zh}、") if firm.en else ("", "")
    first = f"by the least they can, first {'; then '.join(text.en for text in levels)}" if levels else "not at all"
    first_zh = f"按最小幅度依次放松{'；'.join(text.zh for text in levels)}" if levels else "概不放松"
    return Text(
        f"constraints that exclude each other give way {first}. {never}Σ w = 1, w ≥ 0 and what cannot be traded never "
        "do.",
        f"约束相互冲突时，{first_zh}；{never_zh}满仓、w ≥ 0 与不可交易者从不放松。",
    )


def _errors(enhancements: Enhancements) -> Text:
    lags = sorted({3 * each.rebalance for each in enhancements.listed})
    days, days_zh = " or ".join(map(str, lags)), "或 ".join(map(str, lags))
    return Text(
        "Excess is after costs where nothing else is said: of a year R_p − R_b, of all days (1 + R_p)^(242/n) − "
        "(1 + R_b)^(242/n), which needs 120 days. Its ± is one Newey-West standard error of the daily excess, lag "
        f"{days}, compounding left aside.",
        "超额除另有说明外均为费后：单年为 R_p − R_b，全区间为 (1 + R_p)^(242/n) − (1 + R_b)^(242/n)，"
        f"不足 120 日不年化。± 为每日超额的一倍 Newey-West 标准误，滞后 {days_zh} 期，不计复利。",
    )


def _random(enhancements: Enhancements) -> list[Text]:
    """What random scores are, where there are any."""
    if not any(each.random_scores for each in enhancements.listed):
        return []
    return [
        Text(
            "Random scores: the shown portfolio with scores drawn at random for the same stocks and dates: what the "
            "index and the constraints earn by themselves, after costs. Their ± is one standard error over the draws, "
            "all of them on the same days: it does not hold the luck of these days.",
            "随机得分：所示组合改用随机抽取的得分，股票与日期不变：即指数与约束本身的费后超额。其 ± 为各次抽取之间的"
            "一倍标准误，均在相同日期上，不含这些日期的偶然。",
        )
    ]


def data_line(facts: ReportFacts) -> Text:
    """Whose data a table is of, with how many flaws."""
    flaws = len(facts.notes)
    market, market_zh = ("SIMULATED market", "模拟行情") if facts.simulated else ("Real market", "真实行情")
    return Text(
        f"{market}; flaws of its data that are known: {flaws or 'none'}.",
        f"{market_zh}；已知的数据缺陷：{flaws or '无'}。",
    )


def _trading(enhancements: Enhancements) -> tuple[Text, ...]:
    """When portfolios are decided on, how they are filled, and what that costs: once for those that do it alike."""

    def rule(each: EnhancedIndex) -> tuple[int, int, str, str, str, str]:
        costs = _costs(each.cost)
        return each.rebalance, each.tracks, each.fill, each.tradability, costs.en, costs.zh

    said = []
    for (rebalance, tracks, fill, tradability, *costs), part in groupby(
        sorted(enhancements.listed, key=rule), key=rule
    ):
        names = [each.name for each in part]
        at, at_zh = FILL_TITLES.get(fill, (fill, fill))
        ahead, ahead_zh = _AHEAD if tradability == "fill" else ("", "")
        started = f" {tracks} start a day apart, each with as much of the capital, and are one." if tracks > 1 else ""
        started_zh = f"{tracks} 个组合逐日先后起始，资金均分，合并为一。" if tracks > 1 else ""
        said += [
            Text(
                f"{', '.join(names)}: decided every {rebalance} trading days at the close of t with what is known "
                f"then{ahead}, filled at {at}: sells first, buys scaled down to the cash there is, the rest stays "
                f"cash.{started}",
                f"{'、'.join(names)}：每 {rebalance} 个交易日在 t 日收盘按当时所知{ahead_zh}决策，按{at_zh}成交："
                f"先卖后买，买入按可用现金缩减，余下为现金。{started_zh}",
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
