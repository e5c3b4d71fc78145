"""The network's own outlines go back in: with clicks where they are wrong, or as what is known on the next frame.

As SAM trains (arXiv 2304.02643 app. A): a click falls into the error region, positive where something is missing and
negative where there is too much; now and then several errors are clicked at once. Following from outlines that are its
own, a network learns to live with its errors: to let go of what has ended, and not to grow.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.quill.data.tensor_prompt_maps import dots, prompt_channels
from delineate.quill.data.training_batch import TrainingBatch, next_frame_batch

KEEP_BOX = 0.5  # how often the box stays
LEAST_ERROR = 6  # pixels
CENTRAL = 0.7  # share of clicks where an error is deepest; the others lie anywhere in it
SEVERAL, MOST_CLICKS = 0.35, 5  # how often several errors are clicked, and how many
GOES_ON, LEAST_OUTLINE = 0.8, 12  # share of structures followed on rather than corrected; pixels there must be for it
DEEPEST, REACH = 24, 24  # cells of two by two pixels up to which a depth counts, and that a click settles around it


@torch.no_grad()
def corrected_batch(batch: TrainingBatch, outlines: Tensor) -> TrainingBatch:
    """The next round, from outlines (B, S, S): what is followed mostly goes on to the next frame.

    The rest is corrected, by clicks where it is wrong; nothing is ambiguous any longer.
    """
    going = (batch.left > batch.after) & (outlines.flatten(1).sum(1) >= LEAST_OUTLINE)
    going &= torch.rand(len(going), device=going.device) < GOES_ON
    maps, truth = torch.empty_like(batch.maps), batch.truth.clone()
    onward, stays = going.nonzero()[:, 0], (~going).nonzero()[:, 0]
    if len(stays):
        maps[stays] = corrected(batch.maps[stays], outlines[stays], truth[stays] > 0.5)
    if len(onward):
        maps[onward], truth[onward] = next_frame_batch(batch, onward, outlines[onward])
    left = torch.where(going, batch.left, 0)
    no = torch.zeros_like(batch.ambiguous)
    return replace(batch, maps=maps, truth=truth, ambiguous=no, left=left, after=batch.after + 1)


@torch.no_grad()
def corrected(maps: Tensor, outlines: Tensor, truth: Tensor) -> Tensor:
    """Maps (B, C, S, S) of the next round: ``outlines`` (B, S, S) as the outlines so far, clicks on their errors."""
    maps, device = maps.clone(), maps.device
    drawn = outlines.flatten(1).any(1)[:, None, None]
    maps[:, 7] = torch.where(drawn, outlines.float(), maps[:, 7])
    known = drawn | (maps[:, 5] > 0).flatten(1).any(1)[:, None, None]
    maps[:, 4] *= ~(known & (torch.rand(len(maps), 1, 1, device=device) > KEEP_BOX))
    several = torch.rand(len(maps), device=device) < SEVERAL
    counts = torch.where(several, torch.randint(2, MOST_CLICKS + 1, (len(maps),), device=device), 1)
    left, which = outlines ^ truth, torch.arange(len(maps), device=device)
    for n in range(MOST_CLICKS):
        which = which[(counts[which] > n) & (left[which].flatten(1).sum(1) >= LEAST_ERROR)]
        if not len(which):
            break
        places, settled = clicks_on(left[which])
        positive = truth[which, places[:, 1], places[:, 0]]
        dot = dots(places[:, None].float(), torch.ones_like(places[:, :1]), maps.shape[-1])
        for channel, there in ((5, positive), (6, ~positive)):
            maps[which, channel] = torch.maximum(maps[which, channel], dot * there[:, None, None])
        left[which] &= ~settled
    return prompt_channels(maps)


def clicks_on(errors: Tensor) -> tuple[Tensor, Tensor]:
    """A click on each of some errors (B, S, S), none of them empty, and what of the errors lies around it.

    Returns int (B, 2): x, y, mostly where they are deepest; and bool (B, S, S).
    """
    count, side = len(errors), errors.shape[-1]
    cells = F.max_pool2d(errors[:, None].float(), 2)
    depth, outer = torch.full_like(cells, DEEPEST), 1 - cells
    for n in range(DEEPEST):  # squares and crosses by turns make an octagon
        depth -= outer
        outer = F.max_pool2d(outer, 3, 1, 1) if n % 2 else torch.maximum(
            F.max_pool2d(outer, (3, 1), 1, (1, 0)), F.max_pool2d(outer, (1, 3), 1, (0, 1))
        )  # fmt: skip
    central = (torch.rand(count, 1, 1, device=errors.device) < CENTRAL).float()
    deep = depth.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0]
    wanted = errors * (torch.rand(errors.shape, device=errors.device) + central * deep + 1)
    at = wanted.flatten(1).argmax(1)
    places = torch.stack([at % side, at // side], dim=1)
    around = torch.zeros_like(cells)
    around[torch.arange(count, device=errors.device), 0, places[:, 1] // 2, places[:, 0] // 2] = 1
    for _ in range(REACH):
        around = F.max_pool2d(around, 3, 1, 1) * cells
    settled = around.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0] > 0
    return places, settled & errors
