"""Whole scans: key frames, a volume by a volume, and supports that are read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.frame import Modality, ModalityName
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.fewshot.matcher import Matcher, MatchOptions
from delineate.io.outputs import Outputs
from delineate.io.saving import outline_files, write_outlines
from delineate.io.writers.image import image_writer
from delineate.labels.reading import segmentation_of
from delineate.oneshot.examples import Example, read_example, read_examples, require_alike
from delineate.oneshot.scans import find_on_scan, frames_to_look_at, key_frames
from delineate.oneshot.targets import targets_in
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import SHIPPED, QuillPredictor
from fewshot.example_pictures import blob_picture

RADII = (14, 18, 20, 15)


def volume(seed: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Slices of a blob (x, y, slice) that grows and shrinks, and its mask."""
    slices = [blob_picture(seed + n, x + n, y, radius) for n, radius in enumerate(RADII)]
    return tuple(np.stack([one[part].T for one in slices], axis=2) for part in (0, 1))


def test_a_volume_is_outlined_by_another_one() -> None:
    voxels, mask = volume(0, 80, 50)
    scan = Scan.from_volume(voxels, slice_axis=2)
    labels = segmentation_of(Scan.from_volume(mask.astype(np.uint8), slice_axis=2))
    supports = Example(scan, labels).supports()
    assert [one.part for one in supports] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    quill = QuillPredictor(threads=1)
    matcher = Matcher(QuillExtractor(SHIPPED, 256, 1), supports[1:2], quill, MatchOptions(places=1))
    target, truth = volume(7, 95, 62)
    other = Scan.from_volume(target, slice_axis=2)
    empty = Segmentation.empty(other).adding("label 1", label=1)
    found = find_on_scan(other, matcher, {"label 1": 0.0}, empty, quill)
    (finding,) = found.findings
    assert finding.found
    outlined = found.segmentation.voxels("label 1")
    assert 2 * (outlined & truth).sum() / (outlined.sum() + truth.sum()) > 0.85
    nothing = find_on_scan(other, matcher, {"label 1": 1.0}, empty, quill)
    assert not nothing.findings[0].found
    assert nothing.segmentation.names == ("label 1",)
    assert not nothing.segmentation["label 1"].area


def test_long_scans_are_looked_at_in_places_and_short_ones_whole() -> None:
    assert frames_to_look_at(5) == [0, 1, 2, 3, 4]
    numbers = frames_to_look_at(240)
    assert len(numbers) == 12
    assert (numbers[0], numbers[-1]) == (10, 230)


def test_key_frames_are_good_and_apart() -> None:
    assert key_frames({0: 0.5, 10: 0.9, 12: 0.89, 40: 0.85, 60: 0.3}, 80) == [10, 40]


def test_another_modality_is_refused() -> None:
    picture, mask = blob_picture(0, 80, 50, 18)
    labels = segmentation_of(Scan.from_image(mask.astype(np.uint8)))
    ct, mr = (Scan.from_image(picture, modality=Modality(name)) for name in (ModalityName.CT, ModalityName.MR))
    require_alike([Example(ct, labels)], Scan.from_image(picture))
    with pytest.raises(InputError, match="is MR"):
        require_alike([Example(ct, labels)], mr)


def test_a_structure_is_named_by_its_value_or_name(tmp_path: Path) -> None:
    picture, mask = blob_picture(0, 80, 50, 18)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray((mask * 2 + np.roll(mask, 40, 1)).clip(0, 2).astype(np.uint8)).save(tmp_path / "m.png")
    both = read_example(tmp_path / "a.png", tmp_path / "m.png")
    only = read_example(tmp_path / "a.png", tmp_path / "m.png", wanted=("2",))
    assert len(both.labels.objects) == 2
    assert only.labels.names == ("label 2",)
    assert list(only.supports()[0].masks) == ["label 2"]
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "one.png")
    pairs = [(tmp_path / "a.png", tmp_path / name) for name in ("m.png", "one.png")]
    shown = [one.labels.names for one in read_examples(pairs, wanted=("label 1", "2"))]
    assert shown == [("label 1", "label 2"), ("label 1",)], "not every support shows all"
    for wanted, where in (("2", "one.png does not show"), ("7", "m.png does not show")):
        with pytest.raises(InputError, match=where):
            read_examples(pairs, wanted=(wanted,))
    with pytest.raises(InputError, match='No mask shows "7"'):
        read_examples(pairs, wanted=("1", "7"))


