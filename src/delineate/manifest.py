"""The record saved beside every output: what was read, asked and done, enough to do it again."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from delineate.grid import Placement
from delineate.intensities import IntensityWindow
from delineate.prompt_log import PromptLog
from delineate.scan import Scan


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowRecord(_Record):
    """The intensity window the scan was seen through, and who decided it."""

    low: float
    high: float
    source: str


class InputRecord(_Record):
    """The scan as it was found."""

    name: str
    format: str
    sha256: str
    kind: str
    shape: tuple[int, ...]
    axes: str
    spacing_mm: tuple[float, ...] | None
    modality: str
    modality_reason: str
    window: WindowRecord | None = None  # None: values as they are, or scaled crop by crop

    @classmethod
    def of(cls, scan: Scan, window: IntensityWindow | None = None) -> Self:
        """The record of a scan that was seen through ``window``; ``Scan.with_window`` takes it back."""
        known = scan.grid.placement is not Placement.PIXELS
        return cls(
            name=scan.file.path.name if scan.file else "",
            format=scan.file.format if scan.file else "array",
            sha256=scan.file.sha256 if scan.file else "",
            kind=scan.kind.value,
            shape=scan.grid.shape,
            axes=" ".join(scan.grid.axis_codes),
            spacing_mm=scan.grid.spacing if known else None,
            modality=scan.modality.name.value,
            modality_reason=scan.modality.reason,
            window=None if window is None else WindowRecord(low=window.low, high=window.high, source=window.source),
        )


class ModelRecord(_Record):
    """The model that answered."""

    name: str
    version: str
    sha256: str
    licence: str
    preprocessing: str = ""  # what it does to a frame before looking: windowing, resampling


class ObjectRecord(_Record):
    """One structure: where it was seen, and how sure the model was on each frame."""

    name: str
    label: int
    frames: int
    pixels: int
    volume_mm3: float | None = None
    confidence: dict[int, float] = Field(default_factory=dict)
    prompted: list[int] = Field(default_factory=list)  # frames a person pointed at it on
    ended: dict[int, str] = Field(default_factory=dict)  # frame: the direction in which following it ended there
    warnings: dict[int, str] = Field(default_factory=dict)  # frame: what looked wrong


class OutputRecord(_Record):
    """One written file."""

    name: str
    format: str
    sha256: str


class Manifest(_Record):
    """Provenance of one run; ``delineate segment INPUT --prompts THIS`` does it again."""

    format: Literal["delineate-manifest/1"] = "delineate-manifest/1"
    software: str
    intended_use: str = "research use only, not a medical device"
    input: InputRecord
    model: ModelRecord
    objects: list[ObjectRecord] = Field(default_factory=list)
    outputs: list[OutputRecord] = Field(default_factory=list)
    notices: list[str] = Field(default_factory=list)
    prompts: PromptLog

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"
