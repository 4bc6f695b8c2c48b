"""The enhance stage: every portfolio of every enhancement with every score asked for, to RUN/portfolios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from shutil import rmtree

import numpy as np

from polygrain.compute import Pool
from polygrain.config import Experiment
from polygrain.errors import ConfigError, DataError
from polygrain.execution import ledger
from polygrain.execution.fills import FILLS
from polygrain.market.rules import load_rules
from polygrain.pipeline import attributing, factor_history
from polygrain.pipeline.enhancement_checks import chosen, index_lists
from polygrain.pipeline.enhancement_files import EnhancementFiles
from polygrain.pipeline.factor_history import FactorHistory
from polygrain.pipeline.holding import LEDGER, SCHEMAS, HoldTask, hold
from polygrain.pipeline.knowing import index_of, known_of
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.parquet import write_blocks, write_parquet
from polygrain.pipeline.score_files import read_panel, score_dates, score_keys
from polygrain.pipeline.scoring import NAIVE, Key
from polygrain.pipeline.staggered import TRACKS, rows, staggered, track_rows
from polygrain.portfolio.benchmark import Benchmark
from polygrain.portfolio.enhancement import Enhancement, Grid, Portfolio, portfolio_name
from polygrain.portfolio.risk import LEAST_DAYS
from polygrain.progress import Progress
from polygrain.store.commit import commit_json
from polygrain.store.panel import Array

FOLDER = "portfolios"
# CSI reviews its indices every half a year, and some of their dates are 27 weeks apart.
_REVIEW = timedelta(days=200)


def files(experiment: Experiment) -> tuple[str, ...]:
    """What the stage makes, in the run folder."""
    every = experiment.enhancement.values()
    kept = LEDGER if any(one.ledger is not None for one in every) else ()
    apart = TRACKS if any(one.tracks > 1 for one in every) else ()
    tables = (*SCHEMAS, *kept, *apart, *attributing.SCHEMAS)
    return (*(f"{FOLDER}/{table}.parquet" for table in tables), f"{FOLDER}/grid.json")


def enhance(market: Market, run: Path, key: str, workers: Pool, progress: Progress) -> None:
    """Walk every portfolio of the config with the scores of RUN/scores.parquet, and write RUN/portfolios.

    `key` is the fingerprint of all that goes in: what an earlier call for the same has finished is kept. What processes
    share lies in RUN/enhancement meanwhile: an index and decision take some 5 bytes a stock and 4 a style. ConfigError
    for an index, model or label that there is not.
    """
    folder, place = run / FOLDER, run / "enhancement"
    parts = folder / f"parts-{key[:12]}"
    try:
        for old in folder.glob("parts-*"):
            if old != parts:
                rmtree(old)
        rmtree(place, ignore_errors=True)
        place.mkdir()
        prepared = _Prepared(market, run / "scores.parquet", EnhancementFiles(place), parts)
        tasks = [task for name in market.experiment.enhancement for task in prepared.tasks(name)]
        prepared.share_factors()
        parts.mkdir(parents=True, exist_ok=True)
        with progress.step(f"enhance {len(tasks)} portfolios", sum(task.decisions for task in tasks)) as step:
            workers.map(hold, tasks, done=lambda task, _: step.advance(task.decisions))
        # Written last: without it nothing is shown of tables that a killed call has left.
        (folder / "grid.json").unlink(missing_ok=True)
        _write(tasks, folder)
        shown = {portfolio.name for portfolio in prepared.portfolios if portfolio.shown}
        held = [task for task in tasks if task.portfolio in shown and not task.drawn]
        found = attributing.attribution(market, held, prepared.benchmarks, prepared.history)
        for table, frame in found.items():
            write_parquet(frame, folder / f"{table}.parquet")
        commit_json(folder / "grid.json", prepared.grid().model_dump(mode="json"))
        rmtree(parts)
    except OSError as error:
        reason = f"cannot be used: {error.strerror or error}; free space there, then run it again"
        raise DataError(error.filename or str(place), reason) from error
    finally:
        rmtree(place, ignore_errors=True)


def _write(tasks: Sequence[HoldTask], folder: Path) -> None:
    """Write the tables of finished tasks; one that has no rows of any is removed."""
    every = staggered(tasks)
    apart = [tracks for tracks in every if len(tracks) > 1]
    for table, schema in (SCHEMAS | LEDGER | TRACKS).items():
        path = folder / f"{table}.parquet"
        written = apart if table in TRACKS else [tracks for tracks in every if table in tracks[0].schemas]
        made = (track_rows(tracks) if table in TRACKS else rows(tracks, table) for tracks in written)
        if written:
            write_blocks(made, schema, path)
        else:
            path.unlink(missing_ok=True)


class _Prepared:
    """Tasks of the enhancements, made one enhancement after the other; what they share goes to the files."""

    def __init__(self, market: Market, scores: Path, files: EnhancementFiles, parts: Path) -> None:
        self.market, self.scores, self.files, self.parts = market, scores, files, parts
        self.scored = [key for key in score_keys(scores) if key[0] not in (NAIVE, ORACLE)]
        self.portfolios: list[Portfolio] = []
        self.keys: dict[str, list[Key]] = {}
        self.benchmarks: list[Benchmark] = []
        self.missing: list[tuple[str, str]] = []
        self.history = FactorHistory(market)
        self._tasks = self._panels = 0
        self._open_ledgers()
        files.save_axes(market.quotes.axes)
        for fill in {one.fill for one in market.experiment.enhancement.values()}:
            files.save_market(fill, ledger.market(market.quotes, FILLS[fill]))

    def _open_ledgers(self) -> None:
        """Refuse what an exact ledger cannot be kept of, and write the quotes for those that can."""
        kept = {name: one for name, one in self.market.experiment.enhancement.items() if one.ledger is not None}
        for name, one in kept.items():
            assert one.ledger is not None
            try:
                one.ledger.opened(self.market.quotes, FILLS[one.fill], load_rules())
            except ConfigError as error:
                raise ConfigError(f"enhancement.{name}.{error.place}", error.reason) from None
        if kept:
            self.files.save_quotes(self.market.quotes)

    def _keep_factors(self, name: str, first: int, last: int) -> None:
        """Factor returns for the risk of decisions on these days; ConfigError where the first has too few before it."""
        axes, start = self.market.quotes.axes, first - factor_history.DAYS
        self.history.keep(start, last)
        count = sum(start <= day <= first for day in self.history.kept)
        if count < LEAST_DAYS:
            reason = f"{count} days of factor returns up to the first decision, on {axes.days[first]}"
            said = f"{reason}; a risk model needs {LEAST_DAYS}: score later days, or leave it out"
            raise ConfigError(f"enhancement.{name}.objective", said)

    def share_factors(self) -> None:
        """Write the factor returns that are kept for the tasks, if any."""
        if self.history.kept:
            self.files.save_factors(self.history.kept)

    def tasks(self, name: str) -> Iterator[HoldTask]:
        """Every portfolio of an enhancement with every score, in the order of the tables."""
        settings, axes = self.market.experiment.enhancement[name], self.market.quotes.axes
        keys = self.keys[name] = chosen(name, settings, self.scored)
        index = self._benchmark(name, settings)
        scored = [axes.day_number[day] for day in score_dates(self.scores, *keys[0])]
        tracks = self._decisions(name, settings, scored, index)
        if settings.objective is not None:
            self._keep_factors(name, tracks[0][0], max(track[-1] for track in tracks))
        first, places = len(self.benchmarks), self._scores(name, settings, keys, tracks)
        for decisions in tracks:
            self._share(settings, index, decisions)
        for place, cell in enumerate(settings.cells):
            portfolio = Portfolio(
                name=portfolio_name(name, cell.varied),
                enhancement=name,
                index=settings.index,
                varied=cell.varied,
                shown=place == 0,
            )
            self.portfolios.append(portfolio)
            for model, label_days in places[0] if portfolio.shown else keys:
                for track, decisions in enumerate(tracks):
                    yield HoldTask(
                        folder=str(self.files.folder),
                        parts=str(self.parts),
                        number=self._tasks,
                        portfolio=portfolio.name,
                        model=model,
                        label_days=label_days,
                        drawn=(model, label_days) not in keys,
                        index=first + track,
                        score=places[track][model, label_days],
                        fill=settings.fill,
                        constraints=tuple(one.model_dump_json() for one in cell.constraints),
                        order=tuple(map(tuple, settings.order)),
                        cost=settings.charged,
                        objective=settings.objective,
                        last=scored[-1],
                        decisions=len(decisions),
                    )
                    self._tasks += 1

    def _scores(
        self, name: str, settings: Enhancement, keys: Sequence[Key], tracks: Sequence[Sequence[int]]
    ) -> list[dict[Key, int]]:
        """Write the scores of every track's decisions, random ones too; by track their numbers."""
        days, places = sorted(day for decisions in tracks for day in decisions), list[dict[Key, int]]()
        scores = {key: read_panel(self.scores, self.market.quotes.axes, *key)[days].astype(np.float32) for key in keys}
        for track, decisions in enumerate(tracks):
            own = {key: panel[np.searchsorted(days, decisions)] for key, panel in scores.items()}
            drawn = {_drawn(seed): _random(own[keys[0]], seed, track) for seed in range(1, settings.random_scores + 1)}
            if own.keys() & drawn.keys():
                reason = f"a score is called {_drawn(1)[0]!r}, as those are; give it another name"
                raise ConfigError(f"enhancement.{name}.random_scores", reason)
            places.append({key: self._saved(panel) for key, panel in (own | drawn).items()})
        return places

    def _share(self, settings: Enhancement, index: Benchmark, decisions: Sequence[int]) -> None:
        """Write what plans of these decisions may know, scores left aside."""
        ahead = self.files.market(settings.fill) if settings.tradability == "fill" else None
        found = known_of(self.market, index, np.zeros((0, 0)), decisions, ahead)
        self.files.save_known(len(self.benchmarks), found, index.returns)
        self.benchmarks.append(index)

    def _saved(self, panel: Array) -> int:
        """Write scores [decisions, symbols]; their number."""
        self._panels += 1
        self.files.save_scores(self._panels, panel)
        return self._panels

    def _benchmark(self, name: str, settings: Enhancement) -> Benchmark:
        """The index; ConfigError where the data has no weights of it."""
        return index_of(self.market, index_lists(self.market.store, name, settings))

    def _decisions(self, name: str, settings: Enhancement, scored: list[int], index: Benchmark) -> list[list[int]]:
        """By track the day numbers of decisions: every R-th day with scores, from the first on that the index is known
        on, and a day later by track."""
        lag = FILLS[settings.fill].lag
        days = [day for day in scored if day >= index.first and day + lag > 0]
        tracks = [
            [day for day in days[track :: settings.rebalance] if day + lag <= scored[-1]]
            for track in range(settings.tracks)
        ]
        axes = self.market.quotes.axes
        if not days:
            reason = f"no list of {settings.index} is dated before a day with scores"
            raise ConfigError(f"enhancement.{name}.index", f"{reason}; leave it out, or score later days")
        if not all(tracks):
            reason = f"{len(days)} days with scores from {axes.days[days[0]]} on are too few for {settings.fill}"
            said = reason if settings.tracks == 1 else f"{reason} and {settings.tracks} tracks"
            raise ConfigError(f"enhancement.{name}", f"{said}; score more days, or leave it out")
        if len(days) < len(scored):
            first, date = axes.days[scored[0]], axes.days[tracks[0][0]]
            self.missing.append(
                (
                    f"Enhancement {name} begins on {date}, not {first}: no list of {settings.index} is dated before.",
                    f"指数增强 {name} 始于 {date} 而非 {first}：此前没有 {settings.index} 的权重。",
                )
            )
        self._note_age(name, settings.index, sorted(chain(*tracks)), index)
        return tracks

    def _note_age(self, name: str, called: str, decisions: Sequence[int], index: Benchmark) -> None:
        """Say of how many decisions the newest list is older than a review of the index."""
        days = self.market.quotes.axes.days
        lists = {day: list_day for day in decisions if (list_day := index.lists[day]) is not None}
        old = [day for day, list_day in lists.items() if days[day] - list_day > _REVIEW]
        if old:
            since, newest, share = days[old[0]], max(lists[day] for day in old), f"{len(old)} / {len(decisions)}"
            self.missing.append(
                (
                    f"Enhancement {name}: the newest list of {called} is more than {_REVIEW.days} days old on {share} "
                    f"decisions from {since} on, the last one of {newest}; reviews since then are not in the index.",
                    f"指数增强 {name}：自 {since} 起 {share} 个决策日所用的 {called} 权重已超过 {_REVIEW.days} 天，"
                    f"最近一期为 {newest}，此后的样本调整未计入指数。",
                )
            )

    def grid(self) -> Grid:
        """What was made, for the report."""
        settings = self.market.experiment.enhancement
        return Grid(
            portfolios=tuple(self.portfolios),
            models={name: tuple(dict.fromkeys(model for model, _ in keys)) for name, keys in self.keys.items()},
            label_days={name: tuple(dict.fromkeys(days for _, days in keys)) for name, keys in self.keys.items()},
            rebalance={name: one.rebalance for name, one in settings.items()},
            tracks={name: one.tracks for name, one in settings.items()},
            fill={name: one.fill for name, one in settings.items()},
            cost={name: one.ledger or one.charged for name, one in settings.items()},
            tradability={name: one.tradability for name, one in settings.items()},
            objective={name: one.objective for name, one in settings.items()},
            constraints={
                name: tuple(constraint.model_dump(mode="json") for constraint in one.cells[0].constraints)
                for name, one in settings.items()
            },
            order={name: tuple(map(tuple, one.order)) for name, one in settings.items()},
            random_scores={name: one.random_scores for name, one in settings.items()},
            missing=tuple(self.missing),
        )


def _drawn(seed: int) -> Key:
    """What scores drawn at random are called."""
    return f"random {seed}", 0


def _random(like: Array, seed: int, track: int) -> Array:
    """Scores drawn at random where there are scores, others for every track."""
    drawn: Array = np.random.default_rng((seed, track)).standard_normal(like.shape, np.float32)
    return np.where(np.isfinite(like), drawn, np.float32("nan"))
