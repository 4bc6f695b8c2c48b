"""CSI 300 enhancement on real data: `python examples/csi300_enhancement.py members|shanghai SCORES FOLDER`.

SCORES is a scores.parquet that covers the days, FOLDER where the run is kept. Survivors only; industries are a later
snapshot; the index is of true weights with dividends, what members without data weigh going to their industry.

members: 2020-01 to 2022-06 on the names of the fundamentals file, which gives amount, ST, float value (an estimate) and
book value (1/pbMRQ); prices and adjustment are the daily file's. The names are the CSI 300 of late 2025, and those that
joined later earned far more than members: only who was a member on the date may be held.

shanghai: 2025 on the thousand names with 15-minute bars, against the Shanghai part of the CSI 300, whose weights of
that time were derived and look ahead in part. Neither size nor value; too few dates for a figure a year.

Printed are the excess after costs of every score, beside that of portfolios of random scores through the same linear
program, the ten names that added most, certificates, and infeasible dates by cause.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from polygrain.config import load
from polygrain.evaluation.statistics import annualised_excess
from polygrain.interop import read_scores
from polygrain.pipeline.given import judge
from polygrain.progress import to_terminal

RANDOM = 20
TOP = """
version = 1
[source]
kind = "files"
root = "data"
daily = { path = "daily.parquet", amount = "AMOUNT", columns = { factor = "adj_factor", suspended = "paused"COLUMNS } }
index_members = { path = "index_members.parquet" }
index_weights = { path = "weights.parquet", units = { weight = "percent" } }
industries = { path = "industry.parquet", point_in_time = false }
"""
MEMBERS = """
name = "csi300"
note = "CSI 300 names of late 2025, 2020-01..2022-06: survivors only, held while they are members"
[universe]
base = "csi300 and not st"
[exposures]
columns = { valuation = "book_to_price" }
[evaluation]
universes = { csi300 = "all" }
[enhancement.csi300]
index = "SH000300"
constraints = [
    { kind = "stock_deviation", limit = 0.01 },
    { kind = "industry_deviation", limit = 0.0 },
    { kind = "style_deviation", limits = { size = 0.0, valuation = 0.0 } },
    { kind = "style_deviation", name = "low_frequency", limits = { LIMITS }, optional = true },
    { kind = "turnover", limit = 0.3 },
]
order = [["stock_deviation"], ["industry_deviation"], ["style_deviation"], ["low_frequency"], ["turnover"]]
vary = { "stock_deviation.limit" = [0.01, 0.005], "industry_deviation.limit" = [0.0, 0.02] }
"""
SHANGHAI = """
name = "shanghai"
note = "1,000 stocks, 2025-09..12, against the Shanghai part of the CSI 300: survivors only"
[enhancement.shanghai]
index = "SH000300"
rebalance = 10
constraints = [
    { kind = "stock_deviation", limit = 0.01 },
    { kind = "industry_deviation", limit = 0.0 },
    { kind = "constituents", share = 0.8 },
    { kind = "style_deviation", limits = { LIMITS } },
    { kind = "turnover", limit = 0.3 },
]
vary = { "stock_deviation.limit" = [0.01, 0.005], "industry_deviation.limit" = [0.0, 0.02] }
"""


class Case(NamedTuple):
    """A config beyond its source, the styles held near the index's, and the first day of the scores."""

    config: str
    amount: str
    columns: str
    styles: tuple[str, ...]
    first: pl.Expr
    tables: Callable[[Path], tuple[pl.DataFrame, pl.DataFrame]]


