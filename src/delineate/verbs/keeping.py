"""What a long run keeps while it goes on, so that a run that was stopped goes on with exactly the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from delineate.core.errors import OutputError, PromptError
from delineate.core.json_file import read_json
from delineate.core.prompt_log import Event, PromptLog, Propagate
from delineate.core.terminal_text import excerpt
from delineate.io.atomic import write_bytes
from delineate.session import Session
from delineate.session.journal import Journal

ENDING: Final = ".resume.json"
EVERY: Final = 64  # frames between two times; a multiple of those after which a session puts down what it found
SHARE: Final = 0.1  # of the time that keeping may take


class Kept(BaseModel):
    """A run on its way: what was prompted, by which model, and the journals of what was followed."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["delineate-resume/1"] = "delineate-resume/1"
    software: str
    weights: str
    log: PromptLog
    journals: list[Journal] = Field(default_factory=list)

    @classmethod
    def of(cls, session: Session) -> Self:
        """Of a session before anything was followed."""
        return cls(software=_software(), weights=session.predictor.record.sha256, log=session.log)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OutputError where no run was stopped, or by another version."""
        if not path.is_file():
            raise OutputError(
                "E-RESUME-NONE",
                f"There is no stopped run to go on with: {path.name} is missing.",
                "Leave --resume out.",
            )
        about = ("E-RESUME", "what a stopped run keeps", "Leave --resume out.", OutputError)
        then, now = read_json(path, _Origin, *about).software, _software()
        if then != now:
            raise OutputError(
                "E-RESUME-OTHER",
                f"A run of {excerpt(then)} was stopped here, and this is {now}: the rest might differ.",
                "Begin it anew with --overwrite in place of --resume, or go on with the version of then.",
            )
        return read_json(path, cls, *about)

    def require_same(self, now: Kept) -> None:
        """Raise PromptError, naming what differs, if another run was stopped."""
        pairs = {
            "the model": ((self.log.model, self.weights), (now.log.model, now.weights)),
            "the scan": (self.log.scan_sha256, now.log.scan_sha256),
            "what is prompted": (self.log.events, now.log.events),
        }
        different = [what for what, (then, here) in pairs.items() if then != here]
        if different:
            text = f"Another run was stopped here: {', '.join(different)} differs."
            raise PromptError(
                "E-RESUME-OTHER", text, "Give the same command as then, or --overwrite in place of --resume."
            )


class _Origin(BaseModel):
    """What is read first of a stopped run, whatever version kept it."""

    software: str


def _software() -> str:
    return f"delineate {version('delineate')}"


class Keeper:
    """Keeps a run while it goes on.

    file     where; removed when the run has come to its end
    so_far   writes the outlines as they stand; called with the frames done and all there are
    resumed  go on with what is kept there. Raises OutputError or PromptError where that is of another run
    """

    def __init__(
        self, file: Path, session: Session, so_far: Callable[[int, int], None], resumed: bool, every: int = EVERY
    ) -> None:
        self._file, self._so_far, self._every = file, so_far, every
        self._kept = Kept.of(session)
        if resumed:
            before = Kept.read(file)
            before.require_same(self._kept)
            self._kept = before
        elif file.exists() and not file.read_bytes()[:64].lstrip().startswith(b'{"format":"delineate-resume/'):
            raise OutputError(
                "E-OUTPUT-FOREIGN", f"{file} was not written by this program.", "Move it, or choose another -o."
            )
        self._again = len(self._kept.journals[-1].visited) if self._kept.journals else 0
        self._next, self._frames, self._waits = 0, 0, time.monotonic()

    def journal(self, event: Event) -> Journal | None:
        """The journal of the next event; None where it follows nothing."""
        if not isinstance(event, Propagate):
            return None
        if self._next == len(self._kept.journals):
            self._kept.journals.append(Journal(event=event))
        found = self._kept.journals[self._next]
        if found.event != event:
            raise PromptError(
                "E-RESUME-OTHER", "Another run was stopped here: it followed otherwise.", "Leave --resume out."
            )
        self._next += 1
        self._frames = 0
        return found

    def tick(self, done: int, total: int) -> None:
        """A frame was done: keep all, now and then."""
        self._frames += 1
        if self._frames <= self._again and self._next == len(self._kept.journals):
            return  # what the stopped run had done is only read
        if self._frames % self._every == 0 and time.monotonic() >= self._waits:
            began = time.monotonic()
            self.keep()
            self._so_far(done, total)
            took = time.monotonic() - began
            self._waits = time.monotonic() + took / SHARE

    def keep(self) -> None:
        """Write down how far the run has come."""
        if self._next:
            self._kept.journals[self._next - 1].stand()
        write_bytes(self._file, self._kept.model_dump_json().encode())

    def done(self) -> None:
        """The run has come to its end."""
        self._file.unlink(missing_ok=True)
