"""What the server did last, kept in memory: no names of files, structures or people."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

MOST_LINES: Final = 1000


class Diary:
    """Lines with the time they were noted."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def note(self, text: str) -> None:
        self._lines.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def last(self, lines: int) -> list[str]:
        """The newest ones, in the order they were noted."""
        return list(self._lines)[-lines:]
