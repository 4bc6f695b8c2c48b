"""Tables 10 and 13, and what else is said of index-enhanced portfolios: what their excess is from, what they hold
against the index, which constraints gave way, how well the optima are proven."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import polars as pl

from polygrain.evaluation import excess, statistics
from polygrain.report import enhancement_notes as notes
from polygrain.report.enhancement_grid import file_name, grid_tables, numbered_title, numbers
from polygrain.report.enhancement_models import figures, shown_keys
from polygrain.report.enhancement_titles import of_all_models, of_one_model
from polygrain.report.enhancements import KEY, EnhancedIndex, Enhancements, floats, mean_of, of, sums
from polygrain.report.results import Navs
from polygrain.report.rows import Row, annualised_excess, finite, is_whole_year
from polygrain.report.tables import Table, table_of

ALL, OTHERS = "all", "others"
_MOST_STOCKS = 10
YEAR_FIGURES = ("excess", "max_drawdown", "tracking_error", "information_ratio", "monthly_win_rate")
_LAST_SOURCES = ("selection", "trading", "cash", "cost")
_BRACKETS = re.compile(r"\s*\([^()]*\)")


def by_year(enhancements: Enhancements, each: EnhancedIndex) -> Table:
    """Tables 10 and 13: the shown portfolio after costs, by calendar year and over all days."""
    navs = enhancements.held[each.key].navs
    rows = [_period_row(name, navs.part(span), each.rebalance) for name, span in _years(navs.days).items()]
    rows.append(_period_row(ALL, navs, each.rebalance))
    named = numbers(enhancements).get(each.name)
    name = file_name(each.called, None if named is None else named[2], "by_year")
    shown, shown_zh = of_one_model(each)
    title = f"{numbered_title(name)}{each.called} enhanced by year, after costs: {shown}"
    columns = (*YEAR_FIGURES, "excess_se", "excess_gross")
    return table_of(
        name,
        title,
        f"{each.called} 指数增强分年度表现（费后）：{shown_zh}",
        columns,
        rows,
        keys=("period",),
        said=notes.by_year(enhancements, each),
    )


def _years(days: Sequence[date]) -> dict[str, slice]:
    """Rows of each year by its name, 2025ytd where it lacks days."""
    found = {}
    for year, span in statistics.year_spans(days).items():
        inside = [day for day in days[span] if day.year == year]
        found[f"{year}" if is_whole_year(inside[0], inside[-1]) else f"{year}ytd"] = span
    return found


def _period_row(name: str, navs: Navs, rebalance: int) -> Row:
    """A year's excess is R_p − R_b as it is, that of all days a year's."""
    net, benchmark, whole = navs.net, navs.benchmark, name == ALL
    days, error = statistics.excess_error(net, benchmark, 3 * rebalance)

    def over(leg: str) -> float | None:
        return annualised_excess(navs, leg) if whole else statistics.period_excess(navs.leg(leg), benchmark)

    return finite(
        {
            "period": name,
            "excess": over("net"),
            "max_drawdown": statistics.max_drawdown(excess.cumulative_excess(net, benchmark)),
            "tracking_error": excess.tracking_error(net, benchmark),
            "information_ratio": excess.information_ratio(net, benchmark, whole_year=name.isdigit()),
            "monthly_win_rate": excess.monthly_win_rate(net, benchmark, navs.days),
            "excess_se": None if over("net") is None else error * (statistics.DAYS_A_YEAR if whole else days),
            "excess_gross": over("gross"),
        }
    )


def attribution(enhancements: Enhancements, each: EnhancedIndex) -> Table | None:
    """What the shown portfolio's excess is from, with every model: daily contributions added up, times 242 / n.

    Below 120 days they are added up alone, as `_period`.
    """
    rows, columns = list[Row](), dict[str, None]()
    for key in shown_keys(enhancements, each):
        found = _by_source(of(enhancements.attribution, key))
        if found:
            days = len(enhancements.held[key].navs.days) - 1
            scale = statistics.DAYS_A_YEAR / days if days >= statistics.LEAST_DAYS else None
            row: Row = {"label_days": key[2], "model": key[1]}
            row |= {source: None if scale is None else scale * value for source, value in found.items()}
            rows.append(row | {f"{source}_period": value for source, value in found.items()})
            columns |= dict.fromkeys(found)
    if not rows:
        return None
    middle = [column for column in columns if column not in ("industry", *_LAST_SOURCES)]
    ordered = [c for c in ("industry", *middle, *_LAST_SOURCES) if c in columns]
    name = file_name(each.called, None, "attribution")
    named, named_zh = of_all_models(each)
    title, title_zh = f"{named}: what the excess is from", f"{named_zh}：超额归因"
    every = ["excess", *ordered]
    columns_of_both = [*every, *(f"{column}_period" for column in every)]
    return table_of(name, title, title_zh, columns_of_both, rows, said=notes.attribution(enhancements, each))


def _by_source(frame: pl.DataFrame) -> dict[str, float]:
    """Sums over days by source, each style on its own; all of them together are the excess."""
    named = pl.when(pl.col("source") == "style").then("style_" + pl.col("of")).otherwise(pl.col("source"))
    found = {
        str(source): value for (source,), value in sums(frame.with_columns(source=named), "source", of="value").items()
    }
    return found | {"excess": sum(found.values())} if found else {}


def contributions(enhancements: Enhancements, each: EnhancedIndex) -> Table | None:
    """The stocks that added most to the shown portfolio's excess and took most from it, the others, and the sum."""
    found = of(enhancements.contributions, each.key)
    if found.is_empty():
        return None
    largest = found.sort(pl.col("value").abs(), descending=True, maintain_order=True).head(_MOST_STOCKS)
    largest = largest.sort("value", descending=True, maintain_order=True)
    total, shown = float(floats(found["value"]).sum()), float(floats(largest["value"]).sum())
    rows: list[Row] = [{"symbol": symbol, "value": value} for symbol, value in largest["symbol", "value"].iter_rows()]
    rows += [{"symbol": OTHERS, "value": total - shown}, {"symbol": ALL, "value": total}]
    told, told_zh = of_one_model(each)
    return table_of(
        file_name(each.called, None, "contributions"),
        f"{each.called} enhanced: the stocks that added and took most, {told}",
        f"{each.called} 指数增强：贡献最大的个股，{told_zh}",
        ("value",),
        rows,
        keys=("symbol",),
        said=notes.contributions(enhancements, each, found.height, largest.height),
    )


