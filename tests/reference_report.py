"""A made-up run folder for the report's tests: small random walks, not a market."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

SUFFIXES = ("", "biagru")
GRANULARITIES = ("day", "60min", "30min")


def weekdays(first: date, count: int) -> list[date]:
    days = (first + timedelta(days=i) for i in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def models() -> list[dict[str, str]]:
    listed: list[dict[str, str]] = []
    for suffix in SUFFIXES:
        tail = f"_{suffix}" if suffix else ""
        for granularity in GRANULARITIES:
            name, kind = f"{granularity}{tail}", "single"
            listed.append({"name": name, "kind": kind, "granularity": granularity, "suffix": suffix})
        listed += [
            {"name": f"{name}{tail}", "kind": "ensemble", "suffix": suffix} for name in ("ensemble", "ensemble1")
        ]
    return [
        *listed,
        {"name": "naive", "kind": "naive", "description": "mean rank of −vol20, −ret20, −ret5, −surge, −range"},
    ]


def facts(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "name": "cn_a_15min",
        "note": "A-shares, 15-minute bars of 2025: 1,000 stocks, survivors only",
        "simulated": False,
        "data": [
            {"label": "Source", "value": "15-minute bars and a daily file, Parquet"},
            {"label": "Stocks", "value": "1,000 of about 5,400, chosen by a fixed rule"},
            {"label": "Span", "value": "2024-07-01 to 2025-12-31"},
            {"label": "Granularities", "value": "day, 60min, 30min"},
        ],
        "notes": [
            "The stocks are those still listed at the end: survivors only.",
            "The industry table is not point in time.",
        ],
        "conventions": [
            "A decision at t uses what is known at t's close; fills are at the next day's VWAP.",
            "Rank IC is Spearman's with average ranks over the stocks that can be bought at the fill.",
            "Top 10%: n = a tenth of the universe, equal weights, drifting between fills.",
        ],
        "missing": ["st: the data has no ST flag, so ST stocks stay in", "csi1000: no member list"],
        "models": models(),
        "label_days": [5, 10],
        "rebalance": 5,
        "fill": "t1_vwap",
        "universe": "all",
        "universes": ["all", "csi300"],
        "cost": 0.003,
        "headline": "ensemble_biagru",
        "seeds": [1],
        "folds": [
            {"label_days": 5, "number": 0, "train_days": 107, "valid_days": 20, "test_days": 40,
             "first_test": "2025-07-01", "last_test": "2025-08-25"},
        ],
        "stages": [{"stage": "features", "seconds": 41.25}, {"stage": "train", "seconds": 0.0, "skipped": True}],
        "configurations": [{"fingerprint": "9f2c41aa77e0b1d3", "first_run": "2026-01-04 20:11", "note": "first"}],
    }  # fmt: skip
    return base | changes


ORACLE = {"name": "oracle", "kind": "oracle", "description": "the expected return of who knows the hidden states"}


def rank_ic_rows(days: list[date], seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    weather = random.normal(0, 0.09, len(days))
    frames = []
    for order, model in enumerate([*models(), ORACLE]):
        for label in [0] if model["kind"] == "naive" else [5, 10]:
            for universe in ("all", "csi300"):
                level = {"naive": 0.035, "oracle": 0.3}.get(model["kind"], 0.052 + 0.003 * (order % 5))
                rank_ic = level + weather + random.normal(0, 0.04, len(days))
                rank_ic[0] = np.nan
                frame = pl.DataFrame({"date": days, "rank_ic": rank_ic, "rank_ic_all": rank_ic - 0.001}).with_columns(
                    pl.lit(model["name"]).alias("model"),
                    pl.lit(label, pl.Int32).alias("label_days"),
                    pl.lit(5, pl.Int32).alias("rebalance"),
                    pl.lit("t1_vwap").alias("fill"),
                    pl.lit(universe).alias("universe"),
                    pl.lit(900).alias("n"),
                )
                frames.append(frame)
    return pl.concat(frames).with_columns(pl.col("rank_ic", "rank_ic_all").fill_nan(None))


def seed_rows(days: list[date], seed: int, seeds: int = 1) -> pl.DataFrame:
    """The shown Rank ICs of each seed: the mean's, and noise where there are several seeds."""
    trained = [model["name"] for model in models() if model["kind"] != "naive"]
    shown = rank_ic_rows(days, seed).filter(pl.col("universe") == "all", pl.col("model").is_in(trained))
    noise = np.random.default_rng(seed + 2)
    return pl.concat(
        [
            shown.select(
                *("model", "label_days", "rebalance", "fill", "universe"),
                pl.lit(number, pl.Int32).alias("seed"),
                "date",
                pl.col("rank_ic") + pl.Series(noise.normal(0, 0.01 * (seeds > 1), shown.height)),
            )
            for number in range(1, seeds + 1)
        ]
    )


