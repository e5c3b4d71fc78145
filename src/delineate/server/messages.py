"""What travels: requests of clients, and masks as JSON and as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from delineate.core.prompt_log import (
    AddPrompt,
    AddPrompts,
    ChooseCandidate,
    CleanObject,
    Interpolate,
    LockObject,
    PromptLog,
    RemoveObject,
)
from delineate.core.propagation_options import PropagationOptions
from delineate.core.rle import Rle
from delineate.core.segmentation import Color

MASK: Final = 1  # first byte of a binary message that holds an outline


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OpenScan(_Message):
    """A scan below the server's root."""

    path: str = Field(min_length=1, max_length=1000)


class NewSession(_Message):
    """A session on a scan; with a log, everything in it is done again."""

    scan: str
    model: str | None = Field(
        default=None, description="A system's name; the server's own choice where it is left out."
    )
    slice_axis: Annotated[int, Field(ge=0, le=2)] | None = None
    log: PromptLog | None = None


class Adding(_Message):
    """A new structure."""

    event: Literal["add_object"] = "add_object"
    object: str | None = Field(default=None, max_length=200)
    color: Color | None = None
    label: int | None = None


class Predicting(_Message):
    """Outline everything, without a prompt."""

    event: Literal["predict"] = "predict"


Action = Annotated[
    AddPrompt
    | AddPrompts
    | Adding
    | RemoveObject
    | LockObject
    | ChooseCandidate
    | CleanObject
    | Interpolate
    | Predicting,
    Field(discriminator="event"),
]


class Act(_Message):
    """One action of a person, as a prompt log has it; refused where the session has left ``revision`` meanwhile."""

    action: Action
    revision: int | None = None


class Follow(_Message):
    """Follow structures through frames ``first`` to ``stop`` (excluded)."""

    objects: tuple[str, ...] = ()
    first: int | None = None
    stop: int | None = None
    following: PropagationOptions = Field(default_factory=PropagationOptions)


@dataclass(frozen=True)
class ChangedMask:
    """An outline as it is now, on one frame of one structure; empty where it is gone.

    score  confidence, 0 to 1
    """

    object: str
    frame: int
    mask: Rle
    score: float

    def as_json(self) -> dict[str, Any]:
        return {
            "object": self.object,
            "frame": self.frame,
            "size": [self.mask.height, self.mask.width],
            "counts": self.mask.counts.tolist(),
            "score": round(self.score, 4),
        }

    def as_bytes(self, number: int) -> bytes:
        """Kind, then as varints: message, structure's label, frame, height, width, and the run lengths.

        ``number`` stands for the structure, as the JSON message before it says.
        """
        head = (number, self.frame, self.mask.height, self.mask.width)
        return bytes([MASK]) + varints((*head, *self.mask.counts.tolist()))


def varints(numbers: Iterable[int]) -> bytes:
    """Whole numbers in groups of seven bits, lowest first; the eighth bit says that more follow (LEB128)."""
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)
