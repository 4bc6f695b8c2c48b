"""Tables as the page prints them: headings, formatted cells, the rows to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import NormalDist

import polars as pl

from polygrain.report.facts import ReportFacts
from polygrain.report.published import of_whom, published
from polygrain.report.tables import MODELS, Table
from polygrain.report.titles import STYLES, block_title, row_heading, row_title, year_title
from polygrain.report.words import Text, chinese, numbered

TWO_SIDED = 1.96


@dataclass(frozen=True)
class Heading:
    """A printed column: its data column, the heading it stands under in both languages, and how numbers are written.

    `error` names the column of its standard error, printed behind ±, `spread` that of its deviation over seeds. A
    difference is strong beyond `threshold` errors.
    """

    column: str
    label: str
    label_zh: str
    form: str
    group: str = ""
    group_zh: str = ""
    error: str = ""
    spread: str = ""
    threshold: float = TWO_SIDED

    @property
    def columns(self) -> tuple[str, ...]:
        """The data columns that are printed in one: the figure's first."""
        return tuple(column for column in (self.column, self.error, self.spread) if column)


@dataclass(frozen=True)
class Cell:
    """A formatted figure; `error` is its standard error, `spread` what seeds differ by; `strong` marks many errors.

    `values` are the figures in full, in the order of the heading's columns.
    """

    text: str
    values: tuple[float | None, ...]
    error: str = ""
    spread: str = ""
    strong: bool = False
    negative: bool = False


