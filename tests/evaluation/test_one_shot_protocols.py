"""Protocols of one example: which scan and slices are the support, and what is measured."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.data.cases import Case
from delineate.data.layouts import read_dataset
from delineate.evaluation.one_shot_protocols import after_fold, siblings
from delineate.evaluation.protocols import PROTOCOLS
from delineate.evaluation.reproduce import REPRODUCTIONS, reproduction_named
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule


class CopiesSupport:
    """A FramePredictor whose outline is the support's; it notes what it was shown."""

    record = ModelRecord(name="copy", version="1", sha256="0" * 64, license="none")
    capabilities = Capabilities(VISUAL_PROMPTS)
    window_rule = WindowRule.CROP

    def __init__(self) -> None:
        self.shown: list[float] = []

    def encode(self, frame: Frame) -> float:
        return float(frame.pixels.max())

    def decode(self, features: float, queries: list[Query]) -> list[Candidates]:
        answers = []
        for query in queries:
            assert query.reference is not None
            self.shown.append(query.reference.features)
            answers.append(Candidates(query.reference.mask[None], np.ones(1, np.float32)))
        return answers


def volumes(root: Path, count: int = 5) -> list[Case]:
    """Scans named by number, whose slice n is n bright; an organ on slices 2 to 10."""
    items = []
    for number in range(count):
        voxels = np.zeros((24, 24, 12), np.int16) + np.arange(12, dtype=np.int16) + 100 * number
        labels = np.zeros(voxels.shape, np.uint8)
        labels[4:12, 4 : 12 + number, 2:11] = 1
        for kind, values in (("image", voxels), ("label", labels)):
            nib.save(nib.Nifti1Image(values, np.eye(4)), root / f"{kind}_{number}.nii.gz")
        items.append({
            "id": str(number), "dataset": "set", "modality": "MR", "task": "3d", "use": "test",
            "labels": {"1": "organ"}, "image": f"image_{number}.nii.gz", "label": f"label_{number}.nii.gz",
        })  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(items))
    return read_dataset(root)[1]


def test_the_support_is_the_next_scan_after_the_fold(tmp_path: Path) -> None:
    cases = volumes(tmp_path, 10)
    assert [case.id for case in after_fold(siblings(cases[0]), cases[0], 5)][:2] == ["2", "3"]
    assert [case.id for case in after_fold(siblings(cases[1]), cases[1], 5)][:2] == ["2", "3"]
    assert after_fold(siblings(cases[9]), cases[9], 5)[0].id == "0"  # around
    for case in cases:
        left = {one.id for one in after_fold(siblings(case), case, 5)}
        assert case.id not in left and len(left) == 8


def test_an_example_is_of_another_person_and_of_the_same_sequence(tmp_path: Path) -> None:
    for patient in "123":
        for series in ("T2SPIR/DICOM_anon", "T2SPIR/Ground", "T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"):
            (tmp_path / "MR" / patient / series).mkdir(parents=True)
        for series in ("DICOM_anon", "Ground"):
            (tmp_path / "CT" / patient / series).mkdir(parents=True)
    case = next(one for one in read_dataset(tmp_path)[1] if one.id == "MR/1/T2SPIR")
    assert [one.id for one in siblings(case)] == ["MR/1/T2SPIR", "MR/2/T2SPIR", "MR/3/T2SPIR"]
    twice = [*siblings(case), replace(case, id="MR/1/again")]
    assert [one.id for one in after_fold(twice, case, 4)] == ["MR/2/T2SPIR", "MR/3/T2SPIR"]


def test_each_slice_is_compared_with_that_of_its_third(tmp_path: Path) -> None:
    cases = volumes(tmp_path)
    case = cases[0].open()
    predictor = CopiesSupport()
    (outcome,) = PROTOCOLS["one-shot-volume"].measure(case, case.targets(9, 0), predictor, 0)
    # scan 1, slices at 1/6, 1/2 and 5/6 of 2 to 10: places 1, 4 and 7 of them
    assert predictor.shown == [103.0] * 3 + [106.0] * 3 + [109.0] * 3
    wide, narrow = 9 * 8, 8 * 8
    assert outcome.values["dice"] == pytest.approx(2 * narrow / (wide + narrow), abs=1e-6)
    assert outcome.values["dice_slice"] == pytest.approx(outcome.values["dice"], abs=1e-6)


def test_one_slice_is_the_middle_one(tmp_path: Path) -> None:
    case = volumes(tmp_path)[4].open()
    predictor = CopiesSupport()
    list(PROTOCOLS["one-shot-volume-1"].measure(case, case.targets(9, 0), predictor, 0))
    assert set(predictor.shown) == {6.0}  # of scan 0


def test_one_picture_of_the_training_part_is_the_support_of_all(tmp_path: Path) -> None:
    for n, place in enumerate(("TrainDataset", "TestDataset/Kvasir", "TestDataset/ETIS-LaribPolypDB")):
        for name in "ab":
            for kind, shade in (("images", 100 + 10 * n), ("masks", 255)):
                path = tmp_path / place / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                values = np.zeros((32, 32, 3), np.uint8)
                values[8:20, 8:20] = shade
                Image.fromarray(values).save(path)
    predictor = CopiesSupport()
    for case in read_dataset(tmp_path)[1]:
        if case.use.value == "test":
            opened = case.open()
            (outcome,) = PROTOCOLS["one-shot-image"].measure(opened, opened.targets(9, 0), predictor, 0)
            assert outcome.values["dice"] == 1
    assert set(predictor.shown) == {100.0}


def test_pictures_without_a_training_part_are_shown_one_and_the_same(tmp_path: Path) -> None:
    items = []
    for n in range(6):
        for kind, shade in (("image", 100 + n), ("label", 1)):
            values = np.zeros((32, 32), np.uint8)
            values[8:20, 8:20] = shade
            Image.fromarray(values).save(tmp_path / f"{kind}_{n}.png")
        items.append({
            "id": f"p{n}", "dataset": "set", "modality": "X-ray", "task": "2d", "use": "test",
            "labels": {"1": "lung"}, "image": f"image_{n}.png", "label": f"label_{n}.png",
        })  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(items))
    shown = []
    for case in read_dataset(tmp_path)[1]:
        predictor, opened = CopiesSupport(), case.open()
        list(PROTOCOLS["one-shot-image"].measure(opened, opened.targets(9, 0), predictor, 0))
        shown += predictor.shown
    (usual, count), (other, once) = Counter(shown).most_common()
    assert (count, once) == (5, 1), "all but the picture itself"
    assert shown.index(other) == usual - 100


def test_a_structure_that_no_other_scan_shows_is_told(tmp_path: Path) -> None:
    case = volumes(tmp_path, 1)[0].open()
    with pytest.raises(InputError, match="No other scan of the data set shows organ"):
        list(PROTOCOLS["one-shot-image"].measure(case, case.targets(9, 0), CopiesSupport(), 0))


@pytest.mark.parametrize("name", [name for name in REPRODUCTIONS if name.startswith(("protosam", "alpnet"))])
def test_reproductions_say_which_files_they_need(name: str) -> None:
    lines = "\n".join(reproduction_named(name).lines(None))
    assert "dataset prepare" in lines and "(missing)" in lines
    if name.startswith("protosam"):
        assert "models pull dinov2_ssl" in lines and "models pull sam_vit_h" in lines
        assert "models import FILE --system protosam" not in lines