def exposures(enhancements: Enhancements, each: EnhancedIndex) -> Table | None:
    """The shown portfolio against its index, style by style and industry by industry: means over dates of the targets,
    the least and the largest difference, and what it earned a year."""
    found = of(enhancements.active, each.key).with_columns((pl.col("held") - pl.col("benchmark")).alias("active"))
    if found.is_empty():
        return None
    earnings = sums(of(enhancements.attribution, each.key), "source", "of", of="value")
    days = len(enhancements.held[each.key].navs.days) - 1
    rows = list[Row]()
    for (kind, name), part in found.partition_by("kind", "of", as_dict=True, maintain_order=True).items():
        earning = earnings.get((kind, name))
        whole = earning is not None and days >= statistics.LEAST_DAYS
        row: Row = {"kind": str(kind), "of": str(name or kind)}
        row |= {column: mean_of(part[column]) for column in ("held", "benchmark", "active")}
        row |= {"least": float(floats(part["active"]).min()), "largest": float(floats(part["active"]).max())}
        row["contribution"] = statistics.DAYS_A_YEAR / days * earning if whole and earning is not None else None
        rows.append(finite(row | {"contribution_period": earning}))
    order = {"style": 0, "industry": 1}
    rows.sort(key=lambda row: order.get(str(row["kind"]), 2))
    columns = ("held", "benchmark", "active", "least", "largest", "contribution", "contribution_period")
    name = file_name(each.called, None, "exposures")
    shown, shown_zh = of_one_model(each)
    title = f"{each.called} enhanced: the targets against the index, {shown}"
    title_zh = f"{each.called} 指数增强：目标权重与指数之差，{shown_zh}"
    said = notes.exposures(enhancements, each)
    return table_of(name, title, title_zh, columns, rows, keys=("kind", "of"), said=said)


