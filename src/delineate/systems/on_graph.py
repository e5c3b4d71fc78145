"""Which systems are run from their shipped graph, and how: plain inference on the CPU, torch at no step."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from delineate.checkpoints.key_maps import sam_weights
from delineate.checkpoints.store import require_unchanged
from delineate.checkpoints.torch_archive import is_torch_archive
from delineate.core.errors import ModelError
from delineate.core.hashing import sha256_of
from delineate.predictors.graph_predictor import open_graph
from delineate.predictors.onnx_bundle import BundleBackend, OnnxBundlePredictor
from delineate.predictors.sam_behavior import SamBehavior
from delineate.predictors.weightless_graph import Arrays, has_graph, read_graph_card
from delineate.systems.sources import how_to_get
from delineate.systems.system import BuildOptions

DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, and of either under WSL


def built_on_graph(name: str, options: BuildOptions, behavior: SamBehavior, license: str) -> OnnxBundlePredictor | None:
    """The predictor from a system's graph; None where torch is needed, as for a GPU or random weights.

    Raises ModelError where the system has no weights on this machine and random ones are not wanted.
    """
    if not has_graph(name) or not _wanted(options):
        return None
    path = options.weights_of(name)
    if path is None:
        if options.untrained:
            return None
        raise no_weights(name)
    if path.is_file() and path.suffix != ".safetensors" and not is_torch_archive(path) and find_spec("torch"):
        return None  # torch's old format
    backend = BundleBackend.OPENVINO if options.backend == BundleBackend.OPENVINO else BundleBackend.ONNX
    precision = "fp32" if options.precision == "auto" else options.precision
    card = read_graph_card(name).as_bundle(behavior, license)
    predictor = open_graph(card, path, _named, options.threads, backend, precision, options.variant, options.adapter)
    if options.checkpoint is None:
        require_unchanged(name, sha256_of(path))
    return predictor


def no_weights(name: str) -> ModelError:
    return ModelError(
        "E-MODEL-WEIGHTS",
        f"{name} has no weights on this machine.",
        f"{how_to_get(name)}; or give the file: -m FILE. To try the machinery with random weights: --untrained",
    )


def _wanted(options: BuildOptions) -> bool:
    if options.backend not in ("auto", *BundleBackend):
        return False
    exact = options.precision in ("auto", "fp32")
    if not exact and (options.precision, options.backend) != ("bf16", BundleBackend.OPENVINO):
        return False
    return options.device == "cpu" or (options.device == "auto" and not _has_gpu())


def _has_gpu() -> bool:
    """Whether torch could compute on a GPU. It is imported only where a driver is."""
    if find_spec("torch") is None:
        return False
    if not any(Path(driver).exists() for driver in DRIVERS) and shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _named(arrays: Arrays) -> Arrays:
    """Published names as the network's; those of files this package wrote are."""
    known = any(key.startswith("vision_encoder.") for key in arrays)
    return arrays if known else sam_weights(arrays)
