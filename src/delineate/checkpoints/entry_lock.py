"""One process at a time changes an entry of a folder that several share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from delineate.core.errors import ModelError

WAIT = 600.0  # seconds for another process to end
PATIENCE = 1.0  # seconds until the wait is told

log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, name: str, wait: float = WAIT) -> Iterator[None]:
    """Hold ``name`` in a folder, which is made where there is none; the system frees it when a process dies.

    wait  seconds to wait for another process
    Raises ModelError where the folder cannot be written, or the other process takes longer.
    """
    lock = FileLock(folder / f".{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=min(wait, PATIENCE))
        except Timeout:
            if wait > PATIENCE:
                log.warning("Waiting for another process that writes %s in %s.", name, folder)
            lock.acquire(timeout=max(wait - PATIENCE, 0))
    except Timeout:
        raise ModelError(
            "E-MODEL-BUSY", f"Another process is still writing {name} in {folder}.", "Run the command again later."
        ) from None
    except OSError as error:
        raise not_writable(folder, error) from None
    try:
        yield
    finally:
        lock.release()


def not_writable(folder: Path, error: OSError) -> ModelError:
    """What a folder of models that is full, closed, read-only or gone is told as."""
    return ModelError(
        "E-MODEL-STORE",
        f"Nothing could be kept in {folder}: {error.strerror or error}.",
        "See to its rights and its free space, or keep models elsewhere: DELINEATE_MODELS=FOLDER",
    )
