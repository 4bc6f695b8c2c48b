"""Prove that nothing known at a cutoff depends on what comes later: the real stages on markets with other futures."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polygrain.compute import Pool, pool
from polygrain.config import Experiment
from polygrain.errors import CheckError
from polygrain.pipeline import store_folder
from polygrain.plugins import use
from polygrain.progress import Progress
from polygrain.prove.compare import Checked, compare
from polygrain.prove.cutoffs import DAY, Cutoff, choose, moment
from polygrain.prove.features import impossible
from polygrain.prove.observe import Models, observe, run_stages, train_before
from polygrain.prove.observed import Observation
from polygrain.prove.perturb import REPLACEMENTS, Replacement, replace
from polygrain.prove.sample import Sample, read_sample, sample
from polygrain.sources.ingest import ingest
from polygrain.store.panel import Array

CUTOFFS = 56
LOOKBACK = 5
TRAINING_DAYS = 16
LEAST_LABELS = 20
# From here on every feature has a value: a week's surge asks for two weeks before its own.
WARM_DAYS = 15
# At a cutoff the last plan, and where the files end there, so that it has no fill, the one before.
PLANS = 2


def proof_settings(experiment: Experiment) -> Experiment:
    """The experiment with a short look-back and small label counts, so that a small sample has samples and labels."""
    protocol = experiment.protocol.model_copy(update={"lookback": LOOKBACK})
    label = experiment.label.model_copy(update={"minimum": LEAST_LABELS})
    return experiment.model_copy(update={"protocol": protocol, "label": label})


class Proof:
    """The observation of a sample as it is, and the models trained before the first cutoff."""

    def __init__(self, experiment: Experiment, sample: Sample, folder: Path, pool: Pool) -> None:
        self.experiment, self.sample, self.folder, self.pool = experiment, sample, folder, pool
        stages = run_stages(experiment, sample.source(sample.tables), folder / "as-it-is", pool)
        self.days = stages.market.store.days
        self.bar_days = stages.market.store.bar_days
        self.granularities = stages.granularities
        self.impossible = impossible(stages.market.store, stages.granularities)
        self.start = LOOKBACK + TRAINING_DAYS if experiment.network else WARM_DAYS
        self.models: Models = train_before(stages, self.start)
        days = range(self.start, len(self.bar_days))
        self.known: Observation = observe(stages, self.models, days, plans=len(days))

    @property
    def features(self) -> frozenset[tuple[str, str]]:
        """Every (granularity, feature) that is checked."""
        panels = {g.name: self.known.observed[f"raw.{g.name}"] for g in self.granularities}
        return frozenset((name, feature) for name, panel in panels.items() for feature in panel.features)

    @property
    def planned(self) -> dict[str, bool]:
        """By enhancement whether there is any plan of it."""
        plans = {name: self.known.observed.get(f"plans.{name}") for name in self.experiment.enhancement}
        return {name: seen is not None and bool((seen.values > 0).any()) for name, seen in plans.items()}

    @property
    def base_bars(self) -> int:
        """Base bars a day, 0 for daily data."""
        base = self.sample.base_bar
        return 0 if base == "day" else self.sample.session.bars_a_day(base)

    def cutoffs(self, count: int = CUTOFFS) -> list[Cutoff]:
        """Cutoffs over the days after the models were trained but the last."""
        session, base = self.sample.session, self.sample.base_bar
        lengths = [g.base_bars(session, base) for g in self.granularities]
        marks = frozenset(n for n in range(1, self.base_bars) if any(n % m == 0 for m in lengths if m > 1))
        return choose(self.sample.tables, self.bar_days[self.start + 1 : -1], self.base_bars, marks, count)

    def check(self, cutoff: Cutoff, replacement: Replacement, seed: int) -> Checked:
        """Replace everything after the cutoff, run the stages anew, and compare all that is known at the cutoff."""
        rng = np.random.default_rng([seed, REPLACEMENTS.index(replacement)])
        tables = replace(self.sample.tables, cutoff, replacement, rng)
        folder = self.folder / "other-future"
        shutil.rmtree(folder, ignore_errors=True)
        stages = run_stages(self.experiment, self.sample.source(tables), folder, self.pool)
        last = self.bar_days.index(cutoff.day) - (cutoff.bars is not None)
        other = observe(stages, self.models, range(self.start, last + 1), plans=PLANS)
        return compare(self.known, other, cutoff, replacement, self.days)

    def varied(self, cutoff: Cutoff) -> frozenset[tuple[str, str]]:
        """The (granularity, feature) that tell stocks apart on the day before the cutoff, raw and normalised."""
        at = moment(cutoff, self.days)
        found = set()
        for granularity in self.granularities:
            panels = [self.known.observed[f"{kind}.{granularity.name}"] for kind in ("features", "raw")]
            day = (panels[0].known > at - DAY) & (panels[0].known <= at)
            for i, name in enumerate(panels[0].features):
                if all(_differ(panel.values[day][..., i]) for panel in panels):
                    found.add((granularity.name, name))
        return frozenset(found)


def _differ(values: Array) -> bool:
    """Whether a row of [rows, stocks] holds two numbers that are not 0 and not the same."""
    kept = np.where(np.isfinite(values) & (values != 0), values, np.nan)
    kept = kept[np.isfinite(kept).any(axis=1)]
    return bool((np.nanmax(kept, axis=1) > np.nanmin(kept, axis=1)).any()) if len(kept) else False


@dataclass(frozen=True)
class _Part:
    """A share of the cutoffs for one process."""

    experiment: str
    sample: Path
    first: int
    stride: int
    count: int


@dataclass(frozen=True)
class _Found:
    """What a share of the cutoffs showed: features are (granularity, name)."""

    violations: tuple[str, ...]
    cutoffs: int
    cells: int
    features: frozenset[tuple[str, str]]
    varied: frozenset[tuple[str, str]]
    impossible: frozenset[tuple[str, str]]
    planned: dict[str, bool]


def _check_part(part: _Part) -> _Found:
    experiment = Experiment.model_validate_json(part.experiment, context={"folder": Path()})
    with tempfile.TemporaryDirectory() as folder, pool(1) as alone:
        proof = Proof(proof_settings(experiment), read_sample(part.sample), Path(folder), alone)
        mine = list(enumerate(proof.cutoffs(part.count)))[part.first :: part.stride]
        checked = [proof.check(cutoff, how, seed=i) for i, cutoff in mine for how in REPLACEMENTS]
    return _Found(
        violations=tuple(str(violation) for each in checked for violation in each.violations),
        cutoffs=len(mine),
        cells=sum(each.cells for each in checked),
        features=proof.features,
        varied=frozenset().union(*(proof.varied(cutoff) for _, cutoff in mine)),
        impossible=frozenset((name, f) for name, missing in proof.impossible.items() for f in missing),
        planned=proof.planned,
    )


def prove(experiment: Experiment, *, base: Path, progress: Progress) -> list[str]:
    """Check a sample of the config's data at 56 cutoffs under every replacement; what was proved, a line each.

    CheckError names what depends on the future.
    """
    experiment.check_trains()
    use(experiment.plugins)
    folder = store_folder(experiment, Path("runs").resolve() / experiment.name, base.resolve())
    store = ingest(experiment.source, folder, progress.say)
    began, parts = time.monotonic(), min(4 * experiment.workers, CUTOFFS)
    with tempfile.TemporaryDirectory() as shared, pool(experiment.workers, experiment.plugins) as workers:
        sample(store, indices=tuple(one.index for one in experiment.enhancement.values())).write(Path(shared))
        tasks = [_Part(experiment.model_dump_json(), Path(shared), i, parts, CUTOFFS) for i in range(parts)]
        with progress.step("prove", len(tasks)) as step:
            found = workers.map(_check_part, tasks, done=lambda *_: step.advance())
    violations = [line for each in found for line in each.violations]
    if violations:
        places = f"known values depend on what comes after the cutoff in {len(violations)} places"
        raise CheckError(f"{places}; the first is {violations[0]}")
    return _account(found, store.facts.base_bar, time.monotonic() - began)


def _account(found: list[_Found], base_bar: str, seconds: float) -> list[str]:
    """What was proved, and what could not be."""
    cutoffs, cells = sum(each.cutoffs for each in found), sum(each.cells for each in found)
    unvaried = found[0].features - frozenset().union(*(each.varied for each in found))
    planned = [name for name, some in found[0].planned.items() if some]
    unplanned = [name for name, some in found[0].planned.items() if not some]
    lines = [
        f"{cutoffs} cutoffs × {len(REPLACEMENTS)} replacements of what comes after: 0 of {cells:,} values differ, "
        f"{seconds:.0f} s",
        f"features, raw and normalised: {_by_granularity(found[0].features - unvaried, count=True)}; and quotes, "
        "universes, exposures, labels, Rank ICs, windows, scores and the NAV"
        + (f"; and index, knowledge and plans of {', '.join(planned)}" if planned else ""),
    ]
    if found[0].impossible:
        lines.append(f"{base_bar} bars cannot give: {_by_granularity(found[0].impossible)}")
    if unvaried:
        lines.append(f"nothing shown, for it tells no stocks apart in the sample: {_by_granularity(unvaried)}")
    if unplanned:
        lines.append(f"nothing shown, for the sample gives no plan: {', '.join(unplanned)}")
    return lines


def _by_granularity(features: frozenset[tuple[str, str]], *, count: bool = False) -> str:
    """Features by granularity, as names or as their number."""
    granularities = sorted({granularity for granularity, _ in features})
    named = {g: sorted(feature for of, feature in features if of == g) for g in granularities}
    return "; ".join(f"{g} {len(names) if count else ' '.join(names)}" for g, names in named.items())
