"""The report's tables: hand arithmetic, keys and order of the published ones, what is left out."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_report import share_and_difference, spread, values, weekdays, write_run

from polygrain.errors import DataError
from polygrain.report.facts import ModelFacts, ReportFacts
from polygrain.report.recovered import Recovered, recovered
from polygrain.report.results import Evaluation, Navs, SeedSeries, Series, read_evaluation
from polygrain.report.rows import (
    FACTOR_COLUMNS,
    against_naive,
    against_oracle,
    annualised_excess,
    factor_row,
    is_whole_year,
    rank_ic_year_row,
    year_row,
)
from polygrain.report.tables import tables

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


@pytest.mark.parametrize(
    ("name", "naive"),
    [
        ("table2_single_top10pct_by_year_gross", [(0, "naive")]),
        ("table3_rank_ic_by_rebalance_and_price", []),
        ("table4_top10pct_by_year_gross", [(0, "naive")]),
    ],
)
def test_other_tables_have_the_published_row_order(
    evaluation: Evaluation, name: str, naive: list[tuple[int, str]]
) -> None:
    made = frame(evaluation, name)
    theirs = [(row["label_days"], row["model"]) for row in PUBLISHED[name] if row["model"] != "mixed"]
    assert list(zip(made["label_days"], made["model"])) == theirs + naive


def test_table3_keeps_the_published_columns_and_leaves_what_was_not_evaluated_null(evaluation: Evaluation) -> None:
    made = frame(evaluation, "table3_rank_ic_by_rebalance_and_price")
    assert made.columns == list(PUBLISHED["table3_rank_ic_by_rebalance_and_price"][0])
    assert made["weekly_t1_vwap"].null_count() == 0
    assert made["biweekly_t0_close"].null_count() == made.height


def one_case(
    rank_ic: list[float], naive: list[float], facts: ReportFacts, oracle: list[float] | None = None
) -> Evaluation:
    days = tuple(weekdays(date(2025, 7, 1), len(rank_ic)))
    tail = (facts.rebalance, facts.fill, facts.universe)
    return Evaluation(
        facts,
        {
            ("day", 5, *tail): Series(days, np.array(rank_ic), np.array(rank_ic) / 2),
            ("naive", 0, *tail): Series(days[1:], np.array(naive)[1:], np.array(naive)[1:]),
            ("oracle", 5, *tail): Series(days, np.array(oracle or naive), np.array(oracle or naive)),
        },
        {},
        {("day", 5, *tail): (SeedSeries(1, np.array(rank_ic)), SeedSeries(2, np.array(rank_ic) + 0.1))},
        {},
        {},
        {},
    )


def test_factor_row_by_hand(evaluation: Evaluation) -> None:
    facts = evaluation.facts.model_copy(update={"rebalance": 2})
    small = one_case([0.1, 0.2, 0.3, -0.2], [9.0, 0.1, 0.1, 0.1], facts)
    case = small.case("day", 5)
    row = factor_row(small, case)
    # Tracks {.1, .3} and {.2, −.2}: means .2 and 0, std .1√2 and .2√2, wins 1 and 1/2.
    assert row["rank_ic"] == pytest.approx(0.1)
    # Four dates are no year. Thirty times as many are: the tracks' deviations have n/(n − 1) = 60/59 in them, not 2.
    assert row["icir"] is None
    long = one_case([0.1, 0.2, 0.3, -0.2] * 30, [0.1] * 120, facts)
    assert factor_row(long, case)["icir"] == pytest.approx(0.1 / (0.15 * (60 / 59) ** 0.5) * (260 / 2) ** 0.5)
    assert row["win_rate"] == pytest.approx(0.75)
    assert row["rank_ic_all"] == pytest.approx(0.05)
    assert row["periods"] == 2
    # Pairs on the three common dates: .1, .2, −.3.
    assert row["vs_naive"] == pytest.approx(0.0)
    # The second seed lies .1 above the first: √(.05² + .05²).
    assert row["rank_ic_seed_std"] == pytest.approx(0.1 / 2**0.5)
    assert "top10pct_gross" not in row
    assert "oracle_share" not in row


def with_oracle(facts: ReportFacts) -> ReportFacts:
    model = ModelFacts(name="oracle", kind="oracle")
    return facts.model_copy(update={"rebalance": 2, "simulated": True, "models": (*facts.models, model)})


def test_the_share_of_the_oracle_by_hand(evaluation: Evaluation) -> None:
    oracle = [np.nan, 0.4, 0.2, 0.4]
    small = one_case([0.1, 0.2, 0.3, -0.2], [0.0] * 4, with_oracle(evaluation.facts), oracle)
    row = factor_row(small, small.case("day", 5))
    # On the last three dates: .1 over 1/3; the daily differences are −.2, .1, −.6, their mean −7/30.
    assert row["oracle_share"] == pytest.approx(0.3)
    assert row["vs_oracle"] == pytest.approx(-7 / 30)
    # Bartlett with lag 6, cut at 2: γ0 = .12333 − (7/30)², from −.2 + 7/30 = 1/30, 10/30, −11/30.
    centred = np.array([1, 10, -11]) / 30
    variance = (centred @ centred + 2 * (6 / 7 * (10 - 110) + 5 / 7 * -11) / 900) / 3
    assert row["vs_oracle_se"] == pytest.approx((max(variance, 0) / 3) ** 0.5, abs=1e-12)
    own = factor_row(small, small.case("oracle", 5))
    assert "oracle_share" not in own


def test_shares_and_seed_spreads_equal_plain_loops(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=41, seeds=3, oracle=True)
    made = read_evaluation(run)
    days = weekdays(date(2025, 7, 1), 41)
    for name in ("table1_single_granularity", "table5_biagru_single", "table6_biagru_multi"):
        table = frame(made, name)
        assert [row["model"] for row in table.to_dicts() if row["label_days"] == 10][-1] == "oracle"
        assert table["model"][-1] == "naive"
        for row in table.filter(~pl.col("model").is_in(["naive", "oracle"])).to_dicts():
            case = {"label_days": row["label_days"], "universe": "all"}
            ours = values(run, "rank_ic", model=row["model"], **case)
            oracle = values(run, "rank_ic", model="oracle", **case)
            assert (row["oracle_share"], row["vs_oracle"]) == pytest.approx(share_and_difference(ours, oracle))
            seeds = [values(run, "seed_rank_ic", model=row["model"], seed=seed, **case) for seed in (1, 2, 3)]
            assert row["rank_ic_seed_std"] == pytest.approx(spread(seeds, days, 5))


@given(scale=st.floats(-3, 3), shift=st.floats(-0.5, 0.5), order=st.permutations(range(6)))
def test_the_share_scales_with_the_model_and_does_not_know_the_order_of_dates(
    evaluation: Evaluation, scale: float, shift: float, order: list[int]
) -> None:
    rank_ic, oracle = np.array([0.1, 0.2, np.nan, 0.3, -0.1, 0.2]) + shift, np.array([0.3, 0.2, 0.5, np.nan, 0.4, 0.1])
    facts = with_oracle(evaluation.facts)

    def share(ours: np.ndarray, theirs: np.ndarray) -> float:
        made = one_case(list(ours), [0.0] * 6, facts, list(theirs))
        found = against_oracle(made, made.case("day", 5))
        assert found is not None
        return found.ratio

    once = share(rank_ic, oracle)
    assert share(scale * rank_ic, oracle) == pytest.approx(scale * once, abs=1e-12)
    assert share(rank_ic[order], oracle[order]) == pytest.approx(once, abs=1e-12)
    assert share(oracle, oracle) == 1.0


def test_one_seed_has_no_spread_and_a_real_market_no_oracle(evaluation: Evaluation) -> None:
    for name in ("table1_single_granularity", "table5_biagru_single", "table6_biagru_multi"):
        made = frame(evaluation, name)
        for column in ("rank_ic_seed_std", "oracle_share", "vs_oracle", "vs_oracle_se"):
            assert made[column].null_count() == made.height
        assert "oracle" not in made["model"]
    assert recovered(evaluation) is None


def test_what_the_first_screen_says_of_the_oracle(evaluation: Evaluation, tmp_path: Path) -> None:
    made = recovered(read_evaluation(write_run(tmp_path / "run", count=40, oracle=True)))
    assert made is not None
    assert made.label_days == (5, 10)
    assert [model for model, _ in made.models][:3] == ["day", "day_biagru", "60min"]
    table = frame(read_evaluation(tmp_path / "run"), "table6_biagru_multi")
    row = table.row(by_predicate=(pl.col("model") == "ensemble") & (pl.col("label_days") == 10), named=True)
    share = dict(made.models)["ensemble"][1]
    assert share is not None
    assert share.share == f"{row['oracle_share']:.0%}"
    nothing = evaluation.facts.model_copy(update={"simulated": True, "predictable": False})
    assert recovered(replace(evaluation, facts=nothing)) == Recovered(False, (), (), ())


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
    unknown = np.full(portfolio.shape, np.nan)
    navs = Navs(days, portfolio, portfolio, benchmark, unknown, unknown)
    row = year_row(replace(navs, net=benchmark), 1)
    # 2024: 1.5 − 1.2; 2025 up to June: 3/1.5 − 1.8/1.2. What costs leave here is the benchmark.
    assert (row["2024"], row["2025ytd"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (row["2024_net"], row["2025ytd_net"]) == (0.0, 0.0)
    # Daily excess of 2025 .2 and 1/6, mean 11/60, deviations ±1/60: with lag 3, cut at 1, γ0 − .75 γ0 = (1/60)²/4.
    assert row["2025ytd_se"] == pytest.approx(2 * (1 / 3600 / 4 / 2) ** 0.5)
    assert row["annualised"] is row["annualised_net"] is row["annualised_se"] is None


def test_year_tables_hold_both_legs_and_errors(evaluation: Evaluation) -> None:
    for name in ("table2_single_top10pct_by_year_gross", "figure8_top10pct_by_year_gross"):
        made = frame(evaluation, name)
        spans = ["2025ytd", "annualised"]
        assert made.columns[2:] == [f"{span}{tail}" for tail in ("", "_net", "_se") for span in spans]
        for row in made.to_dicts():
            navs = evaluation.navs(evaluation.case(row["model"], row["label_days"]), "top10pct")
            assert navs is not None
            for leg, tail in (("gross", ""), ("net", "_net")):
                ends = [(p[-1] / p[0], b[-1] / b[0]) for p, b in zip(navs.leg(leg), navs.benchmark)]
                assert row[f"2025ytd{tail}"] == pytest.approx(sum(p - b for p, b in ends) / len(ends))
            assert row["2025ytd_se"] > 0


def test_annualised_excess_of_a_whole_year_is_the_year() -> None:
    days = tuple(weekdays(date(2024, 1, 1), 243))
    portfolio, benchmark = np.linspace(1, 1.4, 243)[None], np.linspace(1, 1.1, 243)[None]
    unknown = np.full(portfolio.shape, np.nan)
    navs = Navs(days, portfolio, portfolio, benchmark, unknown, unknown)
    assert annualised_excess(navs, "net") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("first", "last", "whole"),
    [
        (date(2017, 1, 10), date(2017, 12, 29), True),
        (date(2023, 1, 3), date(2023, 7, 31), False),
        (date(2025, 7, 1), date(2025, 12, 31), False),
        (date(2018, 1, 2), date(2019, 1, 7), True),  # the last date's return ends in the next year
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


def test_rank_ic_by_year_by_hand() -> None:
    # Four trading days, R = 2: dates 0 and 2 are one track, 1 and 3 the other; 2024 holds 0, 1, 2.
    days = (date(2024, 12, 26), date(2024, 12, 27), date(2024, 12, 30), date(2025, 1, 2))
    series = Series(days, np.array([0.1, 0.3, 0.2, 0.5]), np.full(4, np.nan))
    row = rank_ic_year_row(series, 2)
    # 2024: tracks (.1 + .2)/2 and .3; all: .15 and (.3 + .5)/2.
    assert row["2024ytd"] == pytest.approx((0.15 + 0.3) / 2)
    assert row["2025ytd"] == pytest.approx(0.5)
    assert row["all"] == pytest.approx((0.15 + 0.4) / 2)
    assert row["2025ytd_se"] is None
    # Mean .2, deviations −.1, .1, 0, lag 6 cut at 2: γ0 = .02/3, γ1 = −.01/3, γ2 = 0, weights 1 − l/7.
    variance = (0.02 - 2 * 6 / 7 * 0.01) / 3
    assert row["2024ytd_se"] == pytest.approx((variance / 3) ** 0.5)


def test_a_year_that_goes_on_in_the_data_is_whole() -> None:
    days = tuple(weekdays(date(2023, 12, 20), 300))
    row = rank_ic_year_row(Series(days, np.linspace(0, 1, 300), np.full(300, np.nan)), 5)
    assert [name for name in row if not name.endswith("_se")] == ["all", "2023ytd", "2024", "2025ytd"]


def test_the_table_by_year_holds_every_model_and_all_dates(evaluation: Evaluation) -> None:
    made, factors = frame(evaluation, "rank_ic_by_year"), frame(evaluation, "table1_single_granularity")
    assert made.columns[2:] == ["2025ytd", "2025ytd_se", "all", "all_se"]
    assert made["model"].to_list()[-1] == "naive"
    both = made.join(factors, on=["label_days", "model"])
    assert both.height == factors.height
    for row in both.to_dicts():
        assert (row["all"], row["all_se"]) == (pytest.approx(row["rank_ic"]), pytest.approx(row["rank_ic_se"]))


def test_pairs_of_models_by_loops(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=40, seeds=3)
    rows = pl.read_parquet(run / "rank_ic.parquet").filter(universe="all", rebalance=5)
    ics = {
        key: dict(zip(part["date"], part["rank_ic"]))
        for key, part in rows.group_by("model", "label_days", maintain_order=True)
    }
    seeds = {
        key: dict(zip(part["date"], part["rank_ic"]))
        for key, part in pl.read_parquet(run / "seed_rank_ic.parquet").group_by("model", "label_days", "seed")
    }
    made = {(row["model"], row["label_days"]): row for row in frame(read_evaluation(run), "model_pairs").to_dicts()}
    assert len(made) == 2 * 10
    for row, column in (("30min", "day"), ("ensemble1_biagru", "60min")):
        values = [
            ics[row, 10][day] - other
            for day, other in ics[column, 10].items()
            if ics[row, 10][day] is not None and other is not None
        ]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        for lag in range(1, 16):
            pairs = zip(values[lag:], values[:-lag])
            variance += 2 * (1 - lag / 16) * sum((a - mean) * (b - mean) for a, b in pairs) / len(values)
        found = made[row, 10]
        assert (found[column], found[f"{column}_se"]) == (
            pytest.approx(mean),
            pytest.approx((max(variance, 0) / len(values)) ** 0.5),
        )
        means = []
        for seed in (1, 2, 3):
            pairs_ = [(seeds[row, 10, seed][day], seeds[column, 10, seed][day]) for day in seeds[row, 10, seed]]
            gaps = [a - b for a, b in pairs_ if a is not None and b is not None]
            means.append(sum(gaps) / len(gaps))
        centre = sum(means) / 3
        assert found[f"{column}_seed_std"] == pytest.approx((sum((m - centre) ** 2 for m in means) / 2) ** 0.5)
        assert made[column, 10][row] == pytest.approx(-mean)
    assert made["day", 5]["day"] is None
    assert made["day", 5]["naive_seed_std"] is None
    assert made["day", 5]["naive"] is not None
