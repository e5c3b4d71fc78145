"""The verb ``segment``: what is prompted, outlined everywhere, with the record that does it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from delineate.core.errors import Notice, OutputError, PromptError
from delineate.core.manifest import RunRecord
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Prompt
from delineate.core.propagation_options import PropagationOptions
from delineate.core.scan import Scan, ScanKind
from delineate.io.naming import beside, default_output
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_film, save_preview
from delineate.io.saving import outline_files, output_record, write_manifest, write_outlines
from delineate.io.writers.nifti import HEADER_KEPT, require_header
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session
from delineate.session.answering import class_names
from delineate.tracking.guards import GuardSettings
from delineate.verbs.prompt_files import marker_prompts, mask_prompt
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
from delineate.verbs.second_opinion import second_model, with_second_opinion

_A = {ScanKind.IMAGE: "an image", ScanKind.VOLUME: "a volume"}


class SegmentTarget(Request):
    """One structure, and what says where it is."""

    name: str = "structure"
    prompts: tuple[Prompt, ...] = ()
    mask: Path | None = Field(default=None, description="A file with its outline on one frame.")
    markers: Path | None = Field(default=None, description="A volume with marks on some slices.")
    frame: int | None = Field(default=None, description="The slice of the mask file that is meant.")
    mask_label: int | None = Field(default=None, description="Which of several labels in the mask or the markers.")
    one_by_one: bool | None = Field(
        default=None,
        description="Answer prompts on one frame one after the other, or as one query; default: as suits the model.",
    )
    propagate: bool = Field(default=True, description="Follow it to the other frames.")
    following: PropagationOptions | None = None


class SegmentRequest(Request):
    """Everything ``segment`` needs to know.

    asked  one structure with its prompts, or the log of an earlier session
    force  apply a log that was made on another file
    """

    input: Path
    reading: ReadOptions = ReadOptions()
    model: ModelChoice = ModelChoice()
    asked: SegmentTarget | PromptLog
    guards: GuardSettings | None = None
    second_opinion: ModelName | None = Field(
        default=None, description='Asked about the outlines; "": lite_medsam, or quill where that answers.'
    )
    output: OutputChoice = OutputChoice()
    force: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The structures there will be."""
        return self.asked.objects if isinstance(self.asked, PromptLog) else (self.asked.name,)

    @property
    def prompts_nothing(self) -> bool:
        """Whether nothing says where a structure is: enough for a model with classes of its own."""
        asked = self.asked
        return isinstance(asked, SegmentTarget) and not (asked.prompts or asked.mask or asked.markers)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Every file that is read."""
        own = (self.asked.mask, self.asked.markers) if isinstance(self.asked, SegmentTarget) else ()
        return (self.input, *self.model.files, *own)


@dataclass(frozen=True, eq=False)
class SegmentResult(RunResult):
    """And the session as it ended."""

    session: Session


def segment(
    request: SegmentRequest,
    progress: Progress | None = None,
    check: Callable[[Predictor], None] | None = None,
    inputs: tuple[Path | None, ...] = (),
) -> SegmentResult:
    """Outline what is prompted, follow it, and write outlines, manifest, preview and film: all of them or none.

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
    predictor = request.model.build() if request.output.split and request.prompts_nothing else None
    names = request.names if predictor is None else class_names(predictor)
    outlines = outline_files(target, scan.kind, names if request.output.split else None)
    manifest_file, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    if request.output.film and scan.kind is not ScanKind.VIDEO:
        text = f"A film is made of a video, and this is {_A[scan.kind]}: there is none."
        scan = scan.with_notices(Notice("W-NO-FILM", text))
    film = beside(target, ".film.mp4") if request.output.film and scan.kind is ScanKind.VIDEO else None
    require_no_stale_film(beside(target, ".film.mp4"), film is not None)
    files = (*outlines, manifest_file, preview, *([film] if film is not None else []))
    with Outputs(files, (*request.files, *inputs), request.output.overwrite) as outputs:
        predictor = predictor or request.model.build()
        if check is not None:
            check(predictor)
        second = second_model(request, check)
        session = _session(request, scan, predictor, progress)
        write_outlines(session.segmentation, outlines, session.scan, outputs, keep_header=request.output.keep_header)
        records = [output_record(outputs.stage(file), format_of(file)) for file in outlines]
        run = _run_record(request, session).model_copy(update={"routed": why})
        manifest = session.manifest(records).model_copy(update={"run": run})
        manifest = with_second_opinion(manifest, session, second, progress)
        write_manifest(manifest, outputs.stage(manifest_file))
        save_preview(session.scan, session.segmentation, outputs.stage(preview))
        if film is not None:
            save_film(session.scan, session.segmentation, outputs.stage(film))
    return SegmentResult(session.scan, session.notices, manifest, files, manifest_file, request.model, session)


def require_no_stale_film(path: Path, written: bool) -> None:
    """Raise OutputError for a film of an earlier run that would stand beside the outlines of this one."""
    if path.exists() and not written:
        raise OutputError(
            "E-OUTPUT-RECORD", f"{path} shows an earlier run.", "Give --film too, move it away, or choose another -o."
        )


def _session(request: SegmentRequest, scan: Scan, predictor: Predictor, progress: Progress | None) -> Session:
    """The scan with what is asked done to it."""
    asked = request.asked
    if isinstance(asked, PromptLog):
        return Session.replay(scan, asked, predictor, progress, request.force, request.guards)
    dense = predictor.capabilities.scope is Scope.DENSE
    prompts, notices = _prompts(asked, scan) if not (dense and request.prompts_nothing) else ([], ())
    session = Session(scan.with_notices(*notices), predictor, request.guards)
    if dense:
        session.predict(progress)
    if prompts and asked.name not in session.segmentation:
        session.add_object(asked.name)
    if prompts:
        session.prompt_all(prompts, asked.name, asked.one_by_one)
    if len(scan) > 1 and asked.propagate:
        marked = [prompt.frame for prompt in prompts if prompt.frame is not None] if asked.markers else []
        first, stop = (min(marked), max(marked) + 1) if marked else (None, None)
        session.propagate((), first, stop, progress, asked.following)
    return session


def _prompts(asked: SegmentTarget, scan: Scan) -> tuple[list[Prompt], tuple[Notice, ...]]:
    """What says where the structure is, files read; and what should be known about it."""
    prompts: list[Prompt] = []
    notices: tuple[Notice, ...] = ()
    if asked.mask_label is not None and asked.mask is None and asked.markers is None:
        raise PromptError(
            "E-OPTION", "--mask-label says which label of a mask is meant, and there is no mask.", "Give --mask FILE."
        )
    if asked.mask is not None:
        drawn, notices = mask_prompt(asked.mask, scan, asked.frame, asked.mask_label)
        prompts.append(drawn)
    if asked.markers is not None:
        marks, about = marker_prompts(asked.markers, scan, asked.mask_label)
        prompts += marks
        notices += about
    prompts += asked.prompts
    if not prompts:
        raise PromptError(
            "E-PROMPT-NONE",
            "Nothing says which structure is meant.",
            "Point at it with --box x0,y0,x1,y1, with --point x,y, with --mask FILE, or with --text WORDS "
            "(or give --prompts FILE). See also: delineate inspect FILE",
        )
    return prompts, notices


def _run_record(request: SegmentRequest, session: Session) -> RunRecord:
    fields = recorded(request.reading, request.model, request.output, session.scan)
    return RunRecord(guards=asdict(session.guards), **fields)
