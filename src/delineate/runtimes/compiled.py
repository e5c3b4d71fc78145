"""Model files compiled by OpenVINO, which computes faster than ONNX Runtime on most CPUs. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from delineate.errors import ModelError

Run = Callable[[np.ndarray], list[np.ndarray]]


def bf16_is_native() -> bool:
    """Whether this CPU multiplies in bf16 itself (AVX-512 BF16, AMX). Raises ModelError without OpenVINO."""
    return "BF16" in _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def check_openvino() -> None:
    """Raises ModelError where OpenVINO is not installed."""
    _openvino()


def compiled(path: Path, bf16: bool = False, threads: int = 0) -> Run:
    """What answers one input of an ONNX file with all outputs, on the CPU.

    threads  0: all cores
    """
    # left alone it would choose bf16 silently, and many streams that answer later
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    answers = _openvino().Core().compile_model(str(path), "CPU", settings)
    return lambda values: list(answers([values]).values())


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise ModelError(
            "E-MODEL-EXTRA", "OpenVINO is not installed.", 'pip install "delineate[speed]", or leave --backend out.'
        ) from None
    return openvino
