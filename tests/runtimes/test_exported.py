"""Encoders exported to ONNX give what torch gives, whoever runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_networks import lively, tiny_sam, tiny_sam2

pytest.importorskip("transformers")

from delineate.errors import ModelError
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import EfficientTam, TamShape
from delineate.models.sam import SamEncoder
from delineate.runtimes.engine import Precision
from delineate.runtimes.exported import Backend, run_exported

NETWORKS = {
    "ViT": lambda: tiny_sam(),
    "TinyViT": lambda: tiny_sam(SamEncoder.TINY_VIT_LITE),
    "Hiera": lambda: tiny_sam2(),
    "EfficientTAM": lambda: lively(EfficientTam(TamShape(side=256))),
    "EdgeTAM": lambda: lively(EdgeTam(EdgeTamShape(256))),
}


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))


def arrays(found: object) -> list[np.ndarray]:
    if isinstance(found, torch.Tensor):
        return [found.numpy()]
    return [t.numpy() for t in (found.coarse, *found.fine, found.places)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
@pytest.mark.parametrize("kind", NETWORKS)
@torch.inference_mode()
def test_encoders_are_the_same_elsewhere(kind: str, backend: Backend) -> None:
    if backend is Backend.OPENVINO:
        pytest.importorskip("openvino")
    network = NETWORKS[kind]()
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    wanted = arrays(network.embed(pixels))
    with torch.inference_mode(False):
        run_exported(network, backend, "weights", Precision.FP32, threads=1)
    for one, other in zip(arrays(network.embed(pixels)), wanted, strict=True):
        difference, largest = float(np.abs(one - other).max()), float(np.abs(other).max())
        assert difference < 1e-4 * max(largest, 1), f"{kind}: max abs difference {difference:.1e} of {largest:.2g}"


def test_a_precision_a_backend_cannot_do_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        run_exported(tiny_sam(), Backend.ONNX, "weights", Precision.BF16)
    assert caught.value.code == "E-PRECISION"
