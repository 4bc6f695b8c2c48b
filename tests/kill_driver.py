"""Run as a script: kills a process at every step that touches the disk, and says what it left. Prints JSON.

Each trial forks: the child does the work and ends by os._exit(137) at step k, as a kill would, without any cleanup.
A second child looks at what is left and runs the work again. Nothing here may use polars before the forks: its threads
do not survive one.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

KILLED = 137


def count_steps(kill_at: int) -> Callable[[], int]:
    """Make every fsync, rename, unlink, mkdir, rmdir and write of a file a step; end the process at step `kill_at`."""
    taken = [0]

    def step() -> None:
        taken[0] += 1
        if taken[0] == kill_at:
            os._exit(KILLED)

    def stepping(real: Callable) -> Callable:
        def stepped(*args, **kwargs):
            step()
            return real(*args, **kwargs)

        return stepped

    for name in ("fsync", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, stepping(getattr(os, name)))
    whole = Path.write_bytes

    def torn(path: Path, content: bytes) -> None:
        step()
        whole(path, content[: len(content) // 2])
        step()
        whole(path, content)

    Path.write_bytes = torn
    return lambda: taken[0]


def in_child(work: Callable[[], str], report: Path) -> int:
    """The exit code of a forked child; what `work` returns is left in `report`."""
    child = os.fork()
    if child == 0:
        try:
            text = work()
            with report.open("w") as file:
                file.write(text)
            os._exit(0)
        except BaseException as error:
            with report.open("w") as file:
                file.write(f"{type(error).__name__}: {error}")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def tree(folder: Path) -> str:
    """A hash of every file's name and bytes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def commits(folder: Path, content: str) -> None:
    """Three files and a manifest."""
    from polygrain.store.commit import Parts, commit_bytes, sweep

    sweep(folder / "parts")
    sweep(folder / "parts" / "b")
    parts = Parts(folder / "parts")
    for name in ("a", "b/c", "d"):
        value = f"{name} {content}".encode() * 50
        sha256 = hashlib.sha256(value).hexdigest()
        if not parts.current(name, sha256):
            commit_bytes(parts.path(name), value)
            parts.put(name, sha256, sha256)


def readable(folder: Path, names: tuple[str, ...]) -> str:
    """What the files hold: "old", "new" or nothing each; anything else is an error."""
    from polygrain.store.commit import Parts

    Parts(folder / "parts")
    states = []
    for name in names:
        path = folder / "parts" / name
        found = path.read_bytes() if path.exists() else b""
        known = {f"{name} {state}".encode() * 50: state for state in ("old", "new")} | {b"": "none"}
        states.append(known[found])
    return " ".join(states)


def ingested(folder: Path, content: str) -> None:
    """A store from the files in folder/<content>."""
    from polygrain.sources.files import Files
    from polygrain.sources.ingest import ingest

    table = {"path": "daily.csv", "amount": "typical_price"}
    ingest(Files.model_validate({"root": str(folder / content), "daily": table}), folder / "store")


def store_state(folder: Path) -> str:
    """The fingerprint of a store every byte of which is right, "none" where there is none."""
    from polygrain.store.store import Store

    if not (folder / "store" / "manifest.json").exists():
        return "none"
    store = Store(folder / "store")
    store.verify()
    return store.fingerprint()


SCENARIOS = {
    "commit": (commits, lambda folder: readable(folder, ("a", "b/c", "d")), "parts"),
    "ingest": (ingested, store_state, "store"),
}


def main(scenario: str, folder: Path, first: str) -> None:
    """Go from the state `first` ("none" or "old") to "new", killed at every step."""
    work, look, kept = SCENARIOS[scenario]
    report = folder.parent / "report"
    # A kill leaves the page cache alone, so syncing would only cost time here; its order has its own test.
    os.fsync = lambda handle: None
    import polygrain.sources.files
    import polygrain.sources.ingest  # noqa: F401  (forked children share the imports)

    def fresh(name: str) -> Path:
        place = folder.parent / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        if first == "old":
            in_child(lambda: work(place, "old") or "", report)
        return place

    whole = fresh("whole")
    looks = []
    in_child(lambda: look(whole), report)
    looks.append(report.read_text())

    def run_whole() -> str:
        steps = count_steps(0)
        work(whole, "new")
        return str(steps())

    code = in_child(run_whole, report)
    assert code == 0, report.read_text()
    steps = int(report.read_text())
    in_child(lambda: look(whole), report)
    looks.append(report.read_text())
    start, wanted, trials = fresh("start"), tree(whole / kept), []
    for k in range(1, steps + 1):
        place = folder.parent / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(start, place)

        def killed(place: Path = place, k: int = k) -> str:
            count_steps(k)
            work(place, "new")
            return "not killed"

        code = in_child(killed, report)

        def left(place: Path = place) -> str:
            state = look(place)
            work(place, "new")
            return json.dumps({"state": state, "again": tree(place / kept) == wanted})

        assert in_child(left, report) == 0, f"step {k}: {report.read_text()}"
        trials.append({"code": code, **json.loads(report.read_text())})
    print(json.dumps({"steps": steps, "old": looks[0], "new": looks[1], "trials": trials}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
