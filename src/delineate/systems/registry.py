"""All systems by name, and how a name, a file or nothing becomes a predictor."""

from __future__ import annotations

from pathlib import Path

from delineate.errors import ModelError
from delineate.runtimes.frame_predictor import FramePredictor
from delineate.systems.quill import QUILL
from delineate.systems.system import System

SYSTEMS: dict[str, System] = {system.name: system for system in (QUILL,)}


def build(model: str = QUILL.name, threads: int = 0) -> FramePredictor:
    """The predictor for a system's name, or for an exported Quill (``.onnx`` file).

    Raises ModelError for unknown names and for checkpoints no system here reads.
    """
    if model in SYSTEMS:
        return SYSTEMS[model].build(None, threads)
    path = Path(model)
    if path.suffix == ".onnx":
        return QUILL.build(path, threads)
    known = ", ".join(SYSTEMS)
    if path.exists():
        raise ModelError(
            "E-MODEL-KIND", f"{path.name} is no model that can be run.", f"Name one of {known}, or an .onnx file."
        )
    raise ModelError("E-MODEL-UNKNOWN", f'There is no model "{model}".', f"There are: {known}. See: delineate systems")


def shipped_predictor(threads: int = 0) -> FramePredictor:
    """The model that came with the package."""
    return build(QUILL.name, threads)
