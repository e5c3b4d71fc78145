"""Medical SAM Adapter from the command line: a volume from a 3D box and from a click, a picture from a box."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import nibabel as nib
from PIL import Image
from typer.testing import CliRunner

from delineate.cli import app
from delineate.core.prompts import Box, Point
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.systems import BuildOptions, build
from narrow_systems import narrow_card, narrow_file

FP32 = ("--device", "cpu", "--precision", "fp32")
OPTIONS = BuildOptions(device="cpu", precision="fp32")


def run(*words: object) -> dict:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def voxels(slices: int = 7) -> np.ndarray:
    """A ball on noise, (i, j, k)."""
    i, j, _ = np.mgrid[:60, :50, :slices]
    ball = (i - 30) ** 2 + (j - 25) ** 2 < 12**2
    return (100 + 300 * ball + np.random.default_rng(0).integers(0, 40, ball.shape)).astype(np.int16)


@pytest.mark.parametrize("system", ["medical_sam_adapter_3d", "medical_sam_adapter_sam2_3d"])
def test_a_volume_from_a_3d_box(system: str, tmp_path: Path) -> None:
    model = narrow_file(tmp_path, narrow_card(system, depth=3))
    nib.save(nib.Nifti1Image(voxels(), np.diag([1.0, 1, 3, 1])), tmp_path / "scan.nii.gz")
    done = run("segment", tmp_path / "scan.nii.gz", "-m", f"{system}={model}", *FP32, "--box", "15,10,1,45,40,6", "-o",
               tmp_path / "out.nii.gz")  # fmt: skip
    labels = np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj)
    assert labels.shape == (60, 50, 7) and not labels[..., [0, 6]].any() and labels[..., 1:6].any(axis=(0, 1)).all()
    assert done["manifest"]["model"]["name"] == system
    again = run("replay", tmp_path / "out.manifest.json", "--input", tmp_path / "scan.nii.gz", "--model", model, "-o",
                tmp_path / "again.nii.gz")  # fmt: skip
    assert again and np.array_equal(np.asarray(nib.load(tmp_path / "again.nii.gz").dataobj), labels)


def test_a_picture_from_a_box(tmp_path: Path) -> None:
    model = narrow_file(tmp_path, narrow_card("medical_sam_adapter"))
    Image.fromarray((voxels(1)[..., 0] // 2).astype(np.uint8)).save(tmp_path / "in.png")
    run("segment", tmp_path / "in.png", "-m", f"medical_sam_adapter={model}", *FP32, "--box", "10,10,40,40", "-o",
        tmp_path / "out.png")  # fmt: skip
    assert np.asarray(Image.open(tmp_path / "out.png")).any()


def test_a_slice_is_answered_from_its_neighbors_too(tmp_path: Path) -> None:
    """The same box on the same slice: another answer where the slice beside it is another."""
    predictor = build(str(narrow_file(tmp_path, narrow_card("medical_sam_adapter_3d", depth=3))), OPTIONS)
    found = []
    for changed in (False, True):
        volume = voxels()
        if changed:
            volume[..., 5] = volume[::-1, :, 5] * 2
        features = predictor._clips.of(Scan.from_volume(volume, slice_axis=2), 4)
        found.append(features.embedding)
    assert (found[0] - found[1]).abs().max() > 1e-3 * found[0].abs().max()


def test_a_click_is_followed_and_corrected_in_a_session(tmp_path: Path) -> None:
    predictor = build(str(narrow_file(tmp_path, narrow_card("medical_sam_adapter_3d", depth=3))), OPTIONS)
    session = Session(Scan.from_volume(voxels(), slice_axis=2), predictor)
    session.prompt(Box(15, 10, 45, 40, frame=3), "ball")
    alone = session.segmentation["ball"].frames
    assert 3 in alone and len(alone) > 1, "followed from the slice with the box"
    session.prompt(Point(20, 20, 3, positive=False), "ball")
    assert 3 in session.segmentation["ball"].frames
    assert session.undo() and session.segmentation["ball"].frames == alone
