"""The command line: verbs only; every setting lives in the config and can be set by --set."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from polygrain import pipeline
from polygrain.config import Experiment, load, load_family
from polygrain.errors import Interrupted, PolygrainError
from polygrain.interop import WRITERS, read_scores
from polygrain.plugins import blaming
from polygrain.progress import to_terminal
from polygrain.report.compare import compare as compare_runs
from polygrain.report.compare import lines, write
from polygrain.version import __version__

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Config = Annotated[Path, typer.Argument(help="The run's TOML configuration.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override a key: --set protocol.every=2")]
Out = Annotated[Path | None, typer.Option(help="The run folder; default runs/NAME.")]
OpenLock = Annotated[
    bool, typer.Option("--open-lock", help="See the days after protocol.lock_after, from now on; it is counted.")
]


Layouts = StrEnum("Layouts", list(WRITERS))  # type: ignore[misc]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C as a refusal of ours: Typer would swallow it, in some versions as exit code 1, in others as 130."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command resumes") from None


def _run(experiment: Experiment, base: Path, out: Path, last: str, open_lock: bool = False) -> Path:
    with _interruptible():
        return pipeline.run(experiment, folder=out, base=base, last=last, progress=to_terminal(), open_lock=open_lock)


def _run_config(
    config: Path, overrides: list[str] | None, out: Path | None, last: str, open_lock: bool = False
) -> Path:
    experiment = load(config, overrides or ())
    return _run(experiment, config.parent, out or Path("runs") / experiment.name, last, open_lock)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"), overrides: Overrides = None
) -> None:
    """Run the main job on a simulated market, offline, and print where the report is.

    Example: polygrain demo --out runs/demo
    """
    with as_file(files("polygrain") / "demo.toml") as config:
        experiment = load(config, overrides or ())
    report = _run(experiment, out.parent, out, "report")
    typer.echo(f"The market is simulated. Report: {report.resolve()}")


@app.command()
def run(config: Config, overrides: Overrides = None, out: Out = None, open_lock: OpenLock = False) -> None:
    """Run every stage; a second call skips what has not changed and resumes what was cut off.

    Example: polygrain run examples/cn_a_15min.toml --set protocol.every=2
    """
    report = _run_config(config, overrides, out, "report", open_lock)
    typer.echo(f"Report: {report.resolve()}")


def _stage(name: str, text: str) -> Callable[[Path, list[str] | None, Path | None], None]:
    def command(config: Config, overrides: Overrides = None, out: Out = None) -> None:
        typer.echo(str(_run_config(config, overrides, out, name).resolve()))

    command.__doc__ = f"{text}\n\nExample: polygrain {name} examples/cn_a_15min.toml"
    return command


Scores = Annotated[
    Path | None, typer.Option(help="Use the scores in this Parquet or CSV file instead, and write their report.")
]


def _of_scores(
    config: Path, overrides: list[str] | None, out: Path | None, open_lock: bool, scores: Path, enhance: bool = False
) -> None:
    """Judge scores from elsewhere."""
    from polygrain.pipeline.given import judge, run_name

    experiment, given = load(config, overrides or ()), read_scores(scores)
    folder, base = out or Path("runs") / run_name(experiment, given), config.parent
    with _interruptible():
        report = judge(
            experiment,
            given,
            folder=folder,
            base=base,
            progress=to_terminal(),
            open_lock=open_lock,
            enhance=enhance,
        )
    typer.echo(f"Report: {report.resolve()}")


def _evaluate(
    config: Config,
    overrides: Overrides = None,
    out: Out = None,
    open_lock: OpenLock = False,
    scores: Scores = None,
) -> None:
    """Judge every score: Rank ICs and tracks; with --open-lock of the days after protocol.lock_after too.

    With --scores those of a file: a long frame, alphalens' factor frame, Qlib's predictions or a wide sheet. The config
    then needs a source, and neither granularities nor networks; the run folder is runs/NAME-FILE.

    Example: polygrain evaluate examples/cn_a_daily.toml --open-lock
    """
    if scores is None:
        typer.echo(str(_run_config(config, overrides, out, "evaluate", open_lock).resolve()))
    else:
        _of_scores(config, overrides, out, open_lock, scores)


def _enhance(
    config: Config,
    overrides: Overrides = None,
    out: Out = None,
    open_lock: OpenLock = False,
    scores: Scores = None,
) -> None:
    """Hold indices with the most score that constraints allow, and trade them from date to date, as [enhancement] says.

    With --scores of those in a file, as evaluate takes them; their report has both.

    Example: polygrain enhance examples/demo.toml
    """
    if scores is None:
        typer.echo(str(_run_config(config, overrides, out, "enhance", open_lock).resolve()))
    else:
        _of_scores(config, overrides, out, open_lock, scores, enhance=True)


_OWN = {"evaluate": _evaluate, "enhance": _enhance}
for _name, _text in pipeline.STAGES.items():
    app.command(_name)(_OWN[_name] if _name in _OWN else _stage(_name, _text))


@app.command()
def scores(
    run: Annotated[Path, typer.Argument(help="A run folder with scores.parquet.")],
    layout: Annotated[Layouts, typer.Option("--format", help="How the table is laid out.")],
    out: Annotated[Path, typer.Option(help="The file, .parquet or .csv.")],
    model: Annotated[str | None, typer.Option(help="Whose scores; default the model that the report judges.")] = None,
    label_days: Annotated[int | None, typer.Option(help="Of which label; default the model's first.")] = None,
) -> None:
    """Write one model's test scores as others read them: alphalens' factor frame, Qlib's predictions or a long frame.

    Example: polygrain scores runs/demo --format qlib --out pred.parquet
    """
    from polygrain.pipeline.exporting import export

    typer.echo(f"{export(run, layout, out, model, label_days)}: {out.resolve()}")


@app.command()
def prove(config: Config, overrides: Overrides = None) -> None:
    """Prove that nothing known at a cutoff depends on what comes after it, on a sample of the config's own data.

    Example: polygrain prove examples/cn_a_15min.toml
    """
    from polygrain.prove.causality import prove as prove_experiment

    with _interruptible():
        for line in prove_experiment(load(config, overrides or ()), base=config.parent, progress=to_terminal()):
            typer.echo(line)


@app.command()
def tune(config: Config, overrides: Overrides = None, out: Out = None) -> None:
    """Search for settings by validation losses, over the fields of the config's [tune]; a second call resumes.

    Example: polygrain tune CONFIG --set tune.trials=30
    """
    from polygrain.pipeline.tuning import tune as search

    family = load_family(config, overrides or ())
    folder = out or Path("runs") / family.experiment.name
    with _interruptible():
        found = search(family, folder=folder, base=config.parent, progress=to_terminal())
    typer.echo(f"Best of {found.trials} trials: {found.trial.number}, mean validation loss {found.trial.value:.6g}")
    typer.echo(" ".join(f"--set {shlex.quote(each)}" for each in found.settings))
    typer.echo(f"Config: {found.config.resolve()}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more; the first is the base.")],
    out: Annotated[Path, typer.Option(help="The HTML page; the table goes beside it as CSV.")] = Path(
        "comparison.html"
    ),
) -> None:
    """Set runs side by side: models of the same name, paired by date, with what differs between the runs.

    Example: polygrain compare runs/before runs/after --out comparison.html
    """
    with _interruptible():
        comparison = compare_runs(runs)
        write(comparison, out)
    for line in lines(comparison):
        typer.echo(line)
    typer.echo(f"Comparison: {out.resolve()}")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Polygrain: multi-granularity deep-learning stock factors, from intraday bars to portfolios."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; a refusal is one line on standard error and an exit code."""
    try:
        with blaming():
            code = app(standalone_mode=False)
    except PolygrainError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        print(f"error: {' '.join(error.format_message().split()).rstrip('.')}; see polygrain --help", file=sys.stderr)
        sys.exit(2)
    # Not standalone, Typer returns the code of a typer.Exit; a verb itself returns None.
    sys.exit(code)
