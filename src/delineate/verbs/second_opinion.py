"""``--second-opinion`` of ``segment``: another model is asked about the outlines, and its agreement counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from delineate.core.errors import Notice, PromptError, foreseen
from delineate.core.manifest import Manifest, StopRecord
from delineate.predictors.capabilities import PromptKind, Scope
from delineate.predictors.frame_predictor import FramePredictor, Predictor
from delineate.predictors.second_opinion import OpinionTable, opinion_table
from delineate.session import Session
from delineate.session.second_opinion import opinions, with_opinions
from delineate.systems.registry import SHIPPED
from delineate.verbs.outcome import interrupted

if TYPE_CHECKING:
    from delineate.verbs.request import Progress
    from delineate.verbs.segment import SegmentRequest

SECOND: Final = "lite_medsam"  # where nobody named one


def second_model(request: SegmentRequest, check: Callable[[Predictor], None] | None = None) -> FramePredictor | None:
    """The second model, where one is wanted.

    Raises PromptError where it is the first one again or takes no boxes, ModelError where it is not on this machine.
    """
    if request.second_opinion is None:
        return None
    name = request.second_opinion or (SHIPPED if request.model.name == SECOND else SECOND)
    if name == request.model.name:
        raise PromptError(
            "E-SECOND-OPINION", f"{name} cannot give a second opinion on itself.", "Name another: --second-model NAME"
        )
    second = request.model.model_copy(update={"name": name, "system": None, "adapter": None, "variant": ""}).build()
    if second.capabilities.scope is not Scope.FRAME or PromptKind.BOX not in second.capabilities.prompts:
        raise PromptError(
            "E-SECOND-OPINION",
            f"{name} is not prompted with boxes on frames, as a second opinion is asked for.",
            "Name one that is: delineate systems",
        )
    if check is not None:
        check(second)
    return cast(FramePredictor, second)


def with_second_opinion(
    manifest: Manifest, session: Session, second: FramePredictor | None, progress: Progress | None = None
) -> Manifest:
    """The manifest with what the second model makes of the outlines; as it is where none was asked.

    Of outlines that are partial, or where the second model fails or a person stops it, nothing is said but that: the
    outlines stand, and ``stopped`` says why there is no opinion on them.
    """
    if second is None:
        return manifest
    name = second.record.name
    notices = [*manifest.notices, *(notice.message for notice in opinion_notices(session.predictor, second))]
    run = None if manifest.run is None else manifest.run.model_copy(update={"second_opinion": name})
    manifest = manifest.model_copy(update={"second_opinion": second.record, "notices": notices, "run": run})
    if manifest.stopped is not None:
        return manifest
    done, total = 0, 0

    def counted(now: int, all: int) -> None:
        nonlocal done, total
        done, total = now, all
        if progress is not None:
            progress(now, all)

    try:
        found = opinions(session, second, _measured(session.predictor, second), counted)
    except (KeyboardInterrupt, Exception) as stop:
        return manifest.model_copy(update={"stopped": _stopped(name, stop, done, total)})
    objects = [with_opinions(one, found.get(one.name, {}), name) for one in manifest.objects]
    return manifest.model_copy(update={"objects": objects})


def _stopped(name: str, stop: BaseException, done: int, total: int) -> StopRecord:
    """Why there is no second opinion: a person stopped it, or the second model failed."""
    if isinstance(stop, KeyboardInterrupt):
        return interrupted(f"The second opinion of {name}", stop, done, total)
    known = foreseen(cast(Exception, stop))
    text = f"{name} gave no second opinion: {known.message}"
    return StopRecord(code=known.code, message=text, hint=known.hint, done=done, total=total)


def opinion_notices(first: Predictor, second: Predictor | None) -> tuple[Notice, ...]:
    """What a person should know of a second opinion: whether anything was measured of these two models."""
    if second is None or _measured(first, second) is not None:
        return ()
    text = f"How right {first.record.name} is where {second.record.name} agrees was not measured"
    return (Notice("W-SECOND-OPINION", f"{text}: its confidence is its own."),)


def _measured(first: Predictor, second: Predictor) -> OpinionTable | None:
    """What was measured of these two models, of these very weights; None if nothing was."""
    table = opinion_table()
    weights = {one.record.name: one.record.sha256 for one in (first, second)}
    same = (table.first, table.second) == (first.record.name, second.record.name)
    return table if same and table.models == weights else None
