"""The report's tables: hand arithmetic, keys and order of the published ones, what is left out."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from reference_report import weekdays, write_run

from polygrain.errors import DataError
from polygrain.report.facts import ReportFacts
from polygrain.report.overview import overview, threshold
from polygrain.report.results import Evaluation, Navs, Series, read_evaluation
from polygrain.report.tables import (
    FACTOR_COLUMNS,
    against_naive,
    annualised_excess,
    excess_by_year,
    factor_row,
    is_whole_year,
    tables,
)

PUBLISHED = json.loads(files("polygrain.report").joinpath("published.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return read_evaluation(write_run(tmp_path_factory.mktemp("run") / "a", count=60))


def frame(evaluation: Evaluation, name: str) -> pl.DataFrame:
    return next(table.frame for table in tables(evaluation) if table.name == name)


@pytest.mark.parametrize("name", ["table1_single_granularity", "table5_biagru_single", "table6_biagru_multi"])
def test_factor_tables_have_the_published_keys_and_row_order(evaluation: Evaluation, name: str) -> None:
    made = frame(evaluation, name)
    theirs = [row for row in PUBLISHED[name] if not row["model"].startswith("mixed")]
    assert made.columns[: len(theirs[0])] == list(theirs[0])
    ours = [(row["label_days"], row["model"]) for row in made.to_dicts()]
    assert ours == [(row["label_days"], row["model"]) for row in theirs] + [(0, "naive")]


@pytest.mark.parametrize("name", ["table3_rank_ic_by_rebalance_and_price", "table4_top10pct_by_year_gross"])
def test_other_tables_have_the_published_row_order(evaluation: Evaluation, name: str) -> None:
    made = frame(evaluation, name)
    theirs = [(row["label_days"], row["model"]) for row in PUBLISHED[name] if row["model"] != "mixed"]
    assert list(zip(made["label_days"], made["model"])) == theirs


def test_table3_keeps_the_published_columns_and_leaves_what_was_not_evaluated_null(evaluation: Evaluation) -> None:
    made = frame(evaluation, "table3_rank_ic_by_rebalance_and_price")
    assert made.columns == list(PUBLISHED["table3_rank_ic_by_rebalance_and_price"][0])
    assert made["weekly_t1_vwap"].null_count() == 0
    assert made["biweekly_t0_close"].null_count() == made.height


def one_case(rank_ic: list[float], naive: list[float], facts: ReportFacts) -> Evaluation:
    days = tuple(weekdays(date(2025, 7, 1), len(rank_ic)))
    tail = (facts.rebalance, facts.fill, facts.universe)
    return Evaluation(
        facts,
        {
            ("day", 5, *tail): Series(days, np.array(rank_ic), np.array(rank_ic) / 2),
            ("naive", 0, *tail): Series(days[1:], np.array(naive)[1:], np.array(naive)[1:]),
        },
        {},
    )


def test_factor_row_by_hand(evaluation: Evaluation) -> None:
    facts = evaluation.facts.model_copy(update={"rebalance": 2})
    small = one_case([0.1, 0.2, 0.3, -0.2], [9.0, 0.1, 0.1, 0.1], facts)
    case = small.case("day", 5)
    row = factor_row(small, case)
    # Tracks {.1, .3} and {.2, −.2}: means .2 and 0, std .1√2 and .2√2, wins 1 and 1/2.
    assert row["rank_ic"] == pytest.approx(0.1)
    assert row["icir"] == pytest.approx(0.1 / (0.15 * 2**0.5) * (260 / 2) ** 0.5)
    assert row["win_rate"] == pytest.approx(0.75)
    assert row["rank_ic_all"] == pytest.approx(0.05)
    assert row["periods"] == 2
    # Pairs on the three common dates: .1, .2, −.3.
    assert row["vs_naive"] == pytest.approx(0.0)
    assert "top10pct_gross" not in row


def test_the_naive_composite_is_not_compared_with_itself(evaluation: Evaluation) -> None:
    naive = evaluation.naive_case()
    assert naive is not None
    assert against_naive(evaluation, naive) is None


def test_every_paired_difference_is_the_difference_of_daily_values(evaluation: Evaluation) -> None:
    naive_case = evaluation.naive_case()
    assert naive_case is not None
    naive = dict(zip(evaluation.rank_ic[naive_case.key].days, evaluation.rank_ic[naive_case.key].rank_ic))
    for row in frame(evaluation, "table5_biagru_single").to_dicts()[:-1]:
        ours = evaluation.rank_ic[evaluation.case(row["model"], row["label_days"]).key]
        gaps = [value - naive[day] for day, value in zip(ours.days, ours.rank_ic)]
        kept = [gap for gap in gaps if gap == gap]
        assert row["vs_naive"] == pytest.approx(sum(kept) / len(kept), abs=1e-15)


def test_years_and_what_is_not_annualised() -> None:
    days = (date(2023, 12, 29), date(2024, 1, 2), date(2024, 12, 31), date(2025, 1, 2), date(2025, 6, 30))
    portfolio, benchmark = np.array([[1.0, 1.1, 1.5, 1.8, 3.0]]), np.array([[1.0, 1.0, 1.2, 1.2, 1.8]])
    navs = Navs(days, portfolio, portfolio, benchmark)
    # 2024: 1.5 − 1.2; 2025 up to June: 3/1.5 − 1.8/1.2.
    assert excess_by_year(navs, "gross") == pytest.approx({"2024": 0.3, "2025ytd": 0.5})
    assert annualised_excess(navs, "gross") is None


def test_annualised_excess_of_a_whole_year_is_the_year() -> None:
    days = tuple(weekdays(date(2024, 1, 1), 243))
    portfolio, benchmark = np.linspace(1, 1.4, 243)[None], np.linspace(1, 1.1, 243)[None]
    assert annualised_excess(Navs(days, portfolio, portfolio, benchmark), "net") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("first", "last", "whole"),
    [
        (date(2017, 1, 10), date(2017, 12, 29), True),
        (date(2023, 1, 3), date(2023, 7, 31), False),
        (date(2025, 7, 1), date(2025, 12, 31), False),
    ],
)
def test_whole_years(first: date, last: date, whole: bool) -> None:
    assert is_whole_year(first, last) is whole


def test_short_runs_show_the_plain_excess_alone(evaluation: Evaluation) -> None:
    made = frame(evaluation, "table1_single_granularity")
    assert made["top10pct_net"].null_count() == made.height
    assert made["top10pct_net_period"].null_count() == 0
    assert not made.select(pl.col(FACTOR_COLUMNS).is_nan().any()).row(0).count(True)


def test_tracks_are_cut_to_their_common_span(evaluation: Evaluation) -> None:
    navs = evaluation.navs(evaluation.case("day", 5), "top100")
    assert navs is not None
    assert navs.gross.shape == (5, 56)
    assert navs.gross[4, 0] == 1.0
    assert navs.gross[0, 0] != 1.0


def test_figures_by_universe_name_what_has_no_result(evaluation: Evaluation) -> None:
    facts = evaluation.facts.model_copy(update={"universes": ("all", "csi300", "csi1000")})
    made = frame(replace(evaluation, facts=facts), "figure11_rank_ic_by_universe")
    assert made.columns[2:] == ["all", "csi300", "csi1000"]
    assert made["csi1000"].null_count() == made.height


def test_the_bar_rises_with_every_configuration_tried() -> None:
    assert threshold(0) == threshold(1) == pytest.approx(1.959964, abs=1e-6)
    assert threshold(10) == pytest.approx(2.807034, abs=1e-6)


@pytest.mark.parametrize(("gap", "tone"), [(0.05, "good"), (-0.05, "bad"), (0.0, "open")])
def test_verdict(evaluation: Evaluation, gap: float, tone: str) -> None:
    facts = evaluation.facts.model_copy(update={"headline": "day"})
    noise = np.random.default_rng(3).normal(0, 0.02, 90)
    made = overview(one_case(list(0.03 + gap + noise), [0.03 + 0.01 * (-1) ** i for i in range(90)], facts))
    assert made is not None
    assert made.tone == tone


def test_a_high_rank_ic_on_a_real_market_is_suspected(evaluation: Evaluation) -> None:
    for simulated in (False, True):
        facts = evaluation.facts.model_copy(update={"headline": "day", "simulated": simulated})
        made = overview(one_case([0.2 + 0.01 * (i % 3) for i in range(150)], [0.03] * 150, facts))
        assert made is not None
        assert any("leak" in warning for warning in made.warnings) is not simulated


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=30)
    (run / "nav.parquet").unlink()
    with pytest.raises(DataError, match=r"nav\.parquet: the file is missing; run the evaluate stage first"):
        read_evaluation(run)
    content = json.loads((run / "report_facts.json").read_text("utf-8"))
    (run / "report_facts.json").write_text(json.dumps(content | {"cost": "three"}), "utf-8")
    with pytest.raises(DataError, match=r"report_facts\.json: cost: Input should be a valid number"):
        read_evaluation(run)
    (run / "report_facts.json").write_text(json.dumps(content | {"headline": "nobody"}), "utf-8")
    with pytest.raises(DataError, match="nothing is said of 'nobody'"):
        read_evaluation(run)
