"""The first screen: what each model's figures are, what the answers say and when they change their mind."""

import json
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from reference_report import values, weekdays, write_run

from polygrain.report.answers import errors_of, good, named, stable, steadiness, threshold, tradable, which
from polygrain.report.candidates import Candidate, Portfolio, candidate, candidates
from polygrain.report.facts import ConfigurationTried
from polygrain.report.overview import MOST_LINES, overview
from polygrain.report.page import write_report
from polygrain.report.results import Case, Evaluation, Series, read_evaluation
from polygrain.report.rows import Comparison
from polygrain.report.words import Text

DAYS = tuple(weekdays(date(2025, 1, 1), 260))
CASE = Case("day", 5, 5, "t1_vwap", "all")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "a", count=150, seeds=3)


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    return read_evaluation(run)


def held(**changes: object) -> Portfolio:
    return replace(Portfolio(150, 0.2, 0.12, 0.03, 30.0, 0.0065), **changes)


def made(**changes: object) -> Candidate:
    """A good, steady, tradable model."""
    naive = Comparison(0.03, 0.005, 0.04)
    base = Candidate(
        CASE, 0.07, 0.01, 1.2, 30.0, naive, None, (9, 10), (1, 1), (0.0, 0.01), 6.0, {1: 0.02, 20: 0.08}, held()
    )
    return replace(base, **changes)


def flat(level: float, seed: int = 0, spread: float = 0.02) -> Series:
    """Noise around a level, which is its mean exactly."""
    noise = np.random.default_rng(seed).normal(0, spread, len(DAYS))
    rank_ic = level + noise - noise.mean()
    return Series(DAYS, rank_ic, rank_ic)


def of(evaluation: Evaluation, **levels: Series) -> Evaluation:
    """The evaluation with these series alone, of the 5-day label and of the naive composite."""
    series = {evaluation.case(name, 0 if name == "naive" else 5).key: each for name, each in levels.items()}
    facts = evaluation.facts.model_copy(update={"headline": "day", "label_days": (5,)})
    return replace(evaluation, facts=facts, rank_ic=series, seeds={})


def test_a_candidate_by_loops(run: Path, evaluation: Evaluation) -> None:
    found = candidate(evaluation, evaluation.case("60min", 10))
    assert found is not None
    case = {"model": "60min", "label_days": 10, "universe": "all"}
    daily = values(run, "rank_ic", **case)
    days = weekdays(date(2025, 7, 1), 150)
    tracks = [[daily[day] for day in days[track::5] if day in daily] for track in range(5)]
    means = [sum(track) / len(track) for track in tracks]
    assert found.rank_ic == pytest.approx(sum(means) / 5)
    deviations = [(sum((v - mean) ** 2 for v in track) / (len(track) - 1)) ** 0.5 for track, mean in zip(tracks, means)]
    assert found.icir == pytest.approx(sum(means) / sum(deviations) * 52**0.5)
    assert found.periods == len(daily) / 5
    above = 0
    months = sorted({(day.year, day.month) for day in days})
    for month in months:
        inside = [value for day, value in daily.items() if (day.year, day.month) == month]
        above += sum(inside) > 0
    assert found.months == (above, len(months))
    assert found.years[1] == 2

    decay = pl.read_parquet(run / "decay.parquet").filter(model="60min", label_days=10)
    same = dict(decay.group_by("days").agg(pl.col("autocorrelation").mean()).iter_rows())
    # Measured after 1, 5 and 20 days: .9, .59 and .12, give or take the noise.
    assert found.half_life == pytest.approx(5 + 15 * (same[5] - 0.5) / (same[5] - same[20]))
    assert list(found.by_horizon) == [1, 5]

    nav = pl.read_parquet(run / "nav.parquet").filter(selection="top10pct", **case)
    first = nav.filter(track=4)["date"].min()
    traded, gained, ends = 0.0, 0.0, []
    for track in range(5):
        rows = nav.filter(pl.col("date") >= first, track=track).sort("date").to_dicts()
        for before, after in pairwise(rows):
            gained += after["gross"] / before["gross"] - after["benchmark"] / before["benchmark"]
            traded += (after["turnover"] or 0.0) / 2
        ends.append((rows[-1]["net"] / rows[0]["net"], rows[-1]["benchmark"] / rows[0]["benchmark"], len(rows) - 1))
    portfolio = found.portfolio
    assert portfolio is not None
    assert portfolio.break_even == pytest.approx(gained / traded)
    assert portfolio.turnover == pytest.approx(traded / 5 * 242 / ends[0][2])
    assert portfolio.net == pytest.approx(sum(p ** (242 / n) - b ** (242 / n) for p, b, n in ends) / 5)


