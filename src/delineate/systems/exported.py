"""Exported systems (``delineate models export``), built from their folder: no torch."""

from __future__ import annotations

from pathlib import Path

from delineate.compute.openvino_model import computed_precision
from delineate.core.errors import ModelError
from delineate.predictors.frame_predictor import FramePredictor
from delineate.predictors.onnx_bundle import BundleBackend, open_bundle
from delineate.systems.system import BuildOptions


def build_exported(path: Path, options: BuildOptions, system: str | None = None) -> FramePredictor:
    """The predictor for an exported system's folder or ``model.json``.

    Raises ModelError for options that exported systems cannot follow, and for a folder that holds another ``system``.
    """
    if options.adapter is not None:
        raise ModelError(
            "E-ADAPTER", "An exported system has no place for an adapter.", "Name what it was trained on: -m SYSTEM"
        )
    if options.device not in ("auto", "cpu"):
        raise ModelError(
            "E-DEVICE", f'Exported systems run on the CPU, not on "{options.device}".', "Leave --device out."
        )
    backend = BundleBackend.OPENVINO if options.backend == BundleBackend.OPENVINO else BundleBackend.ONNX
    precision = "fp32" if options.precision == "auto" else options.precision
    if precision != "fp32" and (precision, backend) != ("bf16", BundleBackend.OPENVINO):
        raise ModelError(
            "E-PRECISION",
            f'Exported systems do not compute in "{precision}" on {backend}.',
            "Use --precision fp32; OpenVINO (--backend openvino) also computes in bf16.",
        )
    precision = computed_precision(precision) if precision == "bf16" else precision
    predictor = open_bundle(path, options.threads, backend, precision)
    if system not in (None, predictor.record.name):
        raise ModelError(
            "E-MODEL-SYSTEM", f"{path} holds {predictor.record.name}, not {system}.", "Leave --system out."
        )
    return predictor
