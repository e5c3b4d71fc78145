"""How SAM-shaped systems are prompted, whatever computes them. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from delineate.preprocess.profiles import Profile


class Multimask(StrEnum):
    """When a system answers with three outlines instead of one."""

    AMBIGUOUS = "for a single click"  # SAM
    NEVER = "never"  # MedSAM
    ALWAYS = "always"  # SAM-Med2D


class MaskPrompt(StrEnum):
    LOGITS = "logits of the answer before"  # SAM
    PROBABILITY = "its sigmoid"  # SAM-Med2D


@dataclass(frozen=True)
class SamBehavior:
    """How a SAM-shaped system is prompted.

    margin    pixels of the input a box is enlarged by when a structure is followed to the next frame
    whole     box corners are cut to whole pixels of the input (LiteMedSAM)
    swapped_points  clicks are given as row and column, as the weights learned them (Medical SAM Adapter's code)
    """

    profile: Profile
    multimask: Multimask = Multimask.AMBIGUOUS
    mask_prompt: MaskPrompt = MaskPrompt.LOGITS
    margin: float = 5.0
    whole: bool = False
    swapped_points: bool = False

    def ordered(self, points: NDArray[Any]) -> NDArray[Any]:
        """Clicks (..., 2) as the network takes them."""
        return points[..., ::-1].copy() if self.swapped_points else points
