"""The library's front door: anyone's scores, judged on a market as a run's own are."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from polygrain.config import Experiment, load
from polygrain.interop import Scores, read_scores
from polygrain.pipeline.given import judge
from polygrain.progress import to_terminal
from polygrain.report.quality import quality
from polygrain.report.results import read_evaluation
from polygrain.report.tables import tables
from polygrain.store.commit import commit_bytes


@dataclass(frozen=True)
class Evaluated:
    """Judged scores: the naive composite, and a simulated market's oracle, stand beside them in every frame.

    `rank_ic` (model, label_days, rebalance, fill, universe, date, rank_ic, rank_ic_all, n), `nav` (…, selection, track,
    date, gross, net, benchmark, turnover, participation) and `decay` (model, label_days, days, date, rank_ic,
    autocorrelation) are as in a run folder; `tables` are the report's by name, fractions in full precision; `missing`
    says what was left out.
    """

    rank_ic: pl.DataFrame
    nav: pl.DataFrame
    decay: pl.DataFrame
    tables: dict[str, pl.DataFrame]
    missing: tuple[str, ...]
    _page: bytes = field(repr=False)

    def report(self, path: str | Path) -> Path:
        """Write the whole report as one HTML file that opens offline."""
        commit_bytes(Path(path), self._page)
        return Path(path)


def evaluate(
    scores: Scores, market: str | Path | Experiment, *, out: str | Path | None = None, open_lock: bool = False
) -> Evaluated:
    """Rank ICs, tracks and the report of anyone's scores; a score of date t counts as known at t's close.

    `scores`: a file (Parquet, CSV) or a table of polars, pandas or pyarrow, laid out as a long frame (date, symbol,
    score, and model, label_days), alphalens' factor frame, Qlib's predictions or a wide sheet of dates by symbols.
    `market`: a config, or its path, of which source, universe, `protocol.lookback`, `protocol.lock_after` and
    evaluation are used. With `out` the run folder is kept there; the store lies where the config says, else in
    runs/store. Days behind the lock are not seen unless `open_lock`, which is counted. Errors: DataError names file,
    row and column, ConfigError the key.
    """
    experiment = market if isinstance(market, Experiment) else load(Path(market))
    given = read_scores(scores)
    if out is None and experiment.store is None:
        experiment = experiment.model_copy(update={"store": str(Path("runs/store").resolve())})
    with ExitStack() as stack:
        run = Path(stack.enter_context(TemporaryDirectory()) if out is None else out)
        page = judge(experiment, given, folder=run, base=Path(), progress=to_terminal(), open_lock=open_lock)
        found = read_evaluation(run)
        return Evaluated(
            rank_ic=pl.read_parquet(run / "rank_ic.parquet"),
            nav=pl.read_parquet(run / "nav.parquet"),
            decay=pl.read_parquet(run / "decay.parquet"),
            tables={table.name: table.frame for table in [*tables(found), *quality(found)]},
            missing=tuple(text.en for text in found.facts.missing),
            _page=page.read_bytes(),
        )