def infeasible(enhancements: Enhancements, each: EnhancedIndex) -> Table | None:
    """Dates on which constraints excluded each other, by cause and by what gave way; None where there are none.

    An amount is the sum over rows and bounds of a part on a date, in their unit.
    """
    cells = pl.col("portfolio").is_in([portfolio.name for portfolio in each.portfolios])
    solves = enhancements.solves.filter(cells)
    causes = solves.filter(pl.col("conflict").is_not_null()).select(
        *KEY, "date", pl.col("conflict").map_elements(cause, return_dtype=pl.String)
    )
    by = (*KEY, "date", "part")
    gave_way = sums(enhancements.relaxed.filter(cells), *by, of="amount")
    schema = {name: enhancements.relaxed.schema[name] for name in (*by, "amount")}
    amounts = pl.DataFrame([(*key, amount) for key, amount in gave_way.items()], schema, orient="row")
    found = causes.join(amounts, on=[*KEY, "date"], how="inner", maintain_order="left_right")
    if found.is_empty():
        return None
    ours = pl.all_horizontal(*(pl.col(name) == value for name, value in zip(KEY, each.key)))
    rows = (
        found.group_by("conflict", "part", maintain_order=True)
        .agg(
            ours.sum().cast(pl.Float64).alias("dates"),
            pl.len().cast(pl.Float64).alias("solves"),
            (pl.len() / solves.height).alias("share"),
            pl.col("amount").map_batches(mean_of, return_dtype=pl.Float64, returns_scalar=True).alias("amount"),
            pl.col("amount").max().alias("largest"),
        )
        .sort(pl.col("solves").max().over("conflict"), "conflict", "solves", "part", descending=[True, False] * 2)
        .to_dicts()
    )
    name = file_name(each.called, None, "infeasible")
    title = f"{each.called} enhanced: dates without a solution, by the constraints in conflict"
    title_zh = f"{each.called} 指数增强：无解的日期，按相互冲突的约束"
    columns = ("dates", "solves", "share", "amount", "largest")
    said = notes.infeasible(enhancements, each)
    return table_of(name, title, title_zh, columns, rows, keys=("conflict", "part"), said=said)


def cause(conflict: str) -> str:
    """The constraints in conflict without the symbols, styles and industries that the proof rests on."""
    shorter = _BRACKETS.sub("", conflict)
    return shorter if shorter == conflict else cause(shorter)


def certificates(enhancements: Enhancements) -> Table | None:
    """How many programs were solved, and the worst residuals and gap among them."""
    rows = list[Row]()
    for each in enhancements.listed:
        solves = enhancements.solves.filter(pl.col("portfolio").is_in([one.name for one in each.portfolios]))
        row: Row = {"enhancement": each.name, "portfolios": solves.select(KEY).n_unique(), "solves": solves.height}
        row |= {column: _worst(solves[column]) for column in ("primal", "dual", "gap")}
        rows.append(row | {"infeasible": solves.height - solves["conflict"].null_count()})
    columns = ("portfolios", "solves", "infeasible", "primal", "dual", "gap")
    title, title_zh = "How well the optima are proven: worst residuals and gap", "最优性证明：最大残差与间隙"
    if not rows:
        return None
    said = notes.certificates(enhancements)
    return table_of("enhancement_certificates", title, title_zh, columns, rows, keys=("enhancement",), said=said)


def _worst(values: pl.Series) -> float | None:
    return float(floats(values).max()) if len(values) else None


def enhancement_tables(enhancements: Enhancements) -> list[Table]:
    """Every table of a run's enhancements, in the order of the broker report and then index by index."""
    made = [*grid_tables(enhancements), *(by_year(enhancements, each) for each in enhancements.listed)]
    made.sort(key=lambda table: _number(table.name))
    for each in enhancements.listed:
        more = (make(enhancements, each) for make in (figures, attribution, contributions, exposures, infeasible))
        made += [table for table in more if table is not None]
    proven = certificates(enhancements)
    return made if proven is None else [*made, proven]


def _number(name: str) -> int:
    number = numbered_title(name).removeprefix("Table ").removesuffix(" · ")
    return int(number) if number else 99
