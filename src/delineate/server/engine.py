"""The one thread that computes: what a person waits for goes first, what was only asked for later goes last."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from delineate.server.problems import RefusalError

T = TypeVar("T")


class Priority(IntEnum):
    """What goes first."""

    CLICK = 0
    PREVIEW = 1
    FOLLOW = 2  # one frame of a propagation
    PREFETCH = 3
    END = 4


@dataclass(order=True)
class _Task:
    priority: Priority
    number: int
    work: Callable[[], Any] | None = field(compare=False)
    future: Future[Any] = field(compare=False)


class Engine:
    """Work in order of priority, then of arrival, one piece at a time.

    most_waiting  pieces of work by people that may wait; more are refused with status 429
    """

    def __init__(self, most_waiting: int = 32) -> None:
        self._most_waiting = most_waiting
        self._tasks: queue.PriorityQueue[_Task] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pieces of work that have not begun."""
        return self._tasks.qsize()

    def submit(self, work: Callable[[], T], priority: Priority = Priority.CLICK) -> Future[T]:
        """Have it done. Raises RefusalError (429) where too much waits already; frames of a propagation always may."""
        if priority is not Priority.FOLLOW and self.waiting >= self._most_waiting:
            raise RefusalError(
                "E-SERVE-BUSY",
                f"{self.waiting} requests wait already.",
                "Try again in a second.",
                status=429,
                retry_after=1,
            )
        future: Future[T] = Future()
        self._tasks.put(_Task(priority, next(self._numbers), work, future))
        return future

    def close(self, seconds: float = 10.0) -> None:
        """Do what waits, for at most so long, and end."""
        self._tasks.put(_Task(Priority.END, next(self._numbers), None, Future()))
        self._thread.join(seconds)

    def _run(self) -> None:
        while (task := self._tasks.get()).work is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                result = task.work()
            except BaseException as error:
                task.future.set_exception(error)
            else:
                task.future.set_result(result)
            del task  # what was asked is not kept until the next one comes
