"""The two-way mask decoder of SAM and SAM 2 in use (arXiv 2304.02643 sec. A): the host's modules, called leaner.

Channels stay last, so that enlarging by 2 x 2 is one matrix product; what objects of one image have in common is
projected once; only the masks asked for are made. Same parameters, same result up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Fine = tuple[Tensor, Tensor]  # (1, 32, 4 f, 4 f) and (1, 64, 2 f, 2 f)


def attended(transformer: Any, prompts: Tensor, image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (O, T, 256) and an image of N places, (1 or O, N, 256), after looking at each other: both for O objects.

    places  (1, N, 256), the position of each
    """
    queries, keys = prompts, image
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = _attention(layer.self_attn, queries, queries, queries)
        else:
            placed = queries + prompts
            queries = queries + _attention(layer.self_attn, placed, placed, queries)
        queries = layer.layer_norm1(queries)
        seen = keys + places
        queries = queries + _attention(layer.cross_attn_token_to_image, queries + prompts, seen, keys)
        queries = layer.layer_norm2(queries)
        queries = layer.layer_norm3(queries + layer.mlp(queries))
        keys = keys + _attention(layer.cross_attn_image_to_token, seen, queries + prompts, queries)
        keys = layer.layer_norm4(keys)
    last = _attention(transformer.final_attn_token_to_image, queries + prompts, keys + places, keys)
    return transformer.layer_norm_final_attn(queries + last), keys


def masks_of(decoder: Any, tokens: Tensor, image: Tensor, side: int, chosen: slice, fine: Fine | None = None) -> Tensor:
    """Logits (O, K, 4 f, 4 f) of the ``chosen`` mask tokens, of (O, 4, 256), on an image (O, f², 256), f = side."""
    x = _doubled(image.view(len(image), side, side, -1), decoder.upscale_conv1)
    if fine is not None:
        x = x + fine[1].permute(0, 2, 3, 1)
    norm = decoder.upscale_layer_norm
    x = _doubled(F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)), decoder.upscale_conv2)
    if fine is not None:
        x = x + fine[0].permute(0, 2, 3, 1)
    heads = decoder.output_hypernetworks_mlps[chosen]
    weights = torch.stack([head(tokens[:, chosen][:, n]) for n, head in enumerate(heads)], dim=1)
    return (weights @ F.gelu(x).flatten(1, 2).transpose(1, 2)).unflatten(2, (4 * side, 4 * side))


def _attention(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (B, T, 256) to (B, S, 256); where one side is the same for all objects, its batch is 1."""
    heads, count = attention.num_attention_heads, max(len(query), len(key))
    q, k, v = (
        project(x).unflatten(2, (heads, -1)).transpose(1, 2).expand(count, -1, -1, -1)
        for project, x in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, value))
    )
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return (attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj)(mixed)


def _doubled(x: Tensor, convolution: Any) -> Tensor:
    """A transposed convolution of 2 x 2 and stride 2 on (B, h, w, C) -> (B, 2 h, 2 w, C')."""
    b, h, w, inputs = x.shape
    matrix = convolution.weight.permute(2, 3, 1, 0).reshape(-1, inputs)
    y = F.linear(x, matrix, convolution.bias.repeat(4)).view(b, h, w, 2, 2, -1)
    return y.transpose(2, 3).reshape(b, 2 * h, 2 * w, -1)
