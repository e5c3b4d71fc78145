"""Extractors: the networks of the house describe frames, torch or not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.fewshot.feature_map import FeatureExtractor, FeatureMap
from delineate.fewshot.features import extractor_of
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import SHIPPED, QuillPredictor
from delineate.systems.registry import build
from delineate.systems.system import BuildOptions


def likeness(one: FeatureMap, other: FeatureMap) -> np.ndarray:
    return np.einsum("cyx,cyx->yx", one.unit, other.unit)


def picture(size: tuple[int, int] = (96, 128)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    noise = np.random.default_rng(0).normal(0, 0.05, size)
    return (((y - 40) ** 2 + (x - 50) ** 2 < 300) + 0.3 * ((x > 90) & (y > 60)) + noise).astype(np.float32)


def test_quill_describes_frames() -> None:
    extractor = QuillExtractor(SHIPPED, side=256)
    one = extractor.features(Frame.of(picture()))
    assert isinstance(extractor, FeatureExtractor)
    assert one.values.dtype == np.float32
    assert (one.grid.rows, one.grid.columns) == (32, 32)
    color = extractor.features(Frame.of(np.repeat(picture()[..., None], 3, axis=2)))
    assert likeness(one, color)[one.grid.inside > 0.5].mean() > 0.99


def test_quill_sees_the_same_in_another_window_of_intensities() -> None:
    extractor = QuillExtractor(SHIPPED, side=256)
    one, other = (extractor.features(Frame.of(pixels)) for pixels in (picture(), picture() * 1000 - 500))
    assert likeness(one, other).mean() > 0.999


def test_quill_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, numpy as np; from delineate.quill.dense_features import QuillExtractor;"
        "from delineate.quill.predictor import SHIPPED;"
        "from delineate.core.frame import Frame;"
        "QuillExtractor(SHIPPED, side=128).features(Frame.of(np.random.default_rng(0).random((50, 60))));"
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["mobile_sam", "sam2.1_tiny"])
def test_encoders_of_promptable_systems_describe_frames(name: str) -> None:
    extractor = extractor_of(build(name, BuildOptions(untrained=True, device="cpu")))
    seen = extractor.features(Frame.of(picture((60, 80))))
    assert extractor.name
    assert seen.values.shape == (256, 64, 64)
    assert seen.grid.inside.sum() == pytest.approx(64 * 64 * (0.75 if "2" not in name else 1), rel=0.02)


def test_the_graph_of_lite_medsam_describes_as_its_network_does(lite_medsam_store: Path) -> None:
    path = lite_medsam_store / "lite_medsam.pth"
    options = BuildOptions(checkpoint=path, precision="fp32")
    made = [build("lite_medsam", replace(options, backend=backend)) for backend in ("onnx", "torch")]
    on_graph, on_torch = (extractor_of(one).features(Frame.of(picture())) for one in made)
    assert on_graph.values.shape == (256, 64, 64)
    assert likeness(on_graph, on_torch)[on_graph.grid.inside > 0.5].min() > 0.999


def test_quills_predictor_knows_its_extractor() -> None:
    assert isinstance(extractor_of(QuillPredictor()), QuillExtractor)


def test_a_system_without_an_embedding_is_refused() -> None:
    class Blind(QuillPredictor):
        feature_extractor = None

    with pytest.raises(ModelError, match="no image embedding"):
        extractor_of(Blind()).features(Frame.of(picture()))
