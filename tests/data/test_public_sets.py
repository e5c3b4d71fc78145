"""CHAOS, BTCV and polyps: small folders of their layouts, read and prepared."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import DelineateError, InputError
from delineate.data.layouts import read_dataset
from delineate.verbs.dataset import PrepareDatasetRequest, prepare_dataset
from small_dicom import UPRIGHT, dicom

pytest.importorskip("skimage")


def body(side: int, depth: int) -> np.ndarray:
    """A round body of some structures (n, y, x), another in every slice."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    slices = []
    for n in range(depth):
        one = np.where(y**2 + x**2 < 0.18, 300, 0)
        one[(y + 0.1) ** 2 + (x - 0.15) ** 2 < 0.01] = 600 + 10 * n
        slices.append(one)
    return np.stack(slices).astype(np.uint16)


def chaos(root: Path, ids: tuple[str, ...] = ("1", "2"), lacks_spleen: str = "2") -> np.ndarray:
    """Slices whose names run against their places, with organs by gray; returns the labels in order of place."""
    truth = np.zeros((4, 64, 64), np.uint8)
    truth[:, 10:20, 10:20], truth[1:3, 40:50, 12:22], truth[2:, 20:40, 40:60] = 1, 3, 4
    grays = np.array([0, 63, 126, 189, 252], np.uint8)
    pixels = body(64, 4)
    for patient in ids:
        home = root / "Train_Sets" / "MR" / patient / "T2SPIR"
        (home / "Ground").mkdir(parents=True)
        for name in range(4):
            place = 3 - name
            dicom(
                home / "DICOM_anon" / f"IMG-0001-{name + 1:05}.dcm", pixels[place], 9.0 * place,
                ImagePositionPatient=[-40, -40, 9.0 * place], ImageOrientationPatient=UPRIGHT, PixelSpacing=[1.5, 1.5],
                SliceThickness=9, InstanceNumber=name + 1,
            )  # fmt: skip
            labels = truth[place].copy()
            if patient == lacks_spleen:
                labels[labels == 4] = 0
            Image.fromarray(grays[labels]).save(home / "Ground" / f"IMG-0001-{name + 1:05}.png")
    return truth


def btcv(root: Path, ids: tuple[int, ...] = (1, 2, 7), ways: tuple[int, int, int] = (-1, -1, 1)) -> None:
    """Scans of one body each, their axes stored along or against right, front and top."""
    for number in ids:
        voxels = body(160, 3).transpose(2, 1, 0).astype(np.int16) - 200
        labels = np.zeros(voxels.shape, np.uint8)
        labels[70:90, 60:80], labels[100:110, 60:80] = 6, 1
        for kind, values in (("img", voxels), ("label", labels)):
            path = root / "RawData" / "Training" / kind / f"{kind}{number:04}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            back = [way != usual for way, usual in zip(ways, (-1, -1, 1), strict=True)]
            stored = np.flip(values, np.flatnonzero(back))
            affine = np.diag([*np.array(ways) * (0.8, 0.8, 3.0), 1.0])
            nib.save(nib.Nifti1Image(stored, affine), path)


def polyps(root: Path) -> None:
    for place, names in (("TrainDataset", "ab"), ("TestDataset/Kvasir", "c"), ("TestDataset/CVC-300", "de")):
        for name in names:
            for kind in ("images", "masks"):
                path = root / place / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                values = np.zeros((48, 64, 3), np.uint8)
                values[10:30, 20:50] = 130 if kind == "masks" else 200
                values[5:8, 5:8] = 100  # a gray of compression is no polyp
                Image.fromarray(values).save(path)


def test_labels_of_chaos_go_with_the_place_of_their_slice(tmp_path: Path) -> None:
    truth = chaos(tmp_path)
    layout, cases = read_dataset(tmp_path)
    assert layout == "CHAOS" and [case.id for case in cases] == ["MR/1/T2SPIR", "MR/2/T2SPIR"]
    opened = cases[0].open()
    assert opened.scan.grid.spacing[2] == pytest.approx(9)
    up = opened.scan.pixels(0).max() == 600  # which end comes first is the reader's choice
    wanted = truth if up else truth[::-1]
    for n in range(4):
        assert opened.scan.pixels(n).max() == 600 + 10 * (n if up else 3 - n)
        assert (opened.labels.pixels(n) == wanted[n]).all()


def test_an_organ_that_a_scan_lacks_moves_no_other(tmp_path: Path) -> None:
    chaos(tmp_path)
    _, cases = read_dataset(tmp_path)
    names = [{target.name for target in case.open().targets(9, 0)} for case in cases]
    assert names == [{"liver", "left kidney", "spleen"}, {"liver", "left kidney"}]


@pytest.mark.parametrize("fault", ["gray", "missing"])
def test_what_is_wrong_with_a_case_of_chaos_is_told(fault: str, tmp_path: Path) -> None:
    chaos(tmp_path, ("1",))
    picture = tmp_path / "Train_Sets" / "MR" / "1" / "T2SPIR" / "Ground" / "IMG-0001-00002.png"
    if fault == "gray":
        Image.fromarray(np.full((64, 64), 77, np.uint8)).save(picture)
    else:
        picture.unlink()
    with pytest.raises(InputError, match="gray 77" if fault == "gray" else "3 label pictures"):
        read_dataset(tmp_path)[1][0].open()


