"""The explain stage: the share that each feature and day of the look-back has in a trained network's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from polygrain.compute import Pool
from polygrain.models.network import SelfFitted, decode
from polygrain.pipeline.training import inputs as training_inputs
from polygrain.progress import Progress
from polygrain.report.explain import explain
from polygrain.report.words import Text
from polygrain.store.commit import JSON, code_fingerprint, file_fingerprint, fingerprint
from polygrain.store.panel import Array
from polygrain.training.walk_forward import TrainTask

SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "label_days": pl.Int32,
        "granularity": pl.String,
        "feature": pl.String,
        "days_back": pl.Int32,
        "share": pl.Float64,
    }
)


def explicable(found: Sequence[TrainTask]) -> list[TrainTask]:
    """Of every model and label the fit of the first seed on the last fold; none of networks that fit themselves."""
    last = {task.label_days: task.fold.number for task in found}
    return [
        task
        for task in found
        if task.seed == found[0].seed and task.fold.number == last[task.label_days] and not _fits_itself(task)
    ]


def inputs(chosen: Sequence[TrainTask], features: Mapping[str, Sequence[str]]) -> str:
    """Fingerprint of all that `shares` are made from."""
    models: list[JSON] = [file_fingerprint(task.model_file) for task in chosen]
    names: JSON = {granularity: list(each) for granularity, each in features.items()}
    code = code_fingerprint("report.explain", "pipeline.explaining")
    return fingerprint([training_inputs(chosen), models, names, code])


def shares(
    chosen: Sequence[TrainTask], features: Mapping[str, Sequence[str]], pool: Pool, progress: Progress
) -> pl.DataFrame:
    """The rows of explain.parquet: of each model and label they add up to 1; days_back 0 is the newest day, or week.

    Sees the windows of the last fold's test dates, and its models.
    """
    with progress.step(f"explain {len(chosen)} models", len(chosen)) as step:

        def done(task: TrainTask, result: dict[str, Array] | None) -> None:
            step.advance()

        found = pool.map(explain, chosen, cost=lambda task: task.cost, done=done)
    frames = [
        _rows(task, granularity, features[granularity], values)
        for task, by_granularity in zip(chosen, found)
        for granularity, values in (by_granularity or {}).items()
    ]
    return pl.concat([SCHEMA.to_frame(), *frames])


def left_out(found: Sequence[TrainTask], rows: pl.DataFrame) -> list[Text]:
    """Sentences on the trained models that explain.parquet does not explain."""
    fitted = dict.fromkeys(task.model for task in found if _fits_itself(task))
    there = set(rows.select("model", "label_days").iter_rows())
    still = [f"{t.model} ({t.label_days} days)" for t in explicable(found) if (t.model, t.label_days) not in there]
    reasons = [
        (fitted, "not fitted by gradients", "不是用梯度拟合的"),
        (still, "no gradient says how the scores move", "梯度说明不了得分如何变动"),
    ]
    return [
        Text(
            f"Where the scores come from is not said of {', '.join(models)}: {reason}.",
            f"未说明 {'、'.join(models)} 的得分来源：{reason_zh}。",
        )
        for models, reason, reason_zh in reasons
        if models
    ]


def _fits_itself(task: TrainTask) -> bool:
    return isinstance(decode(task.network), SelfFitted)


def _rows(task: TrainTask, granularity: str, names: Sequence[str], values: Array) -> pl.DataFrame:
    """One granularity's shares [T, F], the oldest day first, as rows by feature, the newest day first."""
    days, width = values.shape
    assert width == len(names)
    columns = {
        "model": [task.model] * values.size,
        "label_days": [task.label_days] * values.size,
        "granularity": [granularity] * values.size,
        "feature": [name for name in names for _ in range(days)],
        "days_back": [*range(days)] * width,
        "share": values[::-1].T.ravel(),
    }
    return pl.DataFrame(columns, schema=SCHEMA)
