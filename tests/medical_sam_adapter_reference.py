"""Medical SAM Adapter's equations written again on the host library's own modules: nothing of ours but the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel, SamModel

from delineate.models.sam import Sam
from delineate.models.sam2 import Sam2


class Rewritten:
    """On SAM; slices of one clip at a time."""

    def __init__(self, network: Sam, slices: int, released: bool) -> None:
        self.w, self.slices, self.released = network.host.state_dict(), slices, released
        self.host = SamModel(network.host.config).eval()
        self.host.load_state_dict({k: v for k, v in self.w.items() if k in self.host.state_dict()})
        self.act = F.gelu if released else F.relu

    def bottleneck(self, name: str, x: Tensor) -> Tensor:
        w = self.w
        return (
            self.act(x @ w[f"{name}.down.weight"].T + w[f"{name}.down.bias"]) @ w[f"{name}.up.weight"].T
            + (w[f"{name}.up.bias"])
        )

    def embed(self, pixels: Tensor) -> Tensor:
        encoder = self.host.vision_encoder
        x = encoder.patch_embed(pixels) + encoder.pos_embed
        for number, layer in enumerate(encoder.layers):
            x = self.block(f"vision_encoder.layers.{number}", layer, x)
        return encoder.neck(x)

    def block(self, name: str, layer: Any, x: Tensor) -> Tensor:
        n, (h, w) = layer.layer_norm1(x), x.shape[1:3]
        if layer.window_size:
            size = layer.window_size
            if self.released:  # windows first, then the norm
                windows, padded = layer.window_partition(x, size)
                windows = layer.layer_norm1(windows)
            else:
                windows, padded = layer.window_partition(n, size)
            y = layer.window_unpartition(layer.attn(windows)[0], size, padded, (h, w))
        else:
            y = layer.attn(n)[0]
        y = y + self.bottleneck(f"{name}.attention_output", y)
        if self.slices > 1:
            y = y + self.depth(name, layer, n)
        x = x + y
        n = layer.layer_norm2(x)
        return x + layer.mlp(n) + 0.5 * self.bottleneck(f"{name}.mlp_parallel", n)

    def depth(self, name: str, layer: Any, n: Tensor) -> Tensor:
        """Place by place: attention among its slices, one row of them."""
        out = torch.empty_like(n)
        for row in range(n.shape[1]):
            for column in range(n.shape[2]):
                line = n[:, row, column][None, None]  # one clip
                out[:, row, column] = self.bottleneck(f"{name}.attention_parallel.adapter", layer.attn(line)[0])[0, 0]
        return out

    def decode(self, embedding: Tensor, boxes: Tensor) -> Tensor:
        """Every object by itself, on its own copy of the image."""
        host, decoder = self.host, self.host.mask_decoder
        sparse, dense = host.prompt_encoder(None, None, boxes[:, None], None)
        f = embedding.shape[-1]
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        found = []
        centers = (torch.arange(f) + 0.5) / f
        grid = torch.stack(torch.meshgrid(centers, centers, indexing="xy"), dim=-1)
        places = host.shared_image_embedding(grid).flatten(0, 1)[None]
        for prompt in sparse[:, 0]:
            q = first = torch.cat([own, prompt])[None]
            k = (embedding + dense[:1]).flatten(2).transpose(1, 2)
            for number, layer in enumerate(decoder.transformer.layers):
                q, k = self.two_way(number, layer, q, k, first, places, prompt)
            last = decoder.transformer.final_attn_token_to_image
            q = decoder.transformer.layer_norm_final_attn(q + attended(last, q + first, k + places, k))
            x = k.transpose(1, 2).view(1, 256, f, f)
            x = F.gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(x)))
            x = F.gelu(decoder.upscale_conv2(x))
            found.append((decoder.output_hypernetworks_mlps[0](q[:, 1]) @ x.flatten(2)[0]).view(1, 4 * f, 4 * f))
        return torch.stack(found)

    def two_way(
        self, number: int, layer: Any, q: Tensor, k: Tensor, first: Tensor, places: Tensor, prompt: Tensor
    ) -> tuple[Tensor, Tensor]:
        name = f"mask_decoder.transformer.layers.{number}"
        skip = layer.skip_first_layer_pe
        asked = q if skip else q + first
        q = layer.layer_norm1((0 if skip else q) + attended(layer.self_attn, asked, asked, q))
        q = q + attended(layer.cross_attn_token_to_image, q + first, k + places, k)
        q = layer.layer_norm2(self.hyper(f"{name}.hyper", q, prompt))
        q = layer.layer_norm3(q + layer.mlp(q) + 0.5 * self.bottleneck(f"{name}.mlp_parallel", q))
        changed = k + attended(layer.cross_attn_image_to_token, k + places, q + first, q)
        return q, layer.layer_norm4(changed + self.bottleneck(f"{name}.image_update", changed))

    def hyper(self, name: str, q: Tensor, prompt: Tensor) -> Tensor:
        w = {key.removeprefix(f"{name}."): value for key, value in self.w.items() if key.startswith(f"{name}.")}
        e, r = q @ w["down.weight"].T + w["down.bias"], len(w["down.bias"])
        each = [(p @ w["generators.0.weight"].T + w["generators.0.bias"]).view(r, r) for p in prompt]
        e = e @ (sum(each) / len(each))
        e = (e - e.mean(-1, keepdim=True)) / (e.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        e = (e * w["norms.0.weight"] + w["norms.0.bias"]).clamp(min=0)
        return q + e @ w["up.weight"].T + w["up.bias"]


def attended(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k') v, head by head."""
    q, k, v = attention.q_proj(q)[0], attention.k_proj(k)[0], attention.v_proj(v)[0]
    heads = attention.num_attention_heads
    mixed = [
        torch.softmax(a @ b.T / a.shape[1] ** 0.5, dim=-1) @ c
        for a, b, c in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True)
    ]
    out = attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj
    return out(torch.cat(mixed, dim=1))[None]


