"""Cases are read from a manifest, lazily, and give the targets a protocol prompts."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.data.cases import LEAST_PIXELS, Case, Task, Use, load_cases, rng_of
from delineate.quill.data.real_scenes import _sources_of


def only(root: Path, task: Task) -> Case:
    (case,) = load_cases(root, [task])
    return case


def test_cases_are_chosen_by_task_and_use(collection: Path) -> None:
    assert [case.dataset for case in load_cases(collection)] == ["disks", "ball", "clip"]
    assert [case.id for case in load_cases(collection, [Task.IMAGE], tuple(Use))] == ["disks/test", "disks/train"]
    assert [case.use for case in load_cases(collection, uses=[Use.TRAIN])] == [Use.TRAIN]


def test_instances_share_a_name_and_specks_are_ignored(collection: Path) -> None:
    opened = only(collection, Task.IMAGE).open()
    targets = opened.targets(12, seed=0)
    assert [target.label for target in targets] == [2, 1, 3], "by area; label 4 has fewer pixels than count"
    assert {target.name for target in targets} == {"disk"}
    assert all(target.area == opened.truth(0, target).sum() >= LEAST_PIXELS for target in targets)


def test_a_volume_is_prompted_on_the_slice_of_the_largest_area(collection: Path) -> None:
    opened = only(collection, Task.VOLUME).open()
    (target,) = opened.targets(12, seed=0)
    areas = [opened.truth(frame, target).sum() for frame in opened.frames]
    assert (target.frame, target.area) == (int(np.argmax(areas)), max(areas))
    assert opened.scan.slice_axis == 2 and opened.truth_volume(target).sum() == sum(areas)


def test_a_video_is_prompted_on_its_first_labeled_frame(collection: Path) -> None:
    opened = only(collection, Task.VIDEO).open()
    assert opened.frames == (1, 3, 5) and len(opened.scan) == 6
    (target,) = opened.targets(12, seed=0)
    assert target.frame == 1
    assert opened.truth(3, target)[:, 17:37].any(axis=0).all() and not opened.truth(3, target)[:, :17].any()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_drawn_targets_span_the_areas_and_depend_only_on_the_seed(collection: Path, most: int) -> None:
    opened = only(collection, Task.IMAGE).open()
    drawn = [[target.label for target in opened.targets(most, seed)] for seed in range(20)]
    assert all(len(set(labels)) == most for labels in drawn)
    assert drawn == [[target.label for target in opened.targets(most, seed)] for seed in range(20)]
    assert most == 3 or len({tuple(labels) for labels in drawn}) > 1
    ranks = [2, 1, 3]
    assert all(sorted(labels, key=ranks.index) == labels for labels in drawn)


def test_random_numbers_depend_on_what_they_are_for() -> None:
    draws = {tuple(rng_of(seed, case, label).random(2)) for seed in (0, 1) for case in ("a", "b") for label in (1, 2)}
    assert len(draws) == 8
    assert rng_of(0, "a", 1).random() == rng_of(0, "a", 1).random()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(None, "E-EVAL-NO-DATA", id="no-manifest"),
        pytest.param("{", "E-EVAL-MANIFEST", id="not-json"),
        pytest.param(json.dumps([{"id": "a"}]), "E-EVAL-MANIFEST", id="missing-fields"),
        pytest.param(json.dumps([1]), "E-EVAL-MANIFEST", id="no-objects"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError) as raised:
        load_cases(tmp_path)
    assert raised.value.code == code
    assert "manifest.json" in str(raised.value) and raised.value.hint


def test_labels_of_another_size_are_refused(collection: Path, tmp_path: Path) -> None:
    case = only(collection, Task.IMAGE)
    wrong = Case(**{**vars(case), "label": collection / "clip" / "labels" / "00001.png"})
    with pytest.raises(InputError, match="64 x 48") as raised:
        wrong.open()
    assert raised.value.code == "E-CASE-LABEL"


def test_every_real_case_opens(data_root: Path) -> None:
    seen = set()
    for case in load_cases(data_root):
        if case.dataset in seen:
            continue
        seen.add(case.dataset)
        targets = case.open().targets(12, seed=0)
        assert targets, case.id
        assert len({target.label for target in targets}) == len(targets)
    assert len(seen) > 20


def test_numbers_that_are_nearly_whole_are_labels_of_a_volume_too(tmp_path: Path) -> None:
    labels = np.zeros((20, 20, 4), np.float32)
    labels[4:14, 4:14], labels[15:19, 4:14] = 1.0001, 1.9999
    for name, values in (("image", labels * 50), ("label", labels)):
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii")
    item = {"id": "c", "dataset": "d", "task": "3d", "modality": "MR", "image": "image.nii", "label": "label.nii"}
    (tmp_path / "manifest.json").write_text(json.dumps([{**item, "labels": {"1": "x", "2": "y"}, "use": "test"}]))
    opened = only(tmp_path, Task.VOLUME).open()
    found = {target.label: int(opened.truth_volume(target).sum()) for target in opened.targets(12, seed=0)}
    assert found == {1: 400, 2: 160}
    (source,) = _sources_of(opened.case)
    assert np.array_equal(source.labels, opened.label_volume)


def test_data_sets_may_call_their_cases_alike_but_not_one_two_of_its_own(collection: Path, tmp_path: Path) -> None:
    items = json.loads((collection / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps([item | {"id": "1"} for item in items[:1] + items[2:]]))
    assert len({case.key for case in load_cases(tmp_path, uses=tuple(Use))}) == 3
    (tmp_path / "manifest.json").write_text(json.dumps([item | {"id": "1"} for item in items]))
    with pytest.raises(InputError, match='several items "1" of the data set "disks"') as raised:
        load_cases(tmp_path)
    assert raised.value.code == "E-EVAL-MANIFEST"
