"""The verb ``segment``: what is prompted, outlined everywhere, with the record that does it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from delineate.core.errors import OutputError
from delineate.core.manifest import Manifest, RunRecord, StopRecord
from delineate.core.prompt_log import Event, PromptLog
from delineate.core.scan import Scan, ScanKind
from delineate.io.naming import beside, default_output
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_film, save_preview
from delineate.io.saving import outline_files, output_record, overlap_notices, write_manifest, write_outlines
from delineate.io.writers.nifti import HEADER_KEPT, require_header
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session
from delineate.session.answering import class_names
from delineate.tracking.guards import GuardSettings
from delineate.verbs.keeping import ENDING, Keeper
from delineate.verbs.outcome import done_as_far_as_possible, unfinished
from delineate.verbs.remarks import remarks_of
from delineate.verbs.request import (
    ModelChoice,
    ModelName,
    OutputChoice,
    Progress,
    Request,
    RunResult,
    format_of,
    recorded,
)
from delineate.verbs.routing import routed
from delineate.verbs.second_opinion import opinion_notices, second_model, with_second_opinion
from delineate.verbs.starting import Start, continued, start_files
from delineate.verbs.targets import Between, as_drawn, propagations, require_followed, target_prompts
from delineate.verbs.targets import SegmentTarget as SegmentTarget


class SegmentRequest(Request):
    """Everything ``segment`` needs to know.

    asked  a structure with its prompts, or several, or the log of an earlier session
    start  what to go on from: the manifest of an earlier run, or a file of labels
    force  apply a log that was made on another file
    """

    input: Path
    reading: ReadOptions = ReadOptions()
    model: ModelChoice = ModelChoice()
    asked: SegmentTarget | tuple[SegmentTarget, ...] | PromptLog
    start: Path | None = Field(default=None, description="The manifest of an earlier run, or a file of labels.")
    undo: int = Field(default=0, ge=0, description="Of an earlier run: the last things done that are taken back.")
    between: Between = Field(
        default=Between.INTERPOLATE, description="Of a file of labels: how slices between drawn ones are outlined."
    )
    guards: GuardSettings | None = None
    second_opinion: ModelName | None = Field(
        default=None, description='Asked about the outlines; "": lite_medsam, or quill where that answers.'
    )
    output: OutputChoice = OutputChoice()
    resume: bool = Field(default=False, description="Go on with exactly the rest of a run that was stopped.")
    force: bool = False

    @property
    def targets(self) -> tuple[SegmentTarget, ...]:
        """The structures that are pointed at; none where a log says all."""
        match self.asked:
            case PromptLog():
                return ()
            case SegmentTarget():
                return (self.asked,)
        return self.asked

    @property
    def names(self) -> tuple[str, ...]:
        """The structures there will be."""
        if isinstance(self.asked, PromptLog):
            return self.asked.objects
        return tuple(dict.fromkeys(target.name for target in self.targets))

    @property
    def prompts_nothing(self) -> bool:
        """Whether nothing says where a structure is: enough for a model with classes of its own."""
        nothing = not any(target.says_where for target in self.targets)
        return nothing and self.start is None and not isinstance(self.asked, PromptLog)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Every file that is read."""
        own = tuple(file for target in self.targets for file in (target.mask, target.markers))
        return (self.input, *self.model.files, *own, *start_files(self.start))


@dataclass(frozen=True, eq=False)
class SegmentResult(RunResult):
    """And the session as it ended."""

    session: Session


