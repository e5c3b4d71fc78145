"""What a network keeps for the way back: from a formula by the encoder's shape, as measured, or hardly anything.

Counted are numbers, not bytes, for one picture. A ViT block of N tokens of width C (N' after windows are filled up),
h heads and windows of T tokens keeps 11 N C + 8 N' C + h N' T: inputs of both norms, of four matrices, of GELU, and
softmax; where windows are filled up 2 N C more and 2 N' C less, as what fills them is not projected. A convolution
block of TinyViT keeps 27 maps of its width, an attention block 12 N C + 8 N' C + h N' T.
Hiera's fused attention keeps no softmax: 11 N C + 5 N' C, in a stage's first block 18 N C + 5 of the finer map's.

Against what torch keeps on a CPU (``kept_bytes``): ViT of width 64 to 768 at 256 and 512 px within 2 %, TinyViT at
128 and 512 px 5 % more, Hiera-T at 512 px 2 % more, the mask decoder within 2 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.models.edgetam_video import modeling_edgetam_video as edgetam_video
from transformers.models.sam.modeling_sam import SamVisionLayer
from transformers.models.sam2.modeling_sam2 import Sam2MultiScaleBlock
from transformers.models.sam2_video import modeling_sam2_video as sam2_video

from delineate.models.sam import TINY_VITS, VIT_SIZES, SamShape, VitSize
from delineate.models.sam2 import HieraSize
from delineate.models.tiny_vit import HEAD_WIDTH, InvertedBottleneck, TinyViTBlock, TinyViTConfig

WINDOW = 14  # of SAM's ViT
BLOCKS = (
    SamVisionLayer, TinyViTBlock, InvertedBottleneck, Sam2MultiScaleBlock,
    *(getattr(host, f"{name}Video{part}") for host, name in ((sam2_video, "Sam2"), (edgetam_video, "EdgeTam"))
      for part in ("MemoryAttentionLayer", "MemoryFuser", "MaskDownSampler", "MaskDecoder")),
)  # fmt: skip
DECODER_IMAGE, DECODER_FINE = 11.5, 5.5  # maps a structure keeps: of 256 channels at f x f; of 32 channels at 4 f x 4 f


@dataclass(frozen=True)
class Kept:
    """Numbers kept for one picture: each block's, its input, and those outside blocks.

    largest  softmax that is written out while a block is computed, there and back
    """

    blocks: tuple[float, ...]
    inputs: tuple[float, ...]
    others: float
    largest: float = 0.0

    def total(self, checkpointing: bool) -> float:
        """All of it; with ``checkpointing`` the blocks' inputs, and one block at a time."""
        return self.others + (sum(self.inputs) + max(self.blocks, default=0) if checkpointing else sum(self.blocks))


def of_shape(shape: SamShape) -> Kept:
    """Of a SAM-shaped encoder."""
    if shape.encoder in TINY_VITS:
        return of_tiny_vit(TINY_VITS[shape.encoder], shape.side)
    return of_vit(shape.size or VIT_SIZES[shape.encoder], shape.side)


def of_vit(size: VitSize, side: int, patch: int = 16, fused: bool = False) -> Kept:
    """Of SAM's ViT at ``side`` pixels; ``fused``: without places between tokens, and without softmax written out."""
    cells, width = side // patch, size.width
    blocks, largest = [], 0.0
    for n in range(size.depth):
        window = cells if n in size.global_blocks else WINDOW
        heads, within = (0, 5) if fused else (size.heads, 8)
        kept, softmax = _attending(cells, window, width, heads, around=11, within=within)
        blocks.append(kept)
        largest = max(largest, softmax)
    tokens = cells * cells
    neck = tokens * (width + 256 * 4)
    return Kept(tuple(blocks), (float(tokens * width),) * size.depth, neck + 3 * side * side, largest)


def of_tiny_vit(config: TinyViTConfig, side: int) -> Kept:
    """Of TinyViT at ``side`` pixels."""
    stride = 4 if config.stem_kernel == 3 else 1
    cells = side // stride
    blocks, inputs, others, largest = [], [], 0.0, 0.0
    half = (side // 2 if stride == 4 else side) ** 2
    others += 3 * side * side + half * config.widths[0] / 2 * 3 + cells**2 * config.widths[0]
    for stage, (width, depth, window) in enumerate(zip(config.widths, config.depths, config.windows, strict=True)):
        for _ in range(depth):
            inputs.append(float(cells**2 * width))
            if stage == 0:
                blocks.append(27.0 * cells**2 * width)
                continue
            kept, softmax = _attending(cells, window, width, width // HEAD_WIDTH, around=12, within=8)
            blocks.append(kept)
            largest = max(largest, softmax)
        if stage < 3:
            wider, after = config.widths[stage + 1], cells // 2 if stage < 2 else cells
            others += cells**2 * (width + 3 * wider) + after**2 * 3 * wider
            cells = after
    return Kept(tuple(blocks), tuple(inputs), others + cells**2 * (config.widths[3] + 4 * 256), largest)


def of_hiera(size: HieraSize, side: int) -> Kept:
    """Of SAM 2's Hiera at ``side`` pixels, with its pyramid."""
    blocks, inputs, cells, number = [], [], side // 4, 0
    for stage, depth in enumerate(size.stages):
        width = size.widths[stage]
        for n in range(depth):
            first = n == 0 and stage > 0  # its keys and values come from the finer map, in that one's windows
            fine, windows = (2 * cells, size.windows[stage - 1]) if first else (cells, size.windows[stage])
            window = fine if number in size.global_blocks else windows
            kept, _ = _attending(fine, window, width, 0, around=0, within=5)
            kept += (18 if first else 11) * cells**2 * width
            blocks.append(kept)
            inputs.append(float(cells**2 * width))
            number += 1
        cells //= 2
    finest = (side // 4) ** 2
    return Kept(tuple(blocks), tuple(inputs), 3.0 * side * side + 2 * finest * size.width)


def of_decoder(cells: int) -> float:
    """Numbers a structure keeps in SAM's mask decoder, for an embedding of ``cells`` x ``cells``."""
    return cells**2 * 256 * DECODER_IMAGE + (4 * cells) ** 2 * 32 * DECODER_FINE


def _attending(cells: int, window: int, width: int, heads: int, around: int, within: int) -> tuple[float, float]:
    """Numbers an attention block keeps, and its softmax's."""
    filled = -(-cells // window) * window
    if filled > cells:  # what windows are filled up with is not projected
        around, within = around + 2, within - 2
    softmax = float(heads * filled**2 * window**2)
    return around * cells**2 * width + within * filled**2 * width + softmax, softmax


def kept_bytes(compute: Callable[[], Tensor], weights: Sequence[Tensor] = ()) -> int:
    """Bytes that ``compute`` keeps for the way back, ``weights`` not counted; every storage once, on meta too."""
    known = {w.untyped_storage()._cdata for w in weights}
    found: dict[int, int] = {}

    held: list[Tensor] = []  # so that no address is given out twice

    def keep(tensor: Tensor) -> Tensor:
        held.append(tensor)
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            found[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        result = compute()
    del result
    return sum(found.values())


def forget_activations(network: nn.Module) -> None:
    """Let every block of an encoder keep its input alone and be computed again on the way back.

    Of all of a SAM 2's host also what attends to memories, makes them, and answers.
    """
    for block in network.modules():
        if isinstance(block, BLOCKS):
            plain: Callable[..., Any] = block.forward
            block.forward = partial(_again, plain)


def _again(forward: Callable[..., Any], *given: Tensor, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*given, **named)
    return checkpoint(forward, *given, use_reentrant=False, **named)
