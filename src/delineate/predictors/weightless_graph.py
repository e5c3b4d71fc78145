"""ONNX graphs of published systems that ship without weights, and how a checkpoint is put into them. Free of torch.

A graph is what ``export`` writes of a system, less its weights: some hundred kilobytes. It is ours; the weights stay
where their authors publish them. Every weight keeps its name and shape, so that a checkpoint fills the graph as it
fills the network, and ONNX Runtime folds what follows from weights alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from delineate.checkpoints.matching import require_match
from delineate.predictors.bundle_card import BundleCard, Family, PartCard, PromptingCard, checked_part
from delineate.predictors.sam_behavior import SamBehavior

GRAPHS = Path(__file__).parent / "graphs"
CARD = "graph.json"
COUNTERS = "num_batches_tracked"  # of batch norms, which nothing reads

Arrays = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]


class GraphCard(BaseModel):
    """All of ``graph.json``: what a graph is. How its system prepares frames and prompts is said by the system.

    weights  by part: names and shapes of the weights that are put in
    tied     further names of some of them: a checkpoint may hold them twice
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["delineate-graph/1"] = "delineate-graph/1"
    system: str
    opset: int
    parts: dict[str, PartCard]
    weights: dict[str, Shapes]
    tied: dict[str, str]

    def as_bundle(self, behavior: SamBehavior, license: str) -> BundleCard:
        """The card of the exported system it becomes."""
        profile = behavior.profile
        return BundleCard(
            system=self.system,
            family=Family.SAM,
            weights_sha256="",
            license=license,
            opset=self.opset,
            side=profile.side,
            preprocessing={"image": profile},
            prompting=PromptingCard.of(behavior),
            parts=self.parts,
        )


def has_graph(system: str) -> bool:
    """Whether the package has the graph of a system."""
    return (GRAPHS / system / CARD).is_file()


def read_graph_card(system: str) -> GraphCard:
    return GraphCard.model_validate_json((GRAPHS / system / CARD).read_bytes())


def check_weights(card: GraphCard, arrays: Arrays, file: str) -> None:
    """Raise ModelError unless all weights are there, as the network names them, of the right shape, and no others."""
    wanted = {name: shape for part in card.weights.values() for name, shape in part.items()}
    given = {name: array for name, array in arrays.items() if not name.endswith(COUNTERS) and name not in card.tied}
    require_match(wanted, {name: tuple(array.shape) for name, array in given.items()}, file)


def filled(card: GraphCard, part: str, arrays: Arrays) -> bytes:
    """An ONNX file: the graph of a part with its weights, in fp32. Raises ModelError for a graph that was changed."""
    graph = checked_part(GRAPHS / card.system, card.system, card.parts[part], part).read_bytes()
    return b"".join((graph, *initializers({name: arrays[name] for name in card.weights[part]})))


def initializers(arrays: Arrays) -> Iterator[bytes]:
    """What, written after an ONNX model, adds weights to its graph.

    Of two protocol-buffer messages one after the other, repeated fields add up and fields that are messages merge: a
    second model whose graph holds weights alone adds them to the first. Field numbers are those of onnx.proto.
    """
    tensors = []
    for name, array in arrays.items():
        values = np.ascontiguousarray(array, np.dtype("<f4"))
        sizes = b"".join(_field(1, size) for size in values.shape)
        head = sizes + _field(2, 1) + _chunk(8, name.encode()) + _head(9, values.nbytes)  # dims, FLOAT, name, raw_data
        tensors.append((_head(5, len(head) + values.nbytes) + head, values))  # GraphProto.initializer
    yield _head(7, sum(len(head) + values.nbytes for head, values in tensors))  # ModelProto.graph
    for head, values in tensors:
        yield head
        yield values.tobytes()


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """An ONNX model that also gives inner values of its graph, by their names; see ``initializers`` for how."""
    outputs = b"".join(_chunk(12, _chunk(1, name.encode())) for name in names)  # GraphProto.output, ValueInfoProto.name
    return model + _chunk(7, outputs)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def _chunk(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content