def segment(
    request: SegmentRequest,
    progress: Progress | None = None,
    check: Callable[[Predictor], None] | None = None,
    inputs: tuple[Path | None, ...] = (),
    build: Callable[[ModelChoice], Predictor] = ModelChoice.build,
) -> SegmentResult:
    """Outline what is prompted, follow it, and write outlines, manifest, preview and film: all of them or none.

    Where a frame that cannot be read, or whatever else, stops a structure from being followed, what was outlined until
    then is written, and the manifest says what stopped it (``Outcome.PARTIAL``).

    Parameters
    ----------
    request
        What is asked.
    progress
        Called with (frames done, all) while a structure is followed.
    check
        Called with the model before it is used; may refuse it.
    inputs
        Further files that must not be written to, such as the one the prompts came from.
    build
        Where the model comes from, for who runs several and builds each once.

    Raises
    ------
    DelineateError
        If the scan cannot be read, the prompts do not fit it, the model is missing, or an output must not be written.
    """
    scan = open_scan(request.input, request.reading)
    request, why = routed(request, scan)
    target = request.output.path or default_output(scan)
    if request.output.keep_header:
        require_header(target, scan)
        scan = scan.with_notices(HEADER_KEPT)
    predictor = build(request.model) if request.output.split and request.prompts_nothing else None
    names = request.names if predictor is None else class_names(predictor)
    outlines = outline_files(target, scan.kind, names if request.output.split else None)
    manifest_file, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    require_film(request.output, scan)
    film = beside(target, ".film.mp4") if request.output.film else None
    require_no_stale_film(beside(target, ".film.mp4"), film is not None)
    files = (*outlines, manifest_file, preview, *([film] if film is not None else []))
    with Outputs(files, (*request.files, *inputs), request.output.overwrite or request.resume) as outputs:
        predictor = predictor or build(request.model)
        if check is not None:
            check(predictor)
        second = second_model(request, check)
        session, events = _session(request, scan, predictor, progress)

        def staged(stopped: StopRecord | None) -> Manifest:
            """The outlines as they stand, and the record of them."""
            keep_header = request.output.keep_header
            write_outlines(session.segmentation, outlines, session.scan, outputs, keep_header=keep_header)
            records = [output_record(outputs.stage(file), format_of(file)) for file in outlines]
            run = _run_record(request, session).model_copy(update={"routed": why})
            return session.manifest(records).model_copy(update={"run": run, "stopped": stopped})

        def so_far(done: int, total: int) -> None:
            write_manifest(staged(unfinished(done, total)), outputs.stage(manifest_file))
            outputs.put()

        keeper = Keeper(beside(target, ENDING), session, so_far, request.resume)
        stopped = done_as_far_as_possible(session, events, progress, keeper)
        manifest = with_second_opinion(staged(stopped), session, second, progress)
        if manifest.stopped is not None:
            keeper.keep()
        write_manifest(manifest, outputs.stage(manifest_file))
        save_preview(session.scan, session.segmentation, outputs.stage(preview), remarks_of(session, manifest.objects))
        if film is not None:
            save_film(session.scan, session.segmentation, outputs.stage(film))
        lost = overlap_notices(session.segmentation, outlines)
        notices = (*session.notices, *opinion_notices(predictor, second), *lost)
    if manifest.stopped is None:
        keeper.done()
    return SegmentResult(session.scan, notices, manifest, files, manifest_file, request.model, session)


def require_film(output: OutputChoice, scan: Scan) -> None:
    """Raise OutputError for a film of what does not move."""
    if output.film and scan.kind is not ScanKind.VIDEO:
        text = f"A film is made of a video, and this is {scan.kind.with_article}: there is none."
        raise OutputError("E-NO-FILM", text, "Leave --film out; the preview shows the outlines.")


def require_no_stale_film(path: Path, written: bool) -> None:
    """Raise OutputError for a film of an earlier run that would stand beside the outlines of this one."""
    if path.exists() and not written:
        raise OutputError(
            "E-OUTPUT-RECORD", f"{path} shows an earlier run.", "Give --film too, move it away, or choose another -o."
        )


def _session(
    request: SegmentRequest, scan: Scan, predictor: Predictor, progress: Progress | None
) -> tuple[Session, Sequence[Event]]:
    """The scan with what is prompted outlined, and the events that are still to be done."""
    if isinstance(request.asked, PromptLog):
        session = Session.for_log(scan, request.asked, predictor, request.force, request.guards)
        return session, request.asked.current
    wanted, told = as_drawn(request.targets, scan)
    scan = scan.with_notices(*told)
    if request.start is not None:
        targets = tuple(target for target in wanted if target.says_where or target.limit is not None)
        require_followed(targets, scan)
        return continued(
            Start(request.start, request.undo, request.between, request.force),
            targets,
            scan,
            predictor,
            request.guards,
            progress,
        )
    dense = predictor.capabilities.scope is Scope.DENSE
    pointed = () if dense and request.prompts_nothing else wanted
    given = [(target, *target_prompts(target, scan)) for target in pointed]
    require_followed(wanted, scan)
    session = Session(
        scan.with_notices(*(notice for *_, notices in given for notice in notices)), predictor, request.guards
    )
    begin = [session.prediction] if dense and not given else []
    if dense and given:
        session.predict(progress)
    for target, prompts, _ in given:
        if target.name not in session.segmentation:
            session.add_object(target.name)
        session.prompt_all(prompts, target.name, target.one_by_one)
    return session, [*begin, *(propagations(session, wanted) if len(scan) > 1 else ())]


def _run_record(request: SegmentRequest, session: Session) -> RunRecord:
    fields = recorded(request.reading, request.model, request.output, session.scan)
    return RunRecord(guards=asdict(session.guards), **fields)
