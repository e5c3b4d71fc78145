"""Data sets as they are downloaded: the Decathlon, nnU-Net's maps and regions, DRIVE and its like, labels beside."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.data.cases import Task, Use
from delineate.data.check import check_dataset
from delineate.data.layouts import read_dataset
from delineate.data.nnunet import label_names
from small_data_sets import BLUE, DISC, nnunet, picture, volume

VOXELS = np.repeat(DISC.T[..., None], 4, axis=2).astype(np.int16)


def shifted(n: int) -> np.ndarray:
    return np.roll(VOXELS, n, 0)


def decathlon(root: Path, channels: int = 1, **about: object) -> None:
    for n in range(3):
        image = np.stack([shifted(n) * (50 + c) for c in range(channels)], -1) if channels > 1 else shifted(n) * 50
        volume(root / "imagesTr" / f"part_{n:02}.nii.gz", image)
        volume(root / "labelsTr" / f"part_{n:02}.nii.gz", shifted(n).astype(np.uint8))
    pairs = [{"image": f"./imagesTr/part_{n:02}.nii.gz", "label": f"./labelsTr/part_{n:02}.nii.gz"} for n in range(3)]
    names = {str(c): name for c, name in enumerate(("T2", "ADC", "FLAIR")[:channels])}
    content = {
        "modality": names,
        "labels": {"0": "background", "1": "liver"},
        "training": pairs,
        "test": ["./x.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content | about))


def test_the_decathlon_names_its_pairs(tmp_path: Path) -> None:
    decathlon(tmp_path)
    layout, cases = read_dataset(tmp_path)
    assert [case.id for case in cases] == ["part_00", "part_01", "part_02"] and layout == "nnU-Net raw"
    opened = cases[1].open()
    assert opened.targets(1, 0)[0].name == "liver" and cases[0].task is Task.VOLUME and cases[0].modality == "T2"
    assert check_dataset(tmp_path).problems == []


@pytest.mark.parametrize("channels", [2, 3])
def test_channels_of_the_decathlon_are_cases(channels: int, tmp_path: Path) -> None:
    decathlon(tmp_path, channels)
    cases = read_dataset(tmp_path)[1]
    assert len(cases) == 3 * channels and len({case.subject for case in cases}) == 3
    for case in cases:
        which = ("T2", "ADC", "FLAIR").index(case.modality)
        assert case.id.endswith(case.modality) and case.open().scan.voxels().max() == 50 + which


def test_nnunet_stays_what_it_is_though_it_lists_its_training(tmp_path: Path) -> None:
    nnunet(tmp_path)
    about = json.loads((tmp_path / "dataset.json").read_text())
    about["training"] = [{"image": "./imagesTr/heart_000.nii.gz", "label": "./labelsTr/heart_000.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    cases = read_dataset(tmp_path)[1]
    assert [case.image.name for case in cases] == ["heart_000_0000.nii.gz", "heart_001_0000.nii.gz"]


def test_nnunet_may_map_names_to_files(tmp_path: Path) -> None:
    for n in range(2):
        volume(tmp_path / "scans" / f"{n}.nii.gz", shifted(n) * 50)
        volume(tmp_path / "truth" / f"{n}.nii.gz", shifted(n))
    listed = {f"c{n}": {"images": [f"scans/{n}.nii.gz"], "label": f"truth/{n}.nii.gz"} for n in range(2)}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1}, "dataset": listed}))
    cases = read_dataset(tmp_path)[1]
    assert [case.id for case in cases] == ["c0", "c1"] and cases[1].open().targets(1, 0)[0].name == "a"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
            {1: "whole", 2: "core", 3: "enhancing"},
        ),
        ({"background": 0, "whole": [1, 2], "core": 2}, {1: "whole", 2: "core"}),
        ({"background": "0", "liver": "1"}, {1: "liver"}),
        ({"0": "background", "1": "liver", "ignore": "x"}, {1: "liver"}),
        ({"background": 0, "odd": "two"}, {}),
    ],
    ids=["regions", "region-and-value", "texts", "value-to-name", "no-value"],
)
def test_names_of_labels(labels: dict, names: dict[int, str]) -> None:
    assert label_names(labels) == names


def test_regions_are_no_problem(tmp_path: Path) -> None:
    decathlon(tmp_path, labels={"background": 0, "whole": [1, 2], "core": [2]})
    assert check_dataset(tmp_path).problems == [] and set(check_dataset(tmp_path).structures) == {"whole"}


def vessels(n: int) -> np.ndarray:
    return np.roll(DISC, 3 * n, 1) * 255


@pytest.mark.parametrize("ending", ["gif", "png"])
def test_drive(ending: str, tmp_path: Path) -> None:
    for n in range(21, 24):
        picture(tmp_path / "training" / "images" / f"{n}_training.tif", BLUE + n)
        picture(tmp_path / "training" / "1st_manual" / f"{n}_manual1.{ending}", vessels(n))
        picture(tmp_path / "training" / "mask" / f"{n}_training_mask.{ending}", np.full((40, 50), 255, np.uint8))
    cases = read_dataset(tmp_path)[1]
    assert [case.image.name for case in cases] == [f"{n}_training.tif" for n in range(21, 24)]
    assert np.array_equal(cases[0].open().labels.pixels(0) > 0, vessels(21) > 0) and cases[0].use is Use.TRAIN
    assert check_dataset(tmp_path).problems == []


def test_hrf(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "images" / f"{n:02}_h.jpg", BLUE + n)
        picture(tmp_path / "manual1" / f"{n:02}_h.tif", vessels(n))
        picture(tmp_path / "mask" / f"{n:02}_h_mask.tif", np.full((40, 50), 255, np.uint8))
    cases = read_dataset(tmp_path)[1]
    assert [case.label.parent.name for case in cases] == ["manual1"] * 3
    assert [case.image.name for case in cases] == [f"{n:02}_h.jpg" for n in range(3)]


@pytest.mark.parametrize("ending", ["_label", "_mask", "_1stHO", "_seg", "-gt"])
def test_labels_beside_pictures(ending: str, tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "train" / f"Image_{n:02}L.jpg", BLUE + n)
        picture(tmp_path / "train" / f"Image_{n:02}L{ending}.png", vessels(n))
        picture(tmp_path / "train" / f"Image_{n:02}L_2ndHO.png", vessels(n + 1))
    layout, cases = read_dataset(tmp_path)
    assert layout == "labels beside pictures" and [case.id for case in cases] == [
        f"train/Image_{n:02}L" for n in range(3)
    ]
    assert np.array_equal(cases[2].open().labels.pixels(0) > 0, vessels(2) > 0)


def test_volumes_beside_their_labels(tmp_path: Path) -> None:
    for n in range(2):
        volume(tmp_path / f"case{n}.nii.gz", shifted(n) * 50)
        volume(tmp_path / f"case{n}_seg.nii.gz", shifted(n))
    layout, cases = read_dataset(tmp_path)
    assert layout == "labels beside pictures" and cases[0].task is Task.VOLUME and cases[0].open().targets(1, 0)


def test_masks_that_are_all_the_same_are_pointed_out(tmp_path: Path) -> None:
    for n in range(3):
        picture(tmp_path / "images" / f"{n}.png", BLUE + n)
        picture(tmp_path / "mask" / f"{n}.png", np.pad(np.full((34, 40), 255, np.uint8), ((3, 3), (5, 5))))
    assert any("same labels" in problem.what for problem in check_dataset(tmp_path).problems)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_gif_labels_are_numbers(mode: str, tmp_path: Path) -> None:
    for n in range(2):
        picture(tmp_path / "images" / f"{n}.png", BLUE + n)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(vessels(n)).convert(mode).save(tmp_path / "masks" / f"{n}.gif")
    labels = read_dataset(tmp_path)[1][1].open().labels.pixels(0)
    assert labels.ndim == 2 and np.array_equal(labels > 0, vessels(1) > 0)


def test_a_pair_outside_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS, np.eye(4)), tmp_path / "secret.nii.gz")
    decathlon(tmp_path / "data", training=[{"image": "../secret.nii.gz", "label": "./labelsTr/part_00.nii.gz"}])
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path / "data")[1][0].open()
    assert caught.value.code == "E-DATA-OUTSIDE"


def test_a_case_with_many_of_a_structure_is_one_case(tmp_path: Path) -> None:
    instances = (DISC * (1 + np.arange(DISC.shape[1]) // 8)).astype(np.uint8)
    for n in range(3):
        picture(tmp_path / "a" / f"Image_{n:02}.jpg", BLUE + n)
        picture(tmp_path / "a" / f"Image_{n:02}_label.png", instances)
    assert check_dataset(tmp_path).structures == {"structure": 3}
