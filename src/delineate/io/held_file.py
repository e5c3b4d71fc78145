"""Frames of a file that is held open: one position in it, so threads take turns; and it can be closed."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delineate.core.errors import InputError


class HeldFile(ABC):
    """A source of frames that reads on where it stands, such as a decoder.

    Where two threads moved it at once, they would get each other's frames, or crash the process (PyAV).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.RLock()
        self._closed = False

    def read(self, index: int) -> NDArray[Any]:
        """Frame ``index`` as (height, width[, channels]). Raises InputError where it is damaged, or closed by now."""
        with self._turn:
            if self._closed:
                raise InputError("E-SCAN-CLOSED", f"{self._path.name} was closed.", "Open it again.")
            return self._read(index)

    def close(self) -> None:
        """Let go of the file, for good."""
        with self._turn:
            self._closed = True
            self._release()

    @abstractmethod
    def _read(self, index: int) -> NDArray[Any]: ...

    @abstractmethod
    def _release(self) -> None:
        """Close the file, and forget the frames that are kept."""
