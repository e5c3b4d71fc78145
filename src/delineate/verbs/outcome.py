"""How a run that outlines ended: to its end, with nothing found, or stopped on its way with what was done till then."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from delineate.core.errors import DelineateError, InputError, PromptError, foreseen
from delineate.core.manifest import Manifest, StopRecord
from delineate.core.prompt_log import Event, Predict, Propagate
from delineate.core.scan import ScanKind
from delineate.session import Session
from delineate.session.changes import Progress
from delineate.verbs.keeping import Keeper

SKIP: Final = "--skip-damaged"
INTERRUPTED: Final = "E-INTERRUPTED"
RESUME: Final = "Go on with the same command and --resume."


class Outcome(StrEnum):
    """Programs choose by it what to do next; the command line has an exit code for each."""

    DONE = "done"
    EMPTY = "empty"  # no pixel of any structure
    PARTIAL = "partial"  # stopped on the way; what was outlined until then is kept

    @classmethod
    def of(cls, manifest: Manifest) -> Outcome:
        if manifest.stopped is not None:
            return cls.PARTIAL
        return cls.DONE if any(one.pixels for one in manifest.objects) else cls.EMPTY


def done_as_far_as_possible(
    session: Session, events: Iterable[Event], progress: Progress | None = None, keeper: Keeper | None = None
) -> StopRecord | None:
    """Do events one after the other; gives what stopped a structure from being followed, None if nothing did.

    KeyboardInterrupt stops it too, as the command line raises it for Ctrl+C and TERM. ``keeper`` keeps what it takes to
    go on.

    What was outlined and followed until then stays in the session, to be written as a partial result. What is wrong
    with a prompt, or with a way of following that the model does not have, is raised: nothing was done then.
    """
    done, total = 0, 0

    def counted(now: int, all: int) -> None:
        nonlocal done, total
        done, total = now, all
        if keeper is not None:
            keeper.tick(now, all)
        if progress is not None:
            progress(now, all)

    for event in events:
        done, total = 0, 0
        try:
            session.do(event, counted, None if keeper is None else keeper.journal(event))
        except PromptError:
            raise
        except KeyboardInterrupt as stop:
            if keeper is None or not isinstance(event, Propagate):
                raise
            keeper.keep()
            return interrupted("The run", stop, done, total)
        except Exception as error:
            outlined = any(one.area for one in session.segmentation.objects)
            if not isinstance(event, Propagate | Predict) or not outlined:
                raise
            known = foreseen(error)
            hint = _way_on(known, session)
            if keeper is not None:
                keeper.keep()
            return StopRecord(code=known.code, message=known.message, hint=hint, done=done, total=total)
    return None


def interrupted(what: str, stop: KeyboardInterrupt, done: int, total: int) -> StopRecord:
    """What a person stopped, by which signal."""
    text = f"{what} was interrupted: {stop or 'Ctrl+C'}."
    return StopRecord(code=INTERRUPTED, message=text, hint=RESUME, done=done, total=total)


def unfinished(done: int, total: int) -> StopRecord:
    """What the record of a run says while the run goes on; it stays so where the machine fails."""
    return StopRecord(code="E-UNFINISHED", message="The run had not ended.", hint=RESUME, done=done, total=total)


def _way_on(error: DelineateError, session: Session) -> str:
    """What to do, with the option that goes on without a frame where there is one."""
    goes_on = isinstance(error, InputError) and session.scan.kind is ScanKind.VIDEO
    if goes_on and SKIP not in error.hint:
        return f"{error.hint} To go on without the frame: {SKIP}.".lstrip()
    return error.hint
