"""Options that mean nothing for a file are reported; those that are followed are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.io.formats import BUILT_IN
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.unused_options import CHOICES, FOLLOWED
from small_dicom import dicom, levels


def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(folder / "a.png")
    return folder / "a.png"


def nifti(folder: Path) -> Path:
    nib.save(nib.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.eye(4)), folder / "a.nii")
    return folder / "a.nii"


def series(folder: Path) -> Path:
    for n in range(3):
        dicom(folder / f"{n}.dcm", levels(3)[n], z=2 * n)
    return folder


def frames(folder: Path) -> Path:
    for n in range(3):
        Image.fromarray(np.zeros((12, 16), np.uint8)).save(folder / f"{n}.png")
    return folder


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (picture, {"series": "3"}, "--series"),
        (picture, {"affine": "qform"}, "--affine"),
        (picture, {"pages": "stack"}, "--pages"),
        (picture, {"slice_axis": "k"}, "--axis"),
        (picture, {"stored_orientation": True}, ""),
        (nifti, {"channel": 1}, "--channel"),
        (nifti, {"pages": "video"}, "--pages"),
        (nifti, {"resample_irregular": True, "series": "1"}, "--series, --resample-irregular"),
        (nifti, {"slice_axis": "i"}, ""),
        (series, {"index": 1}, "--index"),
        (series, {"series": "#1"}, ""),
        (frames, {"to_gray": True}, "--to-gray"),
        (frames, {"pages": "stack"}, ""),
    ],
)
def test_it_is_told(tmp_path: Path, make: Callable[[Path], Path], options: dict[str, Any], told: str) -> None:
    notices = [n.message for n in open_scan(make(tmp_path), **options).notices if n.code == "W-OPTION-UNUSED"]
    assert len(notices) == bool(told)
    assert not told or told in notices[0]


def test_every_reader_says_what_it_follows() -> None:
    modules = {one.module.rpartition(".")[2] for one in BUILT_IN}
    assert modules - set(FOLLOWED) == {"zipped"}  # which opens what is in it
    assert set(CHOICES) < {field.name for field in fields(ReadOptions)}
    assert set.union(*map(set, FOLLOWED.values())) <= set(CHOICES)
