"""How each published system was prompted while it was trained, by name.

A policy gives the first prompts of a batch of structures, and the corrections of each round after it. Masks are
(O, S, S) in the network's input, S pixels along a side; prompts are in pixels there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.models.sam import SamPrompts
from delineate.training.prompt_simulation import (
    MaskArray,
    Rng,
    bounding_box,
    click_in,
    correcting_click,
    error_clicks,
    jittered_box,
    noisy_box,
    outward_box,
    shifted_box,
    spoiled,
    wrong_box,
)

SIDE = 1024  # distances below are pixels at this side
MEDSAM_OUTWARD = 20.0  # LiteMedSAM's 5 pixels at 256 are the same
MED2D_SHIFT, MED2D_SIDE = 5.0, 256
MED2D_ROUNDS, MED2D_COUNTS = 8, (1, 3, 5, 9)
INTERACTIVE_ROUNDS = 2
INTERACTIVE_BEFORE = 5  # rounds, at most, before those
SLOPPIEST = 0.3  # of a side: how far the sides of a box may be off
SCRIBBLED = 4, 9  # clicks along a scribble: at least, fewer than
SLOPPY_MEASURED = 0.2
SAM_ROUNDS = 10  # eight clicks and two rounds without a new prompt follow the first


class PromptPolicy(StrEnum):
    BOX = "box"  # MedSAM and LiteMedSAM
    POINT = "point"  # MedSAM's point extension
    SAM_ITERATIVE = "sam_iterative"
    SAM_MED2D = "sam_med2d"
    SHIFTED_BOX = "shifted_box"  # SAM-UNet
    INTERACTIVE = "interactive"  # whatever a person may do


@dataclass(frozen=True, eq=False)
class SampledPrompts:
    """Prompts of O structures.

    points    (O, N, 2), x and y, or None
    labels    (O, N): 1 on it, 0 not on it, -1 padding
    boxes     (O, 4), or None
    feedback  the answer before goes in as a mask prompt
    outlines  (O, S, S) drawn before, which go in as a mask prompt; or None
    """

    points: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    boxes: NDArray[np.float64] | None = None
    feedback: bool = False
    outlines: NDArray[np.bool_] | None = None

    def tensors(self, device: torch.device, masks: torch.Tensor | None = None) -> SamPrompts:
        """As the network takes them; ``masks`` are what goes in as a mask prompt."""
        points = None if self.points is None else torch.from_numpy(self.points).float().to(device)
        labels = None if self.labels is None else torch.from_numpy(self.labels).to(device)
        boxes = None if self.boxes is None else torch.from_numpy(self.boxes).float().to(device)
        return SamPrompts(points, labels, boxes, masks)


First = Callable[[Rng, NDArray[np.bool_]], SampledPrompts]
Then = Callable[
    [Rng, SampledPrompts, NDArray[np.bool_], NDArray[np.bool_], int], SampledPrompts
]  # given, outlines, truth, round from 1


@dataclass(frozen=True)
class Simulation:
    """How a batch is prompted.

    first      first prompts
    then       corrections, before each of ``rounds`` further answers
    unlearned  answers at most, drawn evenly from none, that are corrected before the first that is learned from: what
               many clicks in a row come to, at a third of the cost
    """

    first: First
    then: Then | None = None
    rounds: int = 0
    unlearned: int = 0


def medsam_boxes(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """Boxes, each side moved outwards by 0 to 20 pixels at 1024 (arXiv 2304.12306; LiteMedSAM: 5 at 256)."""
    most = MEDSAM_OUTWARD * masks.shape[-1] / SIDE
    return SampledPrompts(boxes=np.array([outward_box(rng, mask, most) for mask in masks]))


def one_point(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """One pixel of each structure, all alike (MedSAM's point extension)."""
    points = np.array([[click_in(rng, mask, central=False)] for mask in masks])
    return SampledPrompts(points, np.ones(points.shape[:2], np.int64))


def sam_first(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """A point or a noisy box, half and half, one kind a batch (arXiv 2304.02643 appendix A)."""
    if rng.random() < 0.5:
        return one_point(rng, masks)
    most = 20.0 * masks.shape[-1] / SIDE
    return SampledPrompts(boxes=np.array([noisy_box(rng, mask, 0.1, most) for mask in masks]))


def sam_then(
    rng: Rng, given: SampledPrompts, outlines: NDArray[np.bool_], masks: NDArray[np.bool_], number: int
) -> SampledPrompts:
    """One more click on the error with the answer before; in two rounds, one the last, the answer before alone.

    The round without a click in the middle is the sixth here; the paper draws it.
    """
    if number in (SAM_ROUNDS // 2 + 1, SAM_ROUNDS):
        return replace(given, feedback=True)
    return _with_clicks(rng, given, outlines, masks, 1)


def med2d_first(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """A point or a shifted box, half and half, one kind a batch (SAM-Med2D, arXiv 2308.16184 sec. 3.3)."""
    return one_point(rng, masks) if rng.random() < 0.5 else shifted_boxes(rng, masks)


def shifted_boxes(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """Boxes of the largest part, moved as a whole by up to 5 pixels at 256."""
    most = MED2D_SHIFT * masks.shape[-1] / MED2D_SIDE
    return SampledPrompts(boxes=np.array([shifted_box(rng, mask, most) for mask in masks]))


def med2d_then(
    rng: Rng, given: SampledPrompts, outlines: NDArray[np.bool_], masks: NDArray[np.bool_], number: int
) -> SampledPrompts:
    """1, 3, 5 or 9 clicks on errors and the answer before, earlier prompts gone; last round: the answer alone.

    One more round without clicks falls on a random one of the first six, by chance of a sixth each.
    """
    if number == MED2D_ROUNDS or (number <= 6 and rng.random() < 1 / 6):
        return SampledPrompts(feedback=True)
    return _with_clicks(rng, SampledPrompts(), outlines, masks, int(rng.choice(MED2D_COUNTS)))


def interactive_first(rng: Rng, masks: NDArray[np.bool_]) -> SampledPrompts:
    """A box of any care, a click or a few, a scribble, or an outline that is nearly right; one kind a batch."""
    match int(rng.choice(4, p=(0.35, 0.4, 0.1, 0.15))):
        case 0:
            amount = rng.uniform(0, SLOPPIEST)
            return SampledPrompts(boxes=np.array([jittered_box(rng, mask, amount) for mask in masks]))
        case 1:
            return _clicked(rng, masks, int(rng.choice((1, 2, 3), p=(0.7, 0.2, 0.1))))
        case 2:
            return _clicked(rng, masks, int(rng.integers(*SCRIBBLED)))
        case _:
            drawn = np.stack([spoiled(rng, mask) for mask in masks])
            return replace(_corrected(rng, SampledPrompts(), drawn, masks), feedback=False, outlines=drawn)


def interactive_then(
    rng: Rng, given: SampledPrompts, outlines: NDArray[np.bool_], masks: NDArray[np.bool_], number: int
) -> SampledPrompts:
    """One more click on the largest error, mostly in its middle, with the answer before."""
    return _corrected(rng, given, outlines, masks)


def _clicked(rng: Rng, masks: NDArray[np.bool_], count: int) -> SampledPrompts:
    """Clicks on each structure; every other first one is in the middle."""
    points = [[click_in(rng, mask, n == 0 and rng.random() < 0.5) for n in range(count)] for mask in masks]
    return SampledPrompts(np.array(points), np.ones((len(masks), count), np.int64))


def _corrected(rng: Rng, given: SampledPrompts, outlines: MaskArray, masks: MaskArray) -> SampledPrompts:
    clicks = [correcting_click(rng, found, mask) for found, mask in zip(outlines, masks, strict=True)]
    points = np.stack([np.zeros((1, 2)) if one is None else one[0] for one in clicks])
    labels = np.stack([np.full(1, -1) if one is None else one[1].astype(np.int64) for one in clicks])
    return _added(given, points, labels)


def _with_clicks(rng: Rng, given: SampledPrompts, outlines: MaskArray, masks: MaskArray, count: int) -> SampledPrompts:
    drawn = [error_clicks(rng, found, mask, count) for found, mask in zip(outlines, masks, strict=True)]
    return _added(given, np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn]).astype(np.int64))


def _added(given: SampledPrompts, points: NDArray[np.float64], labels: NDArray[np.int64]) -> SampledPrompts:
    """Clicks after those that were given, with the answer before."""
    if given.points is not None and given.labels is not None:
        points = np.concatenate([given.points, points], axis=1)
        labels = np.concatenate([given.labels, labels], axis=1)
    return SampledPrompts(points, labels, given.boxes, feedback=True)


SIMULATIONS: dict[PromptPolicy, Simulation] = {
    PromptPolicy.BOX: Simulation(medsam_boxes),
    PromptPolicy.POINT: Simulation(one_point),
    PromptPolicy.SAM_ITERATIVE: Simulation(sam_first, sam_then, SAM_ROUNDS),
    PromptPolicy.SAM_MED2D: Simulation(med2d_first, med2d_then, MED2D_ROUNDS),
    PromptPolicy.SHIFTED_BOX: Simulation(shifted_boxes),
    PromptPolicy.INTERACTIVE: Simulation(interactive_first, interactive_then, INTERACTIVE_ROUNDS, INTERACTIVE_BEFORE),
}

CHOICES = tuple(one for one in PromptPolicy if one is not PromptPolicy.SAM_MED2D)  # whose rounds are steps of a scheme


def measured_prompts(policy: PromptPolicy) -> tuple[Callable[[NDArray[np.bool_]], SampledPrompts], ...]:
    """What is measured with, always the same: exact prompts; for all that a person may do also a sloppy box, a click.

    The mean over these says whether weights are better, so that none is bought with another.
    """
    if policy is not PromptPolicy.INTERACTIVE:
        return (lambda masks: exact_prompts(policy, masks),)
    rng = np.random.default_rng(0)
    return (
        lambda masks: exact_prompts(policy, masks),
        lambda masks: SampledPrompts(boxes=np.array([wrong_box(rng, mask, SLOPPY_MEASURED) for mask in masks])),
        lambda masks: exact_prompts(PromptPolicy.POINT, masks),
    )


def exact_prompts(policy: PromptPolicy, masks: NDArray[np.bool_]) -> SampledPrompts:
    """What is measured with: the exact box, or the point deepest inside where points are what is trained."""
    if policy is PromptPolicy.POINT:
        rng = np.random.default_rng(0)
        points = np.array([[click_in(rng, mask, central=True)] for mask in masks])
        return SampledPrompts(points, np.ones(points.shape[:2], np.int64))
    return SampledPrompts(boxes=np.array([bounding_box(mask) for mask in masks]))
