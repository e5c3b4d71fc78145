"""``model.json``: what the ONNX files of an exported system are, and how they are run. Free of torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.core.errors import ModelError
from delineate.core.hashing import sha256_of
from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehavior
from delineate.preprocess.profiles import Profile

CARD = "model.json"
LARGEST = 1 << 20  # bytes of a card
AGAIN = "Export it again: delineate models export SYSTEM -o FOLDER"


class Family(StrEnum):
    """Which parts a system has, and how they are prompted."""

    SAM = "sam"
    SAM2 = "sam2"
    SAM_TEXT = "sam text"  # MedSAM in words


# what the decoder takes of a frame, and which of the encoder's outputs that is where nothing is remembered
FRAME_INPUTS = {
    Family.SAM: {"image_embeddings": "image_embeddings"},
    Family.SAM2: {"image_embeddings": "without_memory", "fine_4": "fine_4", "fine_8": "fine_8"},
}
PROMPT_INPUTS = ("point_coords", "point_labels", "mask_input", "has_mask_input")
DECODER_OUTPUTS = {
    Family.SAM: ("low_res_masks", "iou_predictions"),
    Family.SAM2: ("low_res_masks", "iou_predictions", "object_score_logits"),
}


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class TensorCard(_Card):
    """One input or output; an axis that is a word may have any length."""

    shape: tuple[str | int, ...]
    dtype: str


class PartCard(_Card):
    """One ONNX file.

    max_difference, max_value  by output: the largest absolute difference from torch, and the largest value, as measured
                               when it was written
    """

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.onnx$")  # a plain name: it lies in the same folder
    sha256: str
    inputs: dict[str, TensorCard]
    outputs: dict[str, TensorCard]
    max_difference: dict[str, float] | None = None
    max_value: dict[str, float] | None = None


class PromptingCard(_Card):
    """How the decoder is prompted.

    multimask       when the three masks for an ambiguous prompt are taken, and not the single one
    mask_prompt     what of an earlier answer goes back in
    margin          pixels of the input a box is enlarged by when a structure is followed to the next frame
    whole_pixels    box corners are cut to whole pixels of the input
    feedback_limit  logits that go back in are clamped to this, if to anything
    """

    multimask: Multimask
    mask_prompt: MaskPrompt
    margin: float = Field(ge=0)
    whole_pixels: bool
    feedback_limit: float | None = Field(default=None, gt=0)

    @classmethod
    def of(cls, behavior: SamBehavior) -> PromptingCard:
        return cls(
            multimask=behavior.multimask,
            mask_prompt=behavior.mask_prompt,
            margin=behavior.margin,
            whole_pixels=behavior.whole,
        )


class BundleCard(_Card):
    """All of ``model.json``.

    side           pixels along a side of the input
    preprocessing  from a frame to the input and back, for an ``image`` and, where it differs, for a ``video``
    """

    format: Literal["delineate-onnx/2"] = "delineate-onnx/2"
    system: str
    family: Family
    weights_sha256: str
    license: str
    opset: int
    side: int = Field(gt=0, le=1 << 13)
    preprocessing: dict[str, Profile]
    prompting: PromptingCard | None = None
    parts: dict[str, PartCard]
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> BundleCard:
        if missing := [name for name in ("encoder", "decoder") if name not in self.parts]:
            raise ValueError(f"there is no {' and no '.join(missing)}")
        if "image" not in self.preprocessing or any(p.side != self.side for p in self.preprocessing.values()):
            raise ValueError("preprocessing does not lead to an input of its side")
        if self.family is Family.SAM_TEXT:
            return self
        if self.prompting is None:
            raise ValueError("nothing says how the decoder is prompted")
        encoder, decoder = self.parts["encoder"], self.parts["decoder"]
        maps = FRAME_INPUTS[self.family]
        pixels = encoder.inputs.get("pixels")
        if (
            pixels is None
            or pixels.shape != (1, 3, self.side, self.side)
            or not set(maps.values()) <= set(encoder.outputs)
        ):
            raise ValueError(f"the encoder is none of family {self.family}")
        if set(decoder.inputs) != {*maps, *PROMPT_INPUTS} or not set(DECODER_OUTPUTS[self.family]) <= set(
            decoder.outputs
        ):
            raise ValueError(f"the decoder is none of family {self.family}")
        return self


class _Format(BaseModel):
    format: str


def is_bundle(path: Path) -> bool:
    """Whether this is the folder of an exported system, or the ``model.json`` in it."""
    return (path.name == CARD and path.is_file()) or (path / CARD).is_file()


def read_card(folder: Path) -> BundleCard:
    """What the ``model.json`` in a folder says. Raises ModelError for other formats and for what does not fit."""
    path = folder / CARD
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise ModelError("E-BUNDLE-CARD", f"{path} cannot be read: {error.strerror}.", AGAIN) from None
    try:
        written = _Format.model_validate_json(content).format
    except ValidationError:
        raise ModelError("E-BUNDLE-CARD", f"{path} says nothing of an exported system.", AGAIN) from None
    if written != BundleCard.model_fields["format"].default:
        reason = f'its format is "{written[:40]}", which this version does not run'
        raise ModelError("E-BUNDLE-FORMAT", f"{path} cannot be used: {reason}.", AGAIN)
    try:
        return BundleCard.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in first["loc"])
        raise ModelError("E-BUNDLE-CARD", f"{path} cannot be used: {where}: {first['msg']}.", AGAIN) from None


def checked_part(folder: Path, system: str, part: PartCard, name: str) -> Path:
    """The file of a system's part. Raises ModelError if it is not there, or is not the one that was exported."""
    path = folder / part.file
    if not path.is_file():
        raise ModelError("E-BUNDLE-PART", f"The {name} of {system}, {part.file}, is not in {folder}.", AGAIN)
    if sha256_of(path) != part.sha256:
        raise ModelError("E-BUNDLE-CHANGED", f"{path} is not the file that was exported with its {CARD}.", AGAIN)
    return path
