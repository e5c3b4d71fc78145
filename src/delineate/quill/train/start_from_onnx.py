"""Training goes on from the model file that ships, or from any other exported Quill.

An export keeps convolutions with their batch norm folded in and weights in fp16. The norms are put back with the means
and variances that the folded convolutions give on crops of the run, so that the network answers as the file does. It
may be deeper than the file: blocks that the file lacks begin as ones that change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from delineate.core.errors import ModelError
from delineate.quill.network import Quill, ResidualBlock


def start_from_export(network: Quill, path: Path, crops: Iterable[Tensor]) -> None:
    """Give ``network`` the weights of an exported Quill of its own shape, or of one with fewer blocks at a level.

    crops  prompt maps (B, C, S, S), some hundreds of crops in all, as in training

    Raises ModelError if the file is no Quill of this shape.
    """
    stored = _stored(path)
    blocks = {n: one for n, one in network.named_modules() if isinstance(one, ResidualBlock)}
    new = {name: block for name, block in blocks.items() if f"{name}.conv1" not in stored}
    try:
        for name, module in network.named_modules():
            if name.rpartition(".")[0] in new:
                continue
            if isinstance(module, nn.Conv2d | nn.Linear):
                _fill(module, *stored[name])
            elif isinstance(module, nn.LayerNorm):
                _fill(module, *stored[f"{name}/norm"])
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            "E-TRAIN-START",
            f"{path.name} is not an exported Quill of this shape: {error}",
            "Name a quill.onnx of this version, or weights (.safetensors) of a run.",
        ) from None
    for block in new.values():
        nn.init.zeros_(block.norm2.weight)
    folded = [(name, norm) for name, norm in _followed_by_norms(network) if name.rpartition(".")[0] not in new]
    for name, norm in folded:
        _as_folded(norm, stored[name][1])
    _measure(network, crops)
    for _, norm in folded:
        _undo(norm)


def _stored(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weight and bias of every layer by its name in the network; linear ones turned back."""
    model = onnx.load(str(path))
    arrays = {one.name: numpy_helper.to_array(one).astype(np.float32) for one in model.graph.initializer}
    arrays |= {node.output[0]: arrays[node.input[0]] for node in model.graph.node if node.op_type == "Cast"
               and node.input[0] in arrays}  # fmt: skip
    found: dict[str, tuple[Tensor, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for node in model.graph.node:
        name = _module_of(node.name)
        given = [arrays[one] for one in node.input if one in arrays]
        if node.op_type in ("Conv", "Gemm") and len(given) == 2:
            found[name] = (_tensor(given[0]), _tensor(given[1]))
        elif node.op_type == "LayerNormalization":
            found[f"{name}/norm"] = (_tensor(given[0]), _tensor(given[1]))
        elif node.op_type == "MatMul" and given:
            weights[name] = _tensor(given[0].T)
        elif node.op_type == "Add" and name in weights and given:
            found[name] = (weights[name], _tensor(given[0]))
    return found


def _module_of(node: str) -> str:
    """/down.0/down.0.0/conv1/Conv is the layer down.0.0.conv1: parts of a sequence repeat the names above them."""
    name = ""
    for part in node.strip("/").split("/")[:-1]:
        name = part if part.startswith(f"{name}.") or not name else f"{name}.{part}"
    return name


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _fill(module: nn.Conv2d | nn.Linear | nn.LayerNorm, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        module.weight.copy_(weight)
        if module.bias is not None:
            module.bias.copy_(bias)


def _followed_by_norms(network: nn.Module) -> list[tuple[str, nn.BatchNorm2d]]:
    """The names of convolutions without a bias of their own, each with the norm registered next."""
    found, before = [], None
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and before is not None:
            found.append((before, module))
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            before = name if isinstance(module, nn.Conv2d) and module.bias is None else None
    return found


@torch.no_grad()
def _as_folded(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """A norm that only adds the bias."""
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


@torch.no_grad()
def _measure(network: Quill, crops: Iterable[Tensor]) -> None:
    """Give each norm the statistics of what goes into it, as it is."""
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    place = next(network.parameters()).device
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64, device=place) for norm in norms}

    def add(norm: nn.BatchNorm2d, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        sums[norm] += torch.stack(
            [values.sum(1), values.square().sum(1), torch.full_like(values[:, 0], values.shape[1])]
        )

    hooks = [norm.register_forward_pre_hook(partial(add, norm)) for norm in norms]
    network.eval()
    for maps in crops:
        network(maps)
    for hook in hooks:
        hook.remove()
    network.train()
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_((squares / count - mean.square()).clamp(min=1e-6))  # type: ignore[union-attr]


@torch.no_grad()
def _undo(norm: nn.BatchNorm2d) -> None:
    """A norm that only added its bias does so again, with its statistics."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.add_(norm.running_mean)
