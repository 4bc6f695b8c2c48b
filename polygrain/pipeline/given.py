"""Scores from elsewhere on a market: placed over U_t, judged like trained ones, reported with what was left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from polygrain.compute import pool
from polygrain.config import Experiment
from polygrain.errors import ConfigError, DataError
from polygrain.interop import Given, score_name
from polygrain.market.symbols import canonical_column
from polygrain.pipeline import Job, explaining, exposing, facts, score_files, sentences, sweep_all, write_config
from polygrain.pipeline.enhancement_checks import chosen
from polygrain.pipeline.market import Market
from polygrain.pipeline.oracle import ORACLE
from polygrain.pipeline.parquet import write_blocks, write_parquet
from polygrain.pipeline.scoring import NAIVE, Key, Scores, naive_scores, scored_days
from polygrain.plugins import use
from polygrain.progress import Progress
from polygrain.report.facts import FILE as FACTS_FILE
from polygrain.report.facts import Detail, ModelFacts, ReportFacts, Said
from polygrain.report.page import write_report
from polygrain.report.words import Text, chinese
from polygrain.sources.ingest import ingest
from polygrain.store.commit import JSON, code_fingerprint, commit_json, fingerprint, locked
from polygrain.store.panel import Array, from_table

# As precise as they were given: in float32 two stocks may come to have one score.
SCHEMA = pl.Schema(score_files.SCHEMA | {"score": pl.Float64})
_OUTPUTS = ("scores.parquet", "seed_scores.parquet", "explain.parquet")
_CODE = ("pipeline", "samples.labels", "universe", "market", "store", "evaluation", "execution", "interop")
_NO_NETWORKS = Text(
    "Tables 1, 2 and 4 to 7, figures 4 to 9, spreads over seeds and where scores come from are about networks: these "
    "scores are from elsewhere.",
    "表 1、2、4 至 7，图 4 至 9，种子间差异和得分来源都是关于网络的：这里的得分是外来的。",
)


@dataclass(frozen=True)
class Placed:
    """Scores float64 [score days, symbols] over U_t by (model, label_days), NaN elsewhere, all on the same days.

    `missing` are sentences on what was left out, `share` the mean share of U_t that has a score.
    """

    scores: dict[Key, Array]
    missing: tuple[str, ...]
    share: float


def run_name(experiment: Experiment, given: Given) -> str:
    """What the run of these scores is called: the config's name, then the file's."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(given.name).stem)
    return f"{experiment.name}-{stem}"[:60]


def judge(
    experiment: Experiment,
    given: Given,
    *,
    folder: Path,
    base: Path,
    progress: Progress,
    open_lock: bool = False,
    enhance: bool = False,
) -> Path:
    """Judge scores from elsewhere in RUN folder `folder`, and with `enhance` make the config's portfolios of them;
    returns its report.html.

    Uses source, universe, `protocol.lookback`, `protocol.lock_after`, exposures, evaluation and enhancement of the
    experiment alone. A score of date t is taken as known at t's close. Every score counts as a configuration tried, by
    its content. A second call skips what is up to date. Errors: DataError FILE:ROW:COLUMN or FILE, ConfigError for an
    enhancement of what there is not, and beside the store nothing is written.
    """
    if open_lock and experiment.protocol.lock_after is None:
        raise ConfigError("--open-lock", "nothing is locked: the config has no protocol.lock_after; leave it out")
    if enhance:
        experiment.check_enhances()
        experiment.check_solvers()
    use(experiment.plugins)
    named = experiment.model_copy(update={"name": run_name(experiment, given)})
    with pool(experiment.workers, experiment.plugins) as workers:
        job = Job(named, folder.resolve(), base.resolve(), workers, progress, open_lock, given=given)
        ingest(experiment.source, job.store_folder, progress.say)
        job.check_data()
        for name, settings in experiment.enhancement.items() if enhance else ():
            chosen(name, settings, given.keys)
        placed = place(given, job.market)
        job.begin()
        with locked(job.folder):
            sweep_all(job.folder)
            write_config(named, job.folder / "config.toml")
            _score(job, given, placed)
            job.stage("evaluate")
            if enhance:
                job.stage("enhance")
            elif not job.manifest.current("enhance", job.enhanced_from):
                job.without_portfolios()
            return _report(job, given, placed)


def place(given: Given, market: Market) -> Placed:
    """The scores over U_t on the days that all of them have; DataError where nothing is left or a date is no trading
    day."""
    members, axes = market.members[market.bar_rows], market.quotes.axes
    matched, strange = _matched(given, market)
    inside, other_days = _dated(given, matched, market)
    missing = [*strange, *other_days]
    panels: dict[Key, Array] = {}
    for key in given.keys:
        rows = inside.filter(pl.col("model") == key[0], pl.col("label_days") == key[1])
        panels[key] = np.where(members, from_table(rows, "score", axes)[market.bar_rows], np.nan)
    outside = inside.height - sum(int(np.isfinite(panel).sum()) for panel in panels.values())
    if outside:
        missing.append(f"{given.name}: rows of stocks outside U_t, left out: {outside:,} of {inside.height:,}.")
    common = np.logical_and.reduce([np.isfinite(panel).any(axis=1) for panel in panels.values()])
    missing += _checked_days(given, market, panels, common)
    for panel in panels.values():
        panel[~common] = np.nan
    share = np.mean([np.isfinite(p[common]).sum(axis=1) / members[common].sum(axis=1) for p in panels.values()])
    return Placed(panels, tuple(missing), float(share))


