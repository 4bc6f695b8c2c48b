"""All-or-nothing files: a reader, or a restart after a kill, finds the old bytes or the new ones, never a part."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from polygrain.errors import DataError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MANIFEST = "manifest.json"
_MANIFEST_VERSION = 1
_PACKAGE = Path(__file__).resolve().parents[1]


def commit(path: Path, write: Callable[[Path], None]) -> None:
    """Put what `write` writes at `path`, atomically and on stable storage; equal bytes leave the file as it is.

    The order is write, fsync the file, rename, fsync the folder. Errors: DataError where the file cannot be written;
    on any error the old file stands and no temporary is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _make_folder(path.parent)
        write(temporary)
        _sync(temporary)
        if path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            os.unlink(temporary)
        else:
            os.replace(temporary, path)
            _sync(path.parent)
    except OSError as error:
        _discard(temporary)
        reason = error.strerror or str(error)
        raise DataError(
            str(path), f"cannot be written: {reason}; the file that was there before still stands"
        ) from error
    except BaseException:
        _discard(temporary)
        raise
    if not path.is_file():
        raise DataError(str(path), "is not there although writing it succeeded; check the file system")


def commit_bytes(path: Path, content: bytes) -> None:
    """`commit` for content that is at hand."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, write)


def commit_json(path: Path, value: JSON) -> None:
    """`commit` for a JSON value, keys sorted, one line a key, so that equal values are equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    commit_bytes(path, (text + "\n").encode())


def fingerprint(value: JSON) -> str:
    """sha256 (hex) of the value's canonical JSON: keys sorted, no blanks; NaN and infinity are a ValueError."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_fingerprint(path: Path) -> str:
    """sha256 (hex) of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_fingerprint(*names: str) -> str:
    """sha256 (hex) over the .py and .toml text of polygrain's subpackages or modules `names`, such as "features"."""
    files: list[Path] = []
    for name in names:
        place = _PACKAGE.joinpath(*name.split("."))
        module = place.with_suffix(".py")
        found = [module] if module.is_file() else sorted(p for p in place.rglob("*") if p.suffix in {".py", ".toml"})
        if not found:
            raise ValueError(f"polygrain has no module {name}")
        files += found
    return fingerprint({file.relative_to(_PACKAGE).as_posix(): file.read_text("utf-8") for file in sorted(set(files))})


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder for one writing process; the system frees it when the process ends, however it ends.

    DataError where another process holds it, unless it is to be waited for.
    """
    _make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise DataError(str(folder), "another process is writing here; wait for it or end it") from None
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`; those of other living processes stay.

    Not to be called while this process commits there.
    """
    for temporary in sorted(folder.glob(".*.tmp")):
        owner = temporary.name.split(".")[-2]
        if owner.isdigit() and (int(owner) == os.getpid() or not _alive(int(owner))):
            _discard(temporary)


def _alive(process: int) -> bool:
    """Whether it may still write: not where it has ended, nor where it only waits for its parent to take notice."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:  # not Linux, or it has ended meanwhile
        return True
    return state not in (b"Z", b"X")


class Parts:
    """A folder of files with a `manifest.json` that is written after each of them and says what each was made from.

    One process writes a folder at a time. A file is current when the manifest lists it with the same inputs
    (a fingerprint) and it is there with the recorded size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = _read_manifest(folder / MANIFEST)

    def path(self, name: str) -> Path:
        """Where the part lies or has to be committed."""
        return self.folder / name

    def names(self) -> tuple[str, ...]:
        """The listed parts, sorted."""
        return tuple(sorted(self._parts))

    def current(self, name: str, inputs: str) -> bool:
        """Whether the part need not be made again."""
        part = self._parts.get(name)
        if part is None or part["inputs"] != inputs:
            return False
        path = self.path(name)
        return path.is_file() and path.stat().st_size == part["size"]

    def sha256(self, name: str) -> str:
        """The hash of the part's bytes when it was recorded."""
        return str(self._part(name)["sha256"])

    def put(self, name: str, inputs: str, sha256: str) -> None:
        """Record a part whose file has been committed."""
        size = self.path(name).stat().st_size
        self._parts[name] = {"inputs": inputs, "sha256": sha256, "size": size}
        self._write()

    def drop(self, names: Sequence[str]) -> None:
        """Take parts off the manifest, then remove their files; names that are not listed are passed over."""
        listed = [name for name in names if self._parts.pop(name, None) is not None]
        if listed:
            self._write()
        for name in listed:
            self.path(name).unlink(missing_ok=True)

    def verify(self) -> None:
        """Hash every file again; DataError names the first that is damaged."""
        for name in self.names():
            path = self.path(name)
            if not path.is_file():
                raise DataError(str(path), f"is listed in {MANIFEST} but not there; remove {self.folder} and run again")
            if file_fingerprint(path) != self._part(name)["sha256"]:
                raise DataError(
                    str(path), f"is damaged: its bytes are not those of {MANIFEST}; remove it and run again"
                )

    def _part(self, name: str) -> dict[str, JSON]:
        if name not in self._parts:
            raise DataError(str(self.folder / MANIFEST), f"does not list {name}; run the stage that makes it again")
        return self._parts[name]

    def _write(self) -> None:
        commit_json(self.folder / MANIFEST, {"version": _MANIFEST_VERSION, "parts": self._parts})


def _read_manifest(path: Path) -> dict[str, dict[str, JSON]]:
    """The parts of a manifest, none where there is no file; DataError where it is not one of ours."""
    if not path.exists():
        return {}
    mend = f"remove the folder {path.parent} and run again"
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise DataError(str(path), f"is damaged; {mend}") from None
    if (
        not isinstance(value, dict)
        or value.get("version") != _MANIFEST_VERSION
        or not isinstance(value.get("parts"), dict)
    ):
        raise DataError(str(path), f"is not a manifest of this version; {mend}")
    parts: dict[str, dict[str, JSON]] = value["parts"]
    for name, part in parts.items():
        if not isinstance(part, dict) or set(part) != {"inputs", "sha256", "size"}:
            raise DataError(str(path), f"is damaged at {name}; {mend}")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(str(path), f"is damaged at {name}; {mend}")
    return parts


def _make_folder(folder: Path) -> None:
    """Make the folder and the ones above it; each new name is synced, or a power cut could lose the files below."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
