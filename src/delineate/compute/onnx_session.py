"""ONNX files opened by ONNX Runtime on the CPU."""

from __future__ import annotations

import errno
from pathlib import Path

import onnxruntime

from delineate.core import telemetry
from delineate.core.errors import ModelError

telemetry.silence()  # once more, as on Windows only a call stops onnxruntime, not its variable


def opened(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A file ready to run; ``threads`` 0: all cores. Raises ModelError for what is no readable ONNX model."""
    options = _options()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            "E-MODEL-DAMAGED", f"{path.name} is not a readable ONNX model: {error}", "Copy or download it again."
        ) from None


def write_folded(model: bytes, path: Path) -> None:
    """Write a model with what follows from its weights alone computed: it opens faster, on any processor.

    Raises OSError if the disk is full.
    """
    options = _options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a full disk as well: its class says nothing
        raise OSError(errno.EIO, f"ONNX Runtime could not write it ({str(error).splitlines()[0][:200]})") from None


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: they are raised as well
    return options
