"""Propagations as jobs: a frame at a time on the engine, so that a click waits for one frame at most."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Generator
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Final

from delineate.core.errors import DelineateError, foreseen
from delineate.core.prompt_log import Propagate
from delineate.server.engine import Engine, Priority
from delineate.server.messages import Follow
from delineate.server.problems import not_found, problem
from delineate.server.sessions import LiveSession
from delineate.session.propagation import PropagatedFrame

MOST_KEPT: Final = 1000  # jobs that are over and can still be asked for


class JobState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # canceled, or ended by another change of the session
    FAILED = "failed"


class FollowJob:
    """One propagation. All methods but ``cancel`` and ``as_json`` are called on the engine's thread."""

    def __init__(self, live: LiveSession, request: Follow, engine: Engine) -> None:
        self.id = secrets.token_hex(8)
        self.live = live
        self.state = JobState.RUNNING
        self.done = self.total = 0
        self.error: DelineateError | None = None
        self.ended: Future[None] = Future()
        self._engine = engine
        self._canceled = False
        self._frames: Generator[PropagatedFrame, None, None] = live.session.propagating(
            request.objects, request.first, request.stop, request.following
        )
        live.busy += 1
        engine.submit(self._step, Priority.FOLLOW)

    def cancel(self) -> None:
        """End it after the frame that is being followed; what was followed so far stays."""
        self._canceled = True

    def as_json(self) -> dict[str, Any]:
        return {
            "job": self.id,
            "session": self.live.id,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "revision": self.live.revision,
            "error": problem(self.error) if self.error else None,
        }

    def _step(self) -> None:
        try:
            frame = None if self._canceled else next(self._frames, None)
            if frame is None:
                self._frames.close()
        except Exception as error:
            self.error = foreseen(error, "the propagation")
            self._end(JobState.FAILED)
            return
        if frame is None:
            self._end(JobState.DONE if self._complete else JobState.STOPPED)
            return
        self.done, self.total = frame.done, frame.total
        if self.live.has_news:
            self.live.take_in()
        self.live.tell({"kind": "progress", **self.as_json()})
        self._engine.submit(self._step, Priority.FOLLOW)

    @property
    def _complete(self) -> bool:
        """Whether the log says that it came to its end."""
        last = self.live.session.log.current[-1]
        return isinstance(last, Propagate) and last.stopped_after is None

    def _end(self, state: JobState) -> None:
        self.live.busy -= 1
        self.state = state
        if self.live.has_news:
            self.live.take_in()
        self.live.tell({"kind": "progress", **self.as_json()})
        self.ended.set_result(None)


class Jobs:
    """Jobs by id; the newest of those that are over stay a while."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: OrderedDict[str, FollowJob] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, live: LiveSession, request: Follow) -> FollowJob:
        """Begin a propagation; call it on the engine's thread."""
        job = FollowJob(live, request, self._engine)
        with self._lock:
            self._jobs[job.id] = job
            over = [key for key, one in self._jobs.items() if one.state is not JobState.RUNNING]
            for key in over[: max(0, len(self._jobs) - MOST_KEPT)]:
                del self._jobs[key]
        return job

    def get(self, id: str) -> FollowJob:
        """Raises RefusalError (404)."""
        with self._lock:
            if id not in self._jobs:
                raise not_found("job", id)
            return self._jobs[id]

    def cancel_all(self) -> None:
        with self._lock:
            for job in self._jobs.values():
                job.cancel()
