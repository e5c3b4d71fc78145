"""What the requests and results of verbs share: which model answers, what is written, what is recorded of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    WrapSerializer,
)

from delineate.core.errors import InputError, Notice
from delineate.core.json_file import fault
from delineate.core.manifest import Manifest
from delineate.core.scan import Scan
from delineate.core.terminal_text import command
from delineate.io.options import ReadOptions
from delineate.predictors.bundle_card import is_bundle
from delineate.predictors.frame_predictor import Predictor
from delineate.systems import BuildOptions, build
from delineate.verbs.outcome import Outcome

COMPUTING: Final = ("numpy", "scipy", "onnxruntime", "openvino", "torch", "transformers")  # may change a pixel
NAMES_ONLY: Final = {"paths": "names"}  # context of a dump that names files without their folders
Progress = Callable[[int, int], None]  # called with what is done, and all there is to do
AnyRequest = TypeVar("AnyRequest", bound="Request")


class Request(BaseModel):
    """A value that says all a verb needs, as Python or as JSON (``model_dump_json``, ``model_validate_json``).

    A type that does not fit is pydantic's ValidationError; a value that is not offered, a DelineateError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def valid(kind: type[AnyRequest], data: Any, name: str) -> AnyRequest:
    """A request from plain data, as it comes from JSON. Raises InputError, naming the field, if it is none."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InputError(
            "E-REQUEST", f"{name}: {fault(error)}.", "Mend this field; the fields are the options of the command."
        ) from None


class Result(Protocol):
    """What a verb gives back: typed values, and the same for programs in other languages."""

    def as_json(self) -> Any:
        """What ``--json`` prints and a server sends."""
        ...


def _named_model(model: str, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> str:
    """A system's name, FILE, or SYSTEM=FILE; the file without its folder where names alone are asked for."""
    system, equals, file = model.rpartition("=")
    return f"{system}{equals}{Path(file).name}" if info.context == NAMES_ONLY else whole(model)


ModelName = Annotated[str, WrapSerializer(_named_model), Field(json_schema_extra={"format": "model"})]
FollowLinks = Annotated[bool, Field(description="Whether paths and links of the data set may lead outside its folder.")]
Overwrite = Annotated[bool, Field(description="Replace what this program wrote before.")]
SystemName = Annotated[str | None, Field(description="The system a checkpoint belongs to, where it does not say.")]
Untrained = Annotated[
    bool,
    Field(description="Random weights where no file is given; of a paper's parts, beside the kept ones of their host."),
]
Threads = Annotated[int, Field(description="Of the CPU; 0: all.")]


def model_file(model: str) -> Path | None:
    """The file that a model is named by, or the folder of an exported system; None for a system's name."""
    path = Path(model if Path(model).is_file() else model.rpartition("=")[2])
    return path if path.is_file() or is_bundle(path) else None


class ModelChoice(Request):
    """Which model answers, and how it computes."""

    name: ModelName = Field(
        default="quill", description="A system's name, a model file, an exported system's folder, or auto (segment)."
    )
    system: SystemName = None
    adapter: Path | None = Field(
        default=None, description="A trained adapter that is put into the weights, or the name of one that ships."
    )
    variant: str = Field(default="", description="One of a system's variants, where its authors do it in two ways.")
    vocabulary: Path | None = Field(default=None, description="Word pieces, for systems that read.")
    untrained: Untrained = False
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    threads: Threads = 0

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that are read, and the folder of an exported system."""
        return (model_file(self.name), self.adapter, self.vocabulary)

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
            self.variant,
        )
        predictor: Predictor = build(self.name, options, self.system)
        return predictor


class OutputChoice(Request):
    """What is written where."""

    path: Path | None = Field(default=None, description="File or folder; its name says the format.")
    split: bool = Field(default=False, description="One file for each structure.")
    film: bool = Field(default=False, description="Also a film of a video with its outlines.")
    keep_header: bool = Field(default=False, description="Copy a NIfTI header whole, patient texts too.")
    overwrite: Overwrite = False


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run gave: the scan as it was read, the record beside the outputs, and the files (outlines first)."""

    scan: Scan
    notices: tuple[Notice, ...]
    manifest: Manifest
    files: tuple[Path, ...]
    manifest_file: Path
    model: ModelChoice

    @property
    def outcome(self) -> Outcome:
        """Whether it came to its end, and whether there is anything in it."""
        return Outcome.of(self.manifest)

    def as_json(self) -> dict[str, Any]:
        files = [str(file) for file in self.files]
        return {"outcome": self.outcome, "files": files, "manifest": self.manifest.model_dump(mode="json")}

    @property
    def again(self) -> str:
        """The command that does it again."""
        words: list[object] = ["delineate", "replay", _not_an_option(self.manifest_file)]
        if self.scan.file is not None:
            words += ["--input", _not_an_option(self.scan.file.path)]
        if (path := self.model.files[0]) is not None:
            words += ["--model", _not_an_option(path)]
        if self.model.adapter is not None:
            words += ["--adapter", _not_an_option(self.model.adapter)]
        return command(*words)


def _not_an_option(path: Path) -> str:
    return f"./{path}" if str(path).startswith("-") else str(path)


def recorded(reading: ReadOptions, model: ModelChoice, output: OutputChoice, scan: Scan) -> dict[str, Any]:
    """The fields of a RunRecord that every verb fills; of files the names, no folders."""
    usual = asdict(ReadOptions())
    chosen = {name: value for name, value in asdict(reading).items() if value != usual[name]}
    if "series" in chosen and scan.file is not None and scan.file.series:
        chosen["series"] = scan.file.series  # a description may name the patient
    return {
        "reading": chosen,
        "model": Path(model.name).name,
        "system": model.system,
        "adapter": model.adapter.name if model.adapter else None,
        "vocabulary": model.vocabulary.name if model.vocabulary else None,
        "untrained": model.untrained,
        "threads": model.threads,
        "split": output.split,
        "film": output.film,
        "keep_header": output.keep_header,
        "libraries": libraries(),
    }


def libraries() -> dict[str, str]:
    """Versions of the installed libraries that compute outlines."""
    found = {}
    for name in COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def format_of(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lstrip(".") or "folder of PNG masks"
