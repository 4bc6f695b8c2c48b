"""Exposure of every score to styles and industries, and its Rank IC without them: exposure.parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from polygrain.evaluation.exposure import (
    chance_share,
    industry_means,
    industry_share,
    neutralised,
    rank_correlations,
)
from polygrain.execution.fills import FILLS, fill_price
from polygrain.pipeline.market import Market
from polygrain.pipeline.scoring import Key
from polygrain.report.words import Text, chinese
from polygrain.samples.labels import forward_returns, tradable
from polygrain.store.panel import Array

# What scores are neutralised to, beside industries.
NEUTRAL = (("size",), ("size", "reversal", "volatility", "turnover"))
INDUSTRY = "industry"
CONVENTION = Text(
    "Exposures: clipped at median ± 3·1.4826·MAD of U_t, minus the cap-weighted mean, over the equal-weighted standard "
    "deviation; missing ones are their industry's mean. Tables of exposure take one score date in R: rank correlations "
    "of scores and styles over the universe, R² on industry dummies beside that of noise, and the Rank IC of what "
    "least squares over the universe leave of a score.",
    "暴露：按 U_t 的中位数 ± 3·1.4826·MAD 截尾，减去市值加权均值，除以等权标准差；缺失者取行业均值。"
    "暴露各表每 R 日取一个打分日：得分与风格在选股范围内的秩相关；行业哑变量的 R² 与纯噪声的并列；"
    "以及在选股范围内最小二乘剔除之后得分的 Rank IC。",
)
LEAST_STOCKS = 10

_SCHEMA = {
    "model": pl.String,
    "label_days": pl.Int32,
    "measure": pl.String,
    "of": pl.String,
    "date": pl.Date,
    "value": pl.Float64,
}

_Name = tuple[str, str]


@dataclass(frozen=True)
class _Section:
    """The same stocks' scores [scores, stocks], exposures [styles, stocks] and industry codes [stocks] at one close.

    `returns` [stocks] follow it; `judged` are those whose returns count, bool [stocks].
    """

    scores: Array
    styles: Array
    codes: Array
    returns: Array
    judged: Array

    def rank_ics(self, versions: Sequence[Array]) -> Array:
        """Rank ICs [versions, scores] of several versions of the scores with the returns."""
        stacked = np.concatenate(versions)[:, self.judged]
        return rank_correlations(stacked, self.returns[None, self.judged]).reshape(len(versions), -1)


def gaps(market: Market, days: Array) -> list[Text]:
    """Sentences on what the data lacks for exposures on the day numbers `days`, and what stands in."""
    panels, said = market.exposures, []
    for name in panels.names:
        there = int(np.isfinite(panels.style(name)[days]).any(axis=1).sum())
        if there < len(days):
            said.append(
                Text(
                    f"Exposure to {name} is there on {there} of {len(days)} days.",
                    f"{len(days)} 日中有 {there} 日有 {name} 的暴露。",
                )
            )
    wanted = dict.fromkeys(name for names in NEUTRAL for name in names)
    lacking = [name for name in wanted if name not in panels.names]
    lacking += [] if panels.industries.known else [INDUSTRY]
    if lacking:
        said.append(
            Text(
                f"Rank IC after neutralising lacks {', '.join(lacking)}.",
                f"中性化之后的 Rank IC 未剔除 {'、'.join(lacking)}。",
            )
        )
    return [*(Text(note, chinese(note)) for note in (*panels.missing, *panels.notes)), *said]


def exposure(market: Market, members: Array, days: Array, scores: Mapping[Key, Array]) -> pl.DataFrame:
    """(model, label_days, measure, of, date, value) of `scores` [dates, symbols] by key on the day numbers `days`.

    correlation of a style: rank correlation with the score over `members` [days, symbols]. industry_share of industry
    and of chance: R² on industry dummies, and that of noise. mean_score of an industry. rank_ic of raw, and of what
    the score was neutralised to over the members: over M_t with the return over R days after the fill, those of the
    report's tables, which see t + lag + R; all else sees t alone.
    """
    panels, settings = market.exposures, market.experiment.evaluation
    fill = FILLS[settings.fills[0]]
    returns = forward_returns(fill_price(market.quotes, fill), fill.lag, settings.rebalance[0])[days]
    mask = tradable(members, market.quotes, settings.fills[0])[days] & np.isfinite(returns)
    collected = _Collected(len(days), neutral_sets(market), panels.names, panels.industries.names)
    for place, day in enumerate(days):
        for keys, stocks in _alike({key: panel[place] for key, panel in scores.items()}, members[day]):
            if stocks.sum() >= LEAST_STOCKS:
                section = _Section(
                    scores=np.array([scores[key][place, stocks] for key in keys]),
                    styles=panels.styles.values[day, stocks].T.astype(float),
                    codes=panels.industries.codes[day, stocks].astype(np.intp),
                    returns=returns[place, stocks],
                    judged=mask[place, stocks],
                )
                collected.add(place, keys, section)
    return collected.frame([market.quotes.axes.days[day] for day in days])


def neutral_sets(market: Market) -> dict[str, tuple[str, ...]]:
    """The styles that scores are neutralised to, by a name that says all of it, industries included: size+industry."""
    names = market.exposures.names
    industry = (INDUSTRY,) if market.exposures.industries.known else ()
    found = (tuple(name for name in wanted if name in names) for wanted in NEUTRAL)
    return {"+".join((*styles, *industry)): styles for styles in found if styles or industry}


def _alike(scores: Mapping[Key, Array], members: Array) -> Iterator[tuple[list[Key], Array]]:
    """The scores of one date that are there for the same stocks, and which these are: what is ranked once for all."""
    groups: dict[bytes, tuple[list[Key], Array]] = {}
    for key, score in scores.items():
        stocks = members & np.isfinite(score)
        groups.setdefault(stocks.tobytes(), ([], stocks))[0].append(key)
    yield from groups.values()


@dataclass
class _Collected:
    """Values by score, measure and what it is of, one a date."""

    dates: int
    neutral: Mapping[str, tuple[str, ...]]
    styles: tuple[str, ...]
    industries: tuple[str, ...]
    values: dict[tuple[Key, _Name], Array] = field(default_factory=dict)

    def add(self, place: int, keys: list[Key], section: _Section) -> None:
        """All measures of the section's scores, which are those of `keys`, on one date."""
        measures = {**dict(self._correlations(section)), **dict(self._rank_ics(section))}
        if len(self.industries) > 1:
            measures |= self._by_industry(section)
        for name, by_score in measures.items():
            for key, value in zip(keys, by_score):
                self.values.setdefault((key, name), np.full(self.dates, np.nan))[place] = value

    def _correlations(self, section: _Section) -> Iterator[tuple[_Name, Array]]:
        there = np.flatnonzero(np.isfinite(section.styles).all(axis=1))
        found = rank_correlations(section.scores, section.styles[there])
        yield from ((("correlation", self.styles[style]), found[:, i]) for i, style in enumerate(there))

    def _by_industry(self, section: _Section) -> dict[_Name, Array]:
        scores, codes = section.scores, section.codes
        means = industry_means(scores, codes, len(self.industries)).T
        return {
            ("industry_share", INDUSTRY): industry_share(scores, codes),
            ("industry_share", "chance"): np.full(len(scores), chance_share(codes)),
            **{("mean_score", name): mean for name, mean in zip(self.industries, means) if np.isfinite(mean).any()},
        }

    def _rank_ics(self, section: _Section) -> Iterator[tuple[_Name, Array]]:
        versions = {"raw": section.scores}
        for name, wanted in self.neutral.items():
            styles = section.styles[[self.styles.index(style) for style in wanted]]
            if np.isfinite(styles).all():
                versions[name] = neutralised(section.scores, styles, section.codes)
        for of, ics in zip(versions, section.rank_ics(list(versions.values()))):
            yield ("rank_ic", of), ics

    def frame(self, days: Sequence[date]) -> pl.DataFrame:
        """The values that are there, one a row."""
        parts = [
            pl.DataFrame({"date": pl.Series(days, dtype=pl.Date), "value": values}).select(
                pl.lit(model).alias("model"),
                pl.lit(label_days, pl.Int32).alias("label_days"),
                pl.lit(measure).alias("measure"),
                pl.lit(of).alias("of"),
                "date",
                pl.col("value").fill_nan(None),
            )
            for ((model, label_days), (measure, of)), values in self.values.items()
        ]
        return pl.concat([pl.DataFrame(schema=_SCHEMA), *parts])
