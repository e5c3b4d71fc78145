"""What the routes call: scans, sessions and jobs, each thing done on the thread where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from zipfile import ZIP_DEFLATED, ZipFile

from starlette.concurrency import run_in_threadpool

from delineate.core.errors import PromptError
from delineate.core.prompt_log import (
    AddPrompt,
    AddPrompts,
    ChooseCandidate,
    CleanObject,
    Interpolate,
    LockObject,
    RemoveObject,
)
from delineate.io.saving import save
from delineate.predictors.frame_predictor import Predictor
from delineate.server import messages
from delineate.server.diary import Diary
from delineate.server.engine import Engine, Priority
from delineate.server.jobs import FollowJob, Jobs
from delineate.server.messages import ChangedMask
from delineate.server.models import Models
from delineate.server.scans import ScanStore
from delineate.server.sessions import LiveSession, SessionStore
from delineate.server.settings import ServerSettings
from delineate.session import FrameResult, Session

T = TypeVar("T")
EXPORTS: Final = ("nii.gz", "nii", "seg.nrrd", "nrrd", "mha", "tif", "png", "npz", "json", "frames", "manifest", "log")


class Service:
    """All that one server has.

    build  makes the predictor of a system's name
    """

    def __init__(self, settings: ServerSettings, build: Callable[[str], Predictor]) -> None:
        self.settings = settings
        self.engine = Engine(settings.max_waiting)
        self.scans = ScanStore(settings.state / "scans", settings.root, settings.max_upload, settings.max_uploads)
        self.models = Models(settings.model, build)
        self.sessions = SessionStore(
            settings.state / "sessions",
            self.scans,
            self.models,
            settings.max_sessions,
            settings.scan_bytes,
            settings.idle_seconds,
            settings.feature_bytes,
        )
        self.jobs = Jobs(self.engine)
        self.diary = Diary()

    def close(self) -> None:
        """End what runs, and let go of the files."""
        self.jobs.cancel_all()
        self.engine.close()
        self.scans.close()

    async def compute(self, work: Callable[[], T], priority: Priority = Priority.CLICK) -> T:
        """Have something done on the engine."""
        return await asyncio.wrap_future(self.engine.submit(work, priority))

    async def new_session(self, wanted: messages.NewSession) -> LiveSession:
        model = wanted.model or self.models.own
        return await self.compute(partial(self.sessions.new, wanted.scan, model, wanted.slice_axis, wanted.log))

    async def session(self, id: str) -> LiveSession:
        """A session; one that left the memory is done again on the engine."""
        live = self.sessions.in_memory(id)
        return live if live is not None else await self.compute(partial(self.sessions.get, id))

    async def act(self, id: str, act: messages.Act) -> dict[str, Any]:
        """Do one action of a person; what changed, and what was offered."""
        live = await self.session(id)

        def work() -> dict[str, Any]:
            live.require(act.revision)
            given, changed = live.change(partial(_done, act.action))
            return answer_of(live, changed) | _offered(given)

        return await self.compute(work)

    async def step(self, id: str, back: bool) -> dict[str, Any]:
        """Undo or redo one action."""
        live = await self.session(id)

        def work() -> dict[str, Any]:
            moved, changed = live.change(Session.undo if back else Session.redo)
            return answer_of(live, changed) | {"moved": moved}

        return await self.compute(work)

    async def follow(self, id: str, wanted: messages.Follow) -> FollowJob:
        """Begin a propagation."""
        live = await self.session(id)
        return await self.compute(partial(self.jobs.start, live, wanted))

    async def exported(self, id: str, kind: str, folder: Path) -> Path:
        """Outlines as a file in ``folder``; several files as one zip archive."""
        live = await self.session(id)
        return await run_in_threadpool(_export, live.session, kind, folder)

    async def look(self, live: LiveSession, frame: int) -> None:
        """Encode a frame before somebody clicks on it."""
        await self.compute(partial(live.session.look, frame), Priority.PREFETCH)


def answer_of(live: LiveSession, changed: tuple[ChangedMask, ...]) -> dict[str, Any]:
    """A session as it is, and the outlines that changed."""
    return live.state() | {"changed": [one.as_json() for one in changed]}


def _done(action: messages.Action, session: Session) -> FrameResult | str | None:
    match action:
        case AddPrompt() | AddPrompts():
            return session.prompt(action.prompts, action.object)
        case messages.Adding():
            return session.add_object(action.object, action.color, action.label)
        case RemoveObject():
            session.remove_object(action.object)
        case LockObject():
            session.lock(action.object, action.locked)
        case ChooseCandidate():
            session.choose(action.object, action.frame, action.candidate)
        case CleanObject() | Interpolate():
            session.do(action)
        case messages.Predicting():
            session.predict()
    return None


def _offered(given: FrameResult | str | None) -> dict[str, Any]:
    if isinstance(given, str):
        return {"object": given}
    if given is None:
        return {}
    scores = [] if given.candidates is None else [round(float(score), 4) for score in given.candidates.scores]
    return {
        "object": given.object,
        "frame": given.frame,
        "score": round(given.score, 4),
        "candidates": scores,
        "empty": not bool(given.mask.any()),
    }


def _export(session: Session, kind: str, folder: Path) -> Path:
    if kind not in EXPORTS:
        raise PromptError("E-SERVE-FORMAT", f"{kind!r} is no format of an export.", f"These are: {', '.join(EXPORTS)}.")
    if kind == "manifest":
        return _text(folder / "outlines.manifest.json", session.manifest().model_dump_json(indent=1))
    if kind == "log":
        return _text(folder / "outlines.prompts.json", session.log.to_json())
    target = folder / ("frames" if kind == "frames" else f"outlines.{kind}")
    save(session.segmentation, target, session.scan)
    return _packed(target) if target.is_dir() else target


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _packed(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with ZipFile(archive, "w", ZIP_DEFLATED) as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, file.relative_to(folder))
    return archive