def _matched(given: Given, market: Market) -> tuple[pl.DataFrame, list[str]]:
    """The rows whose symbol is the market's, in its spelling, and a sentence on the others.

    A symbol is taken as written, else in any spelling of market.symbols, six digits alone among them.
    """
    texts = given.frame.select(pl.col("symbol").unique(maintain_order=True))
    known = pl.Series(market.store.symbols)
    read = canonical_column(pl.col("symbol"), bare=True)
    ours = pl.when(pl.col("symbol").is_in(known.implode())).then("symbol").otherwise(read)
    texts = texts.with_columns(ours=pl.when(ours.is_in(known.implode())).then(ours))
    lost = texts.filter(pl.col("ours").is_null())["symbol"].to_list()
    found = texts.drop_nulls()
    if found.is_empty():
        reason = f"none of its {len(lost):,} symbols ({_some(lost)}) is in the market, which has {_some(list(known))}"
        raise DataError(given.where, f"{reason}; check the spelling and the config's source")
    rows = given.frame.join(found, on="symbol", maintain_order="left").drop("symbol").rename({"ours": "symbol"})
    for theirs in found.filter(~pl.col("ours").is_first_distinct())["symbol"].head(1):
        row = given.frame.filter(pl.col("symbol") == theirs)["row"][0]
        raise DataError(f"{given.where}:{row}:symbol", f"{theirs} is there in another spelling too; write it one way")
    if not lost:
        return rows, []
    count = given.frame.height - rows.height
    said = f"{given.name}: symbols not in the market: {len(lost):,} of {texts.height:,} ({_some(lost)})"
    return rows, [f"{said}; rows left out: {count:,}."]


def _some(names: list[str]) -> str:
    """Up to five names and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def _dated(given: Given, rows: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, list[str]]:
    """The rows within the market's days, and sentences on the others; DataError for one between them that is none."""
    days = market.score_days
    first, last = days[0], days[-1]
    inside = rows.filter(pl.col("date").is_between(first, last))
    strange = inside.filter(~pl.col("date").is_in(list(days))).head(1)
    for row, day in strange.select("row", "date").iter_rows():
        reason = f"is no trading day of the market ({day}); date a score by the day at whose close it is known"
        raise DataError(f"{given.where}:{row}:date", reason)
    before, after = int((rows["date"] < first).sum()), int((rows["date"] > last).sum())
    ends = "the market's last one" if market.store.until is None else "which are locked"
    sides = ((before, f"before {first}, the market's first one"), (after, f"after {last}, {ends}"))
    missing = [f"{given.name}: rows of days {side}, left out: {count:,}." for count, side in sides if count]
    if inside.is_empty():
        raise DataError(given.where, f"no score is of {first} to {last}, the days of the market that may be seen")
    return inside, missing


def _checked_days(given: Given, market: Market, panels: dict[Key, Array], common: Array) -> Iterator[str]:
    """Sentences on the days left out; DataError where the tracks cannot start."""
    days, numbers = market.score_days, np.flatnonzero(common)
    if not len(numbers):
        reason = "no day has a score of every model for a stock of U_t"
        raise DataError(given.where, f"{reason}; judge the models one by one, or take a longer stretch")
    first, last = numbers[0], numbers[-1]
    tracks = max(market.experiment.evaluation.rebalance)
    silent = [days[day] for day in range(first, last + 1) if not common[day]]
    late = [day for day in silent if day < days[min(first + tracks, len(days) - 1)]]
    if late:
        reason = (
            f"no score is of {late[0]}, but {tracks} tracks start on the {tracks} trading days from {days[first]} on"
        )
        raise DataError(given.where, f"{reason}; give scores of every day, each the latest one known at its close")
    if silent:
        said = f"trading days between without a score: {len(silent):,} ({_some([str(day) for day in silent])})"
        yield f"{given.name}: {said}; tracks whose turn it is keep their holdings."
    for key, panel in panels.items():
        extra = int((np.isfinite(panel).any(axis=1) & ~common).sum())
        if extra:
            said = f"days of {score_name(*key)} left out, for not every model has a score on them: {extra:,}"
            yield f"{given.name}: {said}."


