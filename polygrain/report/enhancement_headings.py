"""The headings of the tables of index-enhanced portfolios."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from polygrain.report.enhancement_grid import FULL, INDUSTRY, STOCK, YTD
from polygrain.report.titles import SOURCES, STYLES, setting_title, year_title
from polygrain.report.views import Heading
from polygrain.report.words import Text

_SPAN = re.compile(rf"({FULL}|{YTD}\d{{4}}|\d{{4}})(?:_(.+))?")
_SETTING = re.compile(r"_?(?:industry_(neutral)|(industry|stock)_([\d.]+)pct|(.+?)_(-?[\d.]+(?:e[+-]?\d+)?)(?=_|$))")
_DAYS = ("of all days, not annualised", "区间合计，未年化")
_YEAR = (
    Heading("excess", "Excess", "超额", "percent", error="excess_se"),
    Heading("max_drawdown", "Drawdown", "最大回撤", "percent"),
    Heading("tracking_error", "Tracking error", "跟踪误差", "percent"),
    Heading("information_ratio", "IR", "信息比率", "ratio"),
    Heading("monthly_win_rate", "Months won", "月胜率", "share"),
    Heading("excess_gross", "Before costs", "费前超额", "percent"),
)
_EXCESS, _RISK, _HELD = ("Excess a year", "年化超额"), ("Against the index", "相对指数"), ("Holdings", "持仓")
_FIGURES = (
    Heading("net", "after costs", "费后", "percent", *_EXCESS),
    Heading("low", "95% from", "95% 下限", "percent", *_EXCESS),
    Heading("high", "to", "上限", "percent", *_EXCESS),
    Heading("net_starts", "by first day ±", "起始日差异 ±", "percent", *_EXCESS),
    Heading("gross", "before costs", "费前", "percent", *_EXCESS),
    Heading("net_period", "after costs", "费后", "percent", "Excess, not annualised", "区间超额，未年化"),
    Heading("gross_period", "before costs", "费前", "percent", "Excess, not annualised", "区间超额，未年化"),
    Heading("tracking_error", "Tracking error", "跟踪误差", "percent", *_RISK),
    Heading("information_ratio", "IR", "信息比率", "ratio", *_RISK),
    Heading("max_drawdown", "Drawdown", "最大回撤", "percent", *_RISK),
    Heading("monthly_win_rate", "Months won", "月胜率", "share", *_RISK),
    Heading("turnover", "Turnover a year", "年单边换手", "ratio", *_HELD),
    Heading("cash", "Cash", "现金", "percent", *_HELD),
    Heading("names", "Names", "只数", "count", *_HELD),
    Heading("covered", "Index with data", "指数有数据权重", "percent", *_HELD),
)
_ACTIVE = ("Less the index", "减指数")
_EXPOSURES = (
    Heading("held", "Portfolio", "组合", "signed"),
    Heading("benchmark", "Index", "指数", "signed"),
    Heading("active", "mean", "均值", "signed", *_ACTIVE),
    Heading("least", "least", "最小", "signed", *_ACTIVE),
    Heading("largest", "largest", "最大", "signed", *_ACTIVE),
    Heading("contribution", "a year", "年化", "signed_percent", "Contribution", "贡献"),
    Heading("contribution_period", "of all days", "区间合计", "signed_percent", "Contribution", "贡献"),
)
_INFEASIBLE = (
    Heading("dates", "Dates, shown portfolio", "日期数（所示组合）", "count"),
    Heading("solves", "all portfolios", "全部组合", "count", "Programs", "规划"),
    Heading("share", "of all programs", "占全部规划", "percent", "Programs", "规划"),
    Heading("amount", "mean", "均值", "amount", "Gave way by", "放松量"),
    Heading("largest", "largest", "最大", "amount", "Gave way by", "放松量"),
)
_CERTIFICATES = (
    Heading("portfolios", "Portfolios", "组合", "count"),
    Heading("solves", "Programs", "规划", "count"),
    Heading("infeasible", "without a solution", "无解", "count"),
    Heading("primal", "Primal residual", "原始残差", "residual"),
    Heading("dual", "Dual residual", "对偶残差", "residual"),
    Heading("gap", "Gap", "间隙", "residual"),
)
_KNOWN = {
    "by_year": _YEAR,
    "figures": _FIGURES,
    "contributions": (Heading("value", "Contribution", "贡献", "hundredths"),),
    "exposures": _EXPOSURES,
    "infeasible": _INFEASIBLE,
    "certificates": _CERTIFICATES,
}


def enhancement_headings(name: str, columns: Sequence[str]) -> list[Heading]:
    """The headings of a table's columns; what is of a year stands there instead of what is of all days."""
    if name.endswith("_attribution"):
        shown = [_source_heading(column) for column in columns]
    else:
        known = next((found for ending, found in _KNOWN.items() if name.endswith(f"_{ending}")), None)
        if known is None:
            return [_grid_heading(column) for column in columns if not column.endswith("_se")]
        shown = [heading for heading in known if heading.column in columns]
        if known is _FIGURES:
            # Of a model the net excess has one, of random scores every figure.
            errors = {column.removesuffix("_se"): column for column in columns if column.endswith("_se")}
            shown = [replace(each, error=errors.get(each.column, "")) for each in shown]
    annual = [heading for heading in shown if not heading.column.endswith("_period")]
    yearly = {f"{heading.column}_period" for heading in annual}
    return [heading for heading in shown if heading.column not in yearly]


def _grid_heading(column: str) -> Heading:
    """A column of tables 8, 9, 11, 12: the span that it is of, and what varies."""
    found = _SPAN.fullmatch(column)
    assert found is not None
    span, settings = found[1], [_setting(each) for each in _SETTING.finditer(found[2] or "")]
    if span == FULL:
        group, group_zh = "All days, a year", "全区间年化"
    else:
        said, said_zh = year_title(span if span.isdigit() else f"{span.removeprefix(YTD)}ytd")
        group, group_zh = f"{said}, not annualised", f"{said_zh or said}，未年化"
    label = ", ".join(text.en for text in settings) or "the portfolio"
    label_zh = "，".join(text.zh for text in settings) or "组合"
    return Heading(column, label, label_zh, "percent", group, group_zh, error=f"{column}_se")


def _setting(found: re.Match[str]) -> Text:
    if found[1]:
        return setting_title(INDUSTRY, 0.0)
    if found[2]:
        return setting_title(INDUSTRY if found[2] == "industry" else STOCK, float(found[3]) / 100)
    return setting_title(found[4], float(found[5]))


def _source_heading(column: str) -> Heading:
    source = column.removesuffix("_period")
    style = source.removeprefix("style_")
    label, label_zh = STYLES.get(style, (style, "")) if style != source else SOURCES.get(source, (source, ""))
    group = ("Styles", "风格") if style != source else ("", "")
    if column != source:
        group = (f"{group[0]} {_DAYS[0]}".strip(), f"{group[1]}{_DAYS[1]}")
    return Heading(column, label, label_zh, "signed_percent", *group)
