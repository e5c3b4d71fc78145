"""Quill: the small promptable model that ships inside the package."""

from __future__ import annotations

import warnings

from delineate.core.errors import DelineateWarning
from delineate.predictors.capabilities import VISUAL_PROMPTS, Propagation
from delineate.predictors.frame_predictor import FramePredictor
from delineate.quill.predictor import SHIPPED, QuillPredictor
from delineate.systems.system import BuildOptions, System


def _build(options: BuildOptions) -> FramePredictor:
    backend = "openvino" if options.backend == "openvino" else "onnx"
    if options.device not in ("auto", "cpu"):
        _tell(f'Quill runs on the CPU; --device "{options.device}" changes nothing.')
    if options.precision not in ("auto", "fp32") and backend == "onnx":
        _tell(
            f'ONNX Runtime computes Quill in fp32, not in "{options.precision}"; --backend openvino computes in bf16.'
        )
    return QuillPredictor(options.checkpoint or SHIPPED, options.threads, backend, options.precision)


def _tell(text: str) -> None:
    warnings.warn(text, DelineateWarning, stacklevel=4)  # who made the options


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
    reported="see docs/reference/quality.md, written by delineate evaluate",
    parity="torch against ONNX: see tests/runtimes",
    recipe="quill",
    weights=SHIPPED,
)
