"""For every test: nothing waits for the disk."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """What is in the page cache outlives every kill. In which order files are synced, which a power cut asks for, is
    looked at in test_commit alone, with a sync of its own in this one's place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
