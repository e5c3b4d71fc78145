"""A trained Quill as the ONNX file that ships: fp16 weights, fp32 arithmetic."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from delineate.io.atomic import write_bytes
from delineate.quill.network import Quill

OPSET = 18
SMALL = 256  # arrays with fewer numbers (biases) stay fp32


def export_quill(network: Quill, path: Path, version: str, side: int = 256, glance: int = 0, half: bool = True) -> None:
    """Write a Quill as ONNX: ``maps`` (B, 12, S, S) -> ``logits`` (B, 3, S, S), ``iou`` (B, 3), ``presence`` (B,).

    S may be any multiple of 32. The file says at which ``side`` it outlines best, and at which one, ``glance``, windows
    are looked through after clicks alone (0: the same). With ``half`` the weights are stored as fp16 and cast when the
    file is loaded.
    """
    network = network.eval().cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(1, network.config.inputs, 128, 128)
    buffer = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(
            network,
            (example,),
            buffer,  # type: ignore[arg-type]
            opset_version=OPSET,
            input_names=["maps"],
            output_names=["logits", "iou", "presence"],
            dynamic_axes={
                "maps": {0: "batch", 2: "side", 3: "side"},
                "logits": {0: "batch", 2: "side", 3: "side"},
                "iou": {0: "batch"},
                "presence": {0: "batch"},
            },
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    if half:
        _store_as_half(model)
    card = {"version": version, "license": "Apache-2.0", "name": "quill", "side": side, "glance": glance or side}
    for key, value in card.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def _store_as_half(model: onnx.ModelProto) -> None:
    """Keep large weights as fp16 with a cast in front of their use: half the file, the same arithmetic."""
    casts = []
    for weight in list(model.graph.initializer):
        if weight.data_type != TensorProto.FLOAT or int(np.prod(weight.dims)) < SMALL:
            continue
        stored = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name + "_fp16")
        casts.append(helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT))
        model.graph.initializer.remove(weight)
        model.graph.initializer.append(stored)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
