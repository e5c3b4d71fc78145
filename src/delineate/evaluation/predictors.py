"""Who can be measured: models and baselines by name."""

from __future__ import annotations

from delineate.errors import InputError
from delineate.evaluation.baselines import BASELINES, BaselinePredictor
from delineate.runtimes.frame_predictor import FramePredictor
from delineate.systems.registry import CHECKPOINTS, SYSTEMS, build
from delineate.systems.system import BuildOptions

SHIPPED = "quill"
FILES = (".onnx", *CHECKPOINTS)  # a name that ends so is the file of a model


def check_predictor(name: str) -> None:
    """Raises InputError, naming those there are, for a name that is no predictor's."""
    if name not in SYSTEMS and name not in BASELINES and not name.endswith(FILES):
        raise InputError(
            "E-EVAL-PREDICTOR",
            f'There is no predictor "{name}".',
            f"Choose from {', '.join((SHIPPED, *BASELINES))}; or name a system, or give a model's file.",
        )


def predictor_named(name: str) -> FramePredictor:
    """A predictor by name: a baseline, a system, or the file of a model."""
    check_predictor(name)
    if name in BASELINES:
        return BaselinePredictor(name)
    return build(name)


def untrained_predictor(name: str) -> FramePredictor:
    """The same, with random weights for a system that has none here: it runs, and outlines nothing."""
    check_predictor(name)
    if name in BASELINES:
        return BaselinePredictor(name)
    return build(name, BuildOptions(untrained=True))
