"""How the rows of tables are called in both languages: styles, periods, parts of constraints, sources of an excess."""

from __future__ import annotations

import re

from polygrain.report.words import Text

STYLES = {
    "size": ("size", "市值"),
    "mid_cap": ("mid-cap", "中市值"),
    "valuation": ("book / price", "估值"),
    "reversal": ("return 20 d", "反转"),
    "momentum": ("return 12 − 1 m", "动量"),
    "volatility": ("volatility", "波动率"),
    "turnover": ("turnover", "换手率"),
    "liquidity": ("liquidity", "流动性"),
    "profitability": ("profitability", "盈利"),
    "industry": ("industry", "行业"),
    "raw": ("nothing", "无"),
    "chance": ("of noise", "噪声"),
}
SOURCES = {
    "industry": ("industries", "行业"),
    "selection": ("selection", "选股"),
    "trading": ("trading", "成交"),
    "cash": ("cash", "现金"),
    "cost": ("costs", "费用"),
    "excess": ("together", "合计"),
}
_PARTS = {
    "stock_deviation": "个股偏离",
    "holding_weight": "持仓权重",
    "style_deviation": "风格偏离",
    "industry_deviation": "行业偏离",
    "constituents": "成分股占比",
    "turnover": "换手率",
    "budget": "满仓",
    "long_only": "不做空",
    "tradability": "可交易性",
}
_PART = re.compile(rf"({'|'.join(_PARTS)})(?:\.([^\s,]+))?")
_KINDS = {
    "style": ("Styles", "风格"),
    "industry": ("Industries, weights", "行业权重"),
    "constituents": ("Constituents, weights", "成分股权重"),
}
# With a value, and at 0 where that has a name.
_SETTINGS = {
    "industry_deviation.limit": (Text("industry ± {:g}%", "行业 ±{:g}%"), Text("industry neutral", "行业中性")),
    "stock_deviation.limit": (Text("stock ± {:g}%", "个股 ±{:g}%"), None),
    "constituents.share": (Text("constituents {:g}%", "成分股 {:g}%"), Text("all stocks", "全市场选股")),
}
_ROWS = {
    "model": ("Model", "模型"),
    "period": ("Period", "区间"),
    "of": ("Exposure to", "暴露"),
    "part": ("What gave way", "放松的约束"),
    "enhancement": ("Enhancement", "指数增强"),
    "symbol": ("Stock", "股票"),
}
_SUMS = {"others": Text("the others", "其余"), "all": Text("all together", "合计")}


def row_heading(key: str) -> Text:
    """What stands above the names of rows."""
    return Text(*_ROWS.get(key, (key,)))


def row_title(key: str, name: str) -> Text:
    """What a row is called, by the key that its name is of."""
    if key == "period":
        return Text("all", "全部") if name == "all" else Text(*year_title(name))
    if key == "part":
        return part_title(name)
    if key == "symbol":
        return _SUMS.get(name, Text(name))
    return Text(*STYLES.get(name, (name,))) if key == "of" else Text(name)


def block_title(key: str, name: str) -> Text:
    """What a block of rows is called, by the key that its name is of."""
    if key == "kind":
        return Text(*_KINDS.get(name, (name,)))
    return part_title(name) if key == "conflict" else Text(name)


def part_title(parts: str) -> Text:
    """Parts of the constraints as a run names them, in Chinese by their kind and style."""

    def told(found: re.Match[str]) -> str:
        return _PARTS[found[1]] + (f"（{STYLES.get(found[2], ('', found[2]))[1]}）" if found[2] else "")

    said = _PART.sub(told, parts)
    return Text(parts, "" if said == parts else said.replace(" given ", "，鉴于").replace(", ", "、"))


def setting_title(key: str, value: float) -> Text:
    """A setting that varies over the portfolios of a grid, with its value."""
    named = _SETTINGS.get(key)
    if named is None:
        return Text(f"{key} {value:g}", f"{part_title(key).zh or key} {value:g}")
    said, none = named
    if value == 0 and none is not None:
        return none
    return Text(said.en.format(100 * value), said.zh.format(100 * value))


def year_title(span: str) -> tuple[str, str]:
    """A year, or what there is of it."""
    year = span.removesuffix("ytd")
    return (f"{year} part", f"{year} 非整年") if span.endswith("ytd") else (year, "")
