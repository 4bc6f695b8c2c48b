"""Tables 8, 9, 11 and 12: the annualised excess of every index-enhanced portfolio, by label and model.

Names and columns are published.json's. What varies is written as the broker report does: industry_neutral,
industry_2pct, stock_0.5pct; anything else as KEY_VALUE.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from polygrain.evaluation import statistics
from polygrain.portfolio.enhancement import Portfolio
from polygrain.report import enhancement_notes as notes
from polygrain.report.enhancements import EnhancedIndex, Enhancements, of
from polygrain.report.results import Navs
from polygrain.report.rows import Row, annualised_excess, is_whole_year
from polygrain.report.tables import Table, table_of

INDUSTRY, STOCK, SHARE = "industry_deviation.limit", "stock_deviation.limit", "constituents.share"
# The broker report's tables by index: all stocks, mostly constituents, by year.
NUMBERS = ((8, 9, 10), (11, 12, 13))
_INDICES = ("csi500", "csi1000")
FULL, YTD = "full", "ytd"


def numbers(enhancements: Enhancements) -> dict[str, tuple[int, ...]]:
    """The broker report's table numbers by enhancement: its own indices have theirs, the first others what is free.

    Those without are left out.
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, wanted in zip(_INDICES, NUMBERS):
        first = next((each.name for each in enhancements.listed if each.index == index), None)
        found |= {first: wanted} if first is not None else {}
    rest = [each.name for each in enhancements.listed if each.name not in found]
    return found | dict(zip(rest, (wanted for wanted in NUMBERS if wanted not in found.values())))


def file_name(called: str, number: int | None, what: str) -> str:
    """What a file on an enhancement is called, with the broker report's number where it has one."""
    # Quoted: any name can be an index's.
    return f"{'enhancement' if number is None else f'table{number}'}_{quote(called, safe='')}_{what}"


def heading_name(varied: Mapping[str, float]) -> str:
    """What varies as a part of a column's name, constituents aside, "" where nothing does."""
    return "_".join(_part(key, varied[key]) for key in _ordered(varied))


def _ordered(varied: Mapping[str, float]) -> list[str]:
    """The keys with those of the broker report first, in its order."""
    known = [key for key in (INDUSTRY, STOCK) if key in varied]
    return known + [key for key in varied if key not in (*known, SHARE)]


def _part(key: str, value: float) -> str:
    if key == INDUSTRY and value == 0:
        return "industry_neutral"
    name = {INDUSTRY: "industry", STOCK: "stock", SHARE: "share"}.get(key)
    return f"{key}_{value:g}" if name is None else f"{name}_{100 * value:g}pct"


def share_of(enhancements: Enhancements, each: EnhancedIndex, portfolio: Portfolio) -> float | None:
    """The least share of constituents, 0 where there is no such limit, None where it does not vary."""
    limited = "constituents" in of(enhancements.prices, each.key)["part"]
    return portfolio.varied.get(SHARE, None if limited else 0.0)


def grid_tables(enhancements: Enhancements) -> Iterator[Table]:
    """A table for every enhancement and share of constituents."""
    numbered = numbers(enhancements)
    for each in enhancements.listed:
        by_share: dict[float | None, list[Portfolio]] = {}
        for portfolio in each.portfolios:
            by_share.setdefault(share_of(enhancements, each, portfolio), []).append(portfolio)
        mostly = [share for share in by_share if share]
        for share, cells in by_share.items():
            # The broker report has one table without a limit and one with.
            place = None if share in mostly[1:] else 1 if share else 0
            number = numbered[each.name][place] if each.name in numbered and place is not None else None
            file, titles = file_name(each.called, number, _share_name(share)), _titles(each.called, share)
            yield _table(enhancements, each, cells, file, titles)


def _share_name(share: float | None) -> str:
    if share is None:
        return "grid"
    return f"{100 * share:g}pct" if share else "all"


def _table(
    enhancements: Enhancements, each: EnhancedIndex, cells: Sequence[Portfolio], name: str, titles: tuple[str, str]
) -> Table:
    rows, spans = list[Row](), {FULL: 0}
    for label_days in each.label_days:
        for model in each.models:
            row: Row = {"label_days": label_days, "model": model}
            for cell in cells:
                held = enhancements.held.get((cell.name, model, label_days))
                for span, (excess, error) in ({} if held is None else _spans(held.navs, each.rebalance)).items():
                    spans[span] = 0 if span == FULL else 1
                    row |= {_column(span, cell): excess, f"{_column(span, cell)}_se": error}
            rows += [row] if len(row) > 2 else []
    columns = [_column(span, cell) for span in sorted(spans, key=spans.__getitem__) for cell in _in_order(cells)]
    titled = (f"{numbered_title(name)}{titles[0]}", titles[1])
    said = notes.grid(enhancements, each)
    return table_of(name, *titled, [*columns, *(f"{column}_se" for column in columns)], rows, said=said)


def numbered_title(name: str) -> str:
    """What stands before a table's title: its number, where its file has one."""
    number = name.partition("_")[0].removeprefix("table")
    return f"Table {number} · " if number.isdigit() else ""


def _in_order(cells: Sequence[Portfolio]) -> list[Portfolio]:
    """The cells as the broker report has them: industries first, in the order of each key's values."""
    keys = _ordered(cells[0].varied)
    values = {key: list(dict.fromkeys(cell.varied[key] for cell in cells)) for key in keys}
    return sorted(cells, key=lambda cell: [values[key].index(cell.varied[key]) for key in keys])


def _column(span: str, cell: Portfolio) -> str:
    name = heading_name(cell.varied)
    return f"{span}_{name}" if name else span


def _titles(called: str, share: float | None) -> tuple[str, str]:
    of_share, of_share_zh = ", all stocks", "，全市场选股"
    if share is None:
        of_share, of_share_zh = "", ""
    elif share:
        of_share, of_share_zh = f", {share:.0%} or more in constituents", f"，成分股占比不低于 {share:.0%}"
    return f"{called} enhanced{of_share}: excess after costs", f"{called} 指数增强{of_share_zh}：费后超额"


def _spans(navs: Navs, rebalance: int) -> dict[str, tuple[float | None, float | None]]:
    """A year's excess after costs over all days, and that of the latest calendar year as it is, with their errors."""
    _, error = statistics.excess_error(navs.net, navs.benchmark, 3 * rebalance)
    annual = annualised_excess(navs, "net")
    year, span = list(statistics.year_spans(navs.days).items())[-1]
    part = navs.part(span)
    inside = [day for day in part.days if day.year == year]
    name = f"{year}" if is_whole_year(inside[0], inside[-1]) else f"{YTD}{year}"
    count, latest = statistics.excess_error(part.net, part.benchmark, 3 * rebalance)
    return {
        FULL: (annual, None if annual is None else _finite(statistics.DAYS_A_YEAR * error)),
        name: (statistics.period_excess(part.net, part.benchmark), _finite(count * latest)),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
