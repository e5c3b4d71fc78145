"""SAM-Adapter's network: SAM with something added to its tokens before every block, one mask (arXiv 2304.09148)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from delineate.adapters.cross_branch import AddBranch
from delineate.adapters.high_pass import PromptGenerator
from delineate.adapters.init import Init
from delineate.adapters.slots import Insertion, Slot, SlotContext, insert
from delineate.models.class_sam import ClassSam
from delineate.models.medivista import size_of
from delineate.models.sam import SamShape


class PromptedTokensSam(ClassSam):
    """``classify``: logits (B, 1, 4 f, 4 f) of the first of SAM's mask tokens."""

    def __init__(self, shape: SamShape, init: Init = Init.IDENTITY) -> None:
        super().__init__(shape, shape.masks)
        size = size_of(shape)
        self.host.add_module("generator", PromptGenerator(size.width, size.depth, init))
        insert(self.host.vision_encoder, Insertion(Slot.BEFORE, lambda *_: AddBranch()))

    def context(self, pixels: Tensor, context: SlotContext) -> SlotContext:
        with torch.no_grad():  # frozen, and all that is seen of it
            patches = self.host.vision_encoder.patch_embed(pixels)
        generator: Any = self.host.generator
        return replace(context, branch=generator(pixels, patches))

    def classify(self, pixels: Tensor, depth: int = 1) -> Tensor:
        return super().classify(pixels, depth)[:, :1]