def test_btcv_has_its_organs_by_number(tmp_path: Path) -> None:
    btcv(tmp_path)
    layout, cases = read_dataset(tmp_path)
    assert layout == "BTCV" and [case.subject for case in cases] == ["0001", "0002", "0007"]
    assert {target.name for target in cases[0].open().targets(9, 0)} == {"liver", "spleen"}


def test_polyps_are_split_and_named_by_set(tmp_path: Path) -> None:
    polyps(tmp_path / "PolypDataset")
    layout, cases = read_dataset(tmp_path)
    assert layout == "polyps"
    assert [(case.dataset, case.use.value) for case in cases] == [
        ("TrainDataset", "train"), ("TrainDataset", "train"), ("CVC-300", "test"), ("CVC-300", "test"),
        ("Kvasir", "test"),
    ]  # fmt: skip
    assert cases[0].open().labels.pixels(0).sum() == 20 * 30


def prepared(kind: str, folder: Path, output: Path, **more: object) -> list[dict]:
    done = prepare_dataset(PrepareDatasetRequest(kind=kind, folder=folder, output=output, **more))
    items = json.loads((output / "manifest.json").read_text())
    assert done.cases == len(items)
    return items


def test_prepare_chaos(tmp_path: Path) -> None:
    chaos(tmp_path / "in")
    items = prepared("chaos", tmp_path / "in", tmp_path / "out", min_size=50)
    assert [item["id"] for item in items] == ["MR_1", "MR_2"]
    image = nib.load(tmp_path / "out" / "image_MR_1.nii.gz")
    assert image.shape == (256, 256, 5) and image.header.get_zooms() == pytest.approx((1.25, 1.25, 7.2), abs=0.3)
    parts = np.asarray(nib.load(tmp_path / "out" / "superpix-MIDDLE_MR_1.nii.gz").dataobj)
    inside = np.asarray(nib.load(tmp_path / "out" / "fgmask_MR_1.nii.gz").dataobj) > 0
    assert parts.max() > 0 and parts[~inside].mean() < 0.1 and inside.mean() < 0.2
    shown = json.loads((tmp_path / "out" / "classmap_1.json").read_text())
    assert shown["spleen"]["MR_2"] == [] and len(shown["left kidney"]["MR_1"]) in (2, 3)
    layout, cases = read_dataset(tmp_path / "out")
    assert layout == "manifest"
    assert {target.name for target in cases[0].open().targets(9, 0)} == {"liver", "left kidney", "spleen"}
    with pytest.raises(DelineateError):
        prepared("chaos", tmp_path / "in", tmp_path / "out")


def test_prepare_btcv(tmp_path: Path) -> None:
    btcv(tmp_path / "in", (3,))
    prepared("btcv", tmp_path / "in", tmp_path / "out", size=128, superpixels="slic")
    image = nib.load(tmp_path / "out" / "image_0003.nii.gz")
    values = np.asarray(image.dataobj)
    assert values.shape == (128, 128, 3) and values.min() == 0 and values.max() == 255
    assert image.header.get_zooms()[0] == pytest.approx(0.8 * 96 / 128)
    labels = np.asarray(nib.load(tmp_path / "out" / "label_0003.nii.gz").dataobj)
    assert set(np.unique(labels)) == {0, 1, 6}
    liver = np.argwhere(labels[:, :, 0] == 6)  # as nibabel lies: (i, j)
    assert liver.mean(axis=0) == pytest.approx(((79.5 - 32) * 128 / 96, (69.5 - 32) * 128 / 96), abs=1)


@pytest.mark.parametrize("ways", [(1, 1, 1), (-1, 1, -1)])
def test_prepared_slices_lie_alike_however_a_file_stores_them(tmp_path: Path, ways: tuple[int, int, int]) -> None:
    btcv(tmp_path / "in", (3,))
    btcv(tmp_path / "in", (4,), ways)
    prepared("btcv", tmp_path / "in", tmp_path / "out", size=96, superpixels=None)
    for kind in ("image", "label"):
        one, other = (nib.load(tmp_path / "out" / f"{kind}_000{n}.nii.gz") for n in (3, 4))
        assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))


def test_prepare_polyps(tmp_path: Path) -> None:
    polyps(tmp_path / "in")
    items = prepared("polyps", tmp_path / "in", tmp_path / "out", without=("CVC-300",), min_size=20)
    assert [(item["dataset"], item["use"]) for item in items] == [
        ("TrainDataset", "train"), ("TrainDataset", "train"), ("Kvasir", "test"),
    ]  # fmt: skip
    assert Image.open(tmp_path / "out" / items[2]["image"]).size == (64, 64)
    assert (tmp_path / "out" / "superpixels" / "TrainDataset" / "a.png").is_file()
    assert read_dataset(tmp_path / "out")[1][2].open().targets(9, 0)[0].area == 600


def test_another_layout_is_refused(tmp_path: Path) -> None:
    btcv(tmp_path / "in", (1,))
    with pytest.raises(InputError, match="laid out as BTCV, not as CHAOS"):
        prepared("chaos", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
