"""The command that ``inspect`` ends with: it reads the scan as it was looked at."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from delineate.cli import app, guard
from delineate.core.manifest import Manifest
from delineate.io.options import Pages, ReadOptions
from delineate.verbs.inspect import InspectRequest, inspect


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({}, {}),
        ({"slice_axis": "i"}, {"slice_axis": "i"}),
        ({"index": 1}, {"index": 1}),
        ({"index": 1, "window": "-20,90"}, {"index": 1, "window": "-20,90"}),
        ({"pages": Pages.VIDEO}, {"pages": "video"}),
        ({"stored_orientation": True, "max_files": 9}, {"stored_orientation": True, "max_files": 9}),
    ],
    ids=["as usual", "axis", "one of several", "window", "video", "a flag and a limit"],
)
def test_the_command_to_start_with_reads_the_scan_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: dict[str, Any], expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)
    voxels = np.random.default_rng(0).integers(0, 60, (36, 40, 8, 3)).astype(np.int16)
    voxels[12:24, 13:27] += 150
    kept = voxels if "index" in reading else voxels[:, :, :1] if "pages" in reading else voxels[..., 0]
    nib.save(nib.Nifti1Image(kept, np.eye(4)), tmp_path / "a scan.nii")
    monkeypatch.chdir(tmp_path)
    request = InspectRequest(input=Path("a scan.nii"), reading=ReadOptions(**reading))
    words = shlex.split(inspect(request).command)
    assert guard.run(app, [*words[1:], "--frame-only", "-q", "-o", "o.json"]) in (0, 3)
    manifest = Manifest.read(tmp_path / "o.manifest.json")
    assert manifest is not None and manifest.run is not None and manifest.run.reading == expected