def values(run: Path, file: str, **wanted: object) -> dict[date, float]:
    """The Rank ICs of a case by date, without the missing ones."""
    frame = pl.read_parquet(run / f"{file}.parquet")
    for column, value in wanted.items():
        frame = frame.filter(pl.col(column) == value)
    return {day: value for day, value in frame.select("date", "rank_ic").iter_rows() if value is not None}


def share_and_difference(ours: dict[date, float], oracle: dict[date, float]) -> tuple[float, float]:
    """The ratio and the difference of the mean Rank ICs on common dates, by loops."""
    left, right, count = 0.0, 0.0, 0
    for day, value in ours.items():
        if day in oracle:
            left, right, count = left + value, right + oracle[day], count + 1
    return left / right, (left - right) / count


def spread(seeds: list[dict[date, float]], days: list[date], tracks: int) -> float:
    """Standard deviation (n − 1) over seeds of the mean over tracks of the mean over a track's dates, by loops."""
    levels = []
    for seed in seeds:
        means = []
        for track in range(tracks):
            found = [seed[day] for i, day in enumerate(days) if i % tracks == track and day in seed]
            means.append(sum(found) / len(found))
        levels.append(sum(means) / len(means))
    middle = sum(levels) / len(levels)
    return (sum((level - middle) ** 2 for level in levels) / (len(levels) - 1)) ** 0.5


def nav_rows(days: list[date], seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed + 1)
    frames = []
    market = random.normal(0.0004, 0.011, len(days))
    for model in models():
        for label in [0] if model["kind"] == "naive" else [5, 10]:
            for universe in ("all", "csi300"):
                for selection, spread in (("top10pct", 0.0006), ("top100", 0.0008)):
                    active = random.normal(spread, 0.003, len(days))
                    for track in range(5):
                        held = slice(track, None)
                        gross = np.cumprod(np.r_[1.0, (1 + market + active)[held][1:]])
                        net = gross * 0.9994 ** np.arange(len(gross))
                        benchmark = np.cumprod(np.r_[1.0, (1 + market)[held][1:]])
                        frames.append(
                            pl.DataFrame(
                                {
                                    "date": days[held],
                                    "gross": gross,
                                    "net": net,
                                    "benchmark": benchmark,
                                    "turnover": [0.6 if i % 5 == 0 else None for i in range(len(gross))],
                                    "participation": [0.02 if i % 5 == 0 else None for i in range(len(gross))],
                                }
                            ).with_columns(
                                pl.lit(model["name"]).alias("model"),
                                pl.lit(label, pl.Int32).alias("label_days"),
                                pl.lit(5, pl.Int32).alias("rebalance"),
                                pl.lit("t1_vwap").alias("fill"),
                                pl.lit(universe).alias("universe"),
                                pl.lit(selection).alias("selection"),
                                pl.lit(track, pl.Int32).alias("track"),
                            )
                        )
    return pl.concat(frames)


FEATURES = ("amihud", "range", "turnover")


