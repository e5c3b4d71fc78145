"""Every scan of the real data opens, lies where its label lies, and says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan

KINDS = {"2d": ScanKind.IMAGE, "3d": ScanKind.VOLUME, "video": ScanKind.VIDEO}
REFUSED = {"dicom/24x38x3", "dicom/several_volumes_no_extension", "dicom/slide_microscopy"}  # several volumes in one


def test_every_item_opens_on_the_grid_of_its_label(data_root: Path, data_items: list[dict[str, Any]]) -> None:
    seen = 0
    for item in data_items:
        if item["task"] not in KINDS or (item["use"] == "train" and sum(item["id"].encode()) % 10):
            continue
        scan = open_scan(data_root / item["image"])
        assert scan.kind is KINDS[item["task"]], item["id"]
        assert scan.pixels(len(scan) // 2).shape[:2] == (scan.height, scan.width)
        if item.get("label") and item["task"] != "video":
            label = open_scan(data_root / item["label"])
            assert label.grid.shape == scan.grid.shape, item["id"]
            if item["task"] == "3d":
                np.testing.assert_allclose(label.grid.affine, scan.grid.affine, atol=1e-3)
        seen += 1
    assert seen > 100


def test_dicom_folders_open_or_say_why_not(data_root: Path, data_items: list[dict[str, Any]]) -> None:
    for item in data_items:
        if item["task"] != "dicom":
            continue
        if item["id"] in REFUSED:
            with pytest.raises(InputError, match=r"series|place"):
                open_scan(data_root / item["image"])
        else:
            assert open_scan(data_root / item["image"]).pixels(0).size > 0


@pytest.mark.parametrize(
    "folder", ["dicom/ct-3slice", "more/dicom/anisotropic", "more/dicom/jpeg2000", "more/dicom/rle"]
)
def test_simpleitk_reads_the_same_series(data_root: Path, folder: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(data_root / folder))
    if not names:
        pytest.skip(f"SimpleITK finds no series in {folder}")
    reader.SetFileNames(names)
    image = reader.Execute()
    scan = open_scan(data_root / folder)
    assert scan.grid.shape == image.GetSize()
    np.testing.assert_allclose(scan.voxels().transpose(2, 1, 0), sitk.GetArrayFromImage(image), rtol=1e-6)
    last = tuple(n - 1 for n in image.GetSize())
    for voxel in ((0, 0, 0), last):
        np.testing.assert_allclose(
            scan.grid.to_world(voxel, "LPS"), image.TransformIndexToPhysicalPoint(voxel), atol=1e-2
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("CT_small.dcm", ScanKind.IMAGE), ("MR_small.dcm", ScanKind.IMAGE), ("examples_palette.dcm", ScanKind.IMAGE),
     ("examples_ybr_color.dcm", ScanKind.VIDEO), ("emri_small.dcm", ScanKind.VOLUME), ("JPEG2000.dcm", ScanKind.IMAGE),
     ("image_dfl.dcm", ScanKind.IMAGE), ("MR_small_bigendian.dcm", ScanKind.IMAGE)],
)  # fmt: skip
def test_the_files_that_come_with_pydicom_open(name: str, kind: ScanKind) -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not part of the installed pydicom")
    scan = open_scan(Path(str(path)))
    assert scan.kind is kind
    assert scan.pixels(len(scan) - 1).shape[:2] == (scan.height, scan.width)
