"""exposure.parquet of a simulated market against plain loops, and what of it is named as missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reference_exposures as reference

from polygrain.config import load
from polygrain.pipeline.exposing import exposure, gaps, neutral_sets
from polygrain.pipeline.market import Market
from polygrain.sources.ingest import ingest
from polygrain.store.panel import Array

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
DAYS = np.array([30, 61, 90, 110])
NEUTRAL = {
    "size+industry": ["size"],
    "size+reversal+volatility+turnover+industry": ["size", "reversal", "volatility", "turnover"],
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    experiment = load(TINY, ["source.bar=day", 'granularity=[{name="day",bar="day"}]'])
    return Market(experiment, ingest(experiment.source, tmp_path_factory.mktemp("store") / "store"))


@pytest.fixture(scope="module")
def scores(market: Market) -> dict[tuple[str, int], Array]:
    """By date two scores for the same stocks, and one that lacks some."""
    generator = np.random.default_rng(1)
    found = {("naive", 0): market.naive.values[DAYS]}
    for label_days in (5, 10):
        noise = np.where(market.members[DAYS], generator.normal(size=(len(DAYS), 70)), np.nan)
        found["noise", label_days] = noise + np.nan_to_num(market.exposures.style("size")[DAYS])
    found["noise", 10][generator.random(noise.shape) < 0.2] = np.nan
    return found


@pytest.fixture(scope="module")
def frame(market: Market, scores: dict[tuple[str, int], Array]) -> pl.DataFrame:
    return exposure(market, market.members, DAYS, scores)


def earned(market: Market, day: int, stock: int) -> float | None:
    """Return over 5 days from the next day's VWAP; None where the stock cannot be bought there."""
    quotes = market.quotes
    price, bought = quotes.adjusted("vwap"), day + 1
    if not quotes.traded[bought, stock]:
        return None
    low, limit = quotes.low[bought, stock], quotes.up_limit[bought, stock]
    if quotes.high[bought, stock] == low and low >= limit - 0.005:
        return None
    known = [price[d, stock] for d in range(bought, bought + 6) if np.isfinite(price[d, stock])]
    return float(known[-1] / known[0] - 1)


def test_equals_plain_loops(market: Market, scores: dict[tuple[str, int], Array], frame: pl.DataFrame) -> None:
    panels = market.exposures
    assert neutral_sets(market) == {name: tuple(styles) for name, styles in NEUTRAL.items()}
    found = {row[:5]: row[5] for row in frame.iter_rows()}
    for place, day in enumerate(DAYS):
        for key, panel in scores.items():
            stocks = [s for s in range(70) if market.members[day, s] and np.isfinite(panel[place, s])]
            score = [float(panel[place, s]) for s in stocks]
            exposures = {name: [float(panels.style(name)[day, s]) for s in stocks] for name in panels.names}
            industries = [panels.industries.names[panels.industries.codes[day, s]] for s in stocks]
            gains = {i: earned(market, int(day), s) for i, s in enumerate(stocks)}
            later = [i for i, gain in gains.items() if gain is not None]
            returns = [gains[i] for i in later]
            expected = {("rank_ic", "raw"): reference.spearman([score[i] for i in later], returns)}
            for name, values in exposures.items():
                if np.isfinite(values).all():
                    expected["correlation", name] = reference.spearman(score, values)
            for name, styles in NEUTRAL.items():
                if all(np.isfinite(exposures[style]).all() for style in styles):
                    rest = reference.residuals(score, [exposures[style] for style in styles], industries)
                    expected["rank_ic", name] = reference.spearman([rest[i] for i in later], returns)
            mean, within = sum(score) / len(score), 0.0
            for industry in set(industries):
                own = [s for s, name in zip(score, industries) if name == industry]
                expected["mean_score", industry] = sum(own) / len(own)
                within += sum((s - sum(own) / len(own)) ** 2 for s in own)
            expected["industry_share", "industry"] = 1 - within / sum((s - mean) ** 2 for s in score)
            expected["industry_share", "chance"] = (len(set(industries)) - 1) / (len(score) - 1)
            date = market.quotes.axes.days[day]
            for (measure, of), value in expected.items():
                # Rounding; residuals that differ by less would change places.
                assert found.pop((*key, measure, of, date)) == pytest.approx(value, abs=1e-9), (measure, of)
    # Of what is not there, such as a style's first days, nothing is said on a date when others are.
    assert set(found.values()) <= {None}


def test_a_score_that_is_size_has_nothing_left_of_it(frame: pl.DataFrame) -> None:
    def mean(measure: str, of: str) -> float:
        return float(frame.filter(model="noise", label_days=5, measure=measure, of=of)["value"].mean())

    assert mean("correlation", "size") > 0.5
    assert abs(mean("correlation", "volatility")) < 0.4
    # It asks for 240 days.
    assert frame.filter(of="momentum").is_empty()


def test_what_lacks_is_named(market: Market) -> None:
    said = [text.en for text in gaps(market, DAYS)]
    assert said[0] == "Exposure to profitability is left out: the data has no net_profit."
    assert "Exposure to momentum is there on 0 of 4 days." in said
    assert not any("neutralising" in sentence for sentence in said)


def test_without_shares_and_industries(market: Market, tmp_path: Path) -> None:
    """What a file of prices gives: no market value, no turnover, no industries."""
    source = market.experiment.source
    daily = source.daily().select("symbol", "date", "open", "high", "low", "close", "volume", "factor", "suspended")
    daily.write_parquet(tmp_path / "daily.parquet")
    files = (
        f'{{kind="files", root="{tmp_path}", limits="none", daily={{path="daily.parquet", amount="typical_price"}}}}'
    )
    experiment = load(
        TINY, [f"source={files}", 'granularity=[{name="day",bar="day"}]', 'evaluation.universes={all="all"}']
    )
    bare = Market(experiment, ingest(experiment.source, tmp_path / "store"))
    assert neutral_sets(bare) == {"reversal+volatility": ("reversal", "volatility")}
    said = [text.en for text in gaps(bare, DAYS)]
    assert "Rank IC after neutralising lacks size, turnover, industry." in said
    made = exposure(bare, bare.members, DAYS, {("naive", 0): bare.naive.values[DAYS]})
    assert set(made["measure"]) == {"correlation", "rank_ic"}
    assert set(made.filter(measure="rank_ic")["of"]) == {"raw", "reversal+volatility"}