@dataclass(frozen=True)
class Line:
    """A printed row, as a rule of one model: its name in the file, and what it is called."""

    name: str
    title: Text
    role: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Rows that belong together, as a rule those of one label: its `keys` are what comes before a row's name in the
    file, [0] for models over labels. A block without a title is a whole table."""

    keys: tuple[str | int, ...]
    title: str
    title_zh: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class View:
    """A table ready for the template; `groups` are (title, title_zh, columns spanned), `rows` stands above their names,
    `keys` and `said` are as in the table; `note` says what it is of, where its title does not."""

    name: str
    title: str
    title_zh: str
    headings: tuple[Heading, ...]
    groups: tuple[tuple[str, str, int], ...]
    blocks: tuple[Block, ...]
    rows: Text
    keys: tuple[str, ...]
    said: Text
    published: View | None = None
    note: Text | None = None


def _portfolio(selection: str, title: str, title_zh: str, suffix: str, span: str, span_zh: str) -> list[Heading]:
    group, group_zh = f"{title} excess, {span}", f"{title_zh}{span_zh}"
    return [
        Heading(f"{selection}_gross{suffix}", "gross", "费前", "percent", group, group_zh),
        Heading(f"{selection}_net{suffix}", "net", "费后", "percent", group, group_zh),
    ]


FACTOR_HEADINGS = (
    Heading("rank_ic", "Rank IC", "平均 Rank IC", "ic", error="rank_ic_se"),
    Heading("icir", "ICIR", "年化 ICIR", "ratio"),
    Heading("win_rate", "Win rate", "胜率", "share"),
    *_portfolio("top10pct", "Top 10%", "前 10% ", "", "a year", "年化超额"),
    *_portfolio("top100", "Top 100", "前 100 只", "", "a year", "年化超额"),
    *_portfolio("top10pct", "Top 10%", "前 10% ", "_period", "not annualised", "区间超额，未年化"),
    *_portfolio("top100", "Top 100", "前 100 只", "_period", "not annualised", "区间超额，未年化"),
    Heading("vs_naive", "against naive", "与朴素合成之差", "difference", "Rank IC", "秩相关系数", error="vs_naive_se"),
    Heading("rank_ic_all", "with unbuyable", "含买不进的", "ic", "Rank IC", "秩相关系数"),
    Heading("rank_ic_seed_std", "std over seeds", "种子间标准差", "ic", "Rank IC", "秩相关系数"),
    Heading("oracle_share", "found", "占比", "share", "Rank IC of the oracle", "全知者 Rank IC"),
    Heading(
        "vs_oracle", "difference", "之差", "difference", "Rank IC of the oracle", "全知者 Rank IC", error="vs_oracle_se"
    ),
    Heading("periods", "Periods", "独立期数", "count"),
)
FILL_TITLES = {"t0_close": ("T+0 close", "当日收盘"), "t1_vwap": ("T+1 VWAP", "次日均价")}
FILL_TITLES |= {"t1_open": ("T+1 open", "次日开盘"), "t1_close": ("T+1 close", "次日收盘")}
PERIOD_TITLES = {"weekly": ("Weekly", "周度调仓"), "biweekly": ("Every two weeks", "双周调仓")}


def _rebalance_heading(column: str) -> Heading:
    period, fill = column.split("_", 1)
    title, title_zh = PERIOD_TITLES.get(period, (f"Every {period.removesuffix('d')} days", f"每 {period[:-1]} 日调仓"))
    label, label_zh = FILL_TITLES.get(fill, (fill, ""))
    return Heading(column, label, label_zh, "ic", title, title_zh)


def _year_heading(column: str) -> Heading:
    span = column.removesuffix("_net")
    label, label_zh = year_title(span)
    if span == "annualised":
        label, label_zh = "A year", "年化"
    if column.endswith("_net"):
        return Heading(column, label, label_zh, "percent", "after costs", "费后")
    return Heading(column, label, label_zh, "percent", "before costs", "费前", error=f"{span}_se")


def _rank_ic_year_heading(span: str) -> Heading:
    label, label_zh = year_title(span)
    if span == "all":
        label, label_zh = "All dates", "全部"
    return Heading(span, label, label_zh, "ic", error=f"{span}_se")


def _pair_headings(columns: Sequence[str]) -> list[Heading]:
    """A column per model; a difference is strong at 5% over all pairs, by Bonferroni."""
    models = [column for column in columns if f"{column}_se" in columns]
    threshold = NormalDist().inv_cdf(1 - 0.025 / max(1, len(models) * (len(models) - 1) // 2))
    return [
        Heading(
            model, f"− {model}", "", "difference", error=f"{model}_se", spread=f"{model}_seed_std", threshold=threshold
        )
        for model in models
    ]


SIGNIFICANCE_HEADINGS = (
    Heading("rank_ic", "Rank IC", "平均 Rank IC", "ic"),
    Heading("low", "from", "下限", "ic", "95% interval, block bootstrap", "95% 区间（分块自助法）"),
    Heading("high", "to", "上限", "ic", "95% interval, block bootstrap", "95% 区间（分块自助法）"),
    Heading("t", "t", "t 值", "ratio", "Newey-West", "Newey-West"),
    Heading("deflated_t", "above luck’s best", "超出最佳运气", "ratio", "Newey-West", "Newey-West"),
    Heading("p_value", "chance of it", "偶然概率", "probability", "Newey-West", "Newey-West"),
    Heading("sharpe", "Sharpe, a year", "年化夏普", "ratio", "Top 10% net excess", "前 10% 费后超额"),
    Heading("deflated_sharpe", "not luck", "非运气的把握", "share", "Top 10% net excess", "前 10% 费后超额"),
)
_PORTFOLIO_FIGURES = (
    ("net", "Excess", "超额", "percent"),
    ("tracking_error", "Tracking error", "跟踪误差", "percent"),
    ("information_ratio", "IR", "信息比率", "ratio"),
    ("drawdown", "Drawdown", "最大回撤", "percent"),
    ("monthly_win_rate", "Months won", "月胜率", "share"),
    ("turnover", "Turnover", "单边换手", "ratio"),
    ("participation", "of the day’s amount at ¥100 m", "一亿元时占当日成交额", "share"),
)
_SELECTION_TITLES = {"top10pct": ("Top 10%, a year", "前 10%，年化"), "top100": ("Top 100, a year", "前 100 只，年化")}


def _portfolio_headings() -> list[Heading]:
    return [
        Heading(f"{selection}_{name}", label, label_zh, form, *title)
        for selection, title in _SELECTION_TITLES.items()
        for name, label, label_zh, form in _PORTFOLIO_FIGURES
    ]


def _decay_heading(column: str) -> Heading:
    kind, days = column.rsplit("_", 1)
    groups = {"rank_ic": ("Rank IC over", "各持有期 Rank IC")}
    group, group_zh = groups.get(kind, ("Correlation with its ranking after", "与若干日后排序的相关"))
    return Heading(column, f"{days[:-1]} d", f"{days[:-1]} 日", "ic", group, group_zh)


_EXPOSURE_GROUPS = {
    "correlation": ("Rank correlation with", "与风格的秩相关", "signed"),
    "industry_share": ("Variance that industries explain", "行业解释的方差占比", "share"),
    "rank_ic": ("Rank IC, neutralised to", "中性化后 Rank IC", "ic"),
    "mean_score": ("", "", "signed"),
}


def _exposure_heading(column: str) -> Heading:
    measure = next(measure for measure in _EXPOSURE_GROUPS if column.startswith(f"{measure}_"))
    group, group_zh, form = _EXPOSURE_GROUPS[measure]
    titles = [STYLES.get(of, (of, of)) for of in column.removeprefix(f"{measure}_").split("+")]
    label, label_zh = ", ".join(title for title, _ in titles), "、".join(title for _, title in titles)
    error = f"{column}_se" if measure != "industry_share" else ""
    return Heading(column, label, label_zh, form, group, group_zh, error=error)


def headings(name: str, columns: Sequence[str]) -> list[Heading]:
    """The headings of a table's columns."""
    if name.startswith("table3"):
        return [_rebalance_heading(column) for column in columns]
    if name == "rank_ic_by_year":
        return [_rank_ic_year_heading(column) for column in columns if not column.endswith("_se")]
    if name == "model_pairs":
        return _pair_headings(columns)
    if name == "decay":
        return [_decay_heading(column) for column in columns]
    if name.startswith("exposure"):
        return [_exposure_heading(column) for column in columns if not column.endswith("_se")]
    if name in ("significance", "portfolios"):
        known = SIGNIFICANCE_HEADINGS if name == "significance" else _portfolio_headings()
        return [heading for heading in known if heading.column in columns]
    if "_by_year" in name:
        return [_year_heading(column) for column in columns if not column.endswith("_se")]
    if "_by_universe" in name:
        form = "ic" if "rank_ic" in name else "percent"
        return [Heading(column, column, "", form) for column in columns]
    return [heading for heading in FACTOR_HEADINGS if heading.column in columns]