def _score(job: Job, given: Given, placed: Placed) -> None:
    """scores.parquet, with the naive composite beside; without seeds and networks the files of these are empty."""
    settings = job.experiment.model_dump(mode="json", include={"universe": True, "protocol": {"lookback"}})
    content: list[JSON] = [[*key, sha] for key, sha in given.fingerprints.items()]
    inputs = fingerprint([content, settings, job.market.store.fingerprint(), code_fingerprint(*_CODE)])
    # Counted before the first of them is judged.
    for configuration, said in job.tried.items():
        job.trials.add(configuration, said)
    if job.manifest.current("score", inputs):
        job.manifest.skip("score")
        return
    with job.manifest.stage("score", inputs, _OUTPUTS):
        write_blocks(_rows(job.market, placed), SCHEMA, job.folder / _OUTPUTS[0])
        write_parquet(score_files.SEED_SCHEMA.to_frame(), job.folder / _OUTPUTS[1])
        write_parquet(explaining.SCHEMA.to_frame(), job.folder / _OUTPUTS[2])


def _rows(market: Market, placed: Placed) -> Iterator[pl.DataFrame]:
    covered = scored_days(Scores(test=placed.scores))
    naive = {(NAIVE, 0): naive_scores(market, covered).astype(np.float64)}
    for (model, horizon), panel in (placed.scores | naive).items():
        yield score_files.block(market, "test", model, horizon, panel)


def _report(job: Job, given: Given, placed: Placed) -> Path:
    evaluated = pl.read_parquet(job.folder / "rank_ic.parquet", columns=["model", "universe"]).unique()
    known = _facts(job, given, placed, evaluated)
    commit_json(job.folder / FACTS_FILE, known.model_dump(mode="json"))
    with job.manifest.stage("report", fingerprint(known.model_dump(mode="json"))):
        return write_report(job.folder)


def _facts(job: Job, given: Given, placed: Placed, evaluated: pl.DataFrame) -> ReportFacts:
    """Everything on the page that is not computed from the evaluated series."""
    market, experiment, trials = job.market, job.experiment, job.trials.read()
    universes = [name for name in experiment.evaluation.universes if name in evaluated["universe"]]
    oracle = ORACLE in evaluated["model"]
    left_out = TypeAdapter(list[Said]).validate_python(job.manifest.facts.get("missing", []))
    lacking = [*(Text(note, chinese(note)) for note in (*placed.missing, *given.notes)), *left_out, _NO_NETWORKS]
    names = list(dict.fromkeys(model for model, _ in given.keys))
    said = f"from {given.name}, {given.said}"
    labels = tuple(dict.fromkeys(label_days for _, label_days in given.keys))
    asked = any(labels) or not experiment.source.simulated
    if not asked:
        lacking.append(
            Text(
                "The oracle scores a label's days; give the scores label_days to have it beside them.",
                "全知者按标签天数打分；给出 label_days 才能与之并列。",
            )
        )
    return ReportFacts(
        name=experiment.name,
        note=experiment.note,
        simulated=experiment.source.simulated,
        predictable=experiment.source.predictable,
        data=(*facts.data(market, {}), *_details(given, placed)),
        notes=facts.notes(market),
        conventions=tuple(_conventions(market)),
        missing=(*lacking, *sentences.gaps(market, [], universes[0], oracle or not asked)),
        models=(*(ModelFacts(name=name, kind="given", description=said) for name in names), *facts.references(oracle)),
        label_days=labels,
        rebalance=experiment.evaluation.rebalance[0],
        fill=experiment.evaluation.fills[0],
        universe=universes[0],
        universes=tuple(universes),
        cost=experiment.evaluation.cost,
        headline=names[0],
        seeds=(),
        stages=facts.stage_times(job.manifest),
        configurations=facts.configurations(trials),
        lock=sentences.lock(market, trials),
    )


def _details(given: Given, placed: Placed) -> list[Detail]:
    return [
        Detail(label="Scores", value=f"{given.name}, {given.said}: {given.frame.height:,}"),
        Detail(label="Share of U_t with a score", value=f"{placed.share:.0%}"),
    ]


def _conventions(market: Market) -> list[Text]:
    return [
        Text(
            "Scores are from elsewhere and taken as they are. One of date t counts as known at t's close; whether it "
            "was, no file can show.",
            "得分是外来的，照原样采用。日期 t 的得分视为 t 日收盘时已知；是否如此，文件无从证明。",
        ),
        sentences.scored(market),
        Text(
            "M_t: U_t, and can be bought at the fill; Rank IC looks at those of it that have a score.",
            "M_t：U_t 中成交时买得进的股票；Rank IC 只计其中有得分的。",
        ),
        *sentences.judged(market),
        exposing.CONVENTION,
        Text(
            "Top 10%: a tenth of the whole universe; stocks without a score count, but cannot be chosen.",
            "前 10%：整个选股范围的十分之一；没有得分的股票计入总数，但不会被选中。",
        ),
        Text(
            "The headline is the first score of the file, whatever comes out.",
            "首页主角是文件中的第一个得分，无论结果如何。",
        ),
    ]
