"""What a report says beside its numbers: read from RUN/report_facts.json, written by the pipeline."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ValidationError

from polygrain.errors import DataError
from polygrain.report.words import Text
from polygrain.spec import Spec

FILE = "report_facts.json"


def _in_english(value: object) -> object:
    return Text(value) if isinstance(value, str) else value


Said = Annotated[Text, BeforeValidator(_in_english)]
"""A text in both languages; one string is a text without Chinese, as earlier runs wrote them."""


class ModelFacts(Spec):
    """One scored model. `name` is its key in rank_ic.parquet and nav.parquet.

    `kind` "single" reads one granularity, which `granularity` names, "mixed" several at once; `network` is the kind of
    network; `suffix` is "" for the plain GRU, else "biagru", "agru", ...; `reads` are the granularities of several that
    it reads at once, coarse to fine; a score from elsewhere has kind "given"; the naive composite has kind "naive" and
    label_days 0 in the tables, the oracle of a simulated market kind "oracle".
    """

    name: str
    kind: Literal["single", "mixed", "residual", "ensemble", "given", "naive", "oracle"]
    granularity: str | None = None
    suffix: str = ""
    network: str = "single"
    reads: tuple[str, ...] = ()
    description: str = ""

    @property
    def base(self) -> str:
        """The name without its suffix: the granularity or combination, whatever the encoder."""
        return self.name.removesuffix(f"_{self.suffix}") if self.suffix else self.name


class Detail(Spec):
    """A labelled line of the data description, such as ("Stocks", "1,000, survivors only")."""

    label: str
    value: str


class FoldFacts(Spec):
    """One walk-forward fold: how many trading days each part holds, and its first and last test date."""

    label_days: int
    number: int
    train_days: int
    valid_days: int
    test_days: int
    first_test: date
    last_test: date


class StageTime(Spec):
    """Seconds that a stage took; `skipped` where it was up to date."""

    stage: str
    seconds: float
    skipped: bool = False


class ConfigurationTried(Spec):
    """A configuration that was evaluated on these dates, this one included; every one lowers the significance.

    `opened` is the day on which the lock box was opened for it; a search's trials are scored on validation dates alone.
    """

    fingerprint: str
    first_run: str
    note: str = ""
    opened: str | None = None
    scored: Literal["test", "validation"] = "test"


class ReportFacts(Spec):
    """Everything on the page that is not computed from rank_ic.parquet and nav.parquet.

    name, note          the experiment's name and its sentence on the first page
    simulated           True where the market is made up: said loudly on the page
    predictable         False where it was made up without a signal
    data                what the data is, as labelled lines (source, span, stocks, base bar, granularities ...)
    notes               sentences on the data's flaws and stand-ins, printed under every table
    conventions         sentences on how numbers were computed, in full
    missing             what the data lacks and what was left out for it (an index, ST, a style, a universe)
    models              every scored model in the order of the tables: per suffix, singles coarse to fine, mixed,
                        residual, ensemble, ensemble1; then a simulated market's oracle; then the naive composite
    label_days          horizons of the labels, in the order of the tables; 0 where a score from elsewhere names none
    rebalance, fill, universe    which evaluation the tables show (R88: 5, t1_vwap, all)
    universes           every evaluated universe, in the order of the tables
    weekly              granularities whose look-back is counted in weeks
    cost                per round trip, a fraction
    headline            the model that the first screen judges: named before the results are known, never the best one
    seeds               seeds whose scores were averaged
    folds, stages, configurations    what was trained, how long it took, what else was tried on these test dates
    lock                a sentence on the lock box, empty where the run has none
    """

    version: Literal[1] = 1
    name: str
    note: str
    simulated: bool
    predictable: bool = True
    data: tuple[Detail, ...]
    notes: tuple[Said, ...]
    conventions: tuple[Said, ...]
    missing: tuple[Said, ...]
    models: tuple[ModelFacts, ...]
    label_days: tuple[int, ...]
    rebalance: int
    fill: str
    universe: str
    universes: tuple[str, ...]
    cost: float
    headline: str
    seeds: tuple[int, ...]
    weekly: tuple[str, ...] = ()
    folds: tuple[FoldFacts, ...] = ()
    stages: tuple[StageTime, ...] = ()
    configurations: tuple[ConfigurationTried, ...] = ()
    lock: Said = Text("")

    @property
    def naive(self) -> str | None:
        """The name of the naive composite, None where the run has none."""
        return self._only("naive")

    @property
    def oracle(self) -> str | None:
        """The name of a simulated market's oracle, None where the run has none."""
        return self._only("oracle")

    def _only(self, kind: str) -> str | None:
        return next((model.name for model in self.models if model.kind == kind), None)

    def model(self, name: str) -> ModelFacts:
        """The facts of one model; DataError where the run does not list it."""
        for model in self.models:
            if model.name == name:
                return model
        raise DataError(FILE, f"models: nothing is said of {name!r}; rerun the evaluate stage")


def read_facts(run: Path) -> ReportFacts:
    """The facts of a run folder; DataError names the file and the first wrong key."""
    path = run / FILE
    if not path.is_file():
        raise DataError(str(path), "the file is missing; rerun the evaluate stage")
    try:
        facts = ReportFacts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(str(path), f"{where}: {first['msg']}; rerun the evaluate stage") from error
    facts.model(facts.headline)
    return facts
