"""How structures are followed from frame to frame: what a person may choose, recorded so that a run replays."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.core.errors import PromptError

MOST_MEMORIES = 7  # SAM 2 has encodings for so many moments
PLAIN = ("directions", "reset", "outlines")  # what every system can do


class MemoryRule(StrEnum):
    """Which earlier frames a structure is compared with; other distributions add rules (``memory.policies``)."""

    SYSTEM = "system"  # the system's own
    WINDOW = "window"  # SAM 2: prompted frames and the last six
    PRUNING = "pruning"  # Surgical SAM 2: of those, the ones least like the newest
    CROSS_IMAGE = "cross-image"  # BioSAM 2: sixteen that differ most, wherever they are
    CHAIN = "chain"  # none: the last outline is the prompt for the next frame


class Directions(StrEnum):
    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"


class PropagationOptions(BaseModel):
    """How structures are followed.

    Raises PromptError for numbers out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: str = Field(default=MemoryRule.SYSTEM, description="A MemoryRule, or a memory policy that was added.")
    stride: int = Field(default=1, description="Frames between two memories, beyond the nearest.")
    memories: int | None = Field(default=None, description="Frames looked at, those prompted counted once; 1 to 7.")
    prompted: int | None = Field(default=None, description="Prompted frames that are looked at; all by default.")
    fill: int = Field(default=0, description="Holes of up to so many low-resolution pixels are filled.")
    specks: int = Field(default=0, description="Specks of up to so many low-resolution pixels are removed.")
    exclusive: bool = Field(default=False, description="A pixel belongs to one structure at most.")
    directions: Directions = Directions.BOTH
    reset: bool | None = Field(
        default=None,
        description="The second direction starts with what was prompted, no more; default: the system's own way.",
    )
    outlines: bool = Field(
        default=False, description="A memory starts from the outlines of prompted frames, not from clicks and boxes."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        limits = {
            "stride": (1, 64),
            "memories": (1, MOST_MEMORIES),
            "prompted": (1, 1024),
            "fill": (0, 65536),
            "specks": (0, 65536),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise PromptError(
                    "E-FOLLOW-NUMBER",
                    f"{name} = {value} is not within {least} to {most}.",
                    "Choose a number within these limits.",
                )
        if self.memory == MemoryRule.CHAIN and (chosen := self._of_memory):
            raise PromptError(
                "E-FOLLOW-CHAIN",
                f"Following from outline to outline has no memory, so {', '.join(chosen)} has no meaning.",
                "Leave it out, or choose another --memory.",
            )
        return self

    def require_plain(self, system: str) -> None:
        """Raise PromptError if anything was chosen that only a system with a memory of frames can do."""
        chosen = self._of_memory
        if self.memory not in (MemoryRule.SYSTEM, MemoryRule.CHAIN):
            chosen = (f"memory {self.memory}", *chosen)
        if chosen:
            raise PromptError(
                "E-FOLLOW-NO-MEMORY",
                f"{system} keeps no memory of frames, so {', '.join(chosen)} has no meaning for it.",
                "Leave it out, or take a system that remembers, such as sam2.1_tiny or surgical_sam2.",
            )

    @property
    def _of_memory(self) -> tuple[str, ...]:
        """The names of what was chosen and needs a memory."""
        return tuple(
            name
            for name, field in type(self).model_fields.items()
            if name not in ("memory", *PLAIN) and getattr(self, name) != field.default
        )
