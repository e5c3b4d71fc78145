"""The states a session went through, as many as fit in a number of bytes; the others are computed from the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from delineate.core.prompt_log import Event, PromptLog
from delineate.session.features import MOST_BYTES
from delineate.session.state import SessionState

HISTORY_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class SessionLimits:
    """What a session may keep in memory.

    history_bytes  states one can go back to at once, as run lengths; older ones are computed from the log when one
                   goes back to them. The state as it stands and its log are kept whatever they take
    feature_bytes  encoded frames and logits, where the session is given no FeatureStore that it shares
    """

    history_bytes: int = HISTORY_BYTES
    feature_bytes: int = MOST_BYTES


@dataclass(frozen=True, eq=False)
class HistoryEntry:
    """What there is at one moment: the log, and the state that its events in force led to."""

    log: PromptLog
    state: SessionState


class History:
    """Where a session is, and where it was.

    after  the state an event (its number in the log is given too) makes of the state before it
    now    replaced as a whole, so that it can be read at any time; changes need the session's lock
    """

    def __init__(
        self, now: HistoryEntry, limit: int, after: Callable[[SessionState, Event, int], SessionState]
    ) -> None:
        self.now = now
        self._limit, self._after = limit, after
        self._states = {0: now.state}
        self._costs = {0: 0}

    @property
    def nbytes(self) -> int:
        """About how much the states that are kept take."""
        return sum(self._costs.values())

    def add(self, event: Event, state: SessionState) -> None:
        """A step on; what had been undone is forgotten."""
        self._step(self.now.log.adding(event), state)

    def amend(self, event: Event, state: SessionState) -> None:
        """The last step in another form: it has gone on."""
        self._step(self.now.log.with_last(event), state)

    def begin_at(self, log: PromptLog, state: SessionState) -> None:
        """Go on from a state that is known already; those before it are computed from the log when needed."""
        self._keep(log.done, state)
        self.now = HistoryEntry(log, state)

    def undo(self) -> bool:
        """A step back; False if there is none."""
        if not self.now.log.can_undo:
            return False
        self._go_to(self.now.log.undone())
        return True

    def redo(self) -> bool:
        """The step that was taken back last; False if there is none."""
        if not self.now.log.can_redo:
            return False
        self._go_to(self.now.log.redone())
        return True

    def state_at(self, done: int) -> SessionState:
        """The state after so many events: kept, or computed from the nearest one before it that is."""
        at = max(number for number in self._states if number <= done)
        state = self._states[at]
        for number in range(at + 1, done + 1):
            state = self._after(state, self.now.log.events[number - 1], number)
        return state

    def _step(self, log: PromptLog, state: SessionState) -> None:
        for number in [n for n in self._states if n >= log.done]:
            del self._states[number], self._costs[number]
        self._keep(log.done, state)
        self.now = HistoryEntry(log, state)

    def _go_to(self, log: PromptLog) -> None:
        state = self.state_at(log.done)
        if log.done not in self._states:
            self._keep(log.done, state)
        self.now = HistoryEntry(log, state)

    def _keep(self, done: int, state: SessionState) -> None:
        """Keep a state, and let go of those farthest from it where that is too much."""
        self._states[done] = state
        self._states = dict(sorted(self._states.items()))
        self._count(done)
        while self.nbytes > self._limit and (others := [n for n in self._states if n not in (0, done)]):
            farthest = max(others, key=lambda number: abs(number - done))
            after = next((n for n in self._states if n > farthest), None)
            del self._states[farthest], self._costs[farthest]
            if after is not None:
                self._count(after)

    def _count(self, number: int) -> None:
        """The bytes of a state that the kept one before it does not share."""
        place = max((n for n in self._states if n < number), default=None)
        state, before = self._states[number], None if place is None else self._states[place]
        shared = set() if before is None else {id(part) for part, _ in before.parts(beside=state)}
        own = {id(part): size for part, size in state.parts(beside=before) if id(part) not in shared}
        self._costs[number] = sum(own.values())
