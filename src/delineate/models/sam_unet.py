"""SAM-UNet: a ResNet beside SAM's frozen encoder, and a decoder that sees several scales (arXiv 2408.09886 v1)."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetModel

from delineate.adapters.cross_branch import AddBranch, at_block
from delineate.adapters.init import Init, begun
from delineate.adapters.slots import NO_CONTEXT, Blocks, Insertion, Slot, SlotContext, Taps, insert
from delineate.models.cells import Cells
from delineate.models.host_decoders import DECODERS
from delineate.models.medivista import size_of
from delineate.models.sam import ALL_CELLS, Sam, SamPrompts, SamShape, other_sizes
from delineate.models.tiny_vit import LayerNorm2d

FINE = 32  # channels of maps at a stride of 4


class ResNetDepth(IntEnum):
    R34 = 34
    R50 = 50


WIDTHS = {ResNetDepth.R34: (64, 128, 256, 512), ResNetDepth.R50: (256, 512, 1024, 2048)}


def resnet(depth: ResNetDepth) -> ResNetModel:
    """Without a head; ``embedder`` and ``encoder.stages`` as the host library names them."""
    kind = "basic" if depth is ResNetDepth.R34 else "bottleneck"
    return ResNetModel(ResNetConfig(hidden_sizes=list(WIDTHS[depth]), depths=[3, 4, 6, 3], layer_type=kind))


def doubling(inputs: int, outputs: int) -> nn.Module:
    """A transposed convolution of 2 x 2 and stride 2."""
    return DECODERS[nn.ConvTranspose2d](inputs, outputs, 2, stride=2)


def brought_in(level: int, widths: tuple[int, ...], out: int) -> nn.Sequential:
    """A ResNet's map of a level (stride 4, 8, 16, 32) -> (B, out, side / 16, side / 16)."""
    width, steps = widths[level], []
    for _ in range(2 - level):
        steps += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), LayerNorm2d(2 * width), nn.GELU()]
        width *= 2
    if level == 3:
        steps += [doubling(width, width // 2), LayerNorm2d(width // 2), nn.GELU()]
        width //= 2
    return nn.Sequential(*steps, nn.Conv2d(width, out, 1))


def raised(inputs: int, between: int) -> nn.Sequential:
    """A map at a stride of 16 -> (B, 32, h, w) at a stride of 4."""
    return nn.Sequential(doubling(inputs, between), LayerNorm2d(between), nn.GELU(), doubling(between, FINE))


class MaskFeature(nn.Module):
    """(B, 32, h, w) -> the same, through 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(FINE, 2 * FINE, 3, padding=1), LayerNorm2d(2 * FINE), nn.GELU(),
            nn.Conv2d(2 * FINE, FINE, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SamUnet(Sam):
    """As SAM: ``embed``, then ``decode``; an embedding holds the maps of several scales, too: (B, 256 + 512, f, f).

    init  of what brings the ResNet's maps in: at first SAM's encoder sees nothing of them, or as in the released code
    """

    def __init__(self, shape: SamShape, depth: ResNetDepth = ResNetDepth.R34, init: Init = Init.IDENTITY) -> None:
        super().__init__(shape)
        size, host = size_of(shape), self.host
        self.blocks = size.global_blocks
        if len(self.blocks) != len(WIDTHS[depth]):
            raise other_sizes("SAM-UNet, which needs four blocks with attention over the whole map,")
        insert(host.vision_encoder, Insertion(Slot.BEFORE, lambda *_: AddBranch(), Blocks.GLOBAL))
        host.add_module("resnet", resnet(depth))
        inputs = [brought_in(n, WIDTHS[depth], size.width) for n in range(4)]
        for bring in inputs:
            begun(bring[-1], init)
        host.add_module("inputs", nn.ModuleList(inputs))
        host.add_module("bridges", nn.ModuleList(raised(size.width, 256) for _ in range(3)))
        host.add_module("embedding_encoder", raised(256, 64))
        decoder: Any = host.mask_decoder
        decoder.add_module("med_token", nn.Embedding(1, 256))
        decoder.add_module("med_head", decoder.output_hypernetworks_mlps[0])
        decoder.add_module("mask_feature", MaskFeature())
        for unused in ("iou_token", "mask_tokens", "iou_prediction_head", "output_hypernetworks_mlps"):
            delattr(decoder, unused)

    def embed(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        host: Any = self.host
        seen = host.resnet(pixels, output_hidden_states=True).hidden_states[1:]
        branch = {
            at_block(block): bring(one).permute(0, 2, 3, 1)
            for block, bring, one in zip(self.blocks, host.inputs, seen, strict=True)
        }
        taps = Taps(self.blocks[:3])
        embedding = super().embed(pixels, replace(context, branch=branch, taps=taps))
        scales = host.embedding_encoder(embedding)
        for bridge, block in zip(host.bridges, taps.blocks, strict=True):
            scales = scales + bridge(taps.tokens[block].permute(0, 3, 1, 2))
        return torch.cat([embedding, F.pixel_unshuffle(scales, 4)], dim=1)

    def decode(
        self,
        embedding: Tensor,
        prompts: SamPrompts,
        multimask: bool,
        context: SlotContext = NO_CONTEXT,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, Tensor]:
        """Logits (O, 1, 4 f, 4 f), and as the network predicts no IoU, that of the outline with itself at -+1 logit.

        All cells are decoded.
        """
        decoder: Any = self.host.mask_decoder
        image = embedding[:, :256]
        scales = F.pixel_shuffle(embedding[:, 256:], 4)
        sparse, dense = self.prompt_tokens(prompts)
        tokens, image = decoder.attended(
            decoder.med_token.weight,
            image,
            self._places(image),
            None if sparse is None else sparse[:, 0],
            dense,
            context,
        )
        x = decoder.upscale_conv2(decoder._active(decoder.upscale_layer_norm(decoder.upscale_conv1(image))))
        x = decoder.mask_feature(decoder._active(x)) + scales
        masks = (decoder.med_head(tokens[:, :1]) @ x.flatten(2)).unflatten(2, x.shape[2:])
        inner, outer = ((masks > threshold).sum((2, 3)) for threshold in (1.0, -1.0))
        return masks, inner / outer.clamp(min=1)
