"""One writer for a run directory: who else writes is refused, with the holder's host and process id.

The lock is one of the operating system on the file ``.lock``, so a process that died, however it died, holds nothing.
The system lock does not say who holds it; ``.writer`` does. Readers take no lock: files appear whole or not at all.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from taskgroup._artifact import write_text
from taskgroup.exceptions import ArtifactError

__all__ = ["LOCK_FILES", "is_being_written", "writing"]

LOCK_FILES = (".lock", ".writer")
"""Files that a writer leaves in the directory; they say nothing of its content."""

_PATIENCE = 0.5  # seconds; a reader that asks whether the directory is being written holds the lock for a moment


@contextmanager
def writing(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Be the only process that writes into ``folder``, which is created; a block may hold it again.

    Raises
    ------
    ArtifactError
        When another process, or another thread of this one, is writing into it.
    """
    path = Path(folder)
    lock = _lock(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise ArtifactError(
            f"{path}: is being written by {_writer(path)}; wait until that has ended, or choose another directory."
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror or error}).") from None
    try:
        if lock.lock_counter == 1:
            write_text(path / ".writer", json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n")
        yield
    finally:
        if lock.lock_counter == 1:
            (path / ".writer").unlink(missing_ok=True)
        lock.release()


def is_being_written(folder: str | os.PathLike[str]) -> bool:
    """Whether some process is writing into ``folder`` now."""
    path = Path(folder)
    if not (path / ".lock").is_file():
        return False
    lock = _lock(path)
    if lock.is_locked:
        return True
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False  # a directory that cannot be written
    lock.release()
    return False


def _lock(path: Path) -> FileLock:
    return FileLock(path.resolve() / ".lock", is_singleton=True)


def _writer(path: Path) -> str:
    try:
        found = json.loads((path / ".writer").read_text(encoding="utf-8"))
        return f"process {int(found['pid'])} on {found['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
