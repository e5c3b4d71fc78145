"""All prompts of one structure in a whole scan, for models that see it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import ResolvedPrompt

Box3D = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, eq=False)
class VolumePrompts:
    """Prompts for one object, in pixels of the frames and numbers of frames.

    points  float64 (N, 3): x, y, frame
    labels  bool (N,), whether each point is on the structure
    boxes   x0, y0, first frame, x1, y1, frame to stop before; one drawn on a single frame is one frame thick
    masks   outlines a person drew, bool (height, width), by frame
    text    what the structure is called, or None
    """

    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    labels: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    boxes: tuple[Box3D, ...] = ()
    masks: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)
    text: str | None = None

    @classmethod
    def of(cls, placed: Sequence[ResolvedPrompt]) -> Self:
        """Prompts where they landed, in the order they were given; the last outline of a frame counts."""
        points, labels, boxes = [np.zeros((0, 3))], [np.zeros(0, dtype=bool)], []
        masks: dict[int, NDArray[np.bool_]] = {}
        text = None
        for one in placed:
            prompts = one.prompts
            points.append(one.located)
            labels.append(np.full(len(one.located), prompts.labels[0]) if len(prompts.labels) else prompts.labels)
            if prompts.box is not None:
                first, stop = one.span or (one.frame, one.frame + 1)
                x0, y0, x1, y1 = prompts.box
                boxes.append((x0, y0, float(first), x1, y1, float(stop)))
            if prompts.mask is not None:
                masks[one.frame] = prompts.mask
            text = prompts.text or text
        return cls(np.concatenate(points), np.concatenate(labels), tuple(boxes), masks, text)

    @property
    def says_where(self) -> bool:
        """Whether anything here points at the structure, rather than only away from it."""
        return bool(self.boxes or self.masks or self.text or self.labels.any())
