"""Index-enhanced portfolios of runs side by side: the shown one of an enhancement, with the same model and label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from polygrain.report.enhancement_models import shown_keys
from polygrain.report.enhancements import EnhancedIndex, Enhancements
from polygrain.report.figures import LEG_TITLES
from polygrain.report.paired import LEGS_ZH, paired_excess
from polygrain.report.rows import Row
from polygrain.report.tables import Table, table_of
from polygrain.report.views import Heading, View, view_of
from polygrain.report.words import Text


@dataclass(frozen=True)
class EnhancedPair:
    """One enhancement's shown portfolio with one score in two runs, by their names: `run` less `base` on the closes,
    `first` to `last`, that both have. `lag` is that of the error."""

    base: str
    run: str
    enhancement: str
    first: str
    last: str
    lag: int
    row: Row

    @property
    def block(self) -> tuple[str, str, str]:
        """Which runs and enhancement it is of."""
        return self.base, self.run, self.enhancement


Named = tuple[str, Enhancements | None]


def enhanced_pairs(runs: Sequence[Named]) -> tuple[EnhancedPair, ...]:
    """Every enhancement, model and label that two runs have under the same names, paired with the first run that has
    them and two closes or more in common."""
    pairs = [pair for place, run in enumerate(runs) for pair in _pairs_of(run, runs[:place])]
    order = list(dict.fromkeys(pair.block for pair in pairs))
    return tuple(sorted(pairs, key=lambda pair: order.index(pair.block)))


def _pairs_of(run: Named, earlier: Sequence[Named]) -> Iterator[EnhancedPair]:
    name, enhancements = run
    for each in () if enhancements is None else enhancements.listed:
        assert enhancements is not None
        for key in shown_keys(enhancements, each):
            found = (_pair(base, name, enhancements, each, key[1:]) for base in earlier)
            yield from [pair for pair in found if pair is not None][:1]


def _pair(
    base: Named, run: str, ours: Enhancements, each: EnhancedIndex, score: tuple[str, int]
) -> EnhancedPair | None:
    name, theirs = base
    other = None if theirs is None else next((one for one in theirs.listed if one.name == each.name), None)
    if theirs is None or other is None or (other.shown.name, *score) not in theirs.held:
        return None
    left, right = ours.held[each.shown.name, *score].navs, theirs.held[other.shown.name, *score].navs
    days, lag = sorted(set(left.days) & set(right.days)), 3 * max(each.rebalance, other.rebalance)
    if len(days) < 2:
        return None
    row: Row = {"label_days": score[1], "model": score[0], "days": len(days) - 1}
    row |= paired_excess(right, left, "shown", lag)
    return EnhancedPair(name, run, each.name, days[0].isoformat(), days[-1].isoformat(), lag, row)


def _headings() -> list[Heading]:
    shown = [Heading("days", "Days", "共同日数", "count")]
    for leg, leg_zh in LEGS_ZH.items():
        name, group = f"shown_{leg}_period", (f"Excess, {LEG_TITLES[leg]}", leg_zh)
        shown += [
            Heading(f"{name}_base", "base", "基线", "percent", *group),
            Heading(name, "this run", "本组", "percent", *group),
            Heading(
                f"{name}_difference", "difference", "之差", "signed_percent", *group, error=f"{name}_difference_se"
            ),
        ]
    return shown


def _table(pairs: Sequence[EnhancedPair]) -> Table:
    base, run, enhancement = pairs[0].block
    columns = [column for heading in _headings() for column in heading.columns]
    title, title_zh = f"{enhancement} enhanced: {run} less {base}", f"{enhancement} 指数增强：{run} 减 {base}"
    rows = [pair.row for pair in pairs]
    return table_of("enhanced", title, title_zh, columns, rows, said=_said(pairs))


def _said(pairs: Sequence[EnhancedPair]) -> Text:
    first, last = min(pair.first for pair in pairs), max(pair.last for pair in pairs)
    lags = " / ".join(map(str, sorted({pair.lag for pair in pairs})))
    return Text(
        f"{first} to {last}. The portfolio that each run shows of the enhancement of this name, under that run’s own "
        "limits, costs and days of decision: see what differs. Excess: from the first to the last close that both "
        "have, not annualised, over each run’s own index with dividends; ± of a difference is one Newey-West standard "
        f"error of the daily differences, lag {lags}, compounding left aside.",
        f"{first} 至 {last}。各次运行中此名称的指数增强所示组合，约束、费用与决策日均为该次运行自身的：见不同之处一节。"
        "超额为两者共有的首个至末个收盘之间的超额，未年化，相对于各自计入分红的指数；差值的 ± 为每日之差的一倍 "
        f"Newey-West 标准误，滞后 {lags} 期，不计复利。",
    )


def enhanced_views(pairs: Sequence[EnhancedPair]) -> Iterator[tuple[View, Text]]:
    """A table for each two runs and enhancement, with its conventions."""
    for _, part in groupby(pairs, key=lambda pair: pair.block):
        table = _table(list(part))
        yield view_of(table, None, _headings()), table.said


def enhanced_frame(pairs: Sequence[EnhancedPair]) -> pl.DataFrame:
    """All pairs as one table, their runs and enhancement before them."""
    names = pl.DataFrame([pair.block for pair in pairs], ["base", "run", "enhancement"], orient="row")
    return pl.concat([names, _table(pairs).frame], how="horizontal")
