"""Files are all or nothing, and a folder's manifest says what is in it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polygrain.errors import DataError
from polygrain.store import commit as module
from polygrain.store.commit import (
    Parts,
    code_fingerprint,
    commit,
    commit_bytes,
    commit_json,
    file_fingerprint,
    fingerprint,
    locked,
    sweep,
)

DRIVER = Path(__file__).with_name("kill_driver.py")


def run_driver(scenario: str, folder: Path, first: str) -> dict:
    """What the kill driver found; `folder` holds the inputs."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, str(DRIVER), scenario, str(folder), first]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_commit_writes_and_leaves_no_temporary(tmp_path):
    path = tmp_path / "new" / "deeper" / "file"
    commit_bytes(path, b"one")
    assert path.read_bytes() == b"one"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_equal_bytes_are_not_rewritten(tmp_path):
    path = tmp_path / "file"
    commit_bytes(path, b"one")
    before = path.stat()
    commit_bytes(path, b"one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    commit_bytes(path, b"two")
    assert path.stat().st_ino != before.st_ino


def test_commit_that_fails_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    commit_bytes(path, b"old")

    def fails(temporary: Path) -> None:
        temporary.write_bytes(b"ne")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        commit(path, fails)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_disk_errors_are_one_line_and_keep_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    commit_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, step, full)
    with pytest.raises(DataError) as error:
        commit_bytes(path, b"new")
    monkeypatch.undo()
    text = "cannot be written: No space left on device; the file that was there before still stands"
    assert str(error.value) == f"{path}: {text}"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_rename_that_lies_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "replace", lambda source, target: os.unlink(source))
    with pytest.raises(DataError, match="is not there although writing it succeeded"):
        commit_bytes(tmp_path / "file", b"new")


def test_order_is_file_then_rename_then_folder(tmp_path, monkeypatch):
    done = []
    real_open, real_replace = os.open, os.replace

    def opened(path, flags, *rest, **more):
        done.append(f"sync {Path(path).name}")
        return real_open(path, flags, *rest, **more)

    def replaced(source, target):
        done.append("rename")
        return real_replace(source, target)

    monkeypatch.setattr(module.os, "open", opened)
    monkeypatch.setattr(module.os, "replace", replaced)
    commit_bytes(tmp_path / "file", b"new")
    assert done == [f"sync .file.{os.getpid()}.tmp", "rename", f"sync {tmp_path.name}"]


def test_fingerprints():
    assert fingerprint({"b": 1, "a": [1.5, None]}) == fingerprint({"a": [1.5, None], "b": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.0})
    with pytest.raises(ValueError):
        fingerprint({"a": float("nan")})
    assert code_fingerprint("store") != code_fingerprint("store", "market")
    assert code_fingerprint("store.commit") != code_fingerprint("store.tables")
    with pytest.raises(ValueError):
        code_fingerprint("nowhere")


def test_file_fingerprint(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    # The published test vector of SHA-256.
    assert file_fingerprint(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def made(folder: Path) -> Parts:
    parts = Parts(folder)
    for name in ("a", "b"):
        commit_bytes(parts.path(name), name.encode() * 10)
        parts.put(name, f"inputs of {name}", file_fingerprint(parts.path(name)))
    return parts


def test_parts_are_current_while_inputs_and_size_agree(tmp_path):
    made(tmp_path)
    parts = Parts(tmp_path)
    assert parts.names() == ("a", "b")
    assert parts.sha256("a") == file_fingerprint(parts.path("a"))
    assert parts.current("a", "inputs of a")
    assert not parts.current("a", "other inputs")
    assert not parts.current("c", "inputs of c")
    parts.path("a").write_bytes(b"short")
    assert not parts.current("a", "inputs of a")
    parts.path("a").unlink()
    assert not parts.current("a", "inputs of a")


def test_parts_drop(tmp_path):
    made(tmp_path).drop(["a", "unknown"])
    assert Parts(tmp_path).names() == ("b",)
    assert not (tmp_path / "a").exists()


def test_every_flipped_byte_is_found(tmp_path):
    parts = made(tmp_path)
    parts.verify()
    path = parts.path("b")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match="b: is damaged"):
            parts.verify()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "parts": {}}',
        '{"version": 1}',
        '{"version": 1, "parts": {"a": 1}}',
        '{"version": 1, "parts": {"../a": {"inputs": "", "sha256": "", "size": 0, "facts": {}}}}',
    ],
)
def test_damaged_or_foreign_manifest_names_itself_and_the_mend(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError) as error:
        Parts(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'manifest.json'}: is ")
    assert str(error.value).endswith(f"; remove the folder {tmp_path} and run again")


def test_one_writer_at_a_time(tmp_path):
    with locked(tmp_path), pytest.raises(DataError, match="another process is writing here"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_sweep_takes_what_the_dead_left(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    (tmp_path / f".file.{child.pid}.tmp").write_bytes(b"")
    (tmp_path / f".file.{os.getppid()}.tmp").write_bytes(b"")
    # Ended, and its parent has not taken notice: so it stays for ever where nobody looks after orphans.
    unnoticed = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, unnoticed.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / f".file.{unnoticed.pid}.tmp").write_bytes(b"")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [f".file.{os.getppid()}.tmp"]
    unnoticed.wait()


TENSORS = """
import torch
from polygrain.training.checkpoint import save_tensors
write = lambda path: save_tensors(path, {"a": torch.ones(9999)}, "{}")
"""
SHARD = """
import numpy as np
from polygrain.features.shards import Shard, write_shard
write = lambda path: write_shard(path, Shard(("a",), ("b",), np.ones((9999, 1, 1), np.float32)))
"""
KILLED_IN_WRITING = """
import pathlib, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))
write(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", [TENSORS, SHARD], ids=["tensors", "shard"])
def test_what_a_process_killed_in_writing_left_is_swept(tmp_path, kind):
    """Killed where the file passes 9,999 bytes."""
    child = subprocess.run([sys.executable, "-c", kind + KILLED_IN_WRITING, str(tmp_path / "file")], check=False)
    assert child.returncode == -signal.SIGXFSZ
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_json_is_stable(tmp_path):
    commit_json(tmp_path / "a", {"b": [1], "a": "行"})
    assert (tmp_path / "a").read_text("utf-8") == '{\n "a": "行",\n "b": [\n  1\n ]\n}\n'


@pytest.mark.parametrize("first", ["none", "old"])
def test_killed_at_every_step_a_file_is_old_or_new(tmp_path, first):
    (tmp_path / "inputs").mkdir()
    found = run_driver("commit", tmp_path / "inputs", first)
    assert found["old"] == " ".join([first] * 3)
    assert found["new"] == "new new new"
    # 3 files and 3 manifests of write, write, fsync, rename, fsync each.
    assert found["steps"] >= 30
    for trial in found["trials"]:
        assert trial["code"] == 137
        assert set(trial["state"].split()) <= {first, "new"}
        assert trial["again"]