def test_nothing_is_annualised_below_120_days(tmp_path: Path) -> None:
    short = read_evaluation(write_run(tmp_path / "a", count=60))
    found = candidate(short, short.case("60min", 10))
    assert found is not None
    assert (found.icir, found.change) == (None, None)
    portfolio = found.portfolio
    assert portfolio is not None
    assert (portfolio.annual, portfolio.days) == (False, 55)
    # .3 on one side on eleven fill days of the common span.
    assert portfolio.turnover == pytest.approx(0.3 * 11)
    screen = overview(short)
    assert screen is not None
    assert [heading.en for heading in screen.headings][4:6] == ["turnover in 55 days", "Top 10% in 55 days, net"]
    said = screen.answers[2].short.en
    assert "in 55 days, not annualised," in said
    assert not any("a year" in text.en for answer in screen.answers for text in (answer.short, *answer.because))


def test_candidates_are_ranked_and_hold_no_reference(evaluation: Evaluation) -> None:
    ranked = candidates(evaluation)
    assert len(ranked) == 2 * 10
    assert [each.rank_ic for each in ranked] == sorted((each.rank_ic for each in ranked), reverse=True)
    assert "naive" not in {each.case.model for each in ranked}


def test_the_bar_rises_with_every_configuration_tried() -> None:
    assert threshold(0) == threshold(1) == pytest.approx(1.959964, abs=1e-6)
    assert threshold(10) == pytest.approx(2.807034, abs=1e-6)


@pytest.mark.parametrize(
    ("difference", "tried", "tone", "said"),
    [
        (0.0150, 1, "good", "Yes: +0.015 on the naive composite, 3.0 errors"),
        (0.0150, 40, "open", "Not shown: +0.015 on the naive composite, 3.0 errors"),
        (0.0050, 1, "open", "Not shown: +0.005 on the naive composite, 1.0 errors"),
        (-0.0150, 1, "bad", "No: −0.015 on the naive composite, 3.0 errors"),
    ],
)
def test_good_is_more_than_luck_explains(
    evaluation: Evaluation, difference: float, tried: int, tone: str, said: str
) -> None:
    each = ConfigurationTried(fingerprint="a", first_run="2026-01-04")
    facts = evaluation.facts.model_copy(update={"configurations": (each,) * tried})
    answer = good(facts, made(naive=Comparison(difference, 0.005, 0.04)))
    assert (answer.tone, answer.short.en) == (tone, said)
    assert f"{threshold(tried):.2f} errors" in answer.because[1].en
    assert f"{threshold(tried):.2f} 倍" in answer.because[1].zh
    assert "Rank IC 0.070 ± 0.010, 7.0 standard errors. ICIR 1.20." in answer.because[0].en


def test_without_a_naive_composite_nothing_is_good(evaluation: Evaluation) -> None:
    assert good(evaluation.facts, made(naive=None)).tone == "open"


@pytest.mark.parametrize(
    ("changes", "kind", "tone"),
    [
        ({}, "steady", "good"),
        ({"months": (3, 5)}, "early", "open"),
        ({"months": (7, 10)}, "mixed", "open"),
        ({"months": (5, 10)}, "unsteady", "bad"),
        ({"change": (-0.03, 0.01)}, "falling", "open"),
        ({"change": (-0.019, 0.01)}, "steady", "good"),
        ({"change": (0.03, 0.01)}, "steady", "good"),
        ({"change": None, "half_life": None, "by_horizon": {}}, "steady", "good"),
    ],
)
def test_stable_counts_months_and_sees_a_fall(changes: dict, kind: str, tone: str) -> None:
    headline = made(**changes)
    assert steadiness(headline) == kind
    answer = stable(headline)
    assert answer.tone == tone
    assert f"{headline.months[0]} of {headline.months[1]} months" in answer.short.en
    assert any("fall beyond chance" in text.en for text in answer.because) is (kind == "falling")


def test_what_stability_rests_on() -> None:
    said = [text.en for text in stable(made(seed_std=0.004, years=(2, 3))).because]
    assert said[1:] == [
        "Std over seeds 0.004.",
        "Its ranking keeps half of its order for 6.0 days; Rank IC 0.020 over 1 d, 0.080 over 20 d.",
    ]
    assert "2 of 3 years" in stable(made(years=(2, 3))).short.en
    assert "One seed" in stable(made()).because[1].en
    lasting = stable(made(half_life=np.inf)).because[2]
    assert "more than half of its order after 20 days" in lasting.en


