"""ONNX files opened by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from delineate.core import telemetry
from delineate.core.errors import ModelError

telemetry.silence()  # once more, as on Windows only a call stops onnxruntime, not its variable


def opened(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A file ready to run; ``threads`` 0: all cores. Raises ModelError for what is no readable ONNX model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: they are raised as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError("E-MODEL-DAMAGED", f"{path.name} is not a readable ONNX model: {error}") from None
