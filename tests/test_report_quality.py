"""The tables of significance, portfolios, decay and exposure: what they count, and plain loops."""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from reference_report import INDUSTRIES, values, write_run

from polygrain.report.page import write_report
from polygrain.report.quality import quality
from polygrain.report.results import Evaluation, read_evaluation
from polygrain.report.views import view

TRIED = [{"fingerprint": letter, "first_run": "2026-01-04", "note": letter} for letter in "abcd"]
BY_INDUSTRY = "exposure_by_industry"
CASE = {"model": "60min", "label_days": 5, "rebalance": 5, "fill": "t1_vwap", "universe": "all"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "a", count=160, configurations=TRIED)


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    return read_evaluation(run)


def row(evaluation: Evaluation, name: str) -> dict[str, float]:
    (frame,) = (table.frame for table in quality(evaluation) if table.name == name)
    assert frame.height == 2 * 10 + 1
    return frame.row(by_predicate=(pl.col("model") == "60min") & (pl.col("label_days") == 5), named=True)


def test_significance_counts_the_configurations(run: Path, evaluation: Evaluation) -> None:
    found = row(evaluation, "significance")
    ics = list(values(run, "rank_ic", **CASE).values())
    assert found["rank_ic"] == pytest.approx(sum(ics) / len(ics))
    assert found["low"] < found["rank_ic"] < found["high"]
    # The expected largest of four standard normal values is 1.03; the approximation gives 1.05.
    assert found["t"] - found["deflated_t"] == pytest.approx(1.05, abs=0.01)
    assert 0 <= found["p_value"] < 1


def test_the_sharpe_ratio_by_loops(run: Path, evaluation: Evaluation) -> None:
    found = row(evaluation, "significance")
    nav = pl.read_parquet(run / "nav.parquet")
    nav = nav.filter(*(pl.col(key) == value for key, value in CASE.items()), selection="top10pct")
    first = nav.filter(track=4)["date"].min()
    tracks = [nav.filter(pl.col("date") >= first, track=track).sort("date") for track in range(5)]
    days = tracks[0].height - 1
    daily = [0.0] * days
    for part in tracks:
        net, benchmark = part["net"].to_list(), part["benchmark"].to_list()
        for i in range(days):
            daily[i] += (net[i + 1] / net[i] - benchmark[i + 1] / benchmark[i]) / 5
    mean = sum(daily) / days
    ratio = mean / (sum((each - mean) ** 2 for each in daily) / (days - 1)) ** 0.5
    assert found["sharpe"] == pytest.approx(ratio * 242**0.5)
    # Four worthless configurations show 1.05 errors of 1/√(n − 1) at best; near a normal distribution's error of SR.
    above = (ratio * (days - 1) ** 0.5 - 1.05) / (1 + ratio**2 / 2) ** 0.5
    assert found["deflated_sharpe"] == pytest.approx(NormalDist().cdf(above), abs=0.02)


def test_portfolios_by_loops(run: Path, evaluation: Evaluation) -> None:
    found = row(evaluation, "portfolios")
    nav = pl.read_parquet(run / "nav.parquet")
    nav = nav.filter(*(pl.col(key) == value for key, value in CASE.items()), selection="top10pct")
    first = nav.filter(track=4)["date"].min()
    deviations, falls = [], []
    for track in range(5):
        part = nav.filter(pl.col("date") >= first, track=track).sort("date")
        net, benchmark = part["net"].to_list(), part["benchmark"].to_list()
        daily = [b / a - d / c for a, b, c, d in zip(net, net[1:], benchmark, benchmark[1:])]
        mean = sum(daily) / len(daily)
        deviations.append((sum((each - mean) ** 2 for each in daily) / (len(daily) - 1)) ** 0.5)
        relative = [a / b for a, b in zip(net, benchmark)]
        falls.append(max(1 - value / max(relative[: i + 1]) for i, value in enumerate(relative)))
    error = sum(deviations) / 5 * 242**0.5
    assert found["top10pct_tracking_error"] == pytest.approx(error)
    assert found["top10pct_drawdown"] == pytest.approx(sum(falls) / 5)
    assert found["top10pct_information_ratio"] == pytest.approx(found["top10pct_net"] / error)
    # .6 bought and sold every fifth day: .3 on one side, 242/5 times a year, give or take the ends of the span.
    assert found["top10pct_participation"] == pytest.approx(0.02)
    assert found["top10pct_turnover"] == pytest.approx(0.3 * 242 / 5, rel=0.03)


def test_decay_is_the_mean_over_dates(run: Path, evaluation: Evaluation) -> None:
    found = row(evaluation, "decay")
    frame = pl.read_parquet(run / "decay.parquet").filter(model="60min", label_days=5, days=5)
    assert found["rank_ic_5d"] == pytest.approx(frame["rank_ic"].mean())
    assert found["autocorrelation_5d"] == pytest.approx(frame["autocorrelation"].mean())
    assert found["rank_ic_20d"] is None


def test_exposures_are_means_over_dates(run: Path, evaluation: Evaluation) -> None:
    frame = pl.read_parquet(run / "exposure.parquet").filter(model="60min", label_days=5).sort("date")
    for name, measures in (("exposure", ("correlation", "industry_share", "rank_ic")), (BY_INDUSTRY, ("mean_score",))):
        found = row(evaluation, name)
        shown = frame.filter(pl.col("measure").is_in(measures))
        for (measure, of), part in shown.partition_by("measure", "of", as_dict=True).items():
            values = part["value"].to_list()
            mean = sum(values) / len(values)
            assert found[f"{measure}_{of}"] == pytest.approx(mean)
            # Newey-West of 3 lags, weights 3/4, 1/2, 1/4.
            variance = sum((x - mean) ** 2 for x in values)
            for lag, weight in ((1, 0.75), (2, 0.5), (3, 0.25)):
                pairs = zip(values[lag:], values)
                variance += 2 * weight * sum((x - mean) * (y - mean) for x, y in pairs)
            if measure != "industry_share":
                assert found[f"{measure}_{of}_se"] == pytest.approx(max(variance, 0) ** 0.5 / len(values))
    assert found.keys() - {"label_days", "model"} == {f"mean_score_{of}{se}" for of in INDUSTRIES for se in ("", "_se")}


def test_exposures_under_their_headings(evaluation: Evaluation) -> None:
    (table,) = (table for table in quality(evaluation) if table.name == "exposure")
    shown = view(table, evaluation.facts)
    assert [heading.label for heading in shown.headings] == [
        "nothing", "size, industry", "size", "return 20 d", "volatility", "industry", "of noise",
    ]  # fmt: skip
    assert [span for _, _, span in shown.groups] == [2, 3, 2]
    assert shown.headings[1].label_zh == "市值、行业"


def test_short_runs_annualise_nothing(tmp_path: Path) -> None:
    found = row(read_evaluation(write_run(tmp_path / "b", count=60)), "portfolios")
    for name in ("net", "tracking_error", "information_ratio", "turnover"):
        assert found[f"top10pct_{name}"] is None
    assert np.isfinite(found["top10pct_drawdown"])


def test_the_page_prints_them(run: Path) -> None:
    html = write_report(run).read_text("utf-8")
    for text in (
        "What chance explains",
        "after 4 configurations tried",
        "Tracking error",
        "How long a score lasts",
        "Rank correlation with",
    ):
        assert text in html
    for name in ("significance", "portfolios", "decay", "exposure", BY_INDUSTRY):
        assert (run / "tables" / f"{name}.csv").is_file()