@pytest.mark.parametrize(
    ("portfolio", "tone", "said"),
    [
        (held(), "good", "Yes: Top 10% +12.0% ± 3.0% a year after costs"),
        (held(net=0.05), "open", "Not shown: Top 10% +5.0% ± 3.0% a year after costs"),
        (held(net=-0.01), "bad", "No: Top 10% −1.0% ± 3.0% a year after costs"),
        (None, "open", "Not shown: it has no portfolio in this run"),
    ],
)
def test_tradable_is_more_than_its_costs(
    evaluation: Evaluation, portfolio: Portfolio | None, tone: str, said: str
) -> None:
    answer = tradable(evaluation.facts, made(portfolio=portfolio), made(portfolio=held(net=0.04)))
    assert (answer.tone, answer.short.en) == (tone, said)
    if portfolio is not None:
        assert [text.en for text in answer.because] == [
            "+20.0% before costs of 0.30% per round trip; one-sided turnover 30.0 times a year.",
            "Costs of 0.65% would use it up.",
            "Naive composite +4.0% after costs.",
        ]


def answered(evaluation: Evaluation) -> tuple[str, str, list[str]]:
    ranked = candidates(evaluation)
    headline = next(each for each in ranked if each.case.model == "day")
    answer = which(evaluation, headline, ranked)
    assert all(text.zh for text in (answer.short, *answer.because))
    return answer.tone, answer.short.en, [text.en for text in answer.because]


def test_the_model_named_beforehand_is_kept_unless_another_beats_it_beyond_chance(evaluation: Evaluation) -> None:
    near = of(evaluation, day=flat(0.06, 1), naive=flat(0.03, 2), ensemble=flat(0.062, 3))
    tone, said, because = answered(near)
    assert (tone, said) == ("good", "day, 5 d: named beforehand, none of 2 beats it beyond chance")
    assert because[0].startswith("Highest Rank IC: ensemble, 5 d, 0.06")
    assert because[1] == "2 of 2 beat the naive composite by so many."

    tone, said, because = answered(of(evaluation, day=flat(0.06, 1), naive=flat(0.03, 2), ensemble=flat(0.09, 3)))
    assert (tone, said) == ("open", "ensemble, 5 d: beats the one named beforehand")
    assert because[-1] == "Picked on these dates: confirm it on others."


def test_that_no_model_beats_the_naive_composite_is_said(evaluation: Evaluation) -> None:
    tone, said, because = answered(of(evaluation, day=flat(0.03, 1), naive=flat(0.03, 2), ensemble=flat(0.0308, 3)))
    assert tone == "bad"
    assert said == f"None: no model beats the naive composite by the {threshold(2):.1f} errors needed among 2"
    assert "The composite costs no training: use it." in because[0]


def test_another_model_is_used_where_the_one_named_beforehand_is_no_better_than_naive(evaluation: Evaluation) -> None:
    # The ensemble beats the naive composite, which it follows closely, and not the noisy model named beforehand.
    naive = flat(0.03, 2)
    close = Series(DAYS, naive.rank_ic + 0.002 + 0.001 * np.sin(np.arange(260)), naive.rank_ic)
    tone, said, _ = answered(of(evaluation, day=flat(0.03, 1, 0.2), naive=naive, ensemble=close))
    assert tone == "open"
    assert said == "ensemble, 5 d: beats the naive composite, the one named beforehand does not"


def test_without_a_naive_composite_the_best_is_still_measured(evaluation: Evaluation) -> None:
    tone, said, because = answered(of(evaluation, day=flat(0.06, 1), ensemble=flat(0.061, 3)))
    assert (tone, said) == ("good", "day, 5 d: named beforehand, none of 2 beats it beyond chance")
    assert not any("naive" in text for text in because)


@pytest.mark.parametrize(
    ("gap", "tone", "said"),
    [
        (0.05, "open", "Better than the naive composite, not shown to earn its costs; steady"),
        (-0.05, "bad", "Worse than the naive composite"),
        (0.0, "open", "Not distinguishable from the naive composite"),
    ],
)
def test_verdict(evaluation: Evaluation, gap: float, tone: str, said: str) -> None:
    bare = replace(of(evaluation, day=flat(0.03 + gap, 1), naive=flat(0.03, 2)), nav={})
    screen = overview(bare)
    assert screen is not None
    assert (screen.tone, screen.verdict.en) == (tone, said)


