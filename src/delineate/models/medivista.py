"""MediViSTA's networks: a SAM whose frames look at each other, for clips of heart ultrasound (arXiv 2309.13539).

The arXiv entry changed its method: ``MediVistaSam`` is the first version, ``MediVista`` the one of IEEE JBHI 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from delineate.adapters.bottleneck import ParallelBottleneck
from delineate.adapters.cross_branch import BranchStem, CrossBranchAttention, at_block
from delineate.adapters.init import Init
from delineate.adapters.lowrank import add_factor_tensors
from delineate.adapters.slots import Blocks, EncoderSlot, Insertion, Slot, SlotContext, insert
from delineate.adapters.temporal import First, KernelTemporalFusion, PreviousFrameAttention, TemporalSelfAttention
from delineate.adapters.unet_stem import ConvNeck, UNetStem
from delineate.adapters.wavelet import WaveletBranch
from delineate.models.attention_up_path import AttentionUpPath
from delineate.models.class_sam import ClassSam, by_tokens, narrow_heads
from delineate.models.sam import VIT_SIZES, SamEncoder, SamShape, VitSize


def size_of(shape: SamShape) -> VitSize:
    return shape.size or VIT_SIZES[shape.encoder]


class MediVistaSam(ClassSam):
    """The first version: clips of one channel; every block attends over time, then to the frame before, then as SAM's.

    All blocks attend to the whole map, without positions of their own. A token a class, none for the background.
    """

    def __init__(self, shape: SamShape, classes: int, first: First = First.SELF, init: Init = Init.IDENTITY) -> None:
        size = size_of(shape)
        everywhere = replace(size, global_blocks=tuple(range(size.depth)))
        super().__init__(replace(shape, size=everywhere, placed=False), classes - 1)
        encoder, decoder = self.host.vision_encoder, self.host.mask_decoder
        insert(
            encoder,
            Insertion(Slot.BEFORE, lambda w, _: TemporalSelfAttention(w, size.heads, init)),
            Insertion(Slot.BEFORE, lambda w, _: PreviousFrameAttention(w, size.heads, first, init)),
            Insertion(Slot.MLP_PARALLEL, lambda w, _: ParallelBottleneck(w, init=init, normed=False)),
            Insertion(EncoderSlot.STEM, lambda *_: BranchStem()),
            Insertion(EncoderSlot.NECK, ConvNeck),
        )
        encoder.patch_embed, encoder.neck = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        narrow_heads(decoder, 8)
        for unused in ("upscale_conv1", "upscale_layer_norm", "upscale_conv2", "iou_token", "iou_prediction_head"):
            delattr(decoder, unused)
        self.host.add_module("stem", UNetStem(size.width))
        decoder.add_module("up_path", AttentionUpPath())

    def classify(self, pixels: Tensor, depth: int = 1) -> Tensor:
        """Pixels (B, 1, side, side) -> logits (B, 1 + classes, side, side), those of the background being zero."""
        host: Any = self.host
        tokens, skips = host.stem(pixels)
        context = SlotContext(depth=depth, branch={"stem": tokens})
        embedding = self.embed(pixels, context)
        decoder, f = host.mask_decoder, embedding.shape[-1]
        dense = host.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(-1, -1, f, f)
        seen, image = decoder.attended(
            decoder.mask_tokens.weight, embedding, self._places(embedding), None, dense, context
        )
        enlarged = decoder.up_path(image, skips[:0:-1])
        masks = by_tokens(decoder.output_hypernetworks_mlps, seen, enlarged)
        return torch.cat([torch.zeros_like(masks[:, :1]), masks], dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, 1, H, W, T) -> masks' logits (B x T, classes, H, W), as the released model is called."""
        frames = clips.permute(0, 4, 1, 2, 3)
        return self.classify(frames.flatten(0, 1), frames.shape[1])[:, 1:]


class MediVista(ClassSam):
    """The version of IEEE JBHI 2025: FacT, keys and values blended over frames, a wavelet branch beside the encoder."""

    def __init__(
        self,
        shape: SamShape,
        classes: int,
        rank: int = 32,
        lambda_k: float | None = None,
        normalize: bool = True,
        init: Init = Init.IDENTITY,
    ) -> None:
        super().__init__(shape, classes, sixteen=True)
        size, encoder = size_of(shape), self.host.vision_encoder
        add_factor_tensors(encoder, rank)
        insert(
            encoder,
            Insertion(
                Slot.BEFORE,
                lambda w, _: KernelTemporalFusion(w, size.heads, lambda_k=lambda_k, normalize=normalize, init=init),
            ),
            Insertion(Slot.ATTENTION_INPUT, lambda w, _: CrossBranchAttention(w, size.heads, init), Blocks.GLOBAL),
        )
        self.host.add_module("branch", WaveletBranch(size.width, len(size.global_blocks)))

    def context(self, pixels: Tensor, context: SlotContext) -> SlotContext:
        host: Any = self.host
        maps = host.branch(pixels)
        blocks = size_of(self.shape).global_blocks
        return replace(context, branch={at_block(n): one for n, one in zip(blocks, maps, strict=True)})


def _registered(encoder: SamEncoder) -> Callable[..., tuple[MediVistaSam, int]]:
    def made(
        args: Any = None,
        *,
        image_size: int,
        num_classes: int,
        chunk: int,
        checkpoint: str | None = None,
        pixel_mean: object = None,
        pixel_std: object = None,
    ) -> tuple[MediVistaSam, int]:
        """The network, and cells along a side of its embedding. A clip may have any length, not ``chunk`` alone.

        args, pixel_mean, pixel_std  taken, as the released code takes them; intensities are scaled from least to
            greatest instead. ``checkpoint``: read it with ``delineate.systems.build`` (the released code ignores it)
        """
        if checkpoint is not None:
            raise ValueError("weights are read by delineate.systems.build(f'medivista_sam={checkpoint}')")
        return MediVistaSam(SamShape(encoder, image_size), num_classes), image_size // 16

    return made


model_registry = {
    str(one): _registered(one) for one in (SamEncoder.VIT_B, SamEncoder.VIT_L, SamEncoder.VIT_H)
}  # as the authors' README calls it: model_registry["vit_b"](args, image_size=..., num_classes=..., chunk=..., ...)
