"""The record saved beside every output: what was read, asked and done, enough to do it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from delineate.core.errors import PromptError
from delineate.core.file_names import plain_name
from delineate.core.intensities import IntensityWindow
from delineate.core.json_file import parse_json, renamed, validated
from delineate.core.prompt_log import PromptLog, require_file
from delineate.core.scan import Scan

RANDOM: Final = "random weights"  # in place of a hash
OLD_FORMATS: Final = ("delineate-manifest/1", "delineate-manifest/2")
OLD_KEYS: Final = {"licence": "license", "colour": "color"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowRecord(_Record):
    """The intensity window the scan was seen through, and who decided it."""

    low: float
    high: float
    source: str


FileName = Annotated[str, AfterValidator(plain_name)]  # a record from elsewhere leads nowhere


class InputRecord(_Record):
    """The scan as it was found."""

    name: FileName
    format: str
    sha256: str
    kind: str
    shape: tuple[int, ...]
    axes: str
    spacing_mm: tuple[float, ...] | None = None
    modality: str
    modality_reason: str
    window: WindowRecord | None = None  # None: values as they are, or scaled crop by crop

    @classmethod
    def of(cls, scan: Scan, window: IntensityWindow | None = None) -> Self:
        """The record of a scan that was seen through ``window``; ``Scan.with_window`` takes it back."""
        return cls(
            name=scan.file.path.name if scan.file else "",
            format=scan.file.format if scan.file else "array",
            sha256=scan.file.sha256 if scan.file else "",
            kind=scan.kind.value,
            shape=scan.grid.shape,
            axes=" ".join(scan.grid.axis_codes),
            spacing_mm=scan.spacing,
            modality=scan.modality.name.value,
            modality_reason=scan.modality.reason,
            window=None if window is None else WindowRecord(low=window.low, high=window.high, source=window.source),
        )


class ModelRecord(_Record):
    """The model that answered.

    device, precision and backend are those it computed with, not "auto"; "" where it has no choice.
    """

    name: str
    version: str
    sha256: str
    license: str
    preprocessing: str = ""  # what it does to a frame before looking: windowing, resampling
    device: str = ""
    precision: str = ""
    backend: str = ""
    variant: str = ""  # where a system's authors do a thing in two ways; "" for the default


MOST_DOUBTS: Final = 5  # places to look at that are named


@dataclass(frozen=True)
class Doubt:
    """A place to look at: frames in a row, ``first`` to ``last``, of which ``frame`` is to be looked at, and why."""

    frame: int
    first: int
    last: int
    why: str

    def __str__(self) -> str:
        """As it is printed: ``14 (area jumped; doubtful from 12 to 20)``."""
        more = f"; doubtful from {self.first} to {self.last}" if self.last > self.first else ""
        return f"{self.frame} ({self.why}{more})"


class ObjectRecord(_Record):
    """One structure: where it was seen, and how sure the model was on each frame."""

    name: str
    label: int
    frames: int
    pixels: int
    volume_mm3: float | None = None
    confidence: dict[int, float] = Field(default_factory=dict)
    prompted: list[int] = Field(default_factory=list)  # frames it was prompted on
    ended: dict[int, str] = Field(default_factory=dict)  # frame: the direction in which following it ended there
    warnings: dict[int, str] = Field(default_factory=dict)  # frame: what looked wrong; the worst first
    agreement: dict[int, float] = Field(default_factory=dict)  # frame: Dice with a second model's outline

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The places to look at in the order of ``warnings``, the worst first; MOST_DOUBTS at most."""
        places: list[Doubt] = []
        seen: set[int] = set()
        for frame, why in self.warnings.items():
            if frame in seen:
                continue
            first = last = frame
            while first - 1 in self.warnings and first - 1 not in seen:
                first -= 1
            while last + 1 in self.warnings and last + 1 not in seen:
                last += 1
            seen |= set(range(first, last + 1))
            places.append(Doubt(frame, first, last, why))
        return tuple(places[:MOST_DOUBTS])


class OutputRecord(_Record):
    """One written file."""

    name: FileName
    format: str
    sha256: str


class StopRecord(_Record):
    """What stopped a run on its way: the outlines are those of the frames it had come to.

    code, message, hint  of the error
    done, total          frames that had been followed, both ways counted, and all there were; 0 where not even one was
    """

    code: str
    message: str
    hint: str = ""
    done: int = 0
    total: int = 0


class RunRecord(_Record):
    """What was asked beside the prompts: with them, enough to do the run again.

    Of files it keeps the names, no folders.
    """

    verb: Literal["segment", "auto"] = "segment"
    reading: dict[str, str | int | bool] = Field(default_factory=dict, description="Fields of ReadOptions, as chosen.")
    model: FileName = Field(default="quill", description="The system's name, or the name of the model file.")
    routed: str = Field(default="", description="Where the model was chosen by what was measured: why this one.")
    second_opinion: FileName | None = Field(default=None, description="The model that was asked about the outlines.")
    system: str | None = None
    adapter: FileName | None = None
    vocabulary: FileName | None = None
    untrained: bool = False
    threads: int = 0
    guards: dict[str, float | dict[str, float]] = Field(default_factory=dict, description="Fields of GuardSettings.")
    frame: int | None = Field(default=None, description="Of auto: the frame that was looked at.")
    settings: dict[str, float | int] = Field(default_factory=dict, description="Of auto: fields of EverythingSettings.")
    split: bool = False
    film: bool = False
    keep_header: bool = False
    libraries: dict[str, str] = Field(default_factory=dict, description="Versions of what computed the outlines.")


class Manifest(_Record):
    """Provenance of one run; ``delineate replay THIS`` does it again.

    Versions 1 (without ``run``) and 2 (with other spellings), of earlier releases, are read all the same.
    """

    format: Literal["delineate-manifest/3"] = "delineate-manifest/3"
    mark: str = Field(default="", description="Of the file it is written to, by which an edit is noticed.")
    software: str
    intended_use: str = "research use only, not a medical device"
    input: InputRecord
    model: ModelRecord
    second_opinion: ModelRecord | None = None
    objects: list[ObjectRecord] = Field(default_factory=list)
    outputs: list[OutputRecord] = Field(default_factory=list)
    notices: list[str] = Field(default_factory=list)
    prompts: PromptLog
    run: RunRecord | None = None
    stopped: StopRecord | None = Field(default=None, description="Of a partial result: what stopped the run.")

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("format") not in OLD_FORMATS:
            return data
        return renamed(data, OLD_KEYS) | {"format": "delineate-manifest/3"}

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """The manifest in a file; None if it is something else, such as a prompt log or a folder of labels.

        Raises PromptError if it says it is a manifest and is not a valid one.
        """
        if path.is_dir():
            return None
        require_file(path)
        try:
            data = parse_json(path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(data, dict) or not str(data.get("format")).startswith("delineate-manifest/"):
            return None
        return validated(data, cls, path.name, "E-MANIFEST", "a manifest", error=PromptError)

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"