def test_a_verdict_that_is_good(evaluation: Evaluation) -> None:
    nav = {
        key: replace(navs, net=navs.benchmark * np.linspace(1, 2, len(navs.days)))
        for key, navs in evaluation.nav.items()
    }
    screen = overview(replace(of(evaluation, day=flat(0.08, 1), naive=flat(0.03, 2)), nav=nav))
    assert screen is not None
    assert (screen.tone, screen.verdict.en) == ("good", "Better than the naive composite and earns its costs; steady")


def test_a_high_rank_ic_on_a_real_market_is_suspected(evaluation: Evaluation) -> None:
    for simulated in (False, True):
        # Not of the headline alone.
        high = of(evaluation, day=flat(0.05, 1), ensemble=flat(0.2, 3), naive=flat(0.03, 2))
        screen = overview(replace(high, facts=high.facts.model_copy(update={"simulated": simulated})))
        assert screen is not None
        assert any("leak" in warning.en for warning in screen.warnings) is not simulated


def test_a_screen_holds_the_headline_wherever_it_ranks(evaluation: Evaluation) -> None:
    ranked = [each.case for each in candidates(evaluation)]
    facts = evaluation.facts.model_copy(
        update={"headline": [case.model for case in ranked if case.label_days == 5][-1]}
    )
    screen = overview(replace(evaluation, facts=facts))
    assert screen is not None
    roles = [line.role for line in screen.lines]
    assert (roles.count("headline"), roles[-1], len(roles)) == (1, "naive", MOST_LINES + 1)
    assert screen.more == len(ranked) - MOST_LINES
    names = [named(case) for case in ranked]
    assert [line.name for line in screen.lines[: MOST_LINES - 1]] == names[: MOST_LINES - 1]
    assert overview(replace(evaluation, facts=facts.model_copy(update={"headline": "oracle"}))) is None


def test_strips_are_drawn_to_scale(evaluation: Evaluation) -> None:
    screen = overview(of(evaluation, day=flat(0.08, 1), ensemble=flat(0.05, 3), naive=flat(-0.02, 2)))
    assert screen is not None
    centres = [float(line.strip.partition('cx="')[2].partition('"')[0]) for line in screen.lines]
    means = [float(line.rank_ic.replace("−", "-")) for line in screen.lines]
    assert means == sorted(means, reverse=True)
    # Printed to three digits: half of the last one on either side of an axis of about .1 in 138 pixels.
    assert (centres[0] - centres[1]) / (means[0] - means[1]) == pytest.approx(
        (centres[1] - centres[2]) / (means[1] - means[2]), rel=0.05
    )


def test_the_page_shows_the_screen_in_both_languages(run: Path) -> None:
    html = write_report(run).read_text("utf-8")
    first = html[html.index('<section id="overview"') : html.index('<section id="tables"')]
    screen = overview(read_evaluation(run))
    assert screen is not None
    for text in (screen.verdict, *(each.short for each in screen.answers)):
        assert text.en in first
        assert text.zh in first
    assert first.count("<svg") == len(screen.lines)
    assert "(<span" in first  # three seeds differ
    assert "nan" not in first


def test_a_difference_without_an_error_is_any_number_of_them() -> None:
    assert errors_of(0.1, 0.0) == np.inf
    assert errors_of(-0.1, 0.0) == -np.inf


def test_a_model_over_labels_has_no_label() -> None:
    assert named(replace(CASE, label_days=0)) == Text("day")
    assert named(CASE) == Text("day, 5 d", "day（5 日）")


def test_texts_of_earlier_runs_are_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=30, lock="The days after 2021 are locked.")
    facts = read_evaluation(run).facts
    assert facts.lock == Text("The days after 2021 are locked.")
    content = json.loads((run / "report_facts.json").read_text("utf-8"))
    content["notes"] = [{"en": "A flaw.", "zh": "一处缺陷。"}, "In English alone."]
    (run / "report_facts.json").write_text(json.dumps(content), "utf-8")
    facts = read_evaluation(run).facts
    assert facts.notes == (Text("A flaw.", "一处缺陷。"), Text("In English alone."))
    again = json.loads(facts.model_dump_json())
    assert again["notes"] == [{"en": "A flaw.", "zh": "一处缺陷。"}, {"en": "In English alone.", "zh": ""}]
    html = write_report(run).read_text("utf-8")
    assert '<span class="zh" lang="zh-CN">一处缺陷。</span>' in html
