"""The Slicer module on real MRML nodes, of the package slicer-core in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from serving import TOKEN, nifti, served, voxels

pytestmark = pytest.mark.stage
SLICER = Path(os.environ.get("DELINEATE_SLICER_PYTHON", "build/slicer/bin/python")).absolute()


def test_prompts_and_segments_lie_where_slicer_shows_them(tmp_path: Path) -> None:
    if not SLICER.is_file():
        pytest.skip("no slicer-core: make slicer, or DELINEATE_SLICER_PYTHON=python of an environment that has it")
    for axes in ("LPS", "LAS", "RAI"):
        nifti(tmp_path / axes, axes)
        (tmp_path / axes / "bar.nii.gz").rename(tmp_path / f"{axes}.nii.gz")
    turn = np.array([[0.8, -0.6, 0, 7], [0.6, 0.8, 0, -9], [0, 0, 1, 4], [0, 0, 0, 1]])
    for name, spacing in (("oblique", [1, 1.5, 3, 1]), ("oblique-left", [-1, 1.5, 3, 1])):
        nib.save(nib.Nifti1Image(voxels(), turn @ np.diag(spacing)), tmp_path / f"{name}.nii.gz")
    np.save(tmp_path / "bar.npy", (voxels() == 200).transpose(2, 1, 0))
    with served(tmp_path / "state", root=tmp_path) as address:
        words = [str(SLICER), str(Path(__file__).parent / "scene_check.py"), address, TOKEN, str(tmp_path)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ran = subprocess.run(words, capture_output=True, text=True, timeout=240, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.split("\n")[-2] == "checked" and ran.stdout.count(".nii.gz") == 5