def number(value: float | None, form: str) -> str:
    """A figure as it is printed: a real minus sign, and – where there is none."""
    if value is None:
        return "–"
    text = {
        "ic": f"{value:.3f}",
        "difference": f"{value:+.3f}",
        "ratio": f"{value:.2f}",
        "tenths": f"{value:.1f}",
        "share": f"{value:.0%}",
        "probability": f"{value:.3f}" if value >= 0.0005 else "< .001",
        "percent": f"{value:.1%}",
        "signed": f"{value:+.3f}",
        "signed_percent": f"{value:+.1%}",
        "hundredths": f"{value:+.2%}",
        "count": f"{value:,.0f}",
        "amount": f"{value:.4f}",
        "residual": f"{value:.0e}",
    }[form]
    return text.replace("-", "−")


_ERROR_FORMS = {
    "percent": "percent",
    "signed_percent": "percent",
    "share": "percent",
    "ratio": "ratio",
    "count": "tenths",
}


def _cell(row: dict[str, float | None], heading: Heading) -> Cell:
    value, error = row.get(heading.column), row.get(heading.error) if heading.error else None
    far = value is not None and error is not None and abs(value) > heading.threshold * error
    spread = row.get(heading.spread) if heading.spread else None
    form = _ERROR_FORMS.get(heading.form, "ic")
    return Cell(
        number(value, heading.form),
        tuple(_finite(row.get(column)) for column in heading.columns),
        "" if error is None else f"± {number(error, form)}",
        "" if error is None or spread is None else number(spread, form),
        heading.form == "difference" and far,
        value is not None and value < 0,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _block(
    label_days: int,
    rows: Sequence[dict[str, float | None]],
    models: Sequence[str],
    facts: ReportFacts | None,
    shown: Sequence[Heading],
    beside: Sequence[str],
) -> Block:
    roles = {} if facts is None else {facts.headline: "headline", facts.naive: "naive", facts.oracle: "naive"}
    roles |= dict.fromkeys(beside, "naive")
    lines = tuple(
        Line(
            model,
            Text(model, chinese(model) if model in beside else ""),
            roles.get(model, ""),
            tuple(_cell(row, heading) for heading in shown),
        )
        for model, row in zip(models, rows)
    )
    if label_days:
        return Block((label_days,), f"{label_days}-day label", f"{label_days} 日标签", lines)
    if any(line.role == "naive" for line in lines):
        return Block((label_days,), "For comparison", "对照", lines)
    if facts is not None and any(model.kind == "given" for model in facts.models):
        return Block((label_days,), "No label named", "未注明标签", lines)
    return Block((label_days,), "Over labels", "跨标签平均", lines)


def _blocks(table: Table, facts: ReportFacts | None, shown: Sequence[Heading]) -> tuple[Block, ...]:
    frame = table.frame
    numbers = frame.select(pl.exclude("label_days", "model")).to_dicts()
    rows = zip(frame["label_days"], frame["model"], numbers)
    blocks = []
    apart = table.beside if facts is None else (facts.naive, *table.beside)
    for (label_days, _), part in groupby(rows, key=lambda row: (int(row[0]), row[1] in apart)):
        lines = list(part)
        models = [line[1] for line in lines]
        blocks.append(_block(label_days, [line[2] for line in lines], models, facts, shown, table.beside))
    return tuple(blocks)


def _named_blocks(table: Table, shown: Sequence[Heading]) -> tuple[Block, ...]:
    """The rows of a table of other things than models."""
    *before, last = table.keys
    blocks = []
    for keys, part in groupby(table.frame.to_dicts(), key=lambda row: tuple(row[key] for key in before)):
        title = block_title(before[-1], keys[-1]) if before else Text("")
        lines = tuple(
            Line(row[last], row_title(last, row[last]), "", tuple(_cell(row, heading) for heading in shown))
            for row in part
        )
        blocks.append(Block(keys, title.en, title.zh, lines))
    return tuple(blocks)


Headings = Callable[[str, Sequence[str]], list[Heading]]
"""The headings of a table by its name and the columns that hold something."""


def _view(table: Table, facts: ReportFacts | None, chosen: Headings) -> View:
    frame = table.frame
    filled = [c for c in frame.columns if c not in table.keys and frame[c].null_count() < frame.height]
    shown = chosen(table.name, filled)
    if any(heading.column == "top10pct_gross" for heading in shown):
        shown = [heading for heading in shown if not heading.column.endswith("_period")]
    return view_of(table, facts, shown)


def view_of(table: Table, facts: ReportFacts | None, shown: Sequence[Heading]) -> View:
    """A table as printed under these headings."""
    groups = []
    for (group, group_zh), part in groupby(shown, key=lambda heading: (heading.group, heading.group_zh)):
        groups.append((group, group_zh, len(list(part))))
    blocks = _blocks(table, facts, shown) if table.keys == MODELS else _named_blocks(table, shown)
    titles = (table.title, table.title_zh)
    rows = row_heading(table.keys[-1])
    return View(table.name, *titles, tuple(shown), tuple(groups), blocks, rows, table.keys, table.said)


def view(table: Table, facts: ReportFacts, chosen: Headings = headings) -> View:
    """A table as printed, R88's own figures folded behind it where the market is real and R88 has that table."""
    made = _view(replace(table, title_zh=numbered(table.title, table.title_zh)), facts, chosen)
    rows = published().get(table.name)
    if rows is None or facts.simulated:
        return made
    of_theirs = replace(table, title="R88, 2017-01-03 to 2023-07-31", title_zh="研报原值", frame=pl.DataFrame(rows))
    theirs = replace(_view(of_theirs, None, chosen), note=of_whom(table.name))
    return replace(made, published=theirs)
