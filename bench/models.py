"""Every network and ensemble against every other: SIMULATED markets of five seeds, 5-day label.

Runs the demo's config with all networks and ensembles that come along, and residual networks of four weights λ1 of the
reconstruction; prints Rank ICs, every pair's difference in standard errors, and one claim: nothing that reads several
granularities is worse than the best of those that read one by more than two standard errors. Errors as in recovery.py.
The folder of `--out` keeps the runs: a second call resumes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import polars as pl
from recovery import HORIZON, MARKET_SEEDS, Estimate, pooled

from polygrain import pipeline
from polygrain.config import Experiment, load
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.scoring import NAIVE
from polygrain.progress import Lines
from polygrain.store.panel import Array

WORSE = 2.0
GRANULARITIES = ("day", "60min", "30min")
RESIDUALS = {
    "l0": "reconstruction = 0.0",
    "l001": "reconstruction = 0.01",
    "l1": "reconstruction = 1.0",
    "attention": 'combination = "attention"',
    "confidence": 'combination = "confidence", contrast = 0.01',
}
NETWORKS = {
    "gru_wide": '{ kind = "single", suffix = "wide", encoder = { hidden = 29 } }',
    "transformer": '{ kind = "single", suffix = "tf", encoder = { kind = "transformer", hidden = 16, heads = 2 } }',
    "tcn": '{ kind = "single", suffix = "tcn", encoder = { kind = "tcn", hidden = 16, blocks = 2 } }',
    "gbdt": '{ kind = "gbdt" }',
    "linear": '{ kind = "linear" }',
} | {
    f"residual_{name}": f'{{ kind = "residual", suffix = "{name}", encoder = {{ hidden = 16, layers = 2 }}, {more} }}'
    for name, more in RESIDUALS.items()
}
ENSEMBLES = {
    "tree": '{ kind = "tree" }',
    "attention": '{ kind = "attention" }',
    "contrastive": '{ kind = "contrastive" }',
}


def experiment(seed: int) -> Experiment:
    """The demo on another market with everything that comes along, its 5-day label and widest universe alone."""
    changes = [f"source.seed={seed}", f"label.days=[{HORIZON}]", "evaluation.universes={all='all'}"]
    changes += [f"network.{name}={settings}" for name, settings in NETWORKS.items()]
    changes += [f"ensemble.ensemble_{name}={settings}" for name, settings in ENSEMBLES.items()]
    with as_file(files("polygrain") / "demo.toml") as config:
        return load(config, changes)


def measure(seed: int, out: Path) -> dict[str, Array]:
    """By model the daily Rank ICs of one market's run, or of what is left of it."""
    folder = (out / f"models-seed-{seed}").resolve()
    path = pipeline.run(experiment(seed), folder=folder, base=folder, last="evaluate", progress=Lines(sys.stderr))
    parts = pl.read_parquet(path).partition_by("model", as_dict=True, include_key=False)
    return {str(model): part["rank_ic"].fill_null(np.nan).to_numpy() for (model,), part in parts.items()}


def difference(markets: Sequence[Mapping[str, Array]], ours: str, theirs: str) -> Estimate:
    """Of mean Rank ICs, paired by date."""
    return pooled([market[ours] - market[theirs] for market in markets])


def compared(markets: Sequence[Mapping[str, Array]]) -> tuple[list[str], list[tuple[str, bool]]]:
    """The lines of both tables, and the claim."""
    level = {model: pooled([market[model] for market in markets]) for model in markets[0]}
    models = sorted(set(level) - {NAIVE, ORACLE}, key=lambda model: -level[model].mean)
    lines = ["    model                    Rank IC            of the oracle  by seed"]
    for number, model in enumerate([*models, NAIVE, ORACLE], 1):
        by_seed = " ".join(f"{np.nanmean(market[model]):.3f}" for market in markets)
        lines.append(
            f"{number:>3} {model:<24} {level[model]}  {level[model].mean / level[ORACLE].mean:6.1%}  {by_seed}"
        )
    lines += ["", "difference of row and column in standard errors"]
    lines.append("    " + "".join(f"{number:>6}" for number in range(1, len(models) + 1)))
    for number, row in enumerate(models, 1):
        errors = [difference(markets, row, column).errors if row != column else 0.0 for column in models]
        lines.append(f"{number:>3} " + "".join(f"{each:+6.1f}" for each in errors))
    singles = [model for model in models if model.split("_")[0] in GRANULARITIES]
    best = singles[0]
    behind = {model: difference(markets, model, best) for model in models if model not in singles}
    lines += ["", f"against {best}, the best that reads one granularity"]
    lines += [f"    {model:<24} {found}  {found.errors:+.1f}" for model, found in behind.items()]
    worst = min(behind, key=lambda model: behind[model].errors)
    claim = f"nothing that reads several is worse than {best} by more than {WORSE:g} standard errors"
    return lines, [(f"{claim}; {worst} {behind[worst].errors:+.1f}", behind[worst].errors >= -WORSE)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/recovery"), help="the folder of the runs")
    out = parser.parse_args().out
    markets = []
    for seed in MARKET_SEEDS:
        print(f"SIMULATED market, strength 1, seed {seed}", file=sys.stderr, flush=True)
        markets.append(measure(seed, out))
    lines, claims = compared(markets)
    dates = sum(int(np.isfinite(market[NAIVE]).sum()) for market in markets)
    print(f"SIMULATED, strength 1, market seeds {MARKET_SEEDS}, {dates} dates", *lines, sep="\n")
    print("", *(f"{'holds' if held else 'FAILS'}: {claim}" for claim, held in claims), sep="\n")
    sys.exit(not all(held for _, held in claims))


if __name__ == "__main__":
    main()