class RewrittenOnSam2(Rewritten):
    """On SAM 2, whose blocks pool queries where a stage begins."""

    def __init__(self, network: Sam2, slices: int) -> None:
        self.w, self.slices, self.act = network.host.state_dict(), slices, F.relu
        self.host = Sam2VideoModel(network.host.config).eval()
        self.host.load_state_dict({k: v for k, v in self.w.items() if k in self.host.state_dict()})

    def embed(self, pixels: Tensor) -> list[Tensor]:
        """Maps of each slice, the finest first, as the decoder takes them."""
        encoder, stages = self.host.vision_encoder, []
        x = encoder.backbone.patch_embed(pixels)
        x = x + encoder.backbone._get_pos_embed(x.shape[1:3])
        for number, block in enumerate(encoder.backbone.blocks):
            x = self.block(f"vision_encoder.backbone.blocks.{number}", block, x)
            if number in encoder.backbone.stage_ends:
                stages.append(x)
        decoder, (coarse, middle, fine) = self.host.mask_decoder, encoder.neck(tuple(stages))[0][-3:]
        return [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]

    def block(self, name: str, block: Any, x: Tensor) -> Tensor:
        n = block.layer_norm1(x)
        skip = x if block.dim == block.dim_out else pooled(block.proj(n), 2)
        y = self.mixed(block, n)
        y = y + self.bottleneck(f"{name}.attention_output", y) + self.depth(name, block, n)
        x = skip + y
        n = block.layer_norm2(x)
        return x + block.mlp(n) + 0.5 * self.bottleneck(f"{name}.mlp_parallel", n)

    def mixed(self, block: Any, n: Tensor) -> Tensor:
        """Attention within windows, one by one; where queries are pooled, each is the largest of four."""
        stride, size = 2 if block.query_stride else 1, block.window_size or n.shape[1]
        out = n.new_zeros(len(n), n.shape[1] // stride, n.shape[2] // stride, block.dim_out)
        for top in range(0, n.shape[1], size):
            for left in range(0, n.shape[2], size):
                window = n[:, top : top + size, left : left + size]
                beyond = size - window.shape[1], size - window.shape[2]
                window = F.pad(window, (0, 0, 0, beyond[1], 0, beyond[0]))  # zeros behind the norm, as published
                q, k, v = block.attn.qkv(window).chunk(3, dim=-1)
                q = pooled(q, stride)
                found = self.heads(block, q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)).view(q.shape)
                into = out[:, top // stride : (top + size) // stride, left // stride : (left + size) // stride]
                into.copy_(found[:, : into.shape[1], : into.shape[2]])
        return out

    def heads(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        count = block.attn.num_attention_heads
        found = [
            torch.softmax(a @ b.mT / a.shape[-1] ** 0.5, dim=-1) @ c
            for a, b, c in zip(q.chunk(count, -1), k.chunk(count, -1), v.chunk(count, -1), strict=True)
        ]
        return block.attn.proj(torch.cat(found, -1))

    def depth(self, name: str, block: Any, n: Tensor) -> Tensor:
        """At every place of the finer map among its slices, no window, no pooled query; then the largest of four."""
        out = n.new_zeros(*n.shape[:3], block.dim_out)
        for row in range(n.shape[1]):
            for column in range(n.shape[2]):
                q, k, v = block.attn.qkv(n[:, row, column]).chunk(3, dim=-1)
                found = self.heads(block, q, k, v)
                out[:, row, column] = self.bottleneck(f"{name}.attention_parallel.adapter", found)
        return pooled(out, 2 if block.query_stride else 1)

    def decode_click(self, maps: list[Tensor], point: Tensor) -> Tensor:
        """Three outlines (3, 4 f, 4 f) of what a click (2,) on one slice points at."""
        host, decoder = self.host, self.host.mask_decoder
        fine, middle, coarse = maps
        f = coarse.shape[-1]
        sparse, dense = host.prompt_encoder(point.view(1, 1, 1, 2), torch.ones(1, 1, 1, dtype=torch.int32), None, None)
        prompt = sparse[0, 0]
        centers = (torch.arange(f) + 0.5) / f
        grid = torch.stack(torch.meshgrid(centers, centers, indexing="xy"), dim=-1)
        places = host.shared_image_embedding(grid).flatten(0, 1)[None]
        own = torch.cat([decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight])
        q = first = torch.cat([own, prompt])[None]
        k = (coarse + host.no_memory_embedding.view(1, -1, 1, 1) + dense).flatten(2).transpose(1, 2)
        for number, layer in enumerate(decoder.transformer.layers):
            q, k = self.two_way(number, layer, q, k, first, places, prompt)
        last = decoder.transformer.final_attn_token_to_image
        q = decoder.transformer.layer_norm_final_attn(q + attended(last, q + first, k + places, k))
        x = F.gelu(decoder.upscale_layer_norm(decoder.upscale_conv1(k.mT.reshape(1, 256, f, f)) + middle))
        x = F.gelu(decoder.upscale_conv2(x) + fine).flatten(2)[0]
        return torch.stack([decoder.output_hypernetworks_mlps[n](q[:, 2 + n])[0] @ x for n in (1, 2, 3)])


def pooled(x: Tensor, stride: int) -> Tensor:
    """The largest of ``stride`` x ``stride`` tokens, channel by channel."""
    b, h, w, c = x.shape
    return x.view(b, h // stride, stride, w // stride, stride, c).amax((2, 4))
