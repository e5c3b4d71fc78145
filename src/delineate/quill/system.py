"""Quill: the small promptable model that ships inside the package."""

from __future__ import annotations

from delineate.predictors.capabilities import VISUAL_PROMPTS, Propagation
from delineate.predictors.frame_predictor import FramePredictor
from delineate.quill.predictor import SHIPPED, QuillPredictor
from delineate.systems.system import BuildOptions, System


def _build(options: BuildOptions) -> FramePredictor:
    backend = "openvino" if options.backend == "openvino" else "onnx"
    return QuillPredictor(options.checkpoint or SHIPPED, options.threads, backend, options.precision)


QUILL = System(
    name="quill",
    summary="small promptable network for images, slices and frames; offline, on any CPU, without torch",
    build=_build,
    prompts=VISUAL_PROMPTS,
    propagation=Propagation.CHAIN,
    propagation_note="the mask on the last frame is the prompt for the next one",
    profile="a square crop zoomed to the prompt, 256 pixels, scaled to its own 1st to 99th percentile",
    training="delineate train quill (synthetic scenes and openly licensed real images)",
    citation="Delineate, this repository",
    license="Apache-2.0",
    reported="see the quality table in the README, written by delineate evaluate",
    parity="torch against ONNX: see tests/runtimes",
    recipe="quill",
    weights=SHIPPED,
)
