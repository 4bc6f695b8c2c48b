"""The stages of a run in order; each meets the next on disk, and what is up to date is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree

import polars as pl
from pydantic import TypeAdapter

from polygrain.compute import Pool, pool
from polygrain.config import Experiment, to_toml
from polygrain.ensembles.ensemble import ENSEMBLES
from polygrain.errors import ConfigError
from polygrain.exposures.library import STYLES
from polygrain.features import build
from polygrain.features.library import FEATURES, chosen, missing
from polygrain.features.plan import available
from polygrain.interop import Given, score_name
from polygrain.market.session import Session
from polygrain.models.network import plugin_hashes
from polygrain.pipeline import enhancing, evaluating, explaining, facts, score_files, training
from polygrain.pipeline.enhancement_checks import check_enhancements
from polygrain.pipeline.manifest import RunManifest, Trials
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.parquet import write_blocks, write_parquet
from polygrain.plugins import use
from polygrain.portfolio.constraint import CONSTRAINTS
from polygrain.progress import Progress
from polygrain.report.facts import FILE as FACTS_FILE
from polygrain.report.facts import Said
from polygrain.report.page import write_report
from polygrain.sources.ingest import ingest
from polygrain.store.commit import (
    JSON,
    code_fingerprint,
    commit_bytes,
    commit_json,
    file_fingerprint,
    fingerprint,
    locked,
    sweep,
)
from polygrain.store.store import Store
from polygrain.training.device import find
from polygrain.training.walk_forward import TrainTask

# What scores and their evaluation are computed by, beside the predictions.
_JUDGES = ("pipeline", "evaluation", "execution", "samples.labels", "universe", "market", "store")

STAGES = {
    "ingest": "Read the source into the store.",
    "features": "Compute and normalise the features of every granularity.",
    "train": "Fit every model on every fold.",
    "score": "Turn predictions into scores and ensembles.",
    "evaluate": "Judge every score: Rank ICs and tracks.",
    "enhance": "Hold indices with the most score that constraints allow, and trade them from date to date.",
    "explain": "Say which features, of which days, the networks' scores come from.",
    "report": "Write the tables, figures and the HTML page.",
}


def run(
    experiment: Experiment, *, folder: Path, base: Path, last: str, progress: Progress, open_lock: bool = False
) -> Path:
    """Run the stages up to `last` in RUN folder `folder`; returns what the last one made.

    `base` is the folder of the config file: a relative `store` counts from there; by default the store is the run
    folder's neighbour `store`. A second call skips what is up to date and resumes what was cut off.

    Nothing after ingest sees a day behind `protocol.lock_after`, unless `open_lock` says so, now or in an earlier call
    for the same configuration; the first such call is counted in the store's list of configurations.
    """
    if open_lock and experiment.protocol.lock_after is None:
        raise ConfigError("--open-lock", "nothing is locked: the config has no protocol.lock_after; leave it out")
    if last != "ingest":
        experiment.check_trains()
    if last == "enhance":
        experiment.check_enhances()
    if list(STAGES).index(last) >= list(STAGES).index("enhance"):
        experiment.check_solvers()
    use(experiment.plugins)
    if list(STAGES).index(last) >= list(STAGES).index("train"):
        find(experiment.protocol.device)
        for ensemble in experiment.ensemble.values():
            ensemble.made_with()
    with pool(experiment.workers, experiment.plugins) as workers:
        job = Job(experiment, folder.resolve(), base.resolve(), workers, progress, open_lock)
        job.begin()
        made = folder
        with locked(job.folder):
            sweep_all(job.folder)
            # Not before: a run that is refused because another one is writing here changes nothing.
            write_config(experiment, job.folder / "config.toml")
            for name in STAGES:
                if name == "enhance" and not experiment.enhancement:
                    job.without_portfolios()
                    continue
                made = job.stage(name)
                if name == last:
                    break
        return made


def write_config(experiment: Experiment, path: Path) -> None:
    """Write the experiment as a config that `run` takes, its plug-ins beside it."""
    for plugin in experiment.plugins:
        commit_bytes(path.parent / plugin.place, plugin.text.encode())
    commit_bytes(path, to_toml(experiment).encode())


def sweep_all(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder and the folders in it."""
    for place in (folder, *folder.glob("*/")):
        sweep(place)


