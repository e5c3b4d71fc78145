"""How people point at structures of a clip and correct them, made from the truth (arXiv 2408.00714 sec. D.2).

A clip is a few frames of N objects. On its first frame, and perhaps on one more, every object is prompted; on some
frames the answer is corrected, click by click. The figures are those of SAM 2's released fine-tuning configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.core.errors import ModelError
from delineate.training.prompt_simulation import MaskArray, Rng, bounding_box, click_in, outward_box

BOX_NOISE, BOX_LIMIT = 0.1, 20.0  # SAM 2: share of a side, pixels
OUTWARD, OUTWARD_SIDE = 5.0, 256  # MedSAM2 (2024): pixels at this side
SCALE_NOISE = 0.1  # BioSAM 2: deviation of width and height


@dataclass(frozen=True, eq=False)
class Clicks:
    """Prompts of O objects on a frame, in input pixels: points (O, N, 2), labels (O, N).

    Labels: 1 on it, 0 not on it, 2 and 3 corners of a box, -1 nothing.
    """

    points: Tensor
    labels: Tensor

    def followed_by(self, more: Clicks) -> Clicks:
        return Clicks(torch.cat([self.points, more.points], 1), torch.cat([self.labels, more.labels], 1))


class SequencePrompts(Protocol):
    """What a person does on a clip.

    starts       prompted frames to begin with
    first        prompts there, or true outlines (O, 1, S, S), 0 or 1
    corrections  how often the answer on a frame is corrected
    correction   one more click an object, given the outlines (O, S, S) of the answer
    """

    @property
    def starts(self) -> tuple[int, ...]: ...
    def first(self, index: int) -> Clicks | Tensor: ...
    def corrections(self, index: int) -> int: ...
    def correction(self, index: int, outlines: NDArray[np.bool_]) -> Clicks: ...


class BoxKind(StrEnum):
    """How a box differs from the exact one."""

    EXACT = "exact"
    SAM2 = "sam2"  # each side by up to a tenth, 20 px at most
    OUTWARD = "outward"  # each side outwards by up to 5 px at 256 (MedSAM2, 2024)
    SCALED = "scaled"  # width and height by a normal factor around 1 (BioSAM 2)


def _within(x0: float, y0: float, x1: float, y1: float, mask: MaskArray) -> tuple[float, float, float, float]:
    height, width = mask.shape
    return max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)


def _exact(rng: Rng, mask: MaskArray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
    return x0, y0, x1, y1


def _sam2_box(rng: Rng, mask: MaskArray) -> tuple[float, float, float, float]:
    box = bounding_box(mask)
    reach = np.minimum(BOX_NOISE * (box[2:] - box[:2]), BOX_LIMIT)
    x0, y0, x1, y1 = (float(v) for v in box + rng.uniform(-1, 1, 4) * np.tile(reach, 2))
    return _within(x0, y0, x1, y1, mask)


def _scaled_box(rng: Rng, mask: MaskArray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
    half = np.array([x1 - x0, y1 - y0]) / 2 * np.maximum(0.1, 1 + SCALE_NOISE * rng.normal(size=2))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return _within(x - half[0], y - half[1], x + half[0], y + half[1], mask)


def _outward(rng: Rng, mask: MaskArray) -> tuple[float, float, float, float]:
    return outward_box(rng, mask, OUTWARD * mask.shape[-1] / OUTWARD_SIDE)


BOXES: dict[BoxKind, Callable[[Rng, MaskArray], tuple[float, float, float, float]]] = {
    BoxKind.EXACT: _exact,
    BoxKind.SAM2: _sam2_box,
    BoxKind.OUTWARD: _outward,
    BoxKind.SCALED: _scaled_box,
}


@dataclass(frozen=True)
class SequencePrompting:
    """Chances and numbers.

    pointed      chance of clicks or boxes; otherwise the true outline is given. Single images are always prompted
    box          chance of a box instead of a click, where prompted
    boxes        how boxes differ from the exact ones
    most_starts  prompted frames to begin with: one to so many, always the first
    corrected    frames corrected at most, those prompted first; only where prompted
    clicks       corrections on each of them
    from_truth   chance of a correcting click anywhere on the object, whatever the answer is
    """

    pointed: float = 0.5
    box: float = 0.5
    boxes: BoxKind = BoxKind.SAM2
    most_starts: int = 2
    corrected: int = 2
    clicks: int = 7
    from_truth: float = 0.1

    def __post_init__(self) -> None:
        chances = (self.pointed, self.box, self.from_truth)
        if not all(0 <= c <= 1 for c in chances) or self.most_starts < 1 or min(self.corrected, self.clicks) < 0:
            raise ModelError(
                "E-TRAIN-OPTION",
                f"Nobody points at things like this: {self}.",
                "Chances are 0 to 1; at least one frame is prompted.",
            )


@dataclass(frozen=True, eq=False)
class SimulatedPrompts:
    """Prompts drawn for one clip.

    truth  (O, T, S, S)
    """

    rng: Rng
    truth: NDArray[np.bool_]
    prompting: SequencePrompting
    device: torch.device
    given_masks: bool
    starts: tuple[int, ...]
    corrected: frozenset[int]

    @classmethod
    def drawn(
        cls, rng: Rng, truth: NDArray[np.bool_], prompting: SequencePrompting, device: torch.device
    ) -> SimulatedPrompts:
        """Decide which frames are prompted and corrected, and with what."""
        frames = truth.shape[1]
        given = frames > 1 and rng.random() >= prompting.pointed
        count = int(rng.integers(1, min(prompting.most_starts, frames - given) + 1))
        starts = (0, *sorted(int(n) + 1 for n in rng.choice(frames - 1, count - 1, replace=False)))
        corrected = frozenset[int]()
        if not given and prompting.corrected and prompting.clicks:
            total = int(rng.integers(count, max(count, min(prompting.corrected, frames)) + 1))
            others = [n for n in range(frames) if n not in starts]
            more = rng.choice(others, total - count, replace=False) if total > count else ()
            corrected = frozenset(starts[: prompting.corrected]) | {int(n) for n in more}
        return cls(rng, truth, prompting, device, given, starts, corrected)

    def first(self, index: int) -> Clicks | Tensor:
        """Prompts of every object on a prompted frame; the true outlines (O, 1, S, S) where those are given."""
        masks = self.truth[:, index]
        if self.given_masks:
            return torch.from_numpy(masks[:, None].astype(np.float32)).to(self.device)
        if self.rng.random() < self.prompting.box:
            return boxed(masks, self.device, self.rng, self.prompting.boxes)
        return self._clicks([error_click(self.rng, None, mask) for mask in masks])

    def corrections(self, index: int) -> int:
        return self.prompting.clicks if index in self.corrected else 0

    def correction(self, index: int, outlines: NDArray[np.bool_]) -> Clicks:
        """A click on an error of each outline (O, S, S)."""
        anywhere = self.rng.random() < self.prompting.from_truth
        pairs = zip(outlines, self.truth[:, index], strict=True)
        return self._clicks([error_click(self.rng, None if anywhere else o, mask) for o, mask in pairs])

    def _clicks(self, drawn: list[tuple[tuple[float, float], int]]) -> Clicks:
        points = torch.tensor([[place] for place, _ in drawn], dtype=torch.float32, device=self.device)
        labels = torch.tensor([[label] for _, label in drawn], dtype=torch.int32, device=self.device)
        return Clicks(points, labels)


def error_click(rng: Rng, outline: MaskArray | None, mask: MaskArray) -> tuple[tuple[float, float], int]:
    """A click drawn evenly from where an outline is wrong, (x, y) and label; None: nothing is outlined yet.

    Where nothing is wrong it is a negative click somewhere outside (SAM 2's training).
    """
    wrong = mask if outline is None else outline ^ mask
    if not wrong.any():
        outside = ~mask
        return (click_in(rng, outside, central=False) if outside.any() else (0.0, 0.0)), 0
    x, y = click_in(rng, wrong, central=False)
    return (x, y), int(mask[int(y), int(x)])


def boxed(masks: NDArray[np.bool_], device: torch.device, rng: Rng, kind: BoxKind = BoxKind.EXACT) -> Clicks:
    """Boxes of masks (O, S, S); an object that is not there is clicked at elsewhere instead, negatively."""
    points, labels = [], []
    for mask in masks:
        if mask.any():
            x0, y0, x1, y1 = BOXES[kind](rng, mask)
            points.append([(x0, y0), (x1, y1)])
            labels.append([2, 3])
        else:
            points.append([click_in(rng, ~mask, central=False), (0.0, 0.0)])
            labels.append([0, -1])
    return Clicks(
        torch.tensor(points, dtype=torch.float32, device=device), torch.tensor(labels, dtype=torch.int32, device=device)
    )