def explain_rows(days: int = 4) -> pl.DataFrame:
    """Where the scores of the trained models come from: the same of each, falling with feature and day."""
    shares = [(feature, back, 1 / (1 + place + back)) for place, feature in enumerate(FEATURES) for back in range(days)]
    whole = sum(share for _, _, share in shares)
    rows = [
        (model["name"], label, model["granularity"], feature, back, share / whole)
        for model in models()
        if model["kind"] == "single"
        for label in (5, 10)
        for feature, back, share in shares
    ]
    columns = {"model": pl.String, "label_days": pl.Int32, "granularity": pl.String, "feature": pl.String}
    return pl.DataFrame(rows, columns | {"days_back": pl.Int32, "share": pl.Float64}, orient="row")


def decay_rows(days: list[date], seed: int) -> pl.DataFrame:
    """Rank ICs that grow and rankings that fade, on every fifth date; over 20 days nothing is known."""
    random = np.random.default_rng(seed + 3)
    rows = [
        (model["name"], label, over, day, None if over == 20 else 0.02 * over + noise, 0.9**over + noise)
        for model in models()
        for label in ([0] if model["kind"] == "naive" else [5, 10])
        for over in (1, 5, 20)
        for day in days[::5]
        for noise in [float(random.normal(0, 0.01))]
    ]
    columns = {"model": pl.String, "label_days": pl.Int32, "days": pl.Int32, "date": pl.Date}
    return pl.DataFrame(rows, columns | {"rank_ic": pl.Float64, "autocorrelation": pl.Float64}, orient="row")


STYLES, INDUSTRIES = ("size", "reversal", "volatility"), ("bank", "steel")


def exposure_rows(days: list[date], seed: int) -> pl.DataFrame:
    """Exposures around a level of their own on every fifth date; without styles half of the Rank IC is left."""
    random = np.random.default_rng(seed + 4)
    levels = {("correlation", name): 0.1 * i for i, name in enumerate(STYLES)}
    levels |= {("industry_share", "industry"): 0.15, ("industry_share", "chance"): 0.03}
    levels |= {("mean_score", name): 0.2 - 0.4 * i for i, name in enumerate(INDUSTRIES)}
    levels |= {("rank_ic", "raw"): 0.06, ("rank_ic", "size+industry"): 0.03}
    rows = [
        (model["name"], label, measure, of, day, level + float(random.normal(0, 0.01)))
        for model in models()
        for label in ([0] if model["kind"] == "naive" else [5, 10])
        for (measure, of), level in levels.items()
        for day in days[::5]
    ]
    columns = {"model": pl.String, "label_days": pl.Int32, "measure": pl.String, "of": pl.String, "date": pl.Date}
    return pl.DataFrame(rows, columns | {"value": pl.Float64}, orient="row")


def write_run(
    folder: Path, *, count: int = 118, seed: int = 7, seeds: int = 1, oracle: bool = False, **changes: object
) -> Path:
    """A run folder of ten models and the naive composite, two labels, two universes, five tracks.

    With `oracle` an oracle too, that has no Rank IC on the first two dates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    days = weekdays(date(2025, 7, 1), count)
    of_oracle, rows = pl.col("model") == "oracle", rank_ic_rows(days, seed)
    late = of_oracle & (pl.col("date") < days[2])
    rows = rows.with_columns(pl.when(late).then(None).otherwise(pl.col("rank_ic")).alias("rank_ic"))
    (rows if oracle else rows.filter(~of_oracle)).write_parquet(folder / "rank_ic.parquet")
    if oracle:
        changes = {"simulated": True, "models": [*models()[:-1], ORACLE, models()[-1]]} | changes
    nav_rows(days, seed).write_parquet(folder / "nav.parquet")
    seed_rows(days, seed, seeds).write_parquet(folder / "seed_rank_ic.parquet")
    decay_rows(days, seed).write_parquet(folder / "decay.parquet")
    exposure_rows(days, seed).write_parquet(folder / "exposure.parquet")
    explain_rows().write_parquet(folder / "explain.parquet")
    (folder / "report_facts.json").write_text(json.dumps(facts(**changes)), "utf-8")
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "code": "ab12", "seeds": [1]}), "utf-8")
    return folder
