"""Sessions by their id: in memory while they are used, on disk as their log after every answer."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from delineate.core.json_file import read_json
from delineate.core.prompt_log import AddPrompt, AddPrompts, PromptLog
from delineate.core.prompts import Example, Mask
from delineate.core.rle import Rle
from delineate.core.segmentation import Segmentation
from delineate.io.atomic import write_bytes
from delineate.predictors.frame_predictor import Predictor
from delineate.server.messages import ChangedMask
from delineate.server.models import Models
from delineate.server.problems import RefusalError, not_found
from delineate.server.scans import ScanStore
from delineate.session import Session
from delineate.session.features import FeatureStore

T = TypeVar("T")
L = TypeVar("L")
Listener = Callable[[dict[str, Any], tuple[ChangedMask, ...]], None]


class KeptSession(BaseModel):
    """A session on the disk."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["delineate-server-session/1"] = "delineate-server-session/1"
    scan: str
    model: str
    revision: int = Field(ge=0)
    log: PromptLog


@dataclass(eq=False)
class LiveSession:
    """A session that clients share.

    revision  grows with every change; ``stamps`` say at which one an outline changed last
    """

    id: str
    scan_id: str
    session: Session
    model: str
    place: Path
    revision: int = 0
    last_used: float = field(default_factory=time.monotonic)
    stamps: dict[tuple[str, int], int] = field(default_factory=dict)
    listeners: set[Listener] = field(default_factory=set)
    busy: int = 0  # propagations that run

    def __post_init__(self) -> None:
        self._seen = Segmentation.empty(self.session.scan)
        self._state: tuple[tuple[object, ...], dict[str, Any]] | None = None
        self._prompts: dict[int, tuple[AddPrompt | AddPrompts, list[dict[str, Any]]]] = {}

    def change(self, do: Callable[[Session], T]) -> tuple[T, tuple[ChangedMask, ...]]:
        """Do something to the session; returns what it gave, and the outlines that are not as before.

        The log is on the disk when this returns.
        """
        given = do(self.session)
        return given, self.take_in()

    @property
    def has_news(self) -> bool:
        """Whether there are outlines that clients do not know of."""
        return self.session.segmentation is not self._seen

    def take_in(self) -> tuple[ChangedMask, ...]:
        """The outlines that changed since the last call; revision, stamps, disk and listeners know of them."""
        before, self._seen = self._seen, self.session.segmentation
        changed = tuple(_differences(before, self._seen))
        self.revision += 1
        self.stamps |= {(one.object, one.frame): self.revision for one in changed}
        self.save()
        if self.listeners:
            self.tell({"kind": "changed", **self.state()}, changed)
        return changed

    def require(self, revision: int | None) -> None:
        """Raise RefusalError (409) where a client has not seen the newest state."""
        if revision is not None and revision != self.revision:
            text = f"The session is at revision {self.revision}, the request at {revision}."
            raise RefusalError(
                "E-SERVE-STALE", text, "Ask for the masks since your revision, and try again.", status=409
            )

    def masks(self, since: int = 0) -> tuple[ChangedMask, ...]:
        """The outlines that changed after a revision; those that are gone are empty."""
        now = self.session.segmentation
        wanted = self.stamps if since else {key: 0 for key in self.stamps if key[0] in now}
        return tuple(_mask_of(now, name, frame) for (name, frame) in wanted if self.stamps[name, frame] > since)

    def state(self) -> dict[str, Any]:
        """What there is, without the outlines; computed once a change."""
        log, now = self.session.log, self.session.segmentation
        of = (self.revision, log, now)
        known = self._state
        if known is None or any(a is not b for a, b in zip(known[0], of, strict=True)):
            known = self._state = (of, self._described(log, now))
        return dict(known[1])

    def _described(self, log: PromptLog, now: Segmentation) -> dict[str, Any]:
        names = set(now.names)
        return {
            "id": self.id,
            "scan": self.scan_id,
            "model": self.model,
            "slice_axis": self.session.scan.slice_axis,
            "revision": self.revision,
            "can_undo": log.can_undo,
            "can_redo": log.can_redo,
            "objects": [
                {
                    "name": one.name,
                    "label": one.label,
                    "color": one.color,
                    "locked": one.locked,
                    "prompted": sorted(self.session.tracks[one.name].prompted),
                    "scores": {frame: round(one.scores.get(frame, 0.0), 4) for frame in one.frames},
                    "volume_mm3": now.volume_mm3(one.name),
                }
                for one in now.objects
            ],
            "prompts": [
                one
                for event in log.current
                if isinstance(event, AddPrompt | AddPrompts) and event.object in names
                for one in self._shown(event)
            ],
            "notices": [notice.message for notice in self.session.notices],
        }

    def _shown(self, event: AddPrompt | AddPrompts) -> list[dict[str, Any]]:
        """An event's prompts as a page draws them: without masks and pictures."""
        known = self._prompts.get(id(event))
        if known is None or known[0] is not event:
            shown = [
                {"object": event.object, "prompt": prompt.model_dump(mode="json")}
                for prompt in event.prompts
                if not isinstance(prompt, Mask | Example)
            ]
            known = self._prompts[id(event)] = (event, shown)
        return known[1]

    def tell(self, message: dict[str, Any], changed: tuple[ChangedMask, ...] = ()) -> None:
        """Send a message to everybody who looks at the session."""
        for listener in tuple(self.listeners):
            listener(message, changed)

    def save(self) -> None:
        """Put the log on the disk, whole or not at all."""
        record = KeptSession(scan=self.scan_id, model=self.model, revision=self.revision, log=self.session.log)
        write_bytes(self.place, record.model_dump_json(exclude_none=True).encode())


