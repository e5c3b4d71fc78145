"""What the requests and results of verbs share: which model answers, what is written, what is recorded of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from delineate.core.errors import Notice
from delineate.core.manifest import Manifest
from delineate.core.scan import Scan
from delineate.core.terminal_text import command
from delineate.io.options import ReadOptions
from delineate.predictors.bundle_card import is_bundle
from delineate.predictors.frame_predictor import Predictor
from delineate.systems import BuildOptions, build

COMPUTING: Final = ("numpy", "scipy", "onnxruntime", "openvino", "torch", "transformers")  # may change a pixel


class Request(BaseModel):
    """A value that says all a verb needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChoice(Request):
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


class OutputChoice(Request):
    """What is written where."""

    path: Path | None = Field(default=None, description="File or folder; its name says the format.")
    split: bool = Field(default=False, description="One file for each structure.")
    film: bool = Field(default=False, description="Also a film of a video with its outlines.")
    keep_header: bool = Field(default=False, description="Copy a NIfTI header whole, patient texts too.")
    overwrite: bool = Field(default=False, description="Replace what this program wrote before.")


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
