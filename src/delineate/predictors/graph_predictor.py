"""A published system run from its shipped graph and a checkpoint: ONNX Runtime or OpenVINO, torch at no step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import onnxruntime

from delineate.checkpoints.adapter_file import adapted
from delineate.checkpoints.array_reading import read_arrays
from delineate.checkpoints.file_cache import cached_file
from delineate.compute.onnx_session import opened, write_folded
from delineate.core.errors import ModelError
from delineate.core.hashing import both_hashes, sha256_of
from delineate.core.manifest import ModelRecord
from delineate.predictors.bundle_card import BundleCard
from delineate.predictors.onnx_bundle import BundleBackend, OnnxBundlePredictor, opened_encoder
from delineate.predictors.weightless_graph import Arrays, GraphCard, check_weights, filled, read_graph_card


def open_graph(
    card: BundleCard,
    checkpoint: Path,
    named: Callable[[Arrays], Arrays],
    threads: int = 0,
    backend: BundleBackend = BundleBackend.ONNX,
    precision: str = "fp32",
    variant: str = "",
    adapter: Path | None = None,
) -> OnnxBundlePredictor:
    """The predictor for a system that has a graph.

    The filled graph is made once for each checkpoint and version of what makes it, and kept beside the weights.

    card       of the system (``GraphCard.as_bundle``)
    named      gives the arrays of the checkpoint the names they have in the network
    precision  of the image encoder: fp32, or bf16 on OpenVINO
    variant    that the card is of, for the record
    adapter    that is put into the weights, or None
    Raises ModelError for a checkpoint or an adapter that cannot be read or does not fit.
    """
    graph, sha256 = read_graph_card(card.system), both_hashes(sha256_of(checkpoint), adapter)
    record = ModelRecord(
        name=card.system,
        version="published",
        sha256=sha256,
        license=card.license,
        preprocessing=f"{card.preprocessing['image'].summary}; cpu, encoder in {precision}, {backend}, shipped graph",
        device="cpu",
        precision=precision,
        backend=backend,
        variant=variant,
    )
    files = {part: _file_name(graph, part, sha256) for part in graph.weights}

    def fill(part: str) -> Callable[[Path], None]:
        def make(path: Path) -> None:
            arrays = named(read_arrays(checkpoint))
            check_weights(graph, arrays, checkpoint.name)
            if adapter is not None:
                arrays = {**arrays, **adapted(arrays, adapter)}
            write_folded(filled(graph, part, arrays), path)
            if both_hashes(sha256_of(checkpoint), adapter) != sha256:
                raise ModelError("E-MODEL-CHANGED", f"{checkpoint} was changed while it was read.", "Try again.")

        return make

    with ExitStack() as stack:
        paths = {part: stack.enter_context(cached_file(file, fill(part))) for part, file in files.items()}
        key = files["encoder"].removesuffix(".onnx")
        encoder = opened_encoder(paths["encoder"], card, backend, threads, precision, key)
        return OnnxBundlePredictor(card, encoder, opened(paths["decoder"], threads), record)


def _file_name(card: GraphCard, part: str, sha256: str) -> str:
    makers = f"{card.parts[part].sha256}, delineate {version('delineate')}, onnxruntime {onnxruntime.__version__}"
    return f"{card.system}-{part}-{sha256[:16]}-{hashlib.sha256(makers.encode()).hexdigest()[:8]}.onnx"
