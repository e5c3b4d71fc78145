"""All systems by name, and how a name, a file or nothing becomes a predictor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.core.errors import ModelError
from delineate.core.registry import Registry
from delineate.predictors.bundle_card import is_bundle
from delineate.predictors.frame_predictor import FramePredictor
from delineate.systems.exported import build_exported
from delineate.systems.system import BuildOptions, System

SHIPPED = "quill"  # the model that comes with the package
_PAPERS = (
    "sam", "mobile_sam", "medsam", "medsam_text", "lite_medsam", "sam_med2d", "sam2", "surgical_sam2", "medsam2",
    "biosam2", "efficient_tam", "edge_tam",
)  # fmt: skip
SYSTEMS: Registry[System] = Registry(
    "delineate.systems",
    System,
    ("delineate.quill.system:QUILL", *(f"delineate.systems.{paper}:SYSTEMS" for paper in _PAPERS)),
)
CHECKPOINTS = (".pt", ".pth", ".safetensors")


def build(model: str = SHIPPED, options: BuildOptions | None = None, system: str | None = None) -> Any:
    """The predictor for a system's name, a published or trained checkpoint, an exported system or Quill (``.onnx``).

    Its ``capabilities`` say which protocol it follows: FramePredictor, VolumePredictor or DensePredictor.

    model   an exported system is given by its folder, or by the ``model.json`` in it
    system  which system a checkpoint belongs to; found from the file unless several share its layout
    Raises ModelError for unknown names and for files no system here reads.
    """
    options = options or BuildOptions()
    if system is not None and system not in SYSTEMS:
        raise _unknown(system)
    path = Path(model)
    if options.adapter is not None and (model == SHIPPED or path.suffix == ".onnx"):
        raise ModelError("E-ADAPTER", "Quill has no place for an adapter.", "Name what it was trained on: -m SYSTEM")
    if model in SYSTEMS:
        return SYSTEMS[model].build(options)
    if path.suffix == ".onnx":
        return SYSTEMS[SHIPPED].build(replace(options, checkpoint=path))
    if is_bundle(path):
        return build_exported(path, options, system)
    if path.suffix in CHECKPOINTS:
        return SYSTEMS[system or system_of_file(path)].build(replace(options, checkpoint=path))
    if path.exists():
        raise ModelError(
            "E-MODEL-KIND",
            f"{path.name} is no model that can be run.",
            "Give a checkpoint (.pth, .pt, .safetensors), an exported Quill (.onnx), the folder of an exported system "
            "(with its model.json) or a name: delineate systems",
        )
    raise _unknown(model)


def system_of_file(path: Path) -> str:
    """The system a checkpoint belongs to. Raises ModelError if that cannot be told."""
    from delineate.systems.building import needs_torch

    needs_torch(path.name)
    from delineate.checkpoints.detect import system_of
    from delineate.checkpoints.reading import read_weights

    return system_of(read_weights(path), path.name)


def shipped_predictor(threads: int = 0) -> FramePredictor:
    """The model that came with the package."""
    predictor: FramePredictor = build(options=BuildOptions(threads=threads))
    return predictor


def _unknown(name: str) -> ModelError:
    return ModelError("E-MODEL-UNKNOWN", f'There is no model "{name}".', "See which there are: delineate systems")
