"""The evaluate stage: every score's Rank ICs and tracks, at every fill, rebalance period and universe of the config."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl

from polygrain.compute import Pool
from polygrain.errors import ConfigError, DataError
from polygrain.evaluation.ranking import ranking, within
from polygrain.evaluation.tracks import SELECTIONS
from polygrain.execution import ledger
from polygrain.execution.fills import FILLS
from polygrain.pipeline import exposing
from polygrain.pipeline.cases import (
    BENCHMARK,
    NAV_PANELS,
    CaseResult,
    CaseTask,
    DecayTask,
    RankTask,
    SeedTask,
    evaluate_case,
    evaluate_decay,
    evaluate_seed,
    rank,
)
from polygrain.pipeline.evaluation_files import EvaluationFiles
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import oracle_scores
from polygrain.pipeline.parquet import blocks_written
from polygrain.pipeline.score_files import score_dates, score_keys, seed_keys
from polygrain.pipeline.scoring import Key
from polygrain.progress import Progress, Step
from polygrain.report.words import Text
from polygrain.store.panel import Array
from polygrain.universe import Facts, evaluate

LEAST_MEMBERS = 10
DECAY_DAYS = (1, 2, 3, 5, 10, 15, 20)
_CASE = {"model": pl.String, "label_days": pl.Int32, "rebalance": pl.Int32, "fill": pl.String, "universe": pl.String}
SEED_SCHEMA = pl.Schema({**_CASE, "seed": pl.Int32, "date": pl.Date, "rank_ic": pl.Float64})
NAV_SCHEMA = pl.Schema(
    {
        **_CASE,
        "selection": pl.String,
        "track": pl.Int32,
        "date": pl.Date,
        **dict.fromkeys(("gross", "net", "benchmark", "turnover", "participation"), pl.Float64),
    }
)


@dataclass(frozen=True)
class Universes:
    """The evaluated universes: U_t ∧ expression, bool [days, symbols]; those without data are named in `missing`."""

    panels: dict[str, Array]
    missing: tuple[Text, ...]


def universes(market: Market, days: Array) -> Universes:
    """Members of each configured universe; one that lacks data or members on a scored day is named and left out."""
    panels: dict[str, Array] = {}
    missing: list[Text] = []
    for name, expression in market.experiment.evaluation.universes.items():
        facts = Facts(market.quotes, market.facts.index_members)
        panel = market.members & evaluate(expression, facts, f"evaluation.universes.{name}")
        reasons = list(_reasons(facts, panel, days))
        if reasons:
            said, said_zh = "; ".join(reason.en for reason in reasons), "；".join(reason.zh for reason in reasons)
            missing.append(Text(f"Universe {name} is left out: {said}.", f"选股范围 {name} 略去：{said_zh}。"))
        else:
            panels[name] = panel
    return Universes(panels, tuple(missing))


def _reasons(facts: Facts, panel: Array, days: Array) -> Iterator[Text]:
    """Why a universe cannot be evaluated on these days: none where it can."""
    for gap in sorted(facts.missing):
        yield Text(f"the data has no {gap}", f"数据中没有 {gap}")
    unlisted = {i: int((~np.asarray(facts.index_members[i].any(axis=1))[days]).sum()) for i in sorted(facts.indices)}
    for index, count in unlisted.items():
        if count:
            yield Text(
                f"{index} has no members on {count} of {len(days)} days",
                f"{len(days)} 日中有 {count} 日 {index} 没有成分股",
            )
    thin = int((panel[days].sum(axis=1) < LEAST_MEMBERS).sum())
    if thin and not facts.missing and not any(unlisted.values()):
        yield Text(
            f"{thin} of {len(days)} days have fewer than {LEAST_MEMBERS} members",
            f"{len(days)} 日中有 {thin} 日不足 {LEAST_MEMBERS} 只",
        )


@dataclass(frozen=True)
class Judged:
    """rank_ic, seed_rank_ic, decay and exposure.parquet; sentences on what could not be evaluated."""

    rank_ic: pl.DataFrame
    seed_rank_ic: pl.DataFrame
    decay: pl.DataFrame
    exposure: pl.DataFrame
    missing: tuple[Text, ...]


def judge(market: Market, folder: Path, workers: Pool, progress: Progress) -> Judged:
    """Rank ICs and tracks of every score of RUN `folder` on the days that have scores; of single seeds the Rank ICs
    that tables show, and decay and exposures of every score. The NAVs go to RUN/nav.parquet at once.

    Shown are the first fill's, rebalance period's and universe's. What processes share lies in RUN/evaluation:
    a stock and day take 16 bytes, 26 a fill, and in each of its universes 4 a score, beside the NAVs of a few cases.
    DataError without room.
    """
    place = folder / "evaluation"
    try:
        rmtree(place, ignore_errors=True)
        place.mkdir()
        return _Judging(market, folder, EvaluationFiles(place), workers).judged(progress)
    except OSError as error:
        reason = f"cannot be used: {error.strerror or error}; free space there, then run it again"
        raise DataError(error.filename or str(place), reason) from error
    finally:
        rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class _Judging:
    """What the tasks of one evaluation have in common."""

    market: Market
    run: Path
    files: EvaluationFiles
    workers: Pool

    def judged(self, progress: Progress) -> Judged:
        keys, seeds = score_keys(self.run / "scores.parquet"), seed_keys(self.run / "seed_scores.parquet")
        settings = self.market.experiment.evaluation
        cases = len(settings.universes) * len(settings.fills) * len(settings.rebalance)
        with progress.step("evaluate", len(keys) + len(seeds) + len(DECAY_DAYS) + cases) as step:
            oracle = self.oracle(keys)
            days = self.save_market(*keys[0])
            chosen = universes(self.market, days)
            if not chosen.panels:
                said = " ".join(missing.en for missing in chosen.missing)
                raise ConfigError("evaluation.universes", f"none can be evaluated: {said} Name another")
            step.advance(cases * len(chosen.missing) / len(settings.universes))
            for number, members in enumerate(chosen.panels.values()):
                self.files.save_members(number, members)
            self.ranked(keys, oracle, len(chosen.panels), step)
            keys += oracle
            names = list(chosen.panels)
            shown = names[0]
            decay, by_seed = self.decay(keys, step), self.by_seed(seeds, shown, step)
            ics: list[pl.DataFrame] = []
            with (
                # Beside the tasks of the others: it looks at every stock's columns, which no other process needs.
                ThreadPoolExecutor(1) as thread,
                blocks_written(NAV_SCHEMA, self.run / "nav.parquet") as put,
            ):
                exposure = thread.submit(self.exposure, keys, chosen.panels[shown])

                def take(task: CaseTask, result: CaseResult) -> None:
                    tags = [_tags(key, task.rebalance, task.fill, names[task.universe]) for key in keys]
                    ics.extend(self.rank_ics(result, k).select(*tag, pl.all()) for k, tag in enumerate(tags))
                    panels = self.files.take_navs(task.name, (*NAV_PANELS, BENCHMARK))
                    for k, tag in enumerate(tags):
                        put(self.navs(panels, result.base, k).select(*tag, pl.all()))

                self.cases(len(names), len(keys), step, take)
            missing = (*chosen.missing, *exposing.gaps(self.market, days))
            return Judged(pl.concat(ics), by_seed, decay, exposure.result(), missing)

    def oracle(self, keys: Sequence[Key]) -> dict[Key, Array]:
        """The scores [days, symbols] of who knows the hidden states, for the labels of these keys."""
        found = {}
        for key, panel in oracle_scores(self.market, dict.fromkeys(days for _, days in keys if days)).items():
            found[key] = np.full(self.market.members.shape, np.nan)
            found[key][self.market.bar_rows] = panel
        return found

    def save_market(self, model: str, label_days: int) -> Array:
        """Save the markets and the numbers of the days that this score is there on, as all are; which these are."""
        quotes = self.market.quotes
        self.files.save_axes(quotes.axes)
        for fill in self.market.experiment.evaluation.fills:
            self.files.save_market(fill, ledger.market(quotes, FILLS[fill]))
        numbers = quotes.axes.day_number
        dates = score_dates(self.run / "scores.parquet", model, label_days)
        self.files.save_scored(np.array([numbers[day] for day in dates]))
        return np.array(self.files.scored())

    def ranked(self, keys: Sequence[Key], oracle: Mapping[Key, Array], universes: int, step: Step) -> None:
        """Rank the scores of these keys in every universe, then the oracle's."""
        tasks = [
            RankTask(
                folder=self.folder,
                scores=str(self.run / "scores.parquet"),
                model=model,
                label_days=days,
                number=number,
                every=self.shown[1],
                universes=universes,
            )
            for number, (model, days) in enumerate(keys)
        ]
        self.workers.map(rank, tasks, done=_advancing(step))
        for number, panel in enumerate(oracle.values(), len(keys)):
            ranked = ranking(panel, range(len(panel)))
            for universe in range(universes):
                self.files.save_ranking(universe, number, within(ranked, self.files.members(universe)))
            self.files.save_scores(number, panel[self.files.scored()[:: self.shown[1]]])

    def cases(self, universes: int, rankings: int, step: Step, take: Callable[[CaseTask, CaseResult], None]) -> None:
        """Every universe, fill and rebalance period; each is taken once it and all those before it have ended."""
        settings = self.market.experiment.evaluation
        tasks = [
            CaseTask(folder=self.folder, universe=u, fill=fill, rebalance=r, count=rankings, cost=settings.cost)
            for u, fill, r in product(range(universes), settings.fills, settings.rebalance)
        ]
        ended: dict[str, CaseResult] = {}
        waiting = deque(tasks)

        def done(task: CaseTask, result: CaseResult) -> None:
            step.advance()
            ended[task.name] = result
            while waiting and waiting[0].name in ended:
                task = waiting.popleft()
                take(task, ended.pop(task.name))

        self.workers.map(evaluate_case, tasks, done=done)

    def decay(self, keys: Sequence[Key], step: Step) -> pl.DataFrame:
        """By number of days the Rank IC with returns over so many, and the correlation with the ranking so much later.

        One score date in R is looked at, so that each return is met once.
        """
        fill, rebalance = self.shown
        tasks = [
            DecayTask(folder=self.folder, universe=0, fill=fill, rebalance=rebalance, count=len(keys), horizon=horizon)
            for horizon in DECAY_DAYS
        ]
        found = self.workers.map(evaluate_decay, tasks, done=_advancing(step))
        dates = self.dates(self.files.scored()[::rebalance])
        frames = [
            pl.DataFrame(
                {"date": dates, "rank_ic": result.rank_ic_KD[k], "autocorrelation": result.autocorrelation_KD[k]}
            ).select(*_score_tags(key), pl.lit(days, pl.Int32).alias("days"), pl.all())
            for k, key in enumerate(keys)
            for days, result in zip(DECAY_DAYS, found)
        ]
        return pl.concat(frames).with_columns(pl.col("rank_ic", "autocorrelation").fill_nan(None))

    def exposure(self, keys: Sequence[Key], members: Array) -> pl.DataFrame:
        """What every score has in common with styles and industries, on one score date in R."""
        dates = np.array(self.files.scored()[:: self.shown[1]])
        scores = {key: self.files.scores(number) for number, key in enumerate(keys)}
        return exposing.exposure(self.market, members, dates, scores)

    def by_seed(self, seeds: Sequence[tuple[str, int, int]], universe: str, step: Step) -> pl.DataFrame:
        """The Rank ICs of single seeds' scores, as the tables show those of their means."""
        fill, rebalance = self.shown
        file = str(self.run / "seed_scores.parquet")
        tasks = [
            SeedTask(
                folder=self.folder,
                scores=file,
                model=model,
                label_days=days,
                seed=seed,
                universe=0,
                fill=fill,
                rebalance=rebalance,
            )
            for model, days, seed in seeds
        ]
        found = self.workers.map(evaluate_seed, tasks, done=_advancing(step))
        dates = self.dates(self.files.scored())
        frames = [
            pl.DataFrame({"date": dates, "rank_ic": ics}).select(
                *_tags((task.model, task.label_days), rebalance, fill, universe),
                pl.lit(task.seed, pl.Int32).alias("seed"),
                pl.all(),
            )
            for task, ics in zip(tasks, found, strict=True)
        ]
        return pl.concat([SEED_SCHEMA.to_frame(), *frames]).with_columns(pl.col("rank_ic").fill_nan(None))

    def rank_ics(self, result: CaseResult, ranking: int) -> pl.DataFrame:
        """rank_ic.parquet's rows of one ranking."""
        frame = pl.DataFrame(
            {
                "date": self.dates(self.files.scored()),
                "rank_ic": result.rank_ics.tradable[ranking],
                "rank_ic_all": result.rank_ics.everyone[ranking],
                "n": result.rank_ics.count[ranking],
            }
        )
        return frame.with_columns(pl.col("rank_ic", "rank_ic_all").fill_nan(None))

    def navs(self, panels: Mapping[str, Array], base: int, ranking: int) -> pl.DataFrame:
        """nav.parquet's rows of one ranking, from the panels of a case, which begin on day number `base`."""
        rules, tracks, days = shape = panels[NAV_PANELS[0]].shape[1:]
        own = {name: panels[name][ranking] for name in NAV_PANELS}
        own[BENCHMARK] = np.broadcast_to(panels[BENCHMARK], shape)
        names = pl.Series([rule.name for rule in SELECTIONS])
        return (
            pl.DataFrame(
                {
                    "selection": names.gather(np.repeat(np.arange(rules), tracks * days)),
                    "track": np.tile(np.repeat(np.arange(tracks, dtype=np.int32), days), rules),
                    "date": self.dates(range(base, base + days)).gather(np.tile(np.arange(days), rules * tracks)),
                    **{name: panel.ravel() for name, panel in own.items()},
                }
            )
            .select(list(NAV_SCHEMA)[len(_CASE) :])
            .with_columns(pl.col("turnover", "participation").fill_nan(None))
        )

    @property
    def folder(self) -> str:
        return str(self.files.folder)

    @property
    def shown(self) -> tuple[str, int]:
        """The fill and rebalance period that the tables show."""
        settings = self.market.experiment.evaluation
        return settings.fills[0], settings.rebalance[0]

    def dates(self, numbers: Sequence[int]) -> pl.Series:
        days = self.market.quotes.axes.days
        return pl.Series("date", [days[number] for number in numbers], dtype=pl.Date)


def _advancing(step: Step) -> Callable[[object, object], None]:
    return lambda task, result: step.advance()


def _score_tags(key: Key) -> list[pl.Expr]:
    model, label_days = key
    return [pl.lit(model).alias("model"), pl.lit(label_days, pl.Int32).alias("label_days")]


def _tags(key: Key, rebalance: int, fill: str, universe: str) -> list[pl.Expr]:
    return [
        *_score_tags(key),
        pl.lit(rebalance, pl.Int32).alias("rebalance"),
        pl.lit(fill).alias("fill"),
        pl.lit(universe).alias("universe"),
    ]
