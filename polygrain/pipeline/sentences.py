"""What a run says beside its numbers, in both languages: how they were made, what the data lacked, the lock box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from polygrain.pipeline.exposing import CONVENTION
from polygrain.pipeline.market import Market
from polygrain.pipeline.training import coarse_to_fine
from polygrain.report.explain import DATES, STOCKS
from polygrain.report.words import Text
from polygrain.store.commit import JSON
from polygrain.training.losses import LossName
from polygrain.universe import MIN_TRADED


def conventions(market: Market) -> list[Text]:
    """How the numbers were computed, a sentence or two per matter."""
    return [
        _bars(market),
        scored(market),
        *_learned(market),
        *judged(market),
        _ensembles(),
        CONVENTION,
        _origins(market),
    ]


def scored(market: Market) -> Text:
    """Who is scored."""
    base, lookback = market.experiment.universe.base, market.experiment.protocol.lookback
    least = min(MIN_TRADED, lookback)
    return Text(
        f"U_t: {base}, traded on t and on at least {least} of the {lookback} look-back days.",
        f"U_t：{base}，t 日有成交，且回看期 {lookback} 日中至少 {least} 日有成交。",
    )


def _learned(market: Market) -> list[Text]:
    """Labels and training."""
    experiment = market.experiment
    protocol, label = experiment.protocol, experiment.label
    shuffled, shuffled_zh = ".", "。"
    if label.shuffle is not None:
        shuffled = f", SHUFFLED within each date by seed {label.shuffle}: a control run."
        shuffled_zh = f"，并以种子 {label.shuffle} 在每日内打乱：对照运行。"
    return [
        Text(
            "M_t: U_t, and can be bought at the fill; it masks loss, label ranks and Rank IC.",
            "M_t：U_t 中成交时买得进的股票；损失、标签排序和 Rank IC 只计这些。",
        ),
        Text(
            f"Labels: return over {' and '.join(map(str, label.days))} trading days from {label.fill}, as "
            f"{label.target}{shuffled}",
            f"标签：自 {label.fill} 起 {'、'.join(map(str, label.days))} 个交易日的收益，按 {label.target} 处理"
            f"{shuffled_zh}",
        ),
        Text(
            f"Training: at most {protocol.train} days, one in {protocol.every} used, validation {protocol.valid} days, "
            f"refitted every {protocol.refit}; loss {_loss(protocol.loss)}; every label ends before the next part "
            "begins.",
            f"训练：至多 {protocol.train} 日，每 {protocol.every} 日取一日，验证 {protocol.valid} 日，"
            f"每 {protocol.refit} 日重训；损失函数 {_loss(protocol.loss)}；每个标签都在下一段开始之前结束。",
        ),
    ]


def judged(market: Market) -> list[Text]:
    """How every score is judged, wherever it is from: statistics and portfolios."""
    cost = f"{market.experiment.evaluation.cost:.2%}"
    return [
        Text(
            "Rank IC: Spearman with average ranks by date over M_t; mean and win rate by track, then the mean over "
            "tracks.",
            "Rank IC：每日在 M_t 上的 Spearman 相关，同值取平均名次；均值和胜率先按轨道计，再对轨道平均。",
        ),
        Text(
            "ICIR: mean / std (ddof 1) × √(260/R), of 120 dates or more. Standard errors: Newey-West, lag 3R.",
            "ICIR：均值 / 样本标准差 × √(260/R)，至少 120 日。标准误：Newey-West，滞后 3R 期。",
        ),
        Text(
            "Portfolios: R staggered tracks, equal weights, blocked names keep their drifted value; benchmark: all of "
            "the universe in equal weights, without costs.",
            "组合：R 条错开的轨道，等权，不能交易的股票保持漂移后的市值；基准：选股范围内全部股票等权，不计费用。",
        ),
        Text(f"Costs: {cost} per round trip, half of it a side.", f"费用：一买一卖共 {cost}，单边各半。"),
        Text(
            "Excess: R_p − R_b unscaled by year or period; annualised: the difference of returns scaled to 242 days, "
            "never below 120 days. Counted from the close before the last track's first fill.",
            "超额：分年度或区间为 R_p − R_b，不缩放；年化：两者各自缩放到 242 日后之差，不足 120 日不年化。"
            "自最后一条轨道首次成交前一日的收盘起算。",
        ),
    ]


def _ensembles() -> Text:
    return Text(
        "Scores: z per date over U_t; ensembles average z-scores.",
        "得分：每日在 U_t 上标准化；集成为标准化得分的平均。",
    )


def _origins(market: Market) -> Text:
    """How the shares of the features are found."""
    seed = market.experiment.protocol.seeds[0]
    return Text(
        "Where the scores come from: integrated gradients from 0, a feature's mean, summed over a day's bars; their "
        f"mean size over {STOCKS} stocks of U_t on each of {DATES} evenly chosen test dates, of the last fold's model "
        f"with seed {seed}; the shares of a model add up to 1.",
        f"得分来源：自 0（特征均值）起的积分梯度，按日内各条 K 线求和；在等距选取的 {DATES} 个测试日、"
        f"每日 U_t 中 {STOCKS} 只股票上取绝对值的平均，用最后一折、种子 {seed} 的模型；一个模型的占比之和为 1。",
    )


def _loss(weights: Mapping[LossName, float]) -> str:
    """mse; or with its weights, 1 mse + 0.5 ic."""
    return " + ".join(f"{weight:g} {name}" if len(weights) > 1 else name for name, weight in weights.items())


def _bars(market: Market) -> Text:
    """What bars are cut from, and which last ones are short."""
    session, segments = market.session, ", ".join(market.session.segments)
    said = f"Bars: cut from the session {segments}; a missing base bar is one without trades."
    said_zh = f"K 线：由交易时段 {segments} 切成；缺失的基础 K 线视为无成交。"
    for granularity in coarse_to_fine(market):
        rest = session.minutes % session.minutes_of(granularity.bar) if granularity.bar != "week" else 0
        if rest:
            said += f" The last {granularity.name} bar of a day has {rest} minutes, what it lacks is without trades."
            said_zh += f"每日最后一条 {granularity.name} K 线只有 {rest} 分钟，其余视为无成交。"
    return Text(said, said_zh)


def gaps(market: Market, lacking: Sequence[str], shown: str, oracle: bool) -> Iterator[Text]:
    """What the data lacks and what that leaves out; `lacking` are features, `shown` is the universe of the tables."""
    experiment = market.experiment
    for name in sorted(market.facts.missing & {"st"}):
        yield Text(f"The data has no {name}.", f"数据中没有 {name}。")
    if lacking:
        yield Text(
            f"Features left out for lack of data: {', '.join(lacking)}.",
            f"因缺少数据而略去的特征：{'、'.join(lacking)}。",
        )
    first = next(iter(experiment.evaluation.universes))
    if shown != first:
        yield Text(
            f"The tables show universe {shown}, because {first} could not be evaluated.",
            f"{first} 无法评价，各表所示为选股范围 {shown}。",
        )
    if experiment.source.simulated and experiment.source.predictable and not oracle:
        yield Text("The simulated market's source gives no oracle.", "模拟行情的数据源没有给出全知者。")
    for name in market.naive.missing:
        yield Text(f"The naive composite lacks {name}.", f"朴素合成因子缺少 {name}。")


def lock(market: Market, trials: Sequence[Mapping[str, JSON]]) -> Text:
    """What became of the days after `lock_after`; `trials` are the configurations tried."""
    lock_after = market.experiment.protocol.lock_after
    if lock_after is None:
        return Text("")
    openings = [str(trial["opened"]) for trial in trials if trial["opened"] is not None]
    by_day = [f"{day} ({count})" if count > 1 else day for day, count in Counter(openings).items()]
    times = f"{len(openings)} time{'' if len(openings) == 1 else 's'}"
    if market.store.until is not None:
        return Text(
            f"The days after {lock_after} are locked: nothing here has seen them. Opened so far: {times}.",
            f"{lock_after} 之后的日期已封存：这里的一切都没有见过它们。至今开启 {len(openings)} 次。",
        )
    return Text(
        f"The days after {lock_after} were locked while this was developed, and then seen. The lock box of this data "
        f"was opened {times}: {', '.join(by_day)}.",
        f"{lock_after} 之后的日期在研发期间封存，之后才启用。该数据的封存共开启 {len(openings)} 次："
        f"{'、'.join(by_day)}。",
    )
