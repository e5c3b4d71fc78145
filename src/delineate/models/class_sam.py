"""SAM that names what it sees: a mask token a class, no prompt (SAMed, MA-SAM, SAM-Adapter, MediViSTA 2025)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.models.host_decoders import DECODERS, SamDecoder
from delineate.models.sam import Sam, SamShape
from delineate.models.tiny_vit import LayerNorm2d

WIDTHS = (256, 64, 32, 16, 8)  # of a decoder that enlarges 16 times


class Upscale16Decoder(SamDecoder):
    """SAM's mask decoder with two more doublings: logits at the input's resolution (MA-SAM)."""

    upscale_layer_norm2: nn.Module
    upscale_conv3: nn.Module
    upscale_layer_norm3: nn.Module
    upscale_conv4: nn.Module

    def masks(self, tokens: Tensor, image: Tensor, chosen: slice, fine: object = None) -> Tensor:
        x = self._active(self.upscale_layer_norm(self.upscale_conv1(image)))
        x = self._active(self.upscale_layer_norm2(self.upscale_conv2(x)))
        x = self._active(self.upscale_layer_norm3(self.upscale_conv3(x)))
        x = self._active(self.upscale_conv4(x))
        return by_tokens(self.output_hypernetworks_mlps[chosen], tokens[:, chosen], x)


def by_tokens(heads: nn.ModuleList, tokens: Tensor, image: Tensor) -> Tensor:
    """Logits (B, K, h, w): each of K tokens (B, K, 256), through its head, times the image (B, c, h, w)."""
    weights = torch.stack([head(tokens[:, n]) for n, head in enumerate(heads)], dim=1)
    return (weights @ image.flatten(2)).unflatten(2, image.shape[2:])


def enlarge_sixteen_times(decoder: nn.Module) -> None:
    """Make a SAM's mask decoder one that enlarges 16 times; the first two steps keep their names."""
    doubling = DECODERS[nn.ConvTranspose2d]
    for n in (3, 4):
        decoder.add_module(f"upscale_conv{n}", doubling(WIDTHS[n - 1], WIDTHS[n], 2, stride=2))
    for n in (2, 3):
        decoder.add_module(f"upscale_layer_norm{n}", LayerNorm2d(WIDTHS[n]))
    narrow_heads(decoder, WIDTHS[-1])
    decoder.__class__ = Upscale16Decoder


def narrow_heads(decoder: nn.Module, channels: int) -> None:
    """Give the heads of mask tokens as many outputs as the enlarged image has channels."""
    for head in decoder.output_hypernetworks_mlps:  # type: ignore[union-attr]
        last = head.proj_out
        head.proj_out = type(last)(last.in_features, channels)


class ClassSam(Sam):
    """``classify`` pictures. ``classes``: without the background, which has the first token; 0: one token alone."""

    def __init__(self, shape: SamShape, classes: int, sixteen: bool = False) -> None:
        super().__init__(replace(shape, masks=classes))
        self.classes = classes
        if sixteen:
            enlarge_sixteen_times(self.host.mask_decoder)

    def classify(self, pixels: Tensor, depth: int = 1) -> Tensor:
        """Pixels (B, 3, side, side), clips of ``depth`` -> logits (B, 1 + classes, 4 f or 16 f, 4 f or 16 f)."""
        context = self.context(pixels, SlotContext(depth=depth))
        return self.decode_classes(self.embed(pixels, context), context)

    def context(self, pixels: Tensor, context: SlotContext) -> SlotContext:
        """With what branches beside the encoder make of the pixels."""
        return context

    def decode_classes(self, embedding: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        """Logits of all mask tokens, from an embedding (B, 256, f, f) alone."""
        decoder: Any = self.host.mask_decoder
        f = embedding.shape[-1]
        dense = self.host.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(-1, -1, f, f)
        own = self.own_tokens()
        tokens, image = decoder.attended(own, embedding, self._places(embedding), None, dense, context)
        return decoder.masks(tokens[:, 1 : 1 + self.classes + 1], image, slice(None))

    def own_tokens(self) -> Tensor:
        """The decoder's tokens: IoU's, then the masks'."""
        decoder = self.host.mask_decoder
        return torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
