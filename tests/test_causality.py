"""Nothing known at a cutoff depends on what comes after it, and a leak planted in any real stage is caught."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted_leaks import CONTROLS, CONTROLS_OF_PLANS, LEAKS, LEAKS_INTO_PLANS, LEAKS_INTO_SAMPLES

from polygrain.compute import pool
from polygrain.config import Experiment, load
from polygrain.errors import CheckError
from polygrain.features.library import FEATURES
from polygrain.features.normalize import normalise
from polygrain.market.session import Session
from polygrain.portfolio.constraints import Linear, StyleDeviation
from polygrain.portfolio.enhancement import Enhancement
from polygrain.progress import Lines
from polygrain.prove import causality
from polygrain.prove.causality import CUTOFFS, Proof, proof_settings, prove
from polygrain.prove.compare import Checked
from polygrain.prove.cutoffs import Cutoff
from polygrain.prove.perturb import REPLACEMENTS
from polygrain.prove.sample import Sample, sample
from polygrain.sources.ingest import ingest

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
# Where the files end is seen at nearly every cutoff or at none, so every fourth cutoff is enough for it.
EVERY = 4
# Fewer bars, and those of an hour and of half an hour still hold as many base bars as in a whole day.
HOUR, MORNING = Session(segments=("09:30-10:30",)), Session(segments=("09:30-11:30",))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """The suite's simulated market with every kind of granularity."""
    granularity = '[{name="week",bar="week"},{name="day",bar="day"},{name="60min",bar="60min"}]'
    residual = "{kind='residual', combination='attention', encoder={hidden=4, layers=2}}"
    ensembles = [
        "ensemble.both={kind='mean', labels=[2, 5]}",
        "ensemble.tree={kind='tree', least_in_leaf=5}",
        "ensemble.attention={kind='attention', equal=0.01}",
        "ensemble.contrastive={kind='contrastive'}",
    ]
    labels = "label.days=[5, 2]"
    constraints = "[{kind='stock_deviation', limit=0.05}, {kind='turnover', limit=0.2}]"
    ahead = f"enhancement.ahead={{index='small', tradability='fill', fill='t1_open', constraints={constraints}}}"
    return proof_settings(
        load(TINY, [f"granularity={granularity}", f"network.residual={residual}", labels, *ensembles, ahead])
    )


@pytest.fixture(scope="module")
def lean(experiment: Experiment) -> Experiment:
    """Without networks and plans: what a leak reaches first is enough, and it is found in seconds."""
    return experiment.model_copy(update={"network": {}, "enhancement": {}})


@pytest.fixture(scope="module")
def planning(experiment: Experiment) -> Experiment:
    """Without networks alone."""
    return experiment.model_copy(update={"network": {}})


