"""Layouts whose labels are no label image: COCO, npz, EndoVis; label pictures as people store them; subjects."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.rle import Rle
from delineate.data.cases import Case, Task, Use
from delineate.data.check import check_dataset
from delineate.data.coco import drawn, short_runs
from delineate.data.label_pictures import read_labels
from delineate.data.layouts import read_dataset
from delineate.data.subjects import subject_of, subjects_in
from small_data_sets import BLUE, DISC, coco, endovis17, endovis18, npz, picture


def test_coco_instances_are_drawn_and_named(tmp_path: Path) -> None:
    coco(tmp_path)
    found, (case,) = read_dataset(tmp_path)
    assert (found, case.id, case.task, case.use) == ("COCO", "slide_000", Task.IMAGE, Use.TRAIN)
    opened = pickle.loads(pickle.dumps(case)).open()
    labels = opened.labels.pixels(0)
    assert (labels == 2).sum() == DISC.sum() and (labels == 1).sum() == 100 and labels[5:15, 30:40].min() == 1
    assert {t.name: t.area for t in opened.targets(9, 0)} == {"disc": int(DISC.sum()), "square": 100}
    assert check_dataset(tmp_path).structures == {"square": 1, "disc": 1}


def test_coco_splits_are_told_apart(tmp_path: Path) -> None:
    coco(tmp_path)
    coco(tmp_path, "val2017")
    cases = read_dataset(tmp_path)[1]
    assert [(c.id, c.use) for c in cases] == [("train2017/slide_000", Use.TRAIN), ("val2017/slide_000", Use.TEST)]
    assert any("training and for testing" in p.what for p in check_dataset(tmp_path).problems)


def test_roboflow_exports_are_coco(tmp_path: Path) -> None:
    content = coco(tmp_path)
    (tmp_path / "annotations" / "instances_train2017.json").unlink()
    (tmp_path / "train2017" / "_annotations.coco.json").write_text(json.dumps(content))
    assert read_dataset(tmp_path)[1][0].open().scan.width == 50


def test_short_run_lengths() -> None:
    def short(runs: list[int]) -> str:
        text = ""
        for n, run in enumerate(runs):
            value = run - runs[n - 2] if n > 2 else run
            while True:
                bits, value = value & 31, value >> 5
                more = value != (-1 if bits & 16 else 0)
                text += chr(48 + (bits | 32 if more else bits))
                if not more:
                    break
        return text

    runs = [int(n) for n in Rle.encode(DISC > 0).counts]
    assert short_runs(short(runs)) == runs
    assert short_runs("52") == [5, 2]
    assert (drawn({"size": [40, 50], "counts": short(runs)}, 40, 50, "it") == (DISC > 0)).all()


@pytest.mark.parametrize(
    ("outline", "code"),
    [
        pytest.param({"size": [40, 50], "counts": [3, 4]}, "E-COCO-OUTLINE", id="runs-too-short"),
        pytest.param({"size": [9, 9], "counts": [81]}, "E-COCO-SIZE", id="other-size"),
        pytest.param([[1, 2, 3]], "E-COCO-OUTLINE", id="half-a-polygon"),
        pytest.param("mask.png", "E-COCO-OUTLINE", id="a-name"),
    ],
)
def test_what_is_no_outline_is_refused(outline: object, code: str) -> None:
    with pytest.raises(InputError, match="annotation 3") as raised:
        drawn(outline, 40, 50, "annotation 3")
    assert raised.value.code == code


def test_challenge_volumes_and_images(tmp_path: Path) -> None:
    labels = np.repeat(DISC[None], 6, axis=0)
    boxes, spacing = np.array([[11, 11, 0, 30, 30, 6]]), np.array([0.8, 0.7, 5.0])
    npz(tmp_path / "CT" / "3DBox_CT_0001.npz", imgs=labels * 90, gts=labels, spacing=spacing, boxes=boxes)
    npz(tmp_path / "Endoscopy" / "2DBox_Endo_0001.npz", imgs=BLUE, gts=DISC, boxes=np.array([[11, 11, 30, 30]]))
    found, cases = read_dataset(tmp_path)
    assert (found, [c.task for c in cases]) == ("MedSAM npz", [Task.VOLUME, Task.IMAGE])
    assert [c.modality for c in cases] == ["CT", "endoscopy"] and [c.dataset for c in cases] == ["CT", "Endoscopy"]
    volume, image = (case.open() for case in cases)
    assert volume.scan.grid.spacing == pytest.approx((0.8, 0.7, 5.0)) and volume.scan.grid.shape == (50, 40, 6)
    (target,) = volume.targets(9, 0)
    assert (volume.truth_volume(target).sum(), volume.boxes) == (6 * DISC.sum(), {1: (11, 11, 0, 30, 30, 6)})
    assert image.targets(9, 0)[0].area == DISC.sum() and image.boxes[1] == (11, 11, 30, 30)
    assert not check_dataset(tmp_path).problems


def test_truth_beside_the_images_and_training_pairs(tmp_path: Path) -> None:
    npz(tmp_path / "imgs" / "2D_a.npz", imgs=BLUE)
    npz(tmp_path / "gts" / "2D_a.npz", gts=DISC)
    for part, values in (("imgs", np.zeros((80, 100, 3))), ("gts", DISC)):
        (tmp_path / "npy" / part).mkdir(parents=True)
        np.save(tmp_path / "npy" / part / "MR_x-012.npy", values)
    cases = read_dataset(tmp_path)[1]
    areas = {case.id: case.open().targets(9, 0)[0].area for case in cases}
    assert areas == {"2D_a": DISC.sum(), "npy/MR_x-012": 4 * DISC.sum()}
    assert {subject_of(c).rsplit("/", 1)[1] for c in cases} == {"2D_a", "MR_x"}


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        pytest.param({"imgs": DISC}, "E-NPZ-GTS", id="no-truth"),
        pytest.param({"imgs": DISC, "gts": DISC[:9]}, "E-CASE-LABEL", id="other-size"),
        pytest.param({"imgs": DISC, "gts": DISC * 0.5}, "E-LABEL-FRACTION", id="fractions"),
        pytest.param({"imgs": DISC, "gts": DISC, "boxes": np.zeros(3)}, "E-NPZ-BOXES", id="boxes"),
    ],
)
def test_damaged_challenge_files_are_refused(tmp_path: Path, arrays: dict, code: str) -> None:
    npz(tmp_path / "a.npz", **arrays)
    (case,) = read_dataset(tmp_path)[1]
    with pytest.raises(InputError) as raised:
        case.open()
    assert raised.value.code == code
    assert check_dataset(tmp_path).problems


def test_endovis_class_folders_count_as_types(tmp_path: Path) -> None:
    endovis17(tmp_path)
    found, (case,) = read_dataset(tmp_path)
    assert (found, case.id, case.task) == ("EndoVis", "instrument_dataset_1", Task.VIDEO)
    assert case.structures == {2: "prograsp forceps", 4: "vessel sealer"}
    opened = case.open()
    assert opened.frames == (0, 1, 2) and set(np.unique(opened.labels.pixels(0))) == {0, 2}
    targets = {t.name: t.frame for t in opened.targets(9, 0)}
    assert targets == {"prograsp forceps": 0, "vessel sealer": 1}, "each where it is labeled first"


def test_endovis_colors(tmp_path: Path) -> None:
    endovis18(tmp_path)
    found, (case,) = read_dataset(tmp_path)
    opened = case.open()
    assert (found, opened.frames, case.structures) == ("EndoVis", (0, 2), {1: "instrument-shaft", 2: "kidney"})
    assert [t.name for t in opened.targets(9, 0)] == ["kidney"]
    (tmp_path / "labels.json").write_text('{"kidney": 1}')
    with pytest.raises(InputError, match=r"labels\.json"):
        read_dataset(tmp_path)


def test_colors_of_a_table(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", BLUE)
    picture(tmp_path / "masks" / "a.png", DISC[..., None] * np.array([9, 8, 7], np.uint8))
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nBackground,0,0,0\npolyp,9,8,7\n")
    (case,) = read_dataset(tmp_path)[1]
    assert case.open().targets(9, 0)[0].name == "polyp"


def test_palettes_are_numbers_and_jpeg_masks_are_black_or_white(tmp_path: Path) -> None:
    indices = Image.fromarray(DISC * 2)
    indices.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert indices.mode == "P"
    indices.save(tmp_path / "palette.png")
    assert set(np.unique(read_labels(tmp_path / "palette.png"))) == {0, 2}
    picture(tmp_path / "mask.jpg", np.repeat(DISC[..., None] * 255, 3, axis=2))
    assert set(np.unique(read_labels(tmp_path / "mask.jpg"))) == {0, 1}
    picture(tmp_path / "three.png", np.repeat(DISC[..., None], 3, axis=2))
    assert (read_labels(tmp_path / "three.png") == DISC).all()
    picture(tmp_path / "color.png", DISC[..., None] * np.array([9, 0, 0], np.uint8))
    with pytest.raises(InputError, match="colored"):
        read_labels(tmp_path / "color.png")


def test_davis_and_splits_of_vos(tmp_path: Path) -> None:
    for split, deeper in (("train", "480p/"), ("valid", "")):
        for n in range(2):
            picture(tmp_path / split / "JPEGImages" / f"{deeper}clip" / f"{n:05}.jpg", BLUE)
            picture(tmp_path / split / "Annotations" / f"{deeper}clip" / f"{n:05}.png", DISC)
    found, cases = read_dataset(tmp_path)
    assert found == "VOS" and [(c.id, c.use) for c in cases] == [("train/clip", Use.TRAIN), ("valid/clip", Use.TEST)]
    assert all(len(case.open().frames) == 2 for case in cases)


def test_folders_of_frames_and_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for n in range(2):
            picture(tmp_path / split / "images" / f"scan_{split}" / f"{n:05}.jpg", BLUE)
            picture(tmp_path / split / "masks" / f"scan_{split}" / f"{n:05}.png", DISC)
    cases = read_dataset(tmp_path)[1]
    assert [(c.task, c.use) for c in cases] == [(Task.VIDEO, Use.TEST), (Task.VIDEO, Use.TRAIN)]
    assert cases[0].open().frames == (0, 1)


SUBJECTS = {
    "numbered": (["FLARE22_Tr_0001", "FLARE22_Tr_0002"], 2),
    "frames": (["patient001_frame01", "patient001_frame12", "patient002_frame01"], 2),
    "one-patient": (["patient001_frame01", "patient001_frame12"], 1),
    "eyes": (["Image_01L", "Image_01R", "Image_02L"], 2),
    "sides": (["p7OD_1", "p7OS_1", "p8OD_1"], 2),
    "spaces": (["patient01 slice 3", "patient01 slice 4", "patient02 slice 3"], 2),
    "hashes": (["a65bbfc567", "a65bbfc5ab", "a64bbfc567"], 3),
    "slices": (["liver_000-001", "liver_000-002", "liver_011-001"], 2),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_subjects_of_names(name: str) -> None:
    names, count = SUBJECTS[name]
    assert len(set(subjects_in(names).values())) == count


def test_sa_med2d_subjects_are_its_cases(tmp_path: Path) -> None:
    stems = [f"ct_00--AbdomenCT1K--Case_{n:05}--x_0041" for n in (11, 12)]
    listed = {f"images/{stem}.png": [f"masks/{stem}--0002_000.png"] for stem in stems}
    (tmp_path / "SAMed2D_v1.json").write_text(json.dumps(listed))
    names = {subject_of(case) for case in read_dataset(tmp_path)[1]}
    assert names == {"AbdomenCT1K/Case_00011", "AbdomenCT1K/Case_00012"}


def test_volumes_of_one_grid(tmp_path: Path) -> None:
    voxels = np.repeat(DISC.T[..., None], 4, axis=2).astype(np.int16)
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
    for n in range(2):
        ending = ".nii.gz"
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "imagesTr" / f"FLARE22_Tr_{n:04}_0000{ending}")
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "labelsTr" / f"FLARE22_Tr_{n:04}{ending}")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    cases = read_dataset(tmp_path)[1]
    assert len({subject_of(case) for case in cases}) == 2


def test_a_case_says_its_subject() -> None:
    path = Path("a")
    case = Case("x/one_7", "set", "MR", Task.IMAGE, path, path, {}, Use.TRAIN, "anna")
    assert subject_of(case) == "set/anna"
