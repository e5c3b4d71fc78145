"""The record saved beside every output: what was read, asked and done, enough to do it again."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from delineate.prompt_log import PromptLog


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


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


class ModelRecord(_Record):
    """The model that answered."""

    name: str
    version: str
    sha256: str
    licence: str


class ObjectRecord(_Record):
    """One structure: where it was seen, and how sure the model was on each frame."""

    name: str
    label: int
    frames: int
    pixels: int
    volume_mm3: float | None = None
    confidence: dict[int, float] = Field(default_factory=dict)
    stopped: dict[str, str] = Field(default_factory=dict)  # direction: why following it ended there
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
    preprocessing: list[str] = Field(default_factory=list)  # windowing, resampling: every change to what was read
    objects: list[ObjectRecord] = Field(default_factory=list)
    outputs: list[OutputRecord] = Field(default_factory=list)
    notices: list[str] = Field(default_factory=list)
    prompts: PromptLog

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"
