"""Model files compiled by OpenVINO, which computes faster than ONNX Runtime on most CPUs. Free of torch."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from delineate.checkpoints.file_cache import cached_file
from delineate.core.errors import DelineateWarning, ModelError

Run = Callable[[np.ndarray], list[np.ndarray]]


def bf16_is_native() -> bool:
    """Whether this CPU multiplies in bf16 itself (AVX-512 BF16, AMX). Raises ModelError without OpenVINO."""
    return "BF16" in _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def computed_precision(asked: str) -> str:
    """What OpenVINO computes in on this CPU where ``auto``, ``fp32`` or ``bf16`` was asked for: fp32 or bf16.

    On a CPU without bf16 it would compute in fp32 and say nothing; who asked for bf16 is told with a DelineateWarning.
    """
    if asked == "fp32" or bf16_is_native():
        return "fp32" if asked == "fp32" else "bf16"
    if asked == "bf16":
        text = "This CPU has no bf16: it is computed in fp32, which the manifest says, too."
        warnings.warn(text, DelineateWarning, stacklevel=3)
    return "fp32"


def check_openvino() -> None:
    """Raises ModelError where OpenVINO is not installed."""
    _openvino()


def compiled(path: Path, bf16: bool = False, threads: int = 0, cache: str = "") -> Run:
    """What answers one input of an ONNX file with all outputs, on the CPU; any number of threads may ask at once.

    threads  0: all cores
    cache    keep what was compiled (minutes for some encoders) beside the model files, under this name, which no other
             file has, for these settings, processor and version of OpenVINO; it is checked by its hash before it runs
    """
    # left alone it would choose bf16 silently, and many streams that answer later
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    openvino = _openvino()
    core = openvino.Core()
    if not cache:
        return _run(core.compile_model(str(path), "CPU", settings))

    def compile_into(place: Path) -> None:
        stream = BytesIO()
        core.compile_model(str(path), "CPU", settings).export_model(stream)
        place.write_bytes(stream.getbuffer())

    makers = f"{openvino.__version__}, {core.get_property('CPU', 'FULL_DEVICE_NAME')}, {sorted(settings.items())}"
    name = f"{cache}-{hashlib.sha256(makers.encode()).hexdigest()[:8]}.blob"
    with cached_file(name, compile_into) as blob:
        return _run(core.import_model(BytesIO(blob.read_bytes()), "CPU", settings))


def _run(model: Any) -> Run:
    own = threading.local()  # an infer request takes one question at a time, so each thread has its own

    def run(values: np.ndarray) -> list[np.ndarray]:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        return list(own.request.infer([values], share_inputs=True).values())

    return run


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise ModelError(
            "E-MODEL-EXTRA", "OpenVINO is not installed.", 'pip install "delineate[speed]", or leave --backend out.'
        ) from None
    return openvino