def store_folder(experiment: Experiment, folder: Path, base: Path) -> Path:
    """Where the source's store lies: named by the source's settings, so that appended data updates it in place."""
    root = folder.parent / "store" if experiment.store is None else base / experiment.store
    settings = fingerprint(experiment.source.model_dump(mode="json"))
    return root.resolve() / f"{experiment.source.kind}-{settings[:12]}"


@dataclass
class Job:
    """One call on a run folder: its stages, each a method, and what they share.

    With `searching` no day behind `protocol.lock_after` is seen, even where the lock box has been opened. `given` are
    scores from elsewhere, which are judged in place of trained ones.
    """

    experiment: Experiment
    folder: Path
    base: Path
    workers: Pool
    progress: Progress
    open_lock: bool = False
    searching: bool = False
    given: Given | None = None

    def begin(self) -> None:
        """Refuse a folder that holds another experiment's run."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                "--out", f"{self.folder} cannot be made: {error.strerror}; choose another folder"
            ) from None
        self.manifest = RunManifest(self.folder, self.experiment.name)
        if self.manifest.path.exists() and self.manifest.facts.get("name") not in (None, self.experiment.name):
            raise ConfigError(
                "--out", f"{self.folder} holds the run {self.manifest.facts['name']!r}; choose another folder"
            )
        self.manifest.facts["name"] = self.experiment.name
        self.manifest.facts["plugins"] = self.experiment.plugin_hashes

    def stage(self, name: str) -> Path:
        """Run one stage, saying how long it took."""
        start = time.monotonic()
        act: Callable[[], Path] = getattr(self, name)
        made = act()
        skipped = " (up to date)" if name in self.manifest.skipped else ""
        self.progress.say(f"{name}: {time.monotonic() - start:.1f} s{skipped}")
        return made

    @cached_property
    def store_folder(self) -> Path:
        return store_folder(self.experiment, self.folder, self.base)

    @cached_property
    def trials(self) -> Trials:
        return Trials(self.store_folder)

    @cached_property
    def market(self) -> Market:
        """The store under the experiment's settings, as far as it may be seen."""
        return Market(self.experiment, Store(self.store_folder, self.until), every_day=self.given is not None)

    @cached_property
    def until(self) -> date | None:
        """The last day that may be seen, None where none is locked; an opening is counted before anything is seen."""
        lock_after = self.experiment.protocol.lock_after
        if lock_after is None or self.searching:
            return lock_after
        if self.open_lock:
            for configuration, said in self.tried.items():
                self.trials.open(configuration, said, date.today())
        return None if all(map(self.trials.is_opened, self.tried)) else lock_after

    def ingest(self) -> Path:
        inputs = self.experiment.source.fingerprint()
        with self.manifest.stage("ingest", inputs):
            ingest(self.experiment.source, self.store_folder, self.progress.say)
        return self.store_folder

    def check_data(self) -> None:
        """Refuse before hours of training, rather than after them, what the settings ask for and the data lacks."""
        self.experiment.exposures.check(self.market.store)
        check_enhancements(self.experiment, self.market.store)

    @cached_property
    def features_chosen(self) -> Mapping[str, tuple[str, ...]]:
        # Not the market's: whether the lock box is open is asked for the configuration, which names the features.
        store = Store(self.store_folder, self.experiment.protocol.lock_after)
        session = Session(segments=store.facts.segments)
        return chosen(self.experiment.granularity, session, store.facts.base_bar, available(store))

    @property
    def feature_plugins(self) -> dict[str, str]:
        """sha256 of their plug-ins' text by the names of the run's features that are from plug-ins."""
        return FEATURES.hashes(name for names in self.features_chosen.values() for name in names)

    def features(self) -> Path:
        settings = self.experiment.model_dump(mode="json", include={"granularity", "panels", "universe"})
        plugins = self.feature_plugins
        # By name, not by text: a feature of the user's own that changes is computed anew in its place.
        # A folder of their own for days up to a lock: the whole span's would come and go with every opening.
        key = fingerprint([settings, self.experiment.protocol.lookback, sorted(plugins), str(self.until)])
        folder = self.store_folder / f"features-{key[:12]}"
        self.check_data()
        with self.manifest.stage("features", fingerprint([key, self.market.store.fingerprint(), plugins])):
            sweep_all(folder)
            self.panels = build.build(
                self.market.store,
                self.experiment.granularity,
                self.market.before_open,
                folder,
                self.workers,
                self.progress.say,
                precision=self.experiment.panels.precision,
            )
        return folder

    @cached_property
    def tasks(self) -> list[TrainTask]:
        return training.tasks(self.market, training.share(self.market, self.panels, self.folder), self.folder)

    def train(self) -> Path:
        inputs, outputs = training.inputs(self.tasks), training.outputs(self.tasks, self.folder)
        # The tasks would find out by themselves, but only in worker processes that take seconds to start.
        if self.manifest.current("train", inputs):
            self.manifest.skip("train")
            return self.folder / "models"
        # Counted before the first prediction of a test date is made.
        for configuration, said in self.tried.items():
            self.trials.add(configuration, said)
        with self.manifest.stage("train", inputs, outputs):
            results = training.train_all(self.tasks, self.workers, self.progress)
            self.manifest.facts["models"] = {
                r.name: {"epochs": len(r.facts.history), "best_epoch": r.facts.best.number, "dates": r.facts.dates}
                for r in results
            }
            # A fit removes its checkpoint, unless it is killed between its last two steps.
            rmtree(self.folder / "checkpoints", ignore_errors=True)
        return self.folder / "models"

    def score(self) -> Path:
        outputs = ("scores.parquet", "seed_scores.parquet")
        predictions: list[JSON] = [file_fingerprint(task.predictions_file) for task in self.tasks]
        code = code_fingerprint(*_JUDGES, "ensembles")
        libraries: JSON = [ensemble.made_with() for ensemble in self.experiment.ensemble.values()]
        inputs = fingerprint([predictions, self.configuration, self.market.store.fingerprint(), code, libraries])
        if self.manifest.current("score", inputs):
            self.manifest.skip("score")
            return self.folder / outputs[0]
        with self.manifest.stage("score", inputs, outputs):
            seed_rows = score_files.seed_rows(self.market, self.tasks)
            write_blocks(seed_rows, score_files.SEED_SCHEMA, self.folder / outputs[1])
            write_blocks(score_files.rows(self.market, self.tasks), score_files.SCHEMA, self.folder / outputs[0])
        return self.folder / outputs[0]

    @cached_property
    def configuration(self) -> str:
        """Fingerprint of what decides the test scores: all settings but names, places, evaluation and device."""
        kept = self.experiment.model_dump(
            mode="json",
            include={"granularity", "panels", "universe", "label", "protocol", "network", "ensemble"},
            exclude={"protocol": {"device"}},
        )
        networks = [plugin_hashes(each.model_dump_json()) for each in self.experiment.network.values()]
        ensembles = ENSEMBLES.hashes(each.kind for each in self.experiment.ensemble.values())
        plugins = [self.feature_plugins, *networks, *([ensembles] if ensembles else [])]
        return fingerprint({**kept, "plugins": plugins} if any(plugins) else kept)

    @cached_property
    def tried(self) -> dict[str, dict[str, JSON]]:
        """What this run adds to the list of configurations tried, by fingerprint; every score from elsewhere is one."""
        if self.given is None:
            return {self.configuration: self.trial(", ".join(sorted(self.experiment.models)))}
        judged: JSON = [self.experiment.universe.model_dump(mode="json"), self.experiment.protocol.lookback]
        return {
            fingerprint([content, judged]): self.trial(f"{score_name(*key)} of {self.given.name}")
            for key, content in self.given.fingerprints.items()
        }

    def trial(self, what: str) -> dict[str, JSON]:
        """What the list of configurations tried says of one."""
        plugins = self.experiment.plugin_hashes
        note = f"{self.experiment.name}: {what}"
        if plugins:
            note += f"; plug-ins {', '.join(f'{name} {sha256[:12]}' for name, sha256 in plugins.items())}"
        return {"first_run": date.today().isoformat(), "note": note, "plugins": plugins}

    def evaluate(self) -> Path:
        outputs = ("rank_ic.parquet", "seed_rank_ic.parquet", "decay.parquet", "exposure.parquet", "nav.parquet")
        settings = self.experiment.model_dump(mode="json", include={"evaluation", "exposures"})
        styles = STYLES.hashes(STYLES)
        code = code_fingerprint(*_JUDGES, "exposures")
        # A made-up market is judged against its oracle, which comes from the source and not from the store.
        source = self.experiment.source
        oracle = source.fingerprint() if source.simulated else None
        scored: list[JSON] = [
            file_fingerprint(self.folder / name) for name in ("scores.parquet", "seed_scores.parquet")
        ]
        inputs = fingerprint([*scored, settings, styles, self.market.store.fingerprint(), code, oracle])
        if self.manifest.current("evaluate", inputs):
            self.manifest.skip("evaluate")
            return self.folder / outputs[0]
        with self.manifest.stage("evaluate", inputs, outputs):
            judged = evaluating.judge(self.market, self.folder, self.workers, self.progress)
            for name, frame in zip(outputs, (judged.rank_ic, judged.seed_rank_ic, judged.decay, judged.exposure)):
                write_parquet(frame, self.folder / name)
            self.manifest.facts["missing"] = [asdict(text) for text in judged.missing]
        return self.folder / outputs[0]

    @cached_property
    def enhanced_from(self) -> str:
        """Fingerprint of all that portfolios are made from."""
        settings = self.experiment.model_dump(
            mode="json",
            include={"enhancement": True, "exposures": True, "universe": True, "protocol": {"lookback"}},
        )
        used = {one.kind for each in self.experiment.enhancement.values() for one in each.constraints}
        plugins: JSON = {**STYLES.hashes(STYLES), **CONSTRAINTS.hashes(used)}
        risky = any(one.objective is not None for one in self.experiment.enhancement.values())
        solvers = ("highspy", "clarabel") if risky else ("highspy",)
        code: JSON = [code_fingerprint(*_JUDGES, "exposures", "portfolio"), *map(version, solvers)]
        scored = file_fingerprint(self.folder / "scores.parquet")
        return fingerprint([scored, settings, plugins, self.market.store.fingerprint(), code])

    def enhance(self) -> Path:
        if self.manifest.current("enhance", self.enhanced_from):
            self.manifest.skip("enhance")
            return self.folder / enhancing.FOLDER
        with self.manifest.stage("enhance", self.enhanced_from, enhancing.files(self.experiment)):
            enhancing.enhance(self.market, self.folder, self.enhanced_from, self.workers, self.progress)
        return self.folder / enhancing.FOLDER

    def without_portfolios(self) -> None:
        """Remove an earlier call's portfolios, which the report would show."""
        rmtree(self.folder / enhancing.FOLDER, ignore_errors=True)
        if self.manifest.stages.pop("enhance", None) is not None:
            self.manifest.write()

    def explain(self) -> Path:
        output = "explain.parquet"
        chosen = explaining.explicable(self.tasks)
        inputs = explaining.inputs(chosen, self.features_chosen)
        if self.manifest.current("explain", inputs):
            self.manifest.skip("explain")
            return self.folder / output
        with self.manifest.stage("explain", inputs, (output,)):
            shares = explaining.shares(chosen, self.features_chosen, self.workers, self.progress)
            write_parquet(shares, self.folder / output)
        return self.folder / output

    def report(self) -> Path:
        evaluated = pl.read_parquet(self.folder / "rank_ic.parquet", columns=["model", "universe"]).unique()
        absent = self.manifest.facts.get("missing", [])
        unexplained = explaining.left_out(self.tasks, pl.read_parquet(self.folder / "explain.parquet"))
        known = facts.report_facts(
            self.market,
            self.manifest,
            features=self.features_chosen,
            lacking=missing(available(self.market.store)),
            missing=[*TypeAdapter(list[Said]).validate_python(absent), *unexplained],
            universes=[name for name in self.experiment.evaluation.universes if name in evaluated["universe"]],
            oracle=ORACLE in evaluated["model"],
            trials=self.trials.read(),
        )
        commit_json(self.folder / FACTS_FILE, known.model_dump(mode="json"))
        with self.manifest.stage("report", fingerprint(known.model_dump(mode="json"))):
            return write_report(self.folder)
