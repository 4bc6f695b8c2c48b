"""RunManifest: what a run folder was made from, stage by stage, and every configuration tried on its data."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from polygrain.errors import DataError
from polygrain.report.facts import Said
from polygrain.spec import Spec
from polygrain.store.commit import JSON, commit_json, file_fingerprint, locked
from polygrain.version import __version__


class StageEntry(Spec):
    """A finished stage: fingerprint of its inputs, sha256 of its outputs by file name, and the time it took."""

    inputs: str
    outputs: dict[str, str]
    seconds: float


class _Facts(Spec):
    """What a run says of itself beside its stages."""

    name: str
    plugins: dict[str, str] = {}
    models: dict[str, dict[str, int]] = {}
    missing: list[Said] = []


Scored: TypeAlias = Literal["test", "validation"]


class _Trial(Spec):
    """A configuration tried; `opened` is the day on which the lock box was opened for it.

    `scored` says on which dates: those of a search's trials are validation dates alone.
    """

    fingerprint: str
    first_run: str
    note: str
    plugins: dict[str, str] = {}
    opened: str | None = None
    scored: Scored = "test"


_TRIALS = TypeAdapter(list[_Trial])


class _Document(Spec):
    """The content of manifest.json."""

    version: Literal[1]
    name: str
    polygrain: str
    stages: dict[str, StageEntry]
    facts: _Facts


class RunManifest:
    """RUN/manifest.json: per stage the fingerprint of its inputs, its outputs' hashes, and the seconds it took.

    The file is written after a stage's outputs, so a stage that is listed is whole.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        self.name = name
        self.stages: dict[str, StageEntry] = {}
        self.facts: dict[str, JSON] = {}
        self.skipped: set[str] = set()
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            document = _Document.model_validate_json(self.path.read_bytes())
            self.stages, self.facts = document.stages, document.facts.model_dump()
        except (ValidationError, OSError):
            raise DataError(str(self.path), "is damaged or not a run's; remove the run folder and run again") from None

    def current(self, stage: str, inputs: str) -> bool:
        """Whether the stage was finished from the same inputs and its outputs still have their recorded bytes."""
        entry = self.stages.get(stage)
        if entry is None or entry.inputs != inputs:
            return False
        files = [(self.folder / name, sha) for name, sha in entry.outputs.items()]
        return all(file.is_file() and file_fingerprint(file) == sha for file, sha in files)

    def skip(self, stage: str) -> None:
        """Remember that this call found the stage up to date."""
        self.skipped.add(stage)

    @contextmanager
    def stage(self, stage: str, inputs: str, outputs: Sequence[str] = ()) -> Iterator[None]:
        """Time a stage; record it once its body has ended without an error."""
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 3)
        hashes = {name: file_fingerprint(self.folder / name) for name in outputs}
        self.stages[stage] = StageEntry(inputs=inputs, outputs=hashes, seconds=seconds)
        self.write()

    def seconds(self, stage: str) -> float:
        """How long the stage took when it last ran."""
        return self.stages[stage].seconds

    def write(self) -> None:
        """Commit the manifest."""
        stages: JSON = {name: entry.model_dump() for name, entry in self.stages.items()}
        commit_json(
            self.path,
            {"version": 1, "name": self.name, "polygrain": __version__, "stages": stages, "facts": self.facts},
        )


class Trials:
    """STORE/trials.json: every configuration whose scores on test dates, or losses in a search, are from this store.

    The list is shared by all runs on the store: each configuration tried lowers the significance of the best of them.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "trials.json"

    def read(self) -> list[dict[str, JSON]]:
        """The configurations so far, in order of their first run."""
        if not self.path.exists():
            return []
        try:
            return [trial.model_dump() for trial in _TRIALS.validate_json(self.path.read_bytes())]
        except (ValidationError, OSError):
            raise DataError(str(self.path), "is damaged; restore it, or count the trials before it by hand") from None

    def add(self, fingerprint: str, facts: Mapping[str, JSON], scored: Scored = "test") -> None:
        """Append a configuration unless it is there; one of a search that is now scored on test dates is of these."""
        mine = {"fingerprint": fingerprint, **facts, "scored": scored}
        with self._alone():
            known = self.read()
            old = next((trial for trial in known if trial["fingerprint"] == fingerprint), None)
            if old is None:
                commit_json(self.path, [*known, mine])
            elif old["scored"] == "validation" and scored == "test":
                first = {"first_run": old["first_run"]}
                commit_json(self.path, [{**old, **mine, **first} if trial is old else trial for trial in known])

    def is_opened(self, fingerprint: str) -> bool:
        """Whether the lock box has been opened for a configuration."""
        return any(trial["fingerprint"] == fingerprint and trial["opened"] is not None for trial in self.read())

    def open(self, fingerprint: str, facts: Mapping[str, JSON], day: date) -> None:
        """Note that the lock box is opened for a configuration; once it is, it stays so and is not counted again."""
        self.add(fingerprint, facts)
        with self._alone():
            if not self.is_opened(fingerprint):
                mine = {"opened": day.isoformat()}
                known = self.read()
                commit_json(self.path, [t | mine if t["fingerprint"] == fingerprint else t for t in known])

    def _alone(self) -> AbstractContextManager[None]:
        """One process at a time: two runs that read the same list would lose one of their entries."""
        return locked(self.path.with_suffix(".lock"), wait=True)
