"""The propagation that runs in a session: frame by frame, free of the session meanwhile, put down in blocks."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence

from delineate.core.errors import PromptError
from delineate.core.prompt_log import Propagate
from delineate.core.propagation_options import PropagationOptions
from delineate.session.changes import Changes, Progress
from delineate.session.history import History
from delineate.session.journal import Journal
from delineate.session.propagation import BLOCK, PropagatedFrame, PropagationRun


class CurrentPropagation:
    """At most one propagation runs; the next change of the session ends it, and keeps what it has put down.

    lock  the session's
    """

    def __init__(self, history: History, changes: Changes, lock: threading.RLock) -> None:
        self._history, self._changes, self._lock = history, changes, lock
        self._running: PropagationRun | None = None

    def event(
        self, objects: Sequence[str], first: int | None, stop: int | None, following: PropagationOptions | None
    ) -> Propagate:
        """What a person asks for, as the event it is. Raises PromptError for frames without one to follow from."""
        how = following or PropagationOptions()
        if (first is not None or stop is not None) and self._changes.predictor.capabilities.follows is not None:
            self._require_within(objects, first or 0, len(self._changes.scan) if stop is None else stop)
        return Propagate(objects=tuple(objects), first=first, stop=stop, following=how)

    def _require_within(self, objects: Sequence[str], first: int, stop: int) -> None:
        """Raise PromptError where an object that was named, or all of them, is pointed at beyond the frames alone."""
        state = self._history.now.state
        names = [state.segmentation[name].name for name in objects or state.segmentation.names]
        pointed = {name: [f for f, mask in state.tracks[name].prompted.items() if mask.area] for name in names}
        beyond = [name for name, frames in pointed.items() if frames and not any(first <= f < stop for f in frames)]
        if beyond and (objects or len(beyond) == sum(map(bool, pointed.values()))):
            word, where = self._changes.scan.frame_word, ", ".join(map(str, sorted(pointed[beyond[0]])))
            raise PromptError(
                "E-LIMIT",
                f'"{beyond[0]}" is to be followed from {word} {first} to before {stop}, and is pointed at on {where}.',
                "Let first and stop include a frame that is pointed at, or point at it on one of theirs.",
            )

    def end(self) -> PropagationRun | None:
        """Let it put down nothing more; returns the one that ran."""
        with self._lock:
            run, self._running = self._running, None
            return run

    def to_the_end(self, event: Propagate, progress: Progress | None, journal: Journal | None = None) -> bool:
        """Follow until it is done, or ended by a change from another thread; returns whether it is done."""
        run = self._begin(event, journal)
        for frame in self._carried_on(run):
            if progress is not None:
                progress(frame.done, frame.total)
        return run.complete

    def frames(self, event: Propagate) -> Generator[PropagatedFrame, None, None]:
        """Follow a frame whenever the next one is asked for."""
        return self._carried_on(self._begin(event))

    def _begin(self, event: Propagate, journal: Journal | None = None) -> PropagationRun:
        with self._lock:
            self._running = None
            self._running = self._changes.propagation(self._history.now.state, event, journal)
            return self._running

    def _carried_on(self, run: PropagationRun) -> Generator[PropagatedFrame, None, None]:
        """The frames as they are followed; what is found is put down in blocks, and at the end."""
        try:
            for frame in run.frames():
                if self._running is not run:
                    return
                if run.visited % BLOCK == 0:
                    self._put_down(run)
                yield frame
        finally:
            with self._lock:
                self._put_down(run)
                if self._running is run:
                    self._running = None

    def _put_down(self, run: PropagationRun) -> None:
        """Put what was followed so far into state and log, unless a change has ended the propagation."""
        with self._lock:
            if self._running is not run or not (run.visited or run.finished):
                return
            step = self._history.amend if run.put_down else self._history.add
            record, state = run.record, run.state_so_far()
            step(record, state)
            run.put_down = record
