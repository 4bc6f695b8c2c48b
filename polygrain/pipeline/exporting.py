"""One model's scores of a run as a file that other libraries read."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from polygrain.errors import ConfigError, DataError
from polygrain.interop import WRITERS, score_name
from polygrain.report.facts import read_facts
from polygrain.store.commit import commit


def export(run: Path, layout: str, out: Path, model: str | None, label_days: int | None) -> str:
    """Write the test scores of `model` (default the report's headline) for one label as `out`; returns their name.

    `layout` is one of interop.WRITERS; the file is .parquet or .csv. ConfigError names the option, DataError the file
    that is refused, and nothing is written.
    """
    suffix = out.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise ConfigError("--out", f"{out} is neither .parquet nor .csv; give the file one of these endings")
    path = run / "scores.parquet"
    if not path.is_file():
        raise DataError(str(path), "the file is missing; give the folder of a run that has got to its scores")
    try:
        test = pl.scan_parquet(path).filter(pl.col("segment") == "test")
        keys = list(test.select("model", "label_days").unique(maintain_order=True).collect().iter_rows())
        model, label_days = _chosen(keys, read_facts(run).headline if model is None else model, label_days)
        wanted = (pl.col("model") == model) & (pl.col("label_days") == label_days)
        frame = test.filter(wanted).select("date", "symbol", "score").collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(str(path), f"is damaged ({str(error).partition(chr(10))[0]}); rerun the score stage") from None
    laid_out = WRITERS[layout](frame)
    if suffix == ".csv":
        dated = laid_out.with_columns(pl.col(pl.Datetime).dt.date())
        commit(out, lambda temporary: dated.write_csv(temporary))
    else:
        commit(out, lambda temporary: laid_out.write_parquet(temporary))
    return score_name(model, label_days)


def _chosen(keys: list[tuple[str, int]], model: str, label_days: int | None) -> tuple[str, int]:
    """The model and label among those that the run has; ConfigError names the choices."""
    labels = [days for name, days in keys if name == model]
    if not labels:
        known = ", ".join(dict.fromkeys(name for name, _ in keys))
        raise ConfigError("--model", f"{model!r} has no scores here; choose from {known}")
    if label_days is None:
        return model, labels[0]
    if label_days not in labels:
        raise ConfigError(
            "--label-days", f"{model} has none of {label_days}; choose from {', '.join(map(str, labels))}"
        )
    return model, label_days