class SessionStore:
    """Sessions by id; those that were not used for long, or do not fit in memory, wait on the disk as their log."""

    def __init__(
        self,
        folder: Path,
        scans: ScanStore,
        models: Models,
        most: int = 64,
        scan_bytes: int = 2**31,
        idle_seconds: float = 1800.0,
        feature_bytes: int = 2**29,
    ) -> None:
        self._folder, self._scans, self._models = folder, scans, models
        self._most, self._scan_bytes, self._idle_seconds = most, scan_bytes, idle_seconds
        self._features = FeatureStore(feature_bytes)
        self._live: dict[str, LiveSession] = {}
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def new(self, scan_id: str, model: str, slice_axis: int | None, log: PromptLog | None) -> LiveSession:
        """A new session; call it on the engine. Raises RefusalError (503) where every session in memory is at work."""
        with self._room():
            id = secrets.token_hex(16)
            if log is not None and slice_axis is None:
                slice_axis = log.slice_axis
            live = self._made(id, scan_id, model, slice_axis, log)
            live.take_in()
            self._live[id] = live
            return live

    def get(self, id: str) -> LiveSession:
        """A session, in memory or from the disk; call it on the engine where it may have to be done again.

        Raises RefusalError (404).
        """
        with self._lock:
            if (live := self._live.get(id)) is not None:
                live.last_used = time.monotonic()
                return live
        with self._room():
            self._live[id] = self._revived(id)
            return self._live[id]

    def in_memory(self, id: str) -> LiveSession | None:
        """A session that needs not be done again."""
        with self._lock:
            if (live := self._live.get(id)) is not None:
                live.last_used = time.monotonic()
            return live

    def remove(self, id: str) -> None:
        """Forget a session, on the disk too. Raises RefusalError (404)."""
        with self._lock:
            place = self._place(id)
            if self._live.pop(id, None) is None and not place.exists():
                raise not_found("session", id)
            place.unlink(missing_ok=True)

    def lease(self, make: Callable[[Predictor, FeatureStore], L], model: str) -> L:
        """What another protocol keeps for a client, with a predictor and the features that all share."""
        with self._lock:
            return make(self._models.predictor(model), self._features)

    def __len__(self) -> int:
        return len(self._live)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Room for one session more; the ones that were used longest ago leave the memory."""
        with self._lock:
            now = time.monotonic()
            idle = sorted((one for one in self._live.values() if not one.busy), key=lambda one: one.last_used)
            for one in idle:
                full = len(self._live) >= self._most or self._held() > self._scan_bytes
                if full or (now - one.last_used > self._idle_seconds and not one.listeners):
                    del self._live[one.id]
            self._held()
            if len(self._live) >= self._most:
                text = f"All {self._most} sessions follow structures just now."
                raise RefusalError("E-SERVE-FULL", text, "Try again in a few seconds.", status=503, retry_after=5)
            yield

    def _held(self) -> int:
        """Bytes of the scans in memory, once those are forgotten that no session here needs and that do not fit."""
        return self._scans.trim(self._scan_bytes, {one.scan_id for one in self._live.values()})

    def _made(self, id: str, scan_id: str, model: str, slice_axis: int | None, log: PromptLog | None) -> LiveSession:
        scan = self._scans.get(scan_id, slice_axis).scan
        predictor = self._models.predictor(model)
        if log is None:
            session = Session(scan, predictor, features=self._features)
        else:
            session = Session.replay(scan, log, predictor, features=self._features)
        return LiveSession(id, scan_id, session, model, self._place(id))

    def _revived(self, id: str) -> LiveSession:
        place = self._place(id)
        if not place.is_file():
            raise not_found("session", id)
        hint = "Begin a session anew; what was kept of this one is removed by DELETE."
        record = read_json(place, KeptSession, "E-SERVE-DAMAGED", "a session that was kept", hint)
        live = self._made(id, record.scan, record.model, record.log.slice_axis, record.log)
        live.revision = record.revision
        live.take_in()
        return live

    def _place(self, id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{32}", id):
            raise not_found("session", id)
        return self._folder / f"{id}.json"


def _differences(before: Segmentation, after: Segmentation) -> Iterator[ChangedMask]:
    """The outlines that are not the same in both, as they are afterwards."""
    for name in dict.fromkeys((*before.names, *after.names)):
        old = before[name].masks if name in before else {}
        new = after[name].masks if name in after else {}
        for frame in sorted(old.keys() | new.keys()):
            one, other = old.get(frame), new.get(frame)
            if one is not other and one != other:
                yield _mask_of(after, name, frame)


def _mask_of(segmentation: Segmentation, name: str, frame: int) -> ChangedMask:
    height, width = segmentation.frame_shape
    empty = Rle(height, width, np.array([height * width]))
    if name not in segmentation:
        return ChangedMask(name, frame, empty, 0.0)
    one = segmentation[name]
    return ChangedMask(name, frame, one.masks.get(frame, empty), one.scores.get(frame, 0.0))
