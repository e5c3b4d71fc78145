"""Systems run from the graphs that ship without weights: the same as in torch, and torch at no step."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")
pytest.importorskip("onnx")

from delineate.checkpoints import store
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.hashing import sha256_of
from delineate.core.manifest import RANDOM
from delineate.core.resolve import FramePrompts
from delineate.predictors.export.graph import export_graph
from delineate.predictors.frame_predictor import Query
from delineate.predictors.onnx_bundle import OnnxBundlePredictor
from delineate.predictors.sam import SamPredictor
from delineate.predictors.weightless_graph import GRAPHS, check_weights, has_graph, read_graph_card
from delineate.systems import BuildOptions, build

NAMES = sorted(path.name for path in GRAPHS.iterdir())
TORCH = BuildOptions(untrained=True, device="cpu", precision="fp32", backend="torch")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of LiteMedSAM with random weights, as training saves it."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(build("lite_medsam", TORCH).network.host.state_dict(), path)
    return path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def scene() -> np.ndarray:
    y, x = np.mgrid[:180, :240]
    disc = (y - 80) ** 2 + (x - 120) ** 2 < 45**2
    gray = 40 + 120 * disc + np.random.default_rng(0).integers(0, 60, disc.shape)
    return np.stack([gray, gray // 2, 255 - gray], axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_is_what_our_networks_give(name: str, tmp_path: Path) -> None:
    export_graph(build(name, TORCH), tmp_path / name)
    for file in sorted((tmp_path / name).iterdir()):
        same = file.read_bytes() == (GRAPHS / name / file.name).read_bytes()
        assert same, f"{file.name} is another one: python tools/graphs.py {name}"
    assert sum(file.stat().st_size for file in (GRAPHS / name).iterdir()) < 1 << 20


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_a_graph_answers_as_torch(backend: str, random_weights: Path, models: Path) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    options = {"checkpoint": random_weights, "device": "cpu", "precision": "fp32"}
    wanted = build("lite_medsam", BuildOptions(**options, backend="torch"))
    found = build("lite_medsam", BuildOptions(**options, backend=backend))
    assert isinstance(wanted, SamPredictor) and isinstance(found, OnnxBundlePredictor)
    assert found.record.sha256 == wanted.record.sha256 and found.record.backend == backend.replace("auto", "onnx")
    frame, boxes = Frame.of(scene()), [(70.0, 30.0, 170.0, 130.0), (10.0, 5.0, 90.0, 160.0)]
    queries = [Query(FramePrompts(box=box)) for box in boxes]
    answers = [one.decode(one.encode(frame), queries) for one in (wanted, found)]
    for right, here in zip(*answers, strict=True):
        assert right.logits is not None and here.logits is not None
        assert np.abs(right.logits - here.logits).max() < 1e-3 * max(1, np.abs(right.logits).max())
        assert np.abs(right.scores - here.scores).max() < 1e-4


CHOICES: dict[str, tuple[dict[str, Any], type]] = {
    "plain": ({}, OnnxBundlePredictor),
    "on the CPU, fp32": ({"device": "cpu", "precision": "fp32"}, OnnxBundlePredictor),
    "torch asked for": ({"backend": "torch"}, SamPredictor),
    "bf16": ({"precision": "bf16"}, SamPredictor),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a GPU here")
@pytest.mark.parametrize("choice", CHOICES)
def test_plain_inference_on_the_cpu_needs_no_torch(choice: str, random_weights: Path, models: Path) -> None:
    options, kind = CHOICES[choice]
    assert isinstance(build(str(random_weights), BuildOptions(**options), "lite_medsam"), kind)


def test_without_weights_the_ways_out_are_named_or_torch_makes_random_ones(models: Path) -> None:
    with pytest.raises(ModelError) as caught:
        build("lite_medsam", BuildOptions(device="cpu"))
    assert caught.value.code == "E-MODEL-WEIGHTS" and "models pull lite_medsam" in caught.value.hint
    assert isinstance(build("lite_medsam", BuildOptions(untrained=True, device="cpu")), SamPredictor)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_untrained_is_random_whatever_is_kept(backend: str, random_weights: Path, models: Path) -> None:
    kept = store.import_checkpoint("lite_medsam", random_weights)
    options = BuildOptions(untrained=True, device="cpu", precision="fp32", backend=backend)
    assert build("lite_medsam", options).record.sha256 == RANDOM
    assert build("lite_medsam", replace(options, checkpoint=kept)).record.sha256 == sha256_of(kept), "it was given"


def test_parts_that_are_untrained_begin_on_the_weights_of_their_host(random_weights: Path, models: Path) -> None:
    name = "medical_sam_adapter_lite_medsam"
    alone = build(name, TORCH)
    assert alone.record.sha256 == RANDOM
    torch.save(alone.network.host.state_dict(), models.with_name("own.pth"))
    store.import_checkpoint(name, models.with_name("own.pth"))
    assert build(name, TORCH).record.sha256 == RANDOM, "not what is kept of its own"
    host = store.import_checkpoint("lite_medsam", random_weights)
    assert build(name, TORCH).record.sha256 == f"lite_medsam {sha256_of(host)}, the rest random"


def test_a_graph_is_filled_once_and_beside_the_weights(random_weights: Path, models: Path) -> None:
    kept = store.import_checkpoint("lite_medsam", random_weights)
    build("lite_medsam", BuildOptions(device="cpu"))
    made = {path: path.stat().st_mtime_ns for path in (models / "exported").glob("*.onnx")}
    assert sorted(path.name.split("-")[1] for path in made) == ["decoder", "encoder"]
    build("lite_medsam", BuildOptions(device="cpu"))
    assert {path: path.stat().st_mtime_ns for path in (models / "exported").glob("*.onnx")} == made
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError) as caught:
        build("lite_medsam", BuildOptions(device="cpu"))
    assert caught.value.code == "E-MODEL-CHANGED"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda arrays: arrays.pop("mask_decoder.iou_token.weight"), "1 missing keys", id="missing"),
        pytest.param(lambda arrays: arrays.update(more=np.zeros(1)), "1 unexpected keys: more", id="unexpected"),
        pytest.param(
            lambda arrays: arrays.update({"mask_decoder.iou_token.weight": np.zeros((2, 256))}),
            "1 of another shape: mask_decoder.iou_token.weight (2, 256) for (1, 256)",
            id="of another shape",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told(change: Any, said: str) -> None:
    card = read_graph_card("lite_medsam")
    arrays = {name: np.zeros(shape, np.float32) for part in card.weights.values() for name, shape in part.items()}
    check_weights(card, arrays, "model.pth")
    change(arrays)
    with pytest.raises(ModelError) as caught:
        check_weights(card, arrays, "model.pth")
    assert caught.value.code == "E-MODEL-KEYS" and said in caught.value.message


def test_only_systems_with_a_graph_have_one() -> None:
    assert all(has_graph(name) for name in NAMES) and not has_graph("sam_vit_b") and not has_graph("")


WITHOUT_TORCH = """
from importlib.machinery import PathFinder

class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx", "safetensors", "openvino"):
            return None
        return super().find_spec(name, path, target)

import sys
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
from delineate.cli import main
main()
"""


def test_a_picture_is_segmented_where_torch_is_not_installed(random_weights: Path, models: Path) -> None:
    folder = models.parent
    Image.fromarray(scene()).save(folder / "scene.png")
    arguments = ["scene.png", "--box", "70,30,170,130", "-m", str(random_weights), "--system", "lite_medsam"]
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "segment", *arguments, "-o", "mask.png"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "DELINEATE_MODELS": str(models)}, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert '"backend": "onnx"' in (folder / "mask.manifest.json").read_text()
