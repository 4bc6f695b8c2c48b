"""Made-up files of index-enhanced portfolios beside a made-up run: small random walks, not a market."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from reference_report import weekdays

Key = tuple[str, str, int]
MODELS, LABELS = ("ensemble_biagru", "ensemble1_biagru"), (5, 10)
VARY: Mapping[str, Sequence[float]] = {
    "industry_deviation.limit": (0.0, 0.02),
    "stock_deviation.limit": (0.005, 0.01),
    "constituents.share": (0.0, 0.8),
}
STYLES, INDUSTRIES = ("size", "valuation", "reversal"), ("bank", "steel", "none")
PARTS = ("budget", "stock_deviation", "style_deviation.size", "industry_deviation", "constituents", "turnover")
TAGS = {"portfolio": pl.String, "model": pl.String, "label_days": pl.Int32}
ROWS = {
    "relaxed": {"date": pl.Date, "part": pl.String, "key": pl.String, "amount": pl.Float64},
    "active": {"date": pl.Date, "kind": pl.String, "of": pl.String, "held": pl.Float64, "benchmark": pl.Float64},
    "prices": {"date": pl.Date, "part": pl.String, "price": pl.Float64, "binding": pl.Int32},
    "attribution": {"date": pl.Date, "source": pl.String, "of": pl.String, "value": pl.Float64},
    "contributions": {"symbol": pl.String, "value": pl.Float64},
}
CONSTRAINTS: Sequence[Mapping[str, object]] = (
    {"kind": "stock_deviation", "name": None, "limit": 0.005},
    {"kind": "style_deviation", "name": None, "limits": {"size": 0.0}, "optional": False},
    {"kind": "industry_deviation", "name": None, "limit": 0.0},
    {"kind": "constituents", "name": None, "share": 0.0},
    {"kind": "turnover", "name": None, "limit": 0.3},
)
ORDER = (("stock_deviation",), ("constituents",), ("industry_deviation",), ("style_deviation",), ("turnover",))
CONFLICTS = ("style_deviation.size, turnover", "industry_deviation (bank), turnover given tradability (600000.SH (A))")


def portfolios(name: str, index: str, vary: Mapping[str, Sequence[float]]) -> Iterator[dict[str, object]]:
    """The cells of one enhancement as grid.json has them, the shown one first."""
    for place, values in enumerate(product(*vary.values())):
        varied = dict(zip(vary, values))
        said = ",".join(f"{key}={value:g}" for key, value in varied.items())
        yield {
            "name": f"{name}:{said}" if said else name,
            "enhancement": name,
            "index": index,
            "varied": varied,
            "shown": place == 0,
        }


def _nav(random: np.random.Generator, days: list[date], market: np.ndarray, spread: float) -> dict[str, object]:
    fills = [place % 5 == 1 for place in range(len(days))]
    gross = np.cumprod(np.r_[1.0, 1 + market + random.normal(spread, 0.003, len(market))])
    net = gross * np.cumprod(np.where(fills, 0.9994, 1.0))
    return {
        "date": days,
        "gross": gross,
        "net": net,
        "benchmark": np.cumprod(np.r_[1.0, 1 + market]),
        "cash": [1.0, *random.uniform(0, 0.01, len(market))],
        "turnover": [1.0 if place == 1 else 0.4 if fill else None for place, fill in enumerate(fills)],
    }


def _solves(random: np.random.Generator, dates: list[date]) -> dict[str, object]:
    conflicts = [CONFLICTS[place // 10 % 2] if place % 10 == 3 else None for place in range(len(dates))]
    return {
        "date": dates,
        "objective": random.uniform(1, 2, len(dates)),
        **{name: random.uniform(0, 1e-9, len(dates)) for name in ("primal", "dual", "gap")},
        "bought": random.uniform(0.1, 0.3, len(dates)),
        "names": pl.Series(random.integers(80, 120, len(dates)), dtype=pl.Int32),
        "covered": random.uniform(0.97, 1, len(dates)),
        "conflict": pl.Series(conflicts, dtype=pl.String),
    }


def _relaxed(random: np.random.Generator, solves: Mapping[str, object]) -> Iterator[tuple[date, str, str, float]]:
    for day, conflict in zip(solves["date"], solves["conflict"]):
        if conflict is not None:
            yield day, "turnover", "turnover", random.uniform(0.01, 0.05)
        if conflict == CONFLICTS[1]:
            for industry in ("bank", "steel"):
                yield day, "industry_deviation", industry, random.uniform(0.001, 0.002)


def _active(random: np.random.Generator, dates: list[date]) -> Iterator[tuple[date, str, str, float, float]]:
    for day in dates:
        for style in STYLES:
            yield day, "style", style, *random.normal(0, 0.2, 2)
        for industry in INDUSTRIES:
            yield day, "industry", industry, *random.uniform(0.2, 0.4, 2)
        yield day, "constituents", "", random.uniform(0.7, 0.9), 1.0


def _prices(random: np.random.Generator, dates: list[date]) -> Iterator[tuple[date, str, float, int]]:
    """No turnover at the first date, as nothing is held yet."""
    for place, day in enumerate(dates):
        for part in PARTS[: -1 if place == 0 else None]:
            yield day, part, random.uniform(0, 5), int(random.integers(0, 9))


def _attribution(random: np.random.Generator, nav: Mapping[str, object]) -> Iterator[tuple[date, str, str, float]]:
    """Contributions that add up: what is not drawn is selection."""
    gross, net, benchmark = (np.asarray(nav[name]) for name in ("gross", "net", "benchmark"))
    daily = {name: values[1:] / values[:-1] - 1 for name, values in zip("gnb", (gross, net, benchmark))}
    of = [("industry", name) for name in INDUSTRIES] + [("style", name) for name in STYLES]
    for place, day in enumerate(list(nav["date"])[1:]):
        drawn = dict(zip([*of, ("trading", ""), ("cash", "")], random.normal(0, 0.0005, len(of) + 2)))
        cost = daily["n"][place] - daily["g"][place]
        rest = daily["n"][place] - daily["b"][place] - cost - sum(drawn.values())
        for (source, name), value in {**drawn, ("selection", ""): rest, ("cost", ""): cost}.items():
            yield day, source, name, float(value)


def _contributions(random: np.random.Generator) -> Iterator[tuple[str, float]]:
    for number, value in enumerate(random.normal(0.0002, 0.003, 40)):
        yield f"{600000 + number}.SH", float(value)


def _tagged(key: Key, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(*(pl.lit(value, TAGS[name]).alias(name) for name, value in zip(TAGS, key)), pl.all())


def write_portfolios(
    run: Path,
    indices: Mapping[str, str] | Sequence[str] = ("csi500", "csi1000"),
    *,
    count: int = 500,
    vary: Mapping[str, Sequence[float]] = VARY,
    first: date = date(2024, 2, 1),
    seed: int = 11,
    missing: Sequence[tuple[str, str]] = (),
    random_scores: int = 0,
    **changes: object,
) -> Path:
    """The run's folder `portfolios`: by enhancement its index (or indices that are their own names), of every one 2
    models × 2 labels × the combinations of `vary`, over `count` closes; `random_scores` beside the shown one of each.

    `changes` are settings of every enhancement in grid.json.
    """
    names = dict(indices) if isinstance(indices, Mapping) else {index: index for index in indices}
    folder, random, days = run / "portfolios", np.random.default_rng(seed), weekdays(first, count)
    folder.mkdir(parents=True, exist_ok=True)
    decisions, listed = days[: count - 1 : 5], []
    frames: dict[str, list[pl.DataFrame]] = {}
    drawn = np.random.default_rng(seed + 1)
    for name, index in names.items():
        market = random.normal(0.0004, 0.011, count - 1)
        cells = list(portfolios(name, index, vary))
        listed += cells
        for cell, label, model in product(cells, LABELS, MODELS):
            key = (str(cell["name"]), model, label)
            nav, solves = _nav(random, days, market, 0.0006), _solves(random, decisions)
            rows = {
                "relaxed": _relaxed(random, solves),
                "active": _active(random, decisions),
                "prices": _prices(random, decisions),
            }
            if cell["shown"]:
                rows["attribution"] = _attribution(random, nav)
                rows["contributions"] = _contributions(drawn)
            made = {"nav": pl.DataFrame(nav), "solves": pl.DataFrame(solves)}
            made |= {file: pl.DataFrame(list(found), ROWS[file], orient="row") for file, found in rows.items()}
            for file, frame in made.items():
                frames.setdefault(file, []).append(_tagged(key, frame))
        for number in range(1, random_scores + 1):
            key = (str(cells[0]["name"]), f"random {number}", 0)
            frames["nav"].append(_tagged(key, pl.DataFrame(_nav(drawn, days, market, -0.0001))))
            frames["solves"].append(_tagged(key, pl.DataFrame(_solves(drawn, decisions))))
    for file, parts in frames.items():
        pl.concat(parts).write_parquet(folder / f"{file}.parquet")
    settings = {
        "models": MODELS,
        "label_days": LABELS,
        "rebalance": 5,
        "tracks": 1,
        "objective": None,
        "fill": "t1_vwap",
        "cost": 0.003,
        "tradability": "known",
        "constraints": CONSTRAINTS,
        "order": ORDER,
        "random_scores": random_scores,
        **changes,
    }
    by_name = {key: dict.fromkeys(names, value) for key, value in settings.items()}
    grid = {"portfolios": listed, **by_name, "missing": missing}
    (folder / "grid.json").write_text(json.dumps(grid), "utf-8")
    return folder
