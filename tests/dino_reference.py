"""DINOv2 written again from its equations, and the layout of its published files."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.models.dino_shapes import DinoShape


def gated_width(shape: DinoShape) -> int:
    return (int(4 * shape.width * 2 / 3) + 7) // 8 * 8


def hub_layout(shape: DinoShape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the authors' DINOv2 files."""
    c, cells = shape.width, (shape.side // shape.patch) ** 2
    found: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, c), "pos_embed": (1, cells + 1, c), "mask_token": (1, c),
        "patch_embed.proj.weight": (c, 3, shape.patch, shape.patch), "patch_embed.proj.bias": (c,),
        "norm.weight": (c,), "norm.bias": (c,),
    }  # fmt: skip
    if shape.registers:
        found["register_tokens"] = (1, shape.registers, c)
    h = gated_width(shape)
    mlp = {"w12": (2 * h, c), "w3": (c, h)} if shape.gated else {"fc1": (4 * c, c), "fc2": (c, 4 * c)}
    for n in range(shape.depth):
        for norm in ("norm1", "norm2"):
            found |= {f"blocks.{n}.{norm}.weight": (c,), f"blocks.{n}.{norm}.bias": (c,)}
        for scale in ("ls1", "ls2"):
            found[f"blocks.{n}.{scale}.gamma"] = (c,)
        layers = {"attn.qkv": (3 * c, c), "attn.proj": (c, c), **{f"mlp.{k}": v for k, v in mlp.items()}}
        for name, size in layers.items():
            found |= {f"blocks.{n}.{name}.weight": size, f"blocks.{n}.{name}.bias": size[:1]}
    return found


def positions(native: dict[str, Tensor], shape: DinoShape, rows: int, columns: int) -> Tensor:
    """Bicubic by hand: the authors step through the table by 37 / (cells + 0.1), or exactly with registers."""
    table = native["pos_embed"]
    trained = math.isqrt(table.shape[1] - 1)
    if rows == columns == trained:
        return table
    grid = table[:, 1:].reshape(1, trained, trained, -1).permute(0, 3, 1, 2)
    if shape.registers:
        grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True)
    else:
        grid = cubic(cubic(grid, rows, trained / (rows + 0.1), 2), columns, trained / (columns + 0.1), 3)
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], 1)


def cubic(grid: Tensor, cells: int, step: float, axis: int) -> Tensor:
    """Keys' kernel with a = -0.75 along one axis, borders repeated."""
    a, length = -0.75, grid.shape[axis]
    places = []
    for cell in range(cells):
        center = (cell + 0.5) * step - 0.5
        total = torch.zeros_like(grid.select(axis, 0))
        for k in range(-1, 3):
            at = math.floor(center) + k
            d = abs(center - at)
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            weight = near if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0
            total = total + weight * grid.select(axis, min(max(at, 0), length - 1))
        places.append(total)
    return torch.stack(places, axis)


def written_again(native: dict[str, Tensor], shape: DinoShape, pixels: Tensor) -> Tensor:
    """Patch tokens behind the final norm: x += g1 attn(norm(x)); x += g2 mlp(norm(x))."""
    patches = F.conv2d(pixels, native["patch_embed.proj.weight"], native["patch_embed.proj.bias"], shape.patch)
    rows, columns = patches.shape[2:]
    x = torch.cat([native["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    x = x + positions(native, shape, rows, columns)
    if shape.registers:
        x = torch.cat([x[:, :1], native["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], 1)
    c = shape.width

    def layer(name: str, y: Tensor) -> Tensor:
        return y @ native[f"{name}.weight"].T + native[f"{name}.bias"]

    def norm(name: str, y: Tensor) -> Tensor:
        return F.layer_norm(y, (c,), native[f"{name}.weight"], native[f"{name}.bias"], 1e-6)

    for n in range(shape.depth):
        block = f"blocks.{n}"
        qkv = layer(f"{block}.attn.qkv", norm(f"{block}.norm1", x))
        q, k, v = qkv.reshape(*x.shape[:2], 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(c // shape.heads)).softmax(-1)
        mixed = layer(f"{block}.attn.proj", (scores @ v).transpose(1, 2).flatten(2))
        x = x + native[f"{block}.ls1.gamma"] * mixed
        y = norm(f"{block}.norm2", x)
        if shape.gated:
            gate, value = layer(f"{block}.mlp.w12", y).chunk(2, -1)
            y = layer(f"{block}.mlp.w3", gate * torch.sigmoid(gate) * value)
        else:
            y = layer(f"{block}.mlp.fc2", F.gelu(layer(f"{block}.mlp.fc1", y)))
        x = x + native[f"{block}.ls2.gamma"] * y
    tokens = norm("norm", x)[:, 1 + shape.registers :]
    return tokens.transpose(1, 2).reshape(len(pixels), c, rows, columns)
