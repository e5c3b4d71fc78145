"""The verb ``segment``: what is pointed at, outlined everywhere, with the record that does it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from delineate.errors import Notice, PromptError
from delineate.following import Following
from delineate.io.naming import beside, default_output
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_film, save_preview
from delineate.io.saving import check_record, outline_files, output_record, write_manifest, write_outlines
from delineate.io.writers.nifti import HEADER_KEPT, require_header
from delineate.manifest import Manifest, RunRecord
from delineate.prompt_log import PromptLog
from delineate.prompts import Prompt
from delineate.runtimes.bundle_card import is_bundle
from delineate.runtimes.capabilities import Scope
from delineate.runtimes.frame_predictor import Predictor
from delineate.scan import Scan, ScanKind
from delineate.session import Session
from delineate.session.answering import class_names
from delineate.systems import BuildOptions, build
from delineate.tracking.guards import GuardSettings
from delineate.verbs.prompt_files import marker_prompts, mask_prompt

Progress = Callable[[int, int], None]
COMPUTING = ("numpy", "scipy", "onnxruntime", "openvino", "torch", "transformers")  # whose versions may change a pixel


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChoice(_Request):
    """Which model answers, and how it computes."""

    name: str = Field(default="quill", description="A system's name, a model file, or an exported system's folder.")
    system: str | None = Field(default=None, description="The system a checkpoint belongs to, where it does not say.")
    adapter: Path | None = Field(default=None, description="A trained adapter that is put into the weights.")
    vocabulary: Path | None = Field(default=None, description="Word pieces, for systems that read.")
    untrained: bool = Field(default=False, description="Random weights, where there is no file.")
    device: str = "auto"
    precision: str = "auto"
    backend: str = "torch"
    threads: int = Field(default=0, description="Of the CPU; 0: all.")

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that are read, and the folder of an exported system."""
        model = Path(self.name)
        return (model if model.is_file() or is_bundle(model) else None, self.adapter, self.vocabulary)

    def build(self) -> Predictor:
        """Raises ModelError for a model that is not there or does not fit."""
        options = BuildOptions(
            None,
            self.untrained,
            self.threads,
            self.device,
            self.precision,
            self.backend,
            self.vocabulary,
            self.adapter,
        )
        predictor: Predictor = build(self.name, options, self.system)
        return predictor


class Target(_Request):
    """One structure, and what says where it is."""

    name: str = "structure"
    prompts: tuple[Prompt, ...] = ()
    mask: Path | None = Field(default=None, description="A file with its outline on one frame.")
    markers: Path | None = Field(default=None, description="A volume with marks on some slices.")
    frame: int | None = Field(default=None, description="The slice of the mask file that is meant.")
    propagate: bool = Field(default=True, description="Follow it to the other frames.")
    following: Following | None = None


class OutputChoice(_Request):
    """What is written where."""

    path: Path | None = Field(default=None, description="File or folder; its name says the format.")
    split: bool = Field(default=False, description="One file for each structure.")
    film: bool = Field(default=False, description="Also a film of a video with its outlines.")
    keep_header: bool = Field(default=False, description="Copy a NIfTI header whole, patient texts too.")
    overwrite: bool = Field(default=False, description="Replace what this program wrote before.")


class SegmentRequest(_Request):
    """Everything ``segment`` needs to know.

    asked  one structure with its prompts, or the log of an earlier session
    force  apply a log that was made on another file
    """

    input: Path
    reading: ReadOptions = ReadOptions()
    model: ModelChoice = ModelChoice()
    asked: Target | PromptLog
    guards: GuardSettings | None = None
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
        return isinstance(asked, Target) and not (asked.prompts or asked.mask or asked.markers)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Every file that is read."""
        own = (self.asked.mask, self.asked.markers) if isinstance(self.asked, Target) else ()
        return (self.input, *self.model.files, *own)


@dataclass(frozen=True, eq=False)
class SegmentResult:
    """The session as it ended, the record beside the outputs, and the files written (outlines first)."""

    session: Session
    manifest: Manifest
    files: tuple[Path, ...]
    manifest_file: Path


def segment(
    request: SegmentRequest,
    progress: Progress | None = None,
    check: Callable[[Predictor], None] | None = None,
    inputs: tuple[Path | None, ...] = (),
) -> SegmentResult:
    """Outline what is pointed at, follow it, and write outlines, manifest, preview and film: all of them or none.

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
    target = request.output.path or default_output(scan)
    if request.output.keep_header:
        require_header(target, scan)
        scan = scan.with_notices(HEADER_KEPT)
    predictor = request.model.build() if request.output.split and request.prompts_nothing else None
    names = request.names if predictor is None else class_names(predictor)
    outlines = outline_files(target, scan.kind, names if request.output.split else None)
    manifest_file, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    film = beside(target, ".film.mp4") if request.output.film and scan.kind is ScanKind.VIDEO else None
    check_record(manifest_file, tuple(outlines))
    files = (*outlines, manifest_file, preview, *([film] if film is not None else []))
    with Outputs(files, (*request.files, *inputs), request.output.overwrite) as outputs:
        predictor = predictor or request.model.build()
        if check is not None:
            check(predictor)
        session = _session(request, scan, predictor, progress)
        write_outlines(session.segmentation, outlines, session.scan, outputs, keep_header=request.output.keep_header)
        records = [output_record(outputs.stage(file), _format_of(file)) for file in outlines]
        manifest = session.manifest(records).model_copy(update={"run": _run_record(request, session)})
        write_manifest(manifest, outputs.stage(manifest_file))
        save_preview(session.scan, session.segmentation, outputs.stage(preview))
        if film is not None:
            save_film(session.scan, session.segmentation, outputs.stage(film))
    return SegmentResult(session, manifest, files, manifest_file)


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
    for prompt in prompts:
        session.prompt(prompt, asked.name)
    if len(scan) > 1 and asked.propagate:
        marked = [prompt.frame for prompt in prompts if prompt.frame is not None] if asked.markers else []
        first, stop = (min(marked), max(marked) + 1) if marked else (None, None)
        session.propagate((), first, stop, progress, asked.following)
    return session


def _prompts(asked: Target, scan: Scan) -> tuple[list[Prompt], tuple[Notice, ...]]:
    """What says where the structure is, files read; and what should be known about it."""
    prompts: list[Prompt] = []
    notices: tuple[Notice, ...] = ()
    if asked.mask is not None:
        drawn, notices = mask_prompt(asked.mask, scan, asked.frame)
        prompts.append(drawn)
    if asked.markers is not None:
        prompts += marker_prompts(asked.markers, scan)
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
    usual, model = asdict(ReadOptions()), request.model
    chosen = {name: value for name, value in asdict(request.reading).items() if value != usual[name]}
    if "series" in chosen and session.scan.file is not None and session.scan.file.series:
        chosen["series"] = session.scan.file.series  # a description may name the patient
    return RunRecord(
        reading=chosen,
        model=Path(model.name).name,
        system=model.system,
        adapter=model.adapter.name if model.adapter else None,
        vocabulary=model.vocabulary.name if model.vocabulary else None,
        untrained=model.untrained,
        threads=model.threads,
        guards=asdict(session.guards),
        split=request.output.split,
        film=request.output.film,
        keep_header=request.output.keep_header,
        libraries=libraries(),
    )


def libraries() -> dict[str, str]:
    """Versions of the installed libraries that compute outlines."""
    found = {}
    for name in COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _format_of(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lstrip(".") or "folder of PNG masks"
