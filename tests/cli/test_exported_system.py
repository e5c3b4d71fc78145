"""An exported system outlines what is prompted, in a process in which torch cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers")
pytest.importorskip("onnx")

from delineate.core.frame import Frame
from delineate.core.hashing import sha256_of
from delineate.core.resolve import FramePrompts
from delineate.predictors.export.bundle import export_system
from delineate.predictors.frame_predictor import Query
from delineate.predictors.sam import SamPredictor
from training_discs import discs, tiny_predictor

WITHOUT_TORCH = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnx", "safetensors"):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Refusing())
from delineate.cli import app
sys.exit(app(sys.argv[1:], standalone_mode=False))
"""
BOX = (60, 50, 190, 180)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> tuple[SamPredictor, Path]:
    """A tiny SAM, and the folder it was exported to."""
    predictor, folder = tiny_predictor(alive=True), tmp_path_factory.mktemp("exported")
    export_system(predictor, folder, check=False)
    return predictor, folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    y, x = np.mgrid[:240, :260]
    disc = (y - 115) ** 2 + (x - 125) ** 2 < 55**2
    pixels = 60 + 120 * disc + np.random.default_rng(0).integers(0, 40, disc.shape)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def delineate(*words: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize("card", [pytest.param("", id="folder"), pytest.param("model.json", id="model.json")])
def test_segment_runs_it_without_torch(card: str, system: tuple[SamPredictor, Path], scan: Path) -> None:
    predictor, folder = system
    out = scan.with_name("out.png")
    done = delineate("segment", scan, "--box", ",".join(map(str, BOX)), "-m", folder / card, "-o", out)
    assert done.returncode == 0, done.stderr
    query = Query(FramePrompts(box=BOX))
    (wanted,) = predictor.decode(predictor.encode(Frame.of(np.asarray(Image.open(scan)))), [query])
    mask = np.asarray(Image.open(out)) > 0
    assert 0.01 < mask.mean() < 0.99 and (mask != wanted.mask).mean() < 1e-3
    model = json.loads(scan.with_name("out.manifest.json").read_text())["model"]
    assert model["name"] == "vit_b" and model["sha256"] == sha256_of(folder / "model.json")
    assert (model["backend"], model["precision"], model["device"]) == ("onnx", "fp32", "cpu")


def test_all_there_is_can_be_outlined(system: tuple[SamPredictor, Path], scan: Path) -> None:
    done = delineate("auto", scan, "-m", system[1], "--points-per-side", "2", "-o", scan.with_name("auto.png"))
    assert done.returncode in (0, 3), done.stderr  # 3: random weights outline nothing


def test_slices_are_followed(system: tuple[SamPredictor, Path], tmp_path: Path) -> None:
    import nibabel

    y, x = np.mgrid[:120, :130]
    disc = (y - 58) ** 2 + (x - 62) ** 2 < 27**2
    volume = np.stack([1000 * disc + n for n in range(3)], axis=2).astype(np.int16)
    nibabel.Nifti1Image(volume, np.diag([1, 1, 4, 1])).to_filename(tmp_path / "volume.nii.gz")
    out = tmp_path / "out.nii.gz"
    done = delineate("segment", tmp_path / "volume.nii.gz", "--box", "30,25,1,95,90,2", "-m", system[1], "-o", out)
    assert done.returncode == 0, done.stderr
    found = np.asarray(nibabel.load(out).dataobj)
    assert (
        found[..., 1].any() and json.loads((tmp_path / "out.manifest.json").read_text())["model"]["backend"] == "onnx"
    )


def test_it_is_evaluated_by_its_folder(system: tuple[SamPredictor, Path], tmp_path: Path) -> None:
    discs(tmp_path / "data", 2)
    report = tmp_path / "report"
    done = delineate("evaluate", "--data", tmp_path / "data", "--predictors", system[1], "--limit", "1", "-o", report)
    assert done.returncode == 0, done.stderr
    results = json.loads((report / "box-2d.json").read_text())
    assert sha256_of(system[1] / "model.json") in json.dumps(results)


def test_its_folder_is_not_written_into(system: tuple[SamPredictor, Path], scan: Path) -> None:
    done = delineate("segment", scan, "--box", "60,50,190,180", "-m", system[1], "-o", system[1] / "out.png")
    assert done.returncode != 0 and not (system[1] / "out.png").exists()
    assert "lies in the input" in done.stderr