def of_members(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Daily rows of the fundamentals' names, before these begin with the typical price's amount; true weights."""
    own = pl.read_parquet(data / "hs300_fundamentals_2020_2022h1.parquet")
    prices = pl.scan_parquet(data / "daily_2011_2022h1.parquet").filter(
        pl.col("symbol").is_in(own["symbol"].unique().implode()), pl.col("date") >= pl.date(2018, 7, 1)
    )
    typical = (pl.col("open") + pl.col("high") + pl.col("low") + pl.col("close")) / 4 * pl.col("volume")
    facts = own.select("symbol", "date", "amount", "isST", "float_mv_est", "pbMRQ", price=pl.col("close"))
    rows = prices.collect().join(facts, on=["symbol", "date"], how="left")
    daily = rows.with_columns(
        pl.col("amount").fill_null(typical.cast(pl.Float64)),
        pl.col("isST").fill_null(0),
        float_shares=pl.col("float_mv_est") / pl.col("price"),
        book_to_price=pl.when(pl.col("pbMRQ") > 0).then(1 / pl.col("pbMRQ")),
    ).drop("price", "pbMRQ", "float_mv_est")
    return daily, pl.read_parquet(data / "csi300_weights.parquet")


def of_shanghai(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Daily rows of the names with 15-minute bars; the weights of Shanghai's members, which make up 100%."""
    listed = pl.read_parquet(data / "csi300_weights_approx_2024q4_2025.parquet").drop("known")
    ours = listed.filter(pl.col("symbol").str.starts_with("SH"))
    weights = ours.with_columns(weight=100 * pl.col("weight") / pl.col("weight").sum().over("date"))
    return pl.read_parquet(data / "daily_2024h2_2025.parquet"), weights


SLOW = ("reversal", "momentum", "volatility", "liquidity")
CASES = {
    "members": Case(
        MEMBERS,
        "column",
        ', st = "isST", book_to_price = "book_to_price"',
        ("mid_cap", "turnover", *SLOW),
        pl.date(2020, 1, 2),
        of_members,
    ),
    "shanghai": Case(SHANGHAI, "typical_price", "", SLOW, pl.date(2025, 1, 2), of_shanghai),
}


def made(case: Case, scores: Path, folder: Path) -> Path:
    """The portfolios of these scores."""
    theirs, data = Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a", folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    daily, weights = case.tables(theirs)
    daily.write_parquet(data / "daily.parquet")
    weights.write_parquet(data / "weights.parquet")
    for name in ("index_members.parquet", "industry.parquet"):
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(theirs / name)
    source = TOP.replace("AMOUNT", case.amount).replace("COLUMNS", case.columns)
    top, tables = source.split("[source]")
    head, rest = case.config.partition("[")[::2]
    limits = ", ".join(f"{style} = 0.8" for style in case.styles)
    config = folder / "enhancement.toml"
    config.write_text(f"{top}{head}[source]{tables}[{rest}random_scores = {RANDOM}\n".replace("LIMITS", limits))
    symbols = daily["symbol"].unique()
    rows = pl.scan_parquet(scores).filter(
        pl.col("segment") == "test",
        pl.col("model") != "naive",
        pl.col("date") >= case.first,
        pl.col("symbol").is_in((symbols.str.slice(2) + "." + symbols.str.slice(0, 2)).implode()),
    )
    given = read_scores(rows.drop("segment").collect())
    judge(load(config), given, folder=folder / "run", base=folder, progress=to_terminal(), enhance=True)
    return folder / "run" / "portfolios"


def print_excess(portfolios: Path) -> None:
    """Of every portfolio and score, a year where there are days enough, and of random scores."""
    nav = pl.read_parquet(portfolios / "nav.parquet")
    print(f"{nav['date'].min()} to {nav['date'].max()}: excess after costs over the index with dividends, a year")
    rows = []
    for key, path in nav.group_by("portfolio", "model", "label_days", maintain_order=True):
        net, benchmark = (path[name].to_numpy()[None] for name in ("net", "benchmark"))
        rows.append((*key, annualised_excess(net, benchmark)))
    schema = {"portfolio": pl.String, "model": pl.String, "label_days": pl.Int32, "excess": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    if table["excess"].is_null().all():
        print("too few days for a figure a year")
        return
    drawn = pl.col("model").str.starts_with("random ")
    for portfolio, model, label_days, excess in table.filter(~drawn).iter_rows():
        print(f"{portfolio} {model} {label_days}: {excess:+.4f}")
    found = table.filter(drawn)["excess"]
    error = found.std() / len(found) ** 0.5
    print(f"{len(found)} random scores, first portfolio: {found.mean():+.4f} +- {error:.4f}, one {found.std():.4f}")


def print_index(portfolios: Path) -> None:
    """How the index goes with the official price index, which has no dividends."""
    levels = pl.read_parquet(Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a" / "index_levels.parquet")
    ours = pl.read_parquet(portfolios / "nav.parquet").select("date", "benchmark").unique("date").sort("date")
    both = ours.join(levels.filter(symbol="SH000300").select("date", "close"), on="date", maintain_order="left")
    moves = both.select(pl.col("benchmark", "close").cast(pl.Float64).log().diff()).drop_nulls()
    apart = moves["benchmark"] - moves["close"]
    print(
        f"index beside the official price index: correlation {moves.select(pl.corr('benchmark', 'close')).item():.4f}, "
        f"differences {apart.std() * 242**0.5:.4f} a year, {apart.mean() * 242:+.4f} a year on average"
    )


def print_names(portfolios: Path) -> None:
    """The ten names that added or took most, by score."""
    added = pl.read_parquet(portfolios / "contributions.parquet")
    for (model, label_days), names in added.group_by("model", "label_days", maintain_order=True):
        most = names.top_k(10, by=pl.col("value").abs())
        said = ", ".join(f"{symbol} {value:+.4f}" for symbol, value in most.select("symbol", "value").iter_rows())
        print(f"{model} {label_days}, of {names['value'].sum():+.4f} at closes, before costs: {said}")


def print_solves(portfolios: Path) -> None:
    """Certificates, share with data, infeasible dates."""
    solves = pl.read_parquet(portfolios / "solves.parquet")
    worst = solves.select(pl.max_horizontal("primal", "dual", "gap").max()).item()
    share = f"share of the index with data {solves['covered'].min():.3f} to {solves['covered'].max():.3f}"
    dates = solves["date"].n_unique()
    print(f"{solves.height:,} solves on {dates} dates, worst residual or gap {worst:.1e}; {share}")
    print(f"infeasible: {solves['conflict'].count()}")
    for conflict, count in solves.drop_nulls("conflict")["conflict"].value_counts(sort=True).iter_rows():
        print(f"  {count} times {conflict}")
    relaxed = pl.read_parquet(portfolios / "relaxed.parquet").group_by("part").agg(pl.len(), pl.col("amount").mean())
    for part, count, amount in relaxed.iter_rows():
        print(f"  gave way: {part}, {count} rows or bounds, {amount:.4f} on average")


if __name__ == "__main__":
    made_of = made(CASES[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]))
    for show in (print_excess, print_index, print_names, print_solves):
        show(made_of)