def test_a_name_goes_before_a_label_value(tmp_path: Path) -> None:
    picture, mask = blob_picture(0, 80, 50, 18)
    scan = Scan.from_image(picture)
    labels = Segmentation.empty(scan)
    for name, value, x in (("2", 1, 0), ("1", 2, 40)):
        labels = labels.adding(name, label=value).with_masks(name, {0: Rle.encode(np.roll(mask, x, 1))})
    Image.fromarray(picture).save(tmp_path / "a.png")
    with Outputs([tmp_path / "m.json"]) as outputs:
        write_outlines(labels, outline_files(tmp_path / "m.json", scan.kind), scan, outputs)
    found = read_example(tmp_path / "a.png", tmp_path / "m.json", wanted=("2",)).labels
    assert [(one.name, one.label) for one in found.objects] == [("2", 1)]


def test_folders_give_each_scan_a_name_of_its_own(tmp_path: Path) -> None:
    for inner in ("a", "b"):
        (tmp_path / inner).mkdir()
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / inner / "case.png")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    support = (tmp_path / "a" / "case.png").resolve()
    (tmp_path / "b" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "zero.png").write_bytes(b"")
    twice = [tmp_path, tmp_path / "b" / ".." / "a" / "case.png"]
    found = targets_in(twice, False)
    assert [one.name for one in found.files] == ["case", "case_2"]
    assert [(one.code, "zero.png" in one.message) for one in found.notices] == [("W-TARGETS-UNREAD", True)]
    assert [one.path.parent.name for one in targets_in([tmp_path], False, {support}).files] == ["b"]
    assert [one.path.name for one in targets_in([tmp_path / "a"], True).files] == ["a"]


def test_scans_that_this_program_converted_are_targets_and_outlines_are_not(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (20, 24)).astype(np.uint8)
    clip = Scan.from_frames(np.stack([pixels, pixels]))
    volume = Scan.from_volume(np.stack([pixels] * 3, axis=2), slice_axis=2)
    for scan, name in ((Scan.from_image(pixels), "picture.png"), (volume, "volume.nii.gz"), (clip, "clip")):
        labels = Segmentation.empty(scan).adding("blob").with_masks("blob", {0: Rle.encode(scan.pixels(0) > 100)})
        target = tmp_path / f"found_{name}"
        with Outputs([tmp_path / name, target]) as outputs:
            image_writer(tmp_path / name, scan)(scan, outputs.stage(tmp_path / name))
            write_outlines(labels, outline_files(target, scan.kind), scan, outputs)
    found = targets_in([tmp_path], False)
    assert [one.name for one in found.files] == ["picture", "volume", "00000", "00001"]


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("imagesTr/case_0000.png", "labelsTr/case.png"),
        ("imagesTs/case_0000.png", "labelsTs/case.png"),
        ("imagesVal/case.png", "labelsVal/case.png"),
        ("Images/case.png", "Labels/case.png"),
        ("images/case.png", "seg/case.png"),
        ("images/case.png", "gt/other-name.png"),
        ("images/case.png", "ground_truth/organ/case.png"),
        ("images/train/case.png", "labels/train/case.png"),
        ("train_images/case.png", "train_masks/case.png"),
        ("img/img0001.png", "label/label0001.png"),
        ("JPEGImages/clip/00000.png", "Annotations/clip/00000.png"),
        ("T2SPIR/DICOM_anon/a.png", "T2SPIR/Ground/b.png"),
        ("case.png", "masks/case.png"),
        ("image_01.png", "mask_01.png"),
    ],
)
def test_folders_of_labels_beside_folders_of_scans_are_no_targets(tmp_path: Path, picture: str, mask: str) -> None:
    for path in (tmp_path / picture, tmp_path / mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(path)
    found = targets_in([tmp_path], False)
    assert [one.path for one in found.files] == [tmp_path / picture]
    assert [one.code for one in found.notices] == ["W-TARGETS-LABELS"]


def test_a_folder_of_frames_is_no_target_where_it_holds_masks(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for n in range(2):
            Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / name / f"{n}.png")
    assert [one.path.name for one in targets_in([tmp_path], True).files] == ["images"]


@pytest.mark.parametrize("folder", ["labels", "manual", "masked", "signal"])
def test_scans_without_others_beside_them_are_targets_whatever_their_folder_is_called(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "mask").mkdir()
    (tmp_path / folder).mkdir(exist_ok=True)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / folder / "case.png")
    assert len(targets_in([tmp_path], False).files) == 1


@pytest.mark.parametrize("mask", ["case_mask.png", "masks/case.png", "labels/case_label.png"])
def test_labels_of_a_scan_are_no_target_unless_they_are_named(tmp_path: Path, mask: str) -> None:
    picture = tmp_path / ("images" if "/" in mask else "") / "case.png"
    for path in (picture, tmp_path / mask):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(path)
    found = targets_in([tmp_path], False)
    assert [one.path for one in found.files] == [picture]
    assert [one.code for one in found.notices] == ["W-TARGETS-LABELS"]
    assert len(targets_in([tmp_path, tmp_path / mask], False).files) == 2
