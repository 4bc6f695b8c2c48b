"""Texts in two languages, and the Chinese of words that the page and its figures share.

What a run's config says stays as it was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from polygrain.report.notes import NOTES


@dataclass(frozen=True)
class Text:
    """A text in English and in Chinese; where `zh` is "" the English stands for both."""

    en: str
    zh: str = ""


_WORDS = {
    "Top 10%": "前 10%",
    "Top 100": "前 100 只",
    "after costs": "费后",
    "before costs": "费前",
    "mean Rank IC ± 2 SE": "平均 Rank IC ± 2 倍标准误",
    "mean Rank IC ± SE": "平均 Rank IC ± 标准误",
    "mean Rank IC": "平均 Rank IC",
    "cumulative Rank IC": "累计 Rank IC",
    "cumulative difference of Rank IC": "累计 Rank IC 之差",
    "cumulative excess": "累计超额",
    "NAV over benchmark NAV": "组合净值 / 基准净值",
    "excess ± SE": "超额 ± 标准误",
    "excess a year ± SE": "年化超额 ± 标准误",
    "excess, whole span ± SE": "区间超额 ± 标准误",
    "excess": "超额",
    "excess a year": "年化超额",
    "a year": "年化",
    "trading days after 2022-12-30": "2022-12-30 后第几个交易日",
    "active styles": "风格偏离",
    "active industry weights": "行业权重偏离",
    "exposure less the index’s": "暴露减指数",
    "weight less the index’s": "权重减指数",
    "shadow price": "影子价格",
    "score gained a unit of room": "每放宽一单位的得分增量",
    "rows and weights at a limit": "触限的行与权重数",
    "no suffix": "无后缀",
    "days back": "往前第几日",
    "weeks back": "往前第几周",
    "all days": "各日合计",
    "all weeks": "各周合计",
    "single model": "单一颗粒度",
    "mixed model": "混合输入",
    "residual model": "残差学习",
    "ensemble model": "集成",
    "naive model": "朴素合成",
    "oracle model": "全知者",
    "Source": "数据源",
    "Session": "交易时段",
    "Span": "区间",
    "Days": "交易日",
    "Days with bars": "有分钟线的交易日",
    "Bars": "K 线数",
    "Stock days": "股票日数",
    "Bar days": "有分钟线的交易日数",
    "Stocks": "股票",
    "Symbols": "证券数",
    "Mean stocks in U_t": "选股范围平均股票数",
    "Amount": "成交额",
    "Look-back": "回看期",
    "Scores": "得分",
    "Share of U_t with a score": "选股范围内有得分的比例",
    "Granularities": "颗粒度",
    "Plug-in": "插件",
    "Stock days only in bars": "仅分钟线有的股票日",
    "Stock days only in daily": "仅日线有的股票日",
    "Market": "市场",
    "real": "真实行情",
    "simulated": "模拟行情",
    "Score dates": "打分日",
    "Its report shows": "其报告所示",
    "ingest": "导入",
    "features": "特征",
    "train": "训练",
    "score": "打分",
    "evaluate": "评价",
    "enhance": "指数增强",
    "explain": "归因",
}
# What a pattern's groups hold is given in Chinese where there is any: parts of a sentence stand here too.
_PATTERNS = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"(\d+)-day label", "{} 日标签"),
        (r"(\d+)-day label, (.+) less (.+)", "{} 日标签，{} 减 {}"),
        (r"(\d+), (\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d)", "{} 个，{} 至 {}"),
        (r"rebalanced every (\d+) days at (\S+), universe (.+)", "每 {} 日按 {} 调仓，选股范围 {}"),
        (r"Features at (.+)", "{} 的特征"),
        (r"(\w+), base bar (\w+)", "{}，基础 K 线 {}"),
        (r"(\d\d:.+): (\d+) minutes", "{}，共 {} 分钟"),
        (r"(\d+) trading days", "{} 个交易日"),
        (r"(\d+) random scores?", "{} 组随机得分"),
        *NOTES,
    )
]
_NUMBERED = re.compile(r"(Table|Figure) (\d+) · ")


def chinese(text: str) -> str:
    """The Chinese of a fixed word, phrase or note, "" where there is none."""
    for pattern, words in _PATTERNS:
        if found := pattern.fullmatch(text):
            return words.format(*(chinese(part) or part for part in found.groups()))
    return _WORDS.get(text, "")


def numbered(title: str, title_zh: str) -> str:
    """The Chinese title with the number of the English one before it: it may be read alone."""
    found = _NUMBERED.match(title)
    return f"{'表' if found[1] == 'Table' else '图'} {found[2]} · {title_zh}" if found else title_zh
