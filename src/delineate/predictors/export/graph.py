"""A system's parts as ONNX without weights, as they ship in the package: see ``weightless_graph``."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import onnx
import torch
from torch import Tensor

from delineate.io.atomic import write_bytes
from delineate.models.mask_decoder import MOST_FEW, for_few_tokens
from delineate.models.sam import Sam
from delineate.predictors.export.bundle import part_card
from delineate.predictors.export.image_encoder import OPSET, encoder_part, write_part
from delineate.predictors.export.parts import NetworkPart, parts_of
from delineate.predictors.sam import SamPredictor
from delineate.predictors.weightless_graph import CARD, GraphCard, Shapes

HOST = "network.host."  # before the names of weights, in a part


def export_graph(predictor: SamPredictor, folder: Path) -> GraphCard:
    """Write ``encoder.onnx``, ``decoder.onnx`` and ``graph.json``; the same bytes whatever the weights."""
    network = _with_unlike_weights(predictor.network)
    folder.mkdir(parents=True, exist_ok=True)
    cards, weights = {}, {}
    state = network.host.state_dict()
    for part in (encoder_part(network), *parts_of(network)):
        path = folder / f"{part.name}.onnx"
        model, weights[part.name] = _written(part, path, set(state))
        if part.name == "decoder":
            with for_few_tokens():
                few, _ = _written(part, path, set(state), "f")
            own = len(network.host.mask_decoder.mask_tokens.weight) + 1
            model = _either(few, model, MOST_FEW - own)
        path.write_bytes(model.SerializeToString(deterministic=True))
        cards[part.name] = part_card(part, path, {})
    card = GraphCard(
        system=predictor.record.name, opset=OPSET, parts=cards, weights=weights, tied=_tied(state, weights)
    )
    write_bytes(folder / CARD, (card.model_dump_json(indent=1, exclude_none=True) + "\n").encode())
    return card


def _written(part: NetworkPart, path: Path, names: set[str], letter: str = "v") -> tuple[onnx.ModelProto, Shapes]:
    """A part without its weights, and those; ``letter`` begins the names of what lies within."""
    write_part(part, path, fold=False)
    model = onnx.load(path)
    weights = _without_weights(model.graph, names)
    _shorten(model, letter)
    return model, weights


def _either(few: onnx.ModelProto, any_number: onnx.ModelProto, most: int) -> onnx.ModelProto:
    """One decoder of two: the first for up to ``most`` points a structure, the second for more.

    The weights are there once, and each branch folds what it makes of them: ONNX Runtime packs no matrix that lies
    outside of a branch.
    """
    branches = {
        name: onnx.helper.make_graph(one.graph.node, name, [], one.graph.output, one.graph.initializer)
        for name, one in (("then_branch", few), ("else_branch", any_number))
    }
    model = onnx.ModelProto()
    model.CopyFrom(any_number)
    graph, make = model.graph, onnx.helper.make_node
    for field in ("node", "initializer"):
        graph.ClearField(field)
    for name, values in {"points_axis": [1], "most_points": [most]}.items():
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], values))
    graph.node.append(make("Shape", ["point_labels"], ["points_shape"]))
    graph.node.append(make("Gather", ["points_shape", "points_axis"], ["points_count"]))
    graph.node.append(make("LessOrEqual", ["points_count", "most_points"], ["few_points"]))
    graph.node.append(make("If", ["few_points"], [output.name for output in graph.output], **branches))
    return model


def _with_unlike_weights(network: Sam) -> Sam:
    """A copy of a network of which no two weights are equal: the exporter writes equal ones once."""
    network = deepcopy(network).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for value in network.host.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return network


def _tied(state: Mapping[str, Tensor], weights: Mapping[str, Shapes]) -> dict[str, str]:
    """Names in a network that share their values with a weight of the graph: its name for each."""
    places = {state[name].data_ptr(): name for part in weights.values() for name in part}
    taken = set(places.values())
    return {
        name: places[value.data_ptr()]
        for name, value in state.items()
        if name not in taken and value.data_ptr() in places
    }


def _without_weights(graph: onnx.GraphProto, names: set[str]) -> Shapes:
    """Take the weights out of a graph, and of equal tables all but one; what is taken out, under the host's names."""
    weights: Shapes = {}
    renamed: dict[str, str] = {}
    tables: dict[tuple[bytes, tuple[int, ...]], str] = {}
    kept = []
    for tensor in graph.initializer:
        name, shape = tensor.name.removeprefix(HOST), tuple(tensor.dims)
        if name in names:
            renamed[tensor.name], weights[name] = name, shape
            continue
        first = tables.setdefault((tensor.raw_data, shape), tensor.name)
        renamed[tensor.name] = first
        if first == tensor.name:
            kept.append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _rename(graph, renamed)
    return weights


def _shorten(model: onnx.ModelProto, letter: str) -> None:
    """Number what lies between inputs and outputs; drop what only a reader of the file would want."""
    for field in ("producer_name", "producer_version"):
        model.ClearField(field)
    graph = model.graph
    graph.ClearField("value_info")
    outputs = {output.name for output in graph.output}
    inner = [*(tensor.name for tensor in graph.initializer), *(name for node in graph.node for name in node.output)]
    _rename(graph, {name: f"{letter}{number}" for number, name in enumerate(inner) if name not in outputs})
    for node in graph.node:
        node.ClearField("name")


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                values[place] = names.get(name, name)
