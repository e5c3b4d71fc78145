"""The two-way mask decoder of SAM and SAM 2 (arXiv 2304.02643 sec. A), lean and open to adapters.

Channels stay last, so that enlarging by 2 x 2 is one matrix product; what objects of one image have in common has a
batch of 1 until it differs between them; only the masks asked for are made. Same parameters as in ``transformers``,
same result up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.slots import NO_CONTEXT, DecoderSlot, SlotContext, Slotted
from delineate.models.derived import recorded, untouched
from delineate.models.linear import Linear, linear

MOST_FEW = 16  # tokens: channels of a head of SAM's attention to an image
_few_are_traced: ContextVar[bool] = ContextVar("few_are_traced", default=False)
SHARED_PAYS = 2  # objects; for more of them keys of an image they share are projected once


@contextmanager
def for_few_tokens() -> Iterator[None]:
    """Meanwhile decoders are traced as they compute for at most ``MOST_FEW`` tokens: the prompts' and their own."""
    before = _few_are_traced.set(True)
    try:
        yield
    finally:
        _few_are_traced.reset(before)


class TwoWayAttention(nn.Module):
    """Attention of (B, T, 256) to (B, S, 256); where one side is the same for all objects, its batch is 1.

    A product with a matrix is left out on the side that has thousands of places where the other has a few tokens: the
    matrix is multiplied with those instead, H heads of T tokens being fewer than H d channels. That is the same up to
    rounding, and on a CPU half of the work. Where something is recorded the products are made: training may have put
    adapters beside the matrices, and a graph is for any number of tokens, unless it is traced ``for_few_tokens``.
    """

    q_proj: Any
    k_proj: Any
    v_proj: Any
    o_proj: Any
    num_attention_heads: Any

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        plain = query.device.type == "cpu" and (_few_are_traced.get() or not recorded())
        if plain and untouched(Linear, self.q_proj, self.k_proj, self.v_proj, self.output):
            few = self.q_proj.out_features // self.num_attention_heads
            if query.shape[1] <= few < key.shape[1] and (len(query) <= SHARED_PAYS or len(key) > 1):
                return self._of_few_tokens(query, key, value)
            if key.shape[1] <= few < query.shape[1]:
                return self._to_few_tokens(query, key, value)
        count = query.shape[0] if len(query) >= len(key) else key.shape[0]
        q, k, v = (
            projected.view(*projected.shape[:2], self.num_attention_heads, -1).transpose(1, 2).expand(count, -1, -1, -1)
            for projected in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        return self.output(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    @property
    def output(self) -> Any:
        """The layer after the heads."""
        return self.o_proj

    def _of_few_tokens(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of tokens (O, T, C) to places (1 or O, N, C): keys and values are not projected."""
        q = self._by_head(self.q_proj(query)) * self._scale
        asked, offset = self._through(q, self.k_proj)
        weights = torch.softmax(asked.flatten(1, 2) @ key.transpose(1, 2) + offset.flatten(1, 2), dim=-1)
        seen = (weights @ value).unflatten(1, (self.num_attention_heads, -1))
        matrix, bias = self._of_heads(self.v_proj.weight), self.v_proj.bias
        mixed = seen @ matrix.transpose(1, 2) + bias.view(len(matrix), 1, -1)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _to_few_tokens(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of places (1 or O, N, C) to tokens (O, T, C): queries are not projected, nor what comes of the heads."""
        k, v = self._by_head(self.k_proj(key)) * self._scale, self._by_head(self.v_proj(value))
        asked, offset = self._through(k, self.q_proj)
        scores = query @ asked.flatten(1, 2).transpose(1, 2) + offset.flatten(1, 2).transpose(1, 2)
        weights = torch.softmax(scores.unflatten(-1, (self.num_attention_heads, -1)), dim=-1).flatten(2)
        told = v @ self._of_heads(self.output.weight.t().contiguous())
        return weights @ told.flatten(1, 2) + self.output.bias

    @property
    def _scale(self) -> float:
        return float((self.q_proj.out_features // self.num_attention_heads) ** -0.5)

    def _by_head(self, projected: Tensor) -> Tensor:
        """(O, T, H d) -> (O, H, T, d)."""
        return projected.unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)

    def _of_heads(self, matrix: Tensor) -> Tensor:
        """(H d, C) -> (H, d, C)."""
        return matrix.view(self.num_attention_heads, -1, matrix.shape[-1])

    def _through(self, tokens: Tensor, layer: Any) -> tuple[Tensor, Tensor]:
        """What tokens (O, H, T, d) multiply, and add, instead of a layer's answers: (O, H, T, C), (O, H, T, 1)."""
        bias = layer.bias.view(self.num_attention_heads, -1, 1)
        return tokens @ self._of_heads(layer.weight), tokens @ bias


class TwoWayBlock(Slotted):
    """Tokens (O, T, 256) and an image of N places, (1 or O, N, 256), after they have looked at each other.

    query_point_embedding  (O, T, 256), the tokens as they were at first
    key_point_embedding    (1 or O, N, 256), the position of each place
    """

    offers = tuple(DecoderSlot)
    self_attn: Any
    cross_attn_token_to_image: Any
    cross_attn_image_to_token: Any
    mlp: Any
    layer_norm1: Any
    layer_norm2: Any
    layer_norm3: Any
    layer_norm4: Any
    skip_first_layer_pe: Any

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        width = self.layer_norm1.normalized_shape[0]
        return width, width

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_point_embedding: Tensor,
        key_point_embedding: Tensor,
        context: SlotContext = NO_CONTEXT,
    ) -> tuple[Tensor, Tensor]:
        prompts = query_point_embedding
        if self.skip_first_layer_pe:
            queries = self.self_attn(queries, queries, queries)
        else:
            placed = queries + prompts
            queries = queries + self.self_attn(placed, placed, queries)
        queries = self.layer_norm1(queries)
        seen = keys + key_point_embedding
        queries = queries + self.cross_attn_token_to_image(queries + prompts, seen, keys)
        queries = self.layer_norm2(self.through(DecoderSlot.HYPER, queries, context))
        updated = queries + self.mlp(queries)  # the tokens are normed already
        queries = self.layer_norm3(self.plus(DecoderSlot.MLP_PARALLEL, updated, queries, queries, context))
        keys = keys + self.cross_attn_image_to_token(seen, queries + prompts, queries)
        return queries, self.layer_norm4(self.through(DecoderSlot.IMAGE_UPDATE, keys, context))


class TwoWayTransformer(nn.Module):
    """Tokens (O, T, 256) and an image (1 or O, N, 256) of N places -> both for O objects."""

    layers: Any
    final_attn_token_to_image: Any
    layer_norm_final_attn: Any

    def forward(
        self, tokens: Tensor, image: Tensor, places: Tensor, context: SlotContext = NO_CONTEXT
    ) -> tuple[Tensor, Tensor]:
        queries, keys = tokens, image
        for number, layer in enumerate(self.layers):
            queries, keys = layer(queries, keys, tokens, places, context.at(number, context.grid))
        last = self.final_attn_token_to_image(queries + tokens, keys + places, keys)
        return self.layer_norm_final_attn(queries + last), keys


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution of 2 x 2 and stride 2 as one product, (B, C, h, w) -> (B, C', 2 h, 2 w)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        b, _, h, w = x.shape
        y = self.quarters(x.permute(0, 2, 3, 1))
        return y.transpose(2, 3).reshape(b, 2 * h, 2 * w, -1).permute(0, 3, 1, 2)

    def quarters(self, x: Tensor) -> Tensor:
        """The four places of each place, by row and column, (..., C) -> (..., 2, 2, C'), not put in their order."""
        matrix = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels)
        bias = None if self.bias is None else self.bias.repeat(4)
        return linear(x, matrix, bias).unflatten(-1, (2, 2, -1))


class TwoWayDecoder(nn.Module):
    """What the mask decoders of SAM and SAM 2 share; in and out they are called as in ``transformers``.

    The image may have a batch of 1 for any number of objects, (O, P, N, 256) prompt tokens being those of O x P.
    """

    transformer: Any
    mask_tokens: Any
    upscale_conv1: Any
    upscale_conv2: Any
    upscale_layer_norm: Any
    activation: Any
    output_hypernetworks_mlps: Any

    def attended(
        self,
        own: Tensor,
        image: Tensor,
        places: Tensor,
        sparse: Tensor | None,
        dense: Tensor,
        context: SlotContext,
    ) -> tuple[Tensor, Tensor]:
        """The decoder's ``own`` tokens and the prompts' (O, T, 256), the image (O, 256, f, f): after all layers."""
        if dense.stride(0) == 0:  # without a mask prompt the same is added everywhere, for all objects
            dense = dense[:1]
        grid = (image.shape[-2], image.shape[-1])
        keys = (image + dense).flatten(2).transpose(1, 2)
        if sparse is None:
            tokens = own.expand(keys.shape[0], -1, -1)
        else:
            tokens = torch.cat([own.expand(sparse.shape[0], -1, -1), sparse], dim=1)
        context = replace(context, grid=grid, prompt=sparse)
        tokens, keys = self.transformer(tokens, keys, places[:1].flatten(2).transpose(1, 2), context)
        return tokens, keys.view(-1, *grid, keys.shape[-1]).permute(0, 3, 1, 2)

    def masks(self, tokens: Tensor, image: Tensor, chosen: slice, fine: Sequence[Tensor] | None = None) -> Tensor:
        """Logits (O, K, 4 f, 4 f) of the ``chosen`` mask tokens, of (O, 4, 256), on an image (O, 256, f, f).

        fine  (1 or O, 32, 4 f, 4 f) and (1 or O, 64, 2 f, 2 f), added
        """
        weights = torch.stack(
            [head(tokens[:, chosen][:, n]) for n, head in enumerate(self.output_hypernetworks_mlps[chosen])], dim=1
        )
        if fine is None and untouched(Doubling, self.upscale_conv1, self.upscale_conv2):
            return self._in_quarters(weights, image)
        x = self.upscale_conv1(image)
        x = self.upscale_conv2(self._active(self.upscale_layer_norm(x if fine is None else x + fine[1])))
        x = self._active(x if fine is None else x + fine[0])
        return (weights @ x.flatten(2)).view(*weights.shape[:2], *x.shape[2:])

    def _in_quarters(self, weights: Tensor, image: Tensor) -> Tensor:
        """Logits where nothing is added on the way: only these, not the maps before, are put in the order of places."""
        norm = self.upscale_layer_norm
        x = self.upscale_conv1.quarters(image.permute(0, 2, 3, 1))
        x = self.activation(F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
        x = self.activation(self.upscale_conv2.quarters(x))  # (O, f, f, 2, 2, 2, 2, C)
        logits = (x.flatten(1, -2) @ weights.transpose(1, 2)).unflatten(1, x.shape[1:-1])
        rows, columns = 4 * image.shape[-2], 4 * image.shape[-1]
        return logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(-1, weights.shape[1], rows, columns)

    def _active(self, x: Tensor) -> Tensor:
        """The activation of maps whose channels lie last in memory, as fast as where they are the last axis."""
        return self.activation(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Sam2Heads(TwoWayDecoder):
    """The mask decoder of SAM 2: object score token, IoU token, mask tokens."""

    obj_score_token: Any
    iou_token: Any
    iou_prediction_head: Any
    pred_obj_score_head: Any
    dynamic_multimask_via_stability: Any
    _dynamic_multimask_via_stability: Any

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        high_resolution_features: Sequence[Tensor],
        context: SlotContext = NO_CONTEXT,
        **others: object,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masks, their IoU, their tokens, and presence, each (O, P, ...)."""
        _refused(others)
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        per = sparse_prompt_embeddings.shape[1]
        tokens, image = self.attended(
            own,
            _each(image_embeddings, per),
            image_positional_embeddings,
            _prompts_each(sparse_prompt_embeddings),
            _each(dense_prompt_embeddings, per),
            context,
        )
        several = tokens[:, 2 : 2 + len(self.mask_tokens.weight)]
        iou, present = self.iou_prediction_head(tokens[:, 1]), self.pred_obj_score_head(tokens[:, 0])
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        by_stability = not (multimask_output or self.training) and self.dynamic_multimask_via_stability
        made = slice(None) if by_stability else chosen
        masks = self.masks(several, image, made, [_each(level, per) for level in high_resolution_features])
        masks, iou = masks[:, None], iou[:, None, made]
        if by_stability:
            masks, iou = self._dynamic_multimask_via_stability(masks, iou)
        found = (masks[:, 0], iou[:, 0], several[:, chosen], present)
        return tuple(one.reshape(-1, per, *one.shape[1:]) for one in found)  # type: ignore[return-value]


class SamHeads(TwoWayDecoder):
    """The mask decoder of SAM: IoU token, mask tokens."""

    iou_token: Any
    iou_prediction_head: Any

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool | None,
        context: SlotContext = NO_CONTEXT,
        **others: object,
    ) -> tuple[Tensor, Tensor]:
        """Masks and their IoU, each (O, P, ...); without prompt tokens one an image.

        ``multimask_output``: whether the three for an ambiguous prompt or the single answer; None: that, then those.
        """
        _refused(others)
        sparse = sparse_prompt_embeddings
        per = 1 if sparse is None else sparse.shape[1]
        tokens, image = self.attended(
            torch.cat([self.iou_token.weight, self.mask_tokens.weight]),
            _each(image_embeddings, per),
            image_positional_embeddings,
            None if sparse is None else _prompts_each(sparse),
            _each(dense_prompt_embeddings, per),
            context,
        )
        chosen = slice(None) if multimask_output is None else slice(1, None) if multimask_output else slice(0, 1)
        iou = self.iou_prediction_head(tokens[:, 0])[:, chosen]
        masks = self.masks(tokens[:, 1 : 1 + len(self.mask_tokens.weight)], image, chosen)
        return masks.reshape(-1, per, *masks.shape[1:]), iou.reshape(-1, per, *iou.shape[1:])


def _each(x: Tensor, per: int) -> Tensor:
    """What belongs to an image, for each of its objects; a batch of 1 stays one."""
    return x if per == 1 or len(x) == 1 else x.repeat_interleave(per, 0)


def _prompts_each(sparse: Tensor) -> Tensor:
    """Prompt tokens (O, P, N, 256) as (O x P, N, 256); ONNX cannot reshape what has no tokens."""
    return sparse[:, 0] if sparse.shape[1] == 1 else sparse.flatten(0, 1)


def _refused(others: dict[str, object]) -> None:
    """What the host's decoders take beyond this has no caller; better an error than an answer without it."""
    if any(value is not None for value in others.values()):
        raise TypeError(f"{', '.join(others)}: not taken by this decoder")
