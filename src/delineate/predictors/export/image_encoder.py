"""Image encoders exported to ONNX and run by ONNX Runtime or OpenVINO instead of torch.

The exported file is kept beside the model files, and made once for each checkpoint, input size and version of what
makes it. Prompts and masks stay in torch: they take milliseconds.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from delineate.checkpoints.file_cache import cached_file
from delineate.compute.engine import Precision
from delineate.compute.openvino_model import Run, check_openvino, compiled
from delineate.core.errors import ModelError
from delineate.io.atomic import replacing
from delineate.models.sam import Sam
from delineate.models.sam2 import Sam2, Sam2Maps
from delineate.predictors.export.parts import Axes, NetworkPart

OPSET = 18


class Backend(StrEnum):
    TORCH = "torch"
    ONNX = "onnx"  # ONNX Runtime
    OPENVINO = "openvino"


class _SamEncoder(nn.Module):
    """Pixels -> embedding, for export."""

    def __init__(self, network: Sam) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.embed(pixels)


class _Sam2Encoder(nn.Module):
    """Pixels -> coarse map, the two finer maps, positions, and the coarse map where nothing is remembered."""

    names = ("coarse", "fine_4", "fine_8", "places", "without_memory")

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        maps = self.network.embed(pixels)
        return maps.coarse, maps.fine[0], maps.fine[1], maps.places, self.network.without_memory(maps)


def encoder_part(network: Sam | Sam2) -> NetworkPart:
    """The image encoder as the first of a system's parts."""
    side, f = network.shape.side, network.shape.side // network.shape.patch
    inputs: Axes = {"pixels": (1, 3, side, side)}
    example = (torch.rand(1, 3, side, side),)
    if isinstance(network, Sam):
        return NetworkPart("encoder", _SamEncoder(network), inputs, {"image_embeddings": (1, 256, f, f)}, example)
    coarse = (1, 256, f, f)
    shapes = (coarse, (1, 32, 4 * f, 4 * f), (1, 64, 2 * f, 2 * f), coarse, coarse)
    outputs: Axes = dict(zip(_Sam2Encoder.names, shapes, strict=True))
    return NetworkPart("encoder", _Sam2Encoder(network), inputs, outputs, example)


def export_encoder(network: Sam | Sam2, path: Path) -> None:
    """Write a network's image encoder as ONNX: ``pixels`` (1, 3, side, side) -> what ``embed`` gives, fp32."""
    write_part(encoder_part(network), path)


def write_part(part: NetworkPart, path: Path, fold: bool = True) -> None:
    """One part as ONNX, fp32; axes that are words may have any length.

    fold  compute what follows from weights alone; else every weight stays as it is, under its own name
    """
    axes = {
        name: {n: axis for n, axis in enumerate(sizes) if isinstance(axis, str)}
        for name, sizes in {**part.inputs, **part.outputs}.items()
    }
    with replacing(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # branches are traced as they are taken; parts are compared on other sizes
        torch.onnx.export(
            part.module.eval(),
            part.example,
            str(temporary),
            opset_version=OPSET,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_axes={name: free for name, free in axes.items() if free},
            dynamo=False,
            do_constant_folding=fold,
            training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
        )


def run_exported(network: Sam | Sam2, backend: Backend, key: str, precision: Precision, threads: int = 0) -> None:
    """Let ``network.embed`` be answered by another backend, on the CPU.

    key  of the weights, so that another checkpoint gets another file
    Raises ModelError if the backend is not installed, or cannot compute in this precision.
    """
    if backend is Backend.TORCH:
        return
    load = (_openvino if backend is Backend.OPENVINO else _onnxruntime)(precision, threads)
    makers = f"delineate {version('delineate')}, torch {torch.__version__}, opset {OPSET}"
    name = f"{key}-{network.shape.side}-{hashlib.sha256(makers.encode()).hexdigest()[:8]}.onnx"
    with cached_file(name, lambda path: export_encoder(network, path)) as path:
        answer = load(path)

    def embed(pixels: Tensor) -> Tensor | Sam2Maps:
        found = [torch.from_numpy(array) for array in answer(pixels.float().cpu().numpy())]
        return found[0] if isinstance(network, Sam) else Sam2Maps(found[0], (found[1], found[2]), found[3])

    network.embed = embed  # type: ignore[method-assign,assignment]


def _onnxruntime(precision: Precision, threads: int) -> Callable[[Path], Run]:
    import onnxruntime

    if precision is not Precision.FP32:
        raise ModelError("E-PRECISION", "ONNX Runtime runs encoders in fp32 here.", "Use --precision fp32.")

    def load(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(None, {"pixels": pixels})

    return load


def _openvino(precision: Precision, threads: int) -> Callable[[Path], Run]:
    check_openvino()
    return lambda path: compiled(path, precision is Precision.BF16, threads, cache=path.stem)
