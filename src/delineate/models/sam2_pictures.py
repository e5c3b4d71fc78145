"""SAM 2 on pictures alone, called as SAM is: nothing is remembered, and prompts come by their kinds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.models.cells import Cells
from delineate.models.sam import ALL_CELLS, SamPrompts
from delineate.models.sam2 import Sam2, Sam2Maps, Sam2Shape

CORNERS = (2, 3)  # labels of a box's corners among points


class PictureSam2(nn.Module):
    """``embed`` pictures, then ``decode`` prompts, with the weights of a SAM 2."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.network = network

    @property
    def host(self) -> Any:
        return self.network.host

    @property
    def shape(self) -> Sam2Shape:
        return self.network.shape

    def embed(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Sam2Maps:
        """Prepared pixels (B, 3, side, side) -> maps of each picture."""
        return self.network.embed(pixels, context)

    def decode(
        self,
        maps: Sam2Maps,
        prompts: SamPrompts,
        multimask: bool,
        context: SlotContext = NO_CONTEXT,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, Tensor]:
        """Logits (O, 3 or 1, 4 f, 4 f) and the predicted IoU of O objects on one picture, or of one object on each.

        All cells are decoded.
        """
        points, labels = _as_points(prompts, maps.coarse)
        coarse = self.network.without_memory(maps)
        answer = self.network.decode(coarse, maps, points, labels, prompts.masks, multimask, context, gated=False)
        return answer.logits, answer.iou


def on_pictures(network: Any) -> Any:
    """A network that is called as SAM is."""
    return PictureSam2(network) if isinstance(network, Sam2) else network


def _as_points(prompts: SamPrompts, like: Tensor) -> tuple[Tensor, Tensor]:
    """Points (O, N, 2) and their labels (O, N), a box's corners first."""
    count = prompts.count
    points, labels = [like.new_zeros(count, 0, 2)], [torch.zeros(count, 0, dtype=torch.int32, device=like.device)]
    if prompts.boxes is not None:
        points.append(prompts.boxes.view(count, 2, 2))
        labels.append(labels[0].new_tensor(CORNERS).expand(count, 2))
    if prompts.points is not None and prompts.labels is not None:
        points.append(prompts.points)
        labels.append(prompts.labels.int())
    return torch.cat(points, dim=1), torch.cat(labels, dim=1)
