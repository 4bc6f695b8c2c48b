"""CSI 300 enhancement on real data, 2020-01 to 2022-06: `python bench/csi300.py SCORES FOLDER`.

SCORES is a scores.parquet that covers these days, FOLDER where the run is kept. The daily file gives prices and
adjustment, the fundamentals file amount, ST, float value (an estimate) and book value (1/pbMRQ) of some 292 names: the
CSI 300 of late 2025. Names that joined later earned far more than members, so that only who was a member on the date
may be held. The index is made of true weights, what members without data weigh going to their industry, dividends
included. Survivors only; industries are a later snapshot. Printed are the excess after costs of every score, beside
that of portfolios of random scores through the same linear program, the ten names that added most, and infeasible dates
by cause.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars as pl

from polygrain.config import load
from polygrain.evaluation.statistics import annualised_excess
from polygrain.interop import read_scores
from polygrain.pipeline.given import judge
from polygrain.progress import to_terminal

DATA = Path(os.environ["POLYGRAIN_REAL_DATA"]) / "cn_a"
FIRST, RANDOM = pl.date(2018, 7, 1), 20
OTHERS = ("mid_cap", "reversal", "momentum", "volatility", "turnover", "liquidity")
CONFIG = """
version = 1
name = "csi300"
note = "CSI 300 names of late 2025, 2020-01..2022-06: survivors only, held while they are members"
[source]
kind = "files"
root = "data"
index_members = {{ path = "index_members.parquet" }}
index_weights = {{ path = "csi300_weights.parquet", units = {{ weight = "percent" }} }}
industries = {{ path = "industry.parquet", point_in_time = false }}
[source.daily]
path = "daily.parquet"
columns = {{ factor = "adj_factor", suspended = "paused", st = "isST", book_to_price = "book_to_price" }}
[universe]
base = "csi300 and not st"
[exposures]
columns = {{ valuation = "book_to_price" }}
[evaluation]
universes = {{ csi300 = "all" }}
[enhancement.csi300]
index = "SH000300"
random_scores = {random}
constraints = [
    {{ kind = "stock_deviation", limit = 0.01 }},
    {{ kind = "industry_deviation", limit = 0.0 }},
    {{ kind = "style_deviation", limits = {{ size = 0.0, valuation = 0.0 }} }},
    {{ kind = "style_deviation", name = "low_frequency", limits = {{ {others} }}, optional = true }},
    {{ kind = "turnover", limit = 0.3 }},
]
order = [["stock_deviation"], ["industry_deviation"], ["style_deviation"], ["low_frequency"], ["turnover"]]
[enhancement.csi300.vary]
"stock_deviation.limit" = [0.01, 0.005]
"industry_deviation.limit" = [0.0, 0.02]
"""


def joined() -> pl.DataFrame:
    """Daily rows of the names of the fundamentals file; before it begins the amount is that of the typical price."""
    own = pl.read_parquet(DATA / "hs300_fundamentals_2020_2022h1.parquet")
    prices = pl.scan_parquet(DATA / "daily_2011_2022h1.parquet").filter(
        pl.col("symbol").is_in(own["symbol"].unique().implode()), pl.col("date") >= FIRST
    )
    typical = (pl.col("open") + pl.col("high") + pl.col("low") + pl.col("close")) / 4 * pl.col("volume")
    facts = own.select("symbol", "date", "amount", "isST", "float_mv_est", "pbMRQ", price=pl.col("close"))
    rows = prices.collect().join(facts, on=["symbol", "date"], how="left")
    return rows.with_columns(
        pl.col("amount").fill_null(typical.cast(pl.Float64)),
        pl.col("isST").fill_null(0),
        float_shares=pl.col("float_mv_est") / pl.col("price"),
        book_to_price=pl.when(pl.col("pbMRQ") > 0).then(1 / pl.col("pbMRQ")),
    ).drop("price", "pbMRQ", "float_mv_est")


def made(scores: Path, folder: Path) -> Path:
    """The run of these scores on that data."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    daily = joined()
    daily.write_parquet(data / "daily.parquet")
    for name in ("index_members", "csi300_weights", "industry"):
        link = data / f"{name}.parquet"
        link.unlink(missing_ok=True)
        link.symlink_to(DATA / link.name)
    config = folder / "csi300.toml"
    config.write_text(CONFIG.format(random=RANDOM, others=", ".join(f"{style} = 0.8" for style in OTHERS)))
    names = daily["symbol"].unique()
    ours = (names.str.slice(2) + "." + names.str.slice(0, 2)).implode()
    rows = pl.scan_parquet(scores).filter(
        pl.col("segment") == "test", pl.col("model") != "naive", pl.col("symbol").is_in(ours)
    )
    given = read_scores(rows.filter(pl.col("date") >= pl.date(2020, 1, 2)).drop("segment").collect())
    judge(load(config), given, folder=folder / "run", base=folder, progress=to_terminal(), enhance=True)
    return folder / "run" / "portfolios"


def main(portfolios: Path) -> None:
    nav = pl.read_parquet(portfolios / "nav.parquet")
    print(f"{nav['date'].min()} to {nav['date'].max()}, annualised excess after costs over the index with dividends")
    rows = []
    for (portfolio, model, label_days), path in nav.group_by("portfolio", "model", "label_days", maintain_order=True):
        net, benchmark = (path[name].to_numpy()[None] for name in ("net", "benchmark"))
        rows.append((portfolio, model, label_days, annualised_excess(net, benchmark)))
    table = pl.DataFrame(rows, schema=["portfolio", "model", "label_days", "excess"], orient="row")
    for row in table.filter(~pl.col("model").str.starts_with("random")).iter_rows():
        print("{} {} {}: {:.4f}".format(*row))
    drawn = table.filter(pl.col("model").str.starts_with("random"))["excess"]
    error = drawn.std() / len(drawn) ** 0.5
    print(f"{len(drawn)} random scores, first portfolio: {drawn.mean():.4f} +- {error:.4f}, one {drawn.std():.4f}")
    added = pl.read_parquet(portfolios / "contributions.parquet")
    for (model, label_days), names in added.group_by("model", "label_days", maintain_order=True):
        most = names.top_k(10, by=pl.col("value").abs())
        said = ", ".join(f"{symbol} {value:+.4f}" for symbol, value in most.select("symbol", "value").iter_rows())
        print(f"{model} {label_days}, of {names['value'].sum():+.4f} before trading and costs: {said}")
    solves = pl.read_parquet(portfolios / "solves.parquet")
    worst = solves.select(pl.max_horizontal("primal", "dual", "gap").max()).item()
    print(
        f"{solves.height:,} solves, worst residual or gap {worst:.1e}; share of the index with data "
        f"{solves['covered'].min():.3f} to {solves['covered'].max():.3f}; names {solves['names'].mean():.0f}"
    )
    for conflict, count in solves.drop_nulls("conflict")["conflict"].value_counts(sort=True).iter_rows():
        print(f"infeasible, {count} of {solves.height}: {conflict}")
    given = pl.read_parquet(portfolios / "relaxed.parquet").group_by("part").agg(pl.len(), pl.col("amount").mean())
    for part, count, amount in given.iter_rows():
        print(f"gave way: {part}, {count} rows or bounds, {amount:.4f} on average")


if __name__ == "__main__":
    main(made(Path(sys.argv[1]), Path(sys.argv[2])))