@pytest.fixture(scope="module")
def part(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    store = ingest(experiment.source, tmp_path_factory.mktemp("store") / "store")
    return _with_a_suspension(sample(store, days=44, before=25, stocks=46))


@pytest.fixture(scope="module")
def small(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Enough of the market for what is caught at the first cutoffs."""
    store = ingest(experiment.source, tmp_path_factory.mktemp("store") / "store")
    return _with_a_suspension(sample(store, days=32, before=0, stocks=36))


def _with_a_suspension(market: Sample) -> Sample:
    """The market with one stock suspended for four days within the cutoffs: few are, in a small one."""
    days = market.tables["bars"]["date"].unique().sort()[24:28]
    stock = market.tables["daily"]["symbol"].unique().sort()[7]
    there = (pl.col("symbol") == stock) & pl.col("date").is_in(days.implode())
    stopped = {"volume": pl.lit(0), "amount": pl.lit(0.0), "vwap": pl.lit(None, pl.Float64), "suspended": pl.lit(True)}
    changed = [pl.when(there).then(value).otherwise(pl.col(name)).alias(name) for name, value in stopped.items()]
    tables = {"daily": market.tables["daily"].with_columns(changed), "bars": market.tables["bars"].filter(~there)}
    return dataclasses.replace(market, tables={**market.tables, **tables})


def _checked(proof: Proof, cutoffs: list[tuple[int, Cutoff]], every: int = 1) -> Iterator[Checked]:
    for turn, (i, cutoff) in enumerate(cutoffs):
        for how in REPLACEMENTS[: 1 + (turn % every == 0)]:
            yield proof.check(cutoff, how, seed=i)


def _lines(checked: Iterator[Checked]) -> set[str]:
    return {str(violation) for each in checked for violation in each.violations}


def _possible(base_bars: dict[str, int]) -> set[tuple[str, str]]:
    """(granularity, feature) that bars of so many base bars can have."""
    return {(name, f.name) for name, m in base_bars.items() for f in FEATURES.values() if f.min_bars <= m}


def test_no_value_depends_on_the_future(experiment: Experiment, part: Sample, tmp_path: Path) -> None:
    with pool(1) as alone:
        proof = Proof(experiment, part, tmp_path, alone)
        cutoffs = list(enumerate(proof.cutoffs()))
        assert len(cutoffs) == CUTOFFS >= 55
        assert _lines(_checked(proof, cutoffs, EVERY)) == set()
    assert proof.features == _possible({"week": 40, "day": 8, "60min": 2, "30min": 1})
    assert all(proof.varied(cutoff) == proof.features for _, cutoff in cutoffs)


def test_cutoffs_lie_at_closes_before_opens_within_days_and_before_events(
    lean: Experiment, part: Sample, tmp_path: Path
) -> None:
    with pool(1) as alone:
        proof = Proof(lean, part, tmp_path, alone)
    cutoffs = proof.cutoffs()
    assert len(set(cutoffs)) == CUTOFFS >= 55
    assert sum(c.bars is None for c in cutoffs) >= 20
    assert sum(c.bars == 0 for c in cutoffs) >= 5
    # Bars of 30 minutes: an even number of them closes an hour.
    assert sum(c.bars is not None and c.bars > 0 and c.bars % 2 == 0 for c in cutoffs) >= 5
    assert sum(c.bars is not None and c.bars % 2 == 1 for c in cutoffs) >= 5
    resumed = part.tables["bars"]["date"].unique().sort()[28]
    first = [c.day for c in cutoffs[:24]]
    assert max(day for day in proof.days if day < resumed) in first


@pytest.mark.parametrize(
    ("base_bar", "session", "days", "base_bars"),
    [
        ("1min", HOUR, 19, {"week": 300, "day": 60, "60min": 60, "30min": 30, "1min": 1}),
        ("5min", MORNING, 20, {"week": 120, "day": 24, "60min": 12, "30min": 6, "5min": 1}),
        ("15min", MORNING, 24, {"week": 40, "day": 8, "60min": 4, "30min": 2, "15min": 1}),
        ("day", Session(), 46, {"week": 5, "day": 1}),
    ],
)
def test_no_feature_of_any_base_bar_depends_on_the_future(
    tmp_path: Path, base_bar: str, session: Session, days: int, base_bars: dict[str, int]
) -> None:
    settings = [f"source.bar={base_bar}", "source.days=48", "source.stocks=37", "source.start=2021-03-01"]
    experiment = proof_settings(load(TINY, [*settings, 'granularity=[{name="day",bar="day"}]']))
    market = sample(ingest(experiment.source, tmp_path / "store"), days=days, before=0, stocks=34)
    if base_bar != "day":
        bars = market.tables["bars"].filter(pl.col("bar") < session.bars_a_day(base_bar))
        market = dataclasses.replace(market, session=session, tables={**market.tables, "bars": bars})
    with pool(1) as alone:
        features = experiment.model_copy(update={"network": {}, "enhancement": {}})
        proof = Proof(features, market, tmp_path / "proof", alone)
        cutoffs = proof.cutoffs()
        assert len(set(cutoffs)) == CUTOFFS >= 55
        checked = [proof.check(c, REPLACEMENTS[i % len(REPLACEMENTS)], seed=i) for i, c in enumerate(cutoffs)]
    assert _lines(iter(checked)) == set()
    assert min(each.cells for each in checked) > 10_000
    assert proof.features == _possible(base_bars)
    assert all(proof.varied(cutoff) == proof.features for cutoff in cutoffs)


def test_plans_are_made_with_the_styles_there_are_and_not_where_constraints_exclude_each_other(
    lean: Experiment, small: Sample, tmp_path: Path
) -> None:
    # The sample is too short for momentum, and nothing weighs 2; neither is an error.
    lacking = Enhancement(index="large", constraints=[StyleDeviation(limits={"momentum": 0.1, "size": 0.1})])
    impossible = Enhancement(index="large", constraints=[Linear(coefficients={}, lower=2.0)])
    given = {"lacking": lacking, "impossible": impossible, "unknown": Enhancement(index="none")}
    with pool(1) as alone:
        proof = Proof(lean.model_copy(update={"enhancement": given}), small, tmp_path, alone)
        assert proof.planned == {"lacking": True, "impossible": False, "unknown": False}
        assert _lines(_checked(proof, list(enumerate(proof.cutoffs(2))))) == set()
    plans = proof.known.observed["plans.lacking"].values
    made = np.isfinite(plans).any(axis=1)
    assert made.sum() > 10
    # A solver's sum.
    np.testing.assert_allclose(np.nansum(plans[made], axis=1), 1, atol=1e-9)


def test_half_of_the_sample_is_of_the_indices(experiment: Experiment, tmp_path: Path) -> None:
    store = ingest(experiment.source, tmp_path / "store")
    listed = store.table("index_weights")
    assert listed is not None
    held = set(listed.filter(pl.col("index") == "large")["symbol"])
    for indices, least in (((), 0), (("large",), 10)):
        chosen = set(sample(store, days=32, before=0, stocks=20, indices=indices).tables["daily"]["symbol"])
        assert len(chosen) == 20
        assert len(chosen & held) >= least
    assert len(held) >= 10


def _first_caught(experiment: Experiment, market: Sample, folder: Path) -> list[str]:
    """What is found at the first cutoff at which anything is."""
    with pool(1) as alone, np.errstate(all="ignore"):
        proof = Proof(experiment, market, folder, alone)
        for checked in _checked(proof, list(enumerate(proof.cutoffs()))):
            if checked.violations:
                return [str(violation) for violation in checked.violations]
    return []


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_caught(
    lean: Experiment, small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    LEAKS[leak](monkeypatch)
    assert _first_caught(lean, small, tmp_path)


@pytest.mark.parametrize("leak", LEAKS_INTO_PLANS)
def test_a_leak_planted_into_plans_is_caught_and_named(
    planning: Experiment, small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    named, plant = LEAKS_INTO_PLANS[leak]
    plant(monkeypatch)
    lines = _first_caught(planning, small, tmp_path)
    assert lines[0].startswith(named)
    assert all(line.startswith(("benchmark", "known", "plans")) for line in lines)


@pytest.mark.parametrize("leak", LEAKS_INTO_SAMPLES)
def test_a_leak_planted_after_the_features_is_caught(
    experiment: Experiment, part: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    LEAKS_INTO_SAMPLES[leak](monkeypatch)
    assert any(line.startswith(("windows", "scores")) for line in _first_caught(experiment, part, tmp_path))


def test_a_leak_reaches_the_scores(
    experiment: Experiment, part: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LEAKS["a feature shifted by -1"](monkeypatch)
    lines = _first_caught(experiment, part, tmp_path)
    for what in ("raw.day close_ret:", "features.day close_ret:", "windows.day:", "scores.day.5d:"):
        assert any(line.startswith(what) for line in lines), what
    assert not any(line.startswith("raw.day open_ret") for line in lines)


@pytest.fixture(scope="module")
def untouched(planning: Experiment, small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    with pool(1) as alone:
        return Proof(planning, small, tmp_path_factory.mktemp("untouched"), alone)


def test_the_raw_values_are_those_that_the_build_normalises(untouched: Proof) -> None:
    seen = untouched.known.observed
    for granularity in untouched.granularities:
        raw, panel = seen[f"raw.{granularity.name}"], seen[f"features.{granularity.name}"]
        members = np.repeat(seen["U before the open"].values, len(raw.values) // len(untouched.bar_days), axis=0)
        for i, name in enumerate(raw.features):
            made = normalise(raw.values[..., i], members, FEATURES[name].log)
            assert made.tobytes() == np.ascontiguousarray(panel.values[..., i]).tobytes(), f"{granularity.name} {name}"


@pytest.mark.parametrize("control", [*CONTROLS, *CONTROLS_OF_PLANS])
def test_a_planted_control_that_sees_nothing_later_is_not_caught(
    planning: Experiment, small: Sample, untouched: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: str
) -> None:
    (CONTROLS | CONTROLS_OF_PLANS)[control](monkeypatch)
    with pool(1) as alone, np.errstate(all="ignore"):
        proof = Proof(planning, small, tmp_path, alone)
        assert _lines(_checked(proof, list(enumerate(proof.cutoffs()))[:4], 4)) == set()
    pairs = [(panel.values, proof.known.observed[name].values) for name, panel in untouched.known.observed.items()]
    assert any(not np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def test_prove_says_what_it_proved_and_names_what_it_catches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(causality, "CUTOFFS", 1)
    monkeypatch.chdir(tmp_path)
    experiment = load(TINY, ["workers=1", "enhancement.absent={index='none'}"])

    first, second, third, last = prove(experiment, base=tmp_path, progress=Lines(sys.stderr))
    assert first.startswith("1 cutoffs × 2 replacements of what comes after: 0 of ")
    assert second.startswith("features, raw and normalised: 30min 12; 60min 15; day 26; week 26; and quotes")
    assert second.endswith("scores and the NAV; and index, knowledge and plans of large")
    assert third.startswith("30min bars cannot give: 30min amount_concentration ")
    assert last == "nothing shown, for the sample gives no plan: absent"
    assert "prove: 100%" in capsys.readouterr().err
    LEAKS["a feature shifted by -1"](monkeypatch)
    with pytest.raises(
        CheckError,
        match=r"^known values depend on what comes after the cutoff in \d+ places; the first is raw\.day close_ret: "
        r"\d+ cells differ at 2021-\d\d-\d\d at the close under another future, first \d{6}\.S[HZ] known on "
        r"2021-\d\d-\d\d$",
    ):
        prove(experiment, base=tmp_path, progress=Lines(sys.stderr))
