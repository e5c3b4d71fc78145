"""Ctrl+C and TERM stop a long run after the frame it is at; what it has is kept. A second time stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from delineate.cli.console import tell

_WORDS: Final = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "TERM"}
Progress = Callable[[int, int], None]


@contextmanager
def stopping(progress: Progress | None) -> Iterator[Progress]:
    """Yields what to call in place of ``progress``; it raises KeyboardInterrupt between two frames."""
    asked: list[str] = []
    began = False

    def after_a_frame(done: int, total: int) -> None:
        nonlocal began
        began = True
        if progress is not None:
            progress(done, total)
        if asked:
            raise KeyboardInterrupt(asked[0])

    def ask(number: int, _: FrameType | None) -> None:
        word = _WORDS[signal.Signals(number)]
        if asked or not began:
            raise KeyboardInterrupt(word)
        asked.append(word)
        tell(f"{word}: stopping after this frame, what was outlined is kept.")

    if threading.current_thread() is not threading.main_thread():
        yield after_a_frame
        return
    before = {number: signal.signal(number, ask) for number in _WORDS}
    try:
        yield after_a_frame
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
