"""Every network that comes along, through every stage of one run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl

from polygrain import pipeline
from polygrain.config import load
from polygrain.ensembles.ensemble import ENSEMBLES
from polygrain.models.network import NETWORKS
from polygrain.progress import Lines

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
NETWORKS_OF_THE_RUN = {
    "gbdt": "{kind='gbdt', trees=20, least_in_leaf=20}",
    "linear": "{kind='linear'}",
    "mixed": "{kind='mixed', encoder={hidden=8}}",
    "mixed_tcn": "{kind='mixed', suffix='tcn', encoder={kind='tcn', hidden=8, blocks=2}}",
    "residual": "{kind='residual', combination='attention', contrast=0.1, encoder={hidden=8, layers=2}}",
    "transformer": "{kind='single', suffix='transformer', encoder={kind='transformer', hidden=8, heads=2}}",
}

ENSEMBLES_OF_THE_RUN = {
    "attended": "{kind='attention'}",
    "both": "{kind='mean', labels=[5, 2]}",
    "contrastive": "{kind='contrastive'}",
    "tree": "{kind='tree', least_in_leaf=20}",
}


def test_every_network_from_bars_to_the_tables(tmp_path: Path) -> None:
    changes = [f"network.{name}={settings}" for name, settings in NETWORKS_OF_THE_RUN.items()]
    changes += [f"ensemble.{name}={settings}" for name, settings in ENSEMBLES_OF_THE_RUN.items()]
    # One fold and one universe, on a short stretch: every network and ensemble goes through all stages with it.
    changes += ["source.days=90", "protocol.refit=60", "protocol.max_epochs=1", 'evaluation.universes={all="all"}']
    experiment = load(TINY, ["workers=1", "label.days=[5, 2]", *changes])
    assert {network.kind for network in experiment.network.values()} == set(NETWORKS)
    assert {ensemble.kind for ensemble in experiment.ensemble.values()} == set(ENSEMBLES)
    folder = tmp_path / "run"
    pipeline.run(experiment, folder=folder, base=TINY.parent, last="report", progress=Lines(io.StringIO()))

    models = {"day", "60min", "mixed", "mixed_tcn", "residual"}
    models |= {f"{name}_{suffix}" for name in ("day", "60min") for suffix in ("gbdt", "linear", "transformer")}
    # A critic needs an encoder: trees and lines have none.
    stems = ("ensemble", "attended", "both", "tree")
    ensembles = {f"{stem}{suffix}" for stem in stems for suffix in ("", "_gbdt", "_linear", "_transformer")}
    ensembles |= {"contrastive", "contrastive_transformer"}
    scores = pl.read_parquet(folder / "scores.parquet").filter(segment="test")
    assert set(scores["model"]) == models | ensembles | {"naive"}
    over_labels = scores.filter(pl.col("label_days") == 0)
    assert set(over_labels["model"]) == {"naive", *(model for model in ensembles if model.startswith("both"))}
    # What learns on validation dates has no scores there.
    valid = pl.read_parquet(folder / "scores.parquet").filter(segment="valid")
    assert set(valid["model"]) == models | {model for model in ensembles if model.startswith(("ensemble", "both"))}
    of_day = scores.group_by("model", "date").agg(pl.col("score").std(ddof=0))
    assert of_day["score"].is_between(0.999, 1.001).all()

    def table(name: str) -> list[str]:
        return pl.read_csv(folder / "tables" / f"{name}.csv")["model"].to_list()

    assert {"mixed", "mixed_tcn", "ensemble"} <= set(table("table6_biagru_multi"))
    assert table("table7_residual")[:3] == ["day", "60min", "residual"]
    assert {"day_gbdt", "day_linear", "day_transformer"} <= set(table("table5_biagru_single"))
    check_origins(folder, {model for model in models if not model.endswith("gbdt")})


def check_origins(folder: Path, explained: set[str]) -> None:
    """Every network fitted by gradients is explained and drawn, the others are named."""
    rows = pl.read_parquet(folder / "explain.parquet")
    sums = rows.group_by("model", "label_days").agg(pl.col("share").sum())
    assert set(sums["model"]) == explained
    assert sums["share"].is_between(1 - 1e-12, 1 + 1e-12).all()
    facts = json.loads((folder / "report_facts.json").read_text())
    said = "Where the scores come from is not said of day_gbdt, 60min_gbdt: not fitted by gradients."
    assert said in [text["en"] for text in facts["missing"]]
    assert {path.stem for path in (folder / "figures").glob("origins_*")} == {
        f"origins_{m}_{days}d" for m in explained for days in (5, 2)
    }

    drawn = json.loads((folder / "figures" / "origins_mixed_5d.json").read_text())["data"]
    assert [trace["name"] for trace in drawn] == ["day", "day, all days", "60min", "60min, all days"]
    for cells, bars in zip(drawn[::2], drawn[1::2]):
        of_it = rows.filter(model="mixed", label_days=5, granularity=cells["name"])
        assert cells["y"] == bars["y"]
        assert sorted(cells["y"]) == sorted(of_it["feature"].unique())
        assert cells["x"] == [0, 1, 2, 3, 4]
        assert bars["x"] == sorted(bars["x"], reverse=True)
        for feature, row, total in zip(cells["y"], cells["z"], bars["x"]):
            expected = of_it.filter(feature=feature).sort("days_back")["share"]
            assert row == [float(f"{share:.3g}") for share in expected]
            assert abs(total - expected.sum()) <= 0.005 * total
