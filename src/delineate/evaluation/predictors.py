"""Who can be measured: models and baselines by name."""

from __future__ import annotations

from pathlib import Path

from delineate.errors import InputError
from delineate.evaluation.baselines import BASELINES, BaselinePredictor
from delineate.runtimes.frame_predictor import FramePredictor
from delineate.runtimes.quill import QuillPredictor

SHIPPED = "quill"
EXPORTED = ".onnx"  # a name that ends so is the file of an exported Quill


def check_predictor(name: str) -> None:
    """Raises InputError, naming those there are, for a name that is no predictor's."""
    if name != SHIPPED and name not in BASELINES and not name.endswith(EXPORTED):
        raise InputError(
            "E-EVAL-PREDICTOR",
            f'There is no predictor "{name}".',
            f"Choose from {', '.join((SHIPPED, *BASELINES))}, or give the path of an exported Quill (.onnx).",
        )


def predictor_named(name: str) -> FramePredictor:
    """A predictor by name: ``quill``, a baseline, or the path of an exported Quill (``.onnx``)."""
    check_predictor(name)
    if name in BASELINES:
        return BaselinePredictor(name)
    return QuillPredictor() if name == SHIPPED else QuillPredictor(Path(name))
