"""The hash of a case changes with any byte that is read for it, and with nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.data.cases import Case
from delineate.data.contents import case_content, scan_content
from delineate.data.layouts import read_dataset
from delineate.data.shards import write_shards
from small_data_sets import (
    DISC,
    camus,
    challenge,
    coco,
    endovis17,
    endovis18,
    folders,
    manifest,
    nnunet,
    sa_med2d,
    vos,
)


def pair(root: Path) -> None:
    """A header with its voxels in a file beside it."""
    manifest(root)
    nib.save(nib.Nifti1Pair(np.repeat(DISC.T[..., None] * 90, 2, axis=2), np.eye(4)), root / "a.hdr")
    named(root, "a.hdr")


def nhdr(root: Path) -> None:
    manifest(root)
    fields = ("type: uint8", "dimension: 3", "sizes: 50 40 2", "encoding: raw", "data file: voxels.bin")
    (root / "a.nhdr").write_text("\n".join(["NRRD0004", *fields, "", ""]))
    (root / "voxels.bin").write_bytes(bytes(50 * 40 * 2))
    named(root, "a.nhdr")


def mhd(root: Path) -> None:
    manifest(root)
    fields = ("NDims = 3", "DimSize = 50 40 2", "ElementType = MET_UCHAR", "ElementDataFile = LIST", "one.raw two.raw")
    (root / "a.mhd").write_text("\n".join(["ObjectType = Image", *fields]))
    for name in ("one.raw", "two.raw"):
        (root / name).write_bytes(bytes(50 * 40))
    named(root, "a.mhd")


def named(root: Path, image: str) -> None:
    items = json.loads((root / "manifest.json").read_text())
    items[0]["image"] = image
    (root / "manifest.json").write_text(json.dumps(items))


def shards(root: Path) -> None:
    manifest(root.with_name("cases"))
    write_shards(read_dataset(root.with_name("cases"))[1], root)


# what is edited, and whether that is the scan rather than its labels
EDITED: list[tuple[Callable[[Path], object], str, bool]] = [
    (manifest, "a.png", True),
    (manifest, "a_label.png", False),
    (pair, "a.hdr", True),
    (pair, "a.img", True),
    (nhdr, "voxels.bin", True),
    (mhd, "two.raw", True),
    (nnunet, "imagesTr/heart_000_0000.nii.gz", True),
    (nnunet, "labelsTr/heart_000.nii.gz", False),
    (vos, "JPEGImages/clip/00001.jpg", True),
    (vos, "Annotations/clip/00002.png", False),
    (sa_med2d, "masks/ct_00--AbdomenCT1K--Case_00011--x_0041--0002_000.png", False),
    (coco, "train2017/slide_000.png", True),
    (coco, "annotations/instances_train2017.json", False),
    (endovis17, "instrument_dataset_1/left_frames/frame002.png", True),
    (endovis17, "instrument_dataset_1/ground_truth/Vessel_Sealer_labels/frame001.png", False),
    (endovis18, "seq_2/labels/frame002.png", False),
    (challenge, "imgs/2D_a.npz", True),
    (challenge, "gts/2D_a.npz", False),
    (camus, "patient0001/patient0001_2CH_ED_gt.nii.gz", False),
    (folders, "images/0.png", True),
]


def edited(path: Path, at: int) -> None:
    """Change one byte; size and time stay."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def contents(case: Case) -> tuple[str, str]:
    return case_content(case), scan_content(case)


@pytest.mark.parametrize(
    ("make", "path", "of_the_scan"),
    [pytest.param(make, path, scan, id=f"{make.__name__}-{path}") for make, path, scan in EDITED],
)
def test_a_byte_that_is_changed_is_noticed(
    make: Callable[[Path], object], path: str, of_the_scan: bool, tmp_path: Path
) -> None:
    make(tmp_path / "ds")
    case = read_dataset(tmp_path / "ds")[1][0]
    before = contents(case)
    shutil.copytree(tmp_path / "ds", tmp_path / "copy" / "ds")
    assert contents(read_dataset(tmp_path / "copy" / "ds")[1][0]) == before == contents(case)
    edited(tmp_path / "ds" / path, -1)
    assert case_content(case) != before[0]
    assert (scan_content(case) != before[1]) is of_the_scan


@pytest.mark.parametrize(
    ("name", "of_the_scan"),
    [pytest.param("image.png", True, id="image"), pytest.param("label.png", False, id="label")],
)
def test_members_of_a_shard(name: str, of_the_scan: bool, tmp_path: Path) -> None:
    shards(tmp_path / "ds")
    (case,) = read_dataset(tmp_path / "ds")[1]
    before = contents(case)
    (start,) = [start for member, start, _ in case.reader.places if member == name]
    edited(case.image, start + 40)
    assert case_content(case) != before[0]
    assert (scan_content(case) != before[1]) is of_the_scan


def test_what_else_a_measurement_depends_on(tmp_path: Path) -> None:
    endovis18(tmp_path / "ds")
    (case,) = read_dataset(tmp_path / "ds")[1]
    other = [
        replace(case, id="another"),
        replace(case, structures={1: "kidney"}),
        replace(case, reader=replace(case.reader, colors=((1, (0, 0, 9)),))),
    ]
    assert len({case_content(one) for one in (case, *other)}) == 4
    assert len({scan_content(one) for one in (case, *other)}) == 1


def test_a_scan_is_known_by_what_is_in_it_not_by_names(tmp_path: Path) -> None:
    vos(tmp_path / "ds")
    (case,) = read_dataset(tmp_path / "ds")[1]
    before = scan_content(case)
    (case.image / ".DS_Store").write_bytes(b"x")
    (case.image / "00001.jpg").rename(case.image / "frame_b.jpg")
    assert scan_content(case) == before
    (case.image / "frame_c.jpg").write_bytes(b"another")
    assert scan_content(case) != before


def test_a_file_is_read_once_while_it_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from delineate.data import contents as module

    coco(tmp_path)
    (case,) = read_dataset(tmp_path)[1]
    read: list[str] = []
    real = module.sha256_of
    monkeypatch.setattr(module, "sha256_of", lambda path: read.append(path.name) or real(path))
    for _ in range(3):
        case_content(case)
    assert sorted(read) == ["instances_train2017.json", "slide_000.png"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest(tmp_path)
    (case,) = read_dataset(tmp_path)[1]

    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("delineate.data.contents.sha256_of", denied)
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        case_content(case)
