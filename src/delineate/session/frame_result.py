"""What a prompt gave on its frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.predictors.frame_predictor import Candidates


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What a prompt gave.

    mask        bool (height, width)
    score       predicted IoU, 0 to 1 (1 for an outline the person drew)
    candidates  all outlines offered, for an ambiguous prompt; None where the person drew the outline
    """

    object: str
    frame: int
    mask: NDArray[np.bool_]
    score: float
    candidates: Candidates | None

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        return (
            f"FrameResult({self.object!r}, frame {self.frame}, {int(self.mask.sum())} pixels, score {self.score:.2f})"
        )
