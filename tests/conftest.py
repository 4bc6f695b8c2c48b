"""For every test: nothing waits for the disk, nor for threads of another process."""

import os
from collections.abc import Iterator

import pytest

# There are as many test processes as cores: with threads beside them a training takes eight times as long.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """What is in the page cache outlives every kill. In which order files are synced, which a power cut asks for, is
    looked at in test_commit alone, with a sync of its own in this one's place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
