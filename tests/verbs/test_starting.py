"""A second look: going on from an earlier run, or from what a person drew."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pytest import MonkeyPatch

from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.core.prompts import Box, Point
from delineate.io.opening import open_scan
from delineate.session import Session
from delineate.session.propagation import PropagationRun
from delineate.session.restoring import restored_session
from delineate.verbs.replay import request_from
from delineate.verbs.request import OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment
from delineate.verbs.targets import Between
from scan_predictors import TwoThresholds, blocks

AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])
LEFT = SegmentTarget(name="left", prompts=(Box(8, 10, 24, 30, frame=3),))
RIGHT = SegmentTarget(name="right", prompts=(Box(36, 10, 52, 30, frame=4),))
CLICK = Point(48, 26, frame=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bright blocks through nine slices, and a first run on them."""
    folder = tmp_path_factory.mktemp("first")
    voxels = np.random.default_rng(0).integers(0, 60, (64, 48, 9)).astype(np.int16)
    for k in range(9):
        voxels[10:22, 12 : 26 + k // 3, k] += 120
        voxels[38:50, 12:28, k] += 180
    nib.save(nib.Nifti1Image(voxels, AFFINE), folder / "a.nii.gz")
    segment(
        SegmentRequest(
            input=folder / "a.nii.gz", asked=(LEFT, RIGHT), output=OutputChoice(path=folder / "first.seg.nrrd")
        )
    )
    return folder


def again(folder: Path, out: Path, **more: object) -> SegmentRequest:
    request, _ = request_from(folder / "first.manifest.json", folder / "a.nii.gz", OutputChoice(path=out))
    return request.model_copy(update={"start": folder / "first.manifest.json", "asked": (), **more})


def test_a_restored_session_is_the_session_that_was(folder: Path) -> None:
    """As replayed event by event: outlines, prompts, what was followed, what looked wrong."""
    manifest = Manifest.read(folder / "first.manifest.json")
    assert manifest is not None
    scan = open_scan(folder / "a.nii.gz")
    replayed = Session.replay(scan, manifest.prompts)
    restored = restored_session(scan, manifest.prompts, replayed.segmentation, manifest.objects)
    for name in replayed.segmentation.names:
        one, other = replayed.segmentation[name], restored.segmentation[name]
        assert dict(one.masks) == dict(other.masks) and one.scores.keys() == other.scores.keys()
        track, same = replayed.tracks[name], restored.tracks[name]
        assert (track.prompted, track.edited, track.warnings, track.ended) == (
            same.prompted, same.edited, same.warnings, same.ended,
        )  # fmt: skip
        assert track.followed == same.followed
    assert restored.log == replayed.log and restored.undo() and restored.undo()
    assert restored.segmentation["right"].frames == (4,) or not restored.segmentation["right"].frames


def test_only_what_a_new_prompt_changes_is_followed_again(
    folder: Path, tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    """The result is that of a session that never stopped, bit for bit."""
    manifest = Manifest.read(folder / "first.manifest.json")
    assert manifest is not None
    session = Session.replay(open_scan(folder / "a.nii.gz"), manifest.prompts)
    session.prompt(CLICK, "right")
    session.propagate(("right",), following=manifest.prompts.events[-1].following)  # type: ignore[union-attr]
    visited: list[int] = []
    take = PropagationRun._take
    monkeypatch.setattr(PropagationRun, "_take", lambda self, one: (visited.append(one.frame), take(self, one))[1])
    asked = (SegmentTarget(name="right", prompts=(CLICK,)),)
    done = segment(again(folder, tmp_path / "o.seg.nrrd", asked=asked))
    for name in session.segmentation.names:
        assert dict(done.session.segmentation[name].masks) == dict(session.segmentation[name].masks)
    assert visited and min(visited) >= 5, "frames nearer to the first prompt stay as they are"
    assert done.manifest.prompts.events == session.log.events


def test_the_only_structure_needs_no_name(folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "one.nii.gz"
    segment(SegmentRequest(input=folder / "a.nii.gz", asked=LEFT, output=OutputChoice(path=first)))
    request, _ = request_from(
        tmp_path / "one.manifest.json", folder / "a.nii.gz", OutputChoice(path=tmp_path / "o.nii")
    )
    asked = SegmentTarget(prompts=(Point(12, 15, frame=8),))
    done = segment(request.model_copy(update={"start": tmp_path / "one.manifest.json", "asked": asked}))
    assert [one.name for one in done.manifest.objects] == ["left"] and done.manifest.objects[0].prompted == [3, 8]


def test_a_prompt_is_taken_back(folder: Path, tmp_path: Path) -> None:
    done = segment(again(folder, tmp_path / "o.seg.nrrd", undo=1))
    only = segment(SegmentRequest(input=folder / "a.nii.gz", asked=LEFT, output=OutputChoice(path=tmp_path / "l.nii")))
    assert dict(done.session.segmentation["left"].masks) == dict(only.session.segmentation["left"].masks)
    assert not done.session.tracks["right"].prompted


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("named", [True, False], ids=["added first", "made by the prompt"])
def test_steps_that_are_taken_back_are_prompts(folder: Path, steps: int, named: bool) -> None:
    session = Session(open_scan(folder / "a.nii.gz"))
    for target in (LEFT, RIGHT):
        if named:
            session.add_object(target.name)
        session.prompt(target.prompts, target.name)
    session.propagate()
    left = session.log.without_last(steps)
    assert [event.object for event in left.events if hasattr(event, "prompt")] == ["left", "right"][: 2 - steps]
    with pytest.raises(DelineateError, match="2 steps can be taken back, not 3"):
        session.log.without_last(3)


@pytest.mark.parametrize("again", [False, True], ids=["gone", "added again"])
def test_a_structure_that_was_removed_is_no_hindrance(folder: Path, again: bool) -> None:
    session = Session(open_scan(folder / "a.nii.gz"))
    for target in (LEFT, RIGHT):
        session.prompt(target.prompts, target.name)
    session.propagate()
    session.remove_object("right")
    if again:
        session.prompt(CLICK, "right")
    records = session.manifest().objects
    restored = restored_session(session.scan, session.log, session.segmentation, records)
    assert restored.segmentation.names == session.segmentation.names
    for name in restored.segmentation.names:
        assert dict(restored.segmentation[name].masks) == dict(session.segmentation[name].masks)


@pytest.mark.parametrize(
    ("more", "code"),
    [({}, "E-PROMPT-NONE"), ({"undo": 3}, "E-UNDO"), ({"undo": 99}, "E-UNDO")],
    ids=["nothing", "one too many", "far too many"],
)
def test_what_cannot_go_on_is_refused(folder: Path, tmp_path: Path, more: dict[str, object], code: str) -> None:
    with pytest.raises(DelineateError) as caught:
        segment(again(folder, tmp_path / "o.nii.gz", **more))
    assert caught.value.code == code


def test_an_output_that_was_changed_is_not_taken_for_the_run(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("first.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "first.seg.nrrd").write_bytes((folder / "first.seg.nrrd").read_bytes() + b"\0")
    with pytest.raises(DelineateError, match="was changed since"):
        segment(again(tmp_path, tmp_path / "o.nii.gz", input=folder / "a.nii.gz", asked=(RIGHT,)))


def sparse(folder: Path, path: Path) -> np.ndarray:
    """Two structures drawn on slices 0, 4 and 8 alone; shapes that no model would give."""
    drawn = np.zeros((64, 48, 9), np.uint8)
    for k in (0, 4, 8):
        drawn[10 + k // 4 : 20, 13:25, k] = 2
        drawn[38:48, 12 : 20 + k, k] = 7
        drawn[40, 30, k] = 7
    nib.save(nib.Nifti1Image(drawn, AFFINE), path)
    return drawn


@pytest.mark.parametrize("between", Between)
def test_drawn_slices_stay_bit_for_bit(folder: Path, tmp_path: Path, between: Between) -> None:
    drawn = sparse(folder, tmp_path / "drawn.nii.gz")
    request = SegmentRequest(
        input=folder / "a.nii.gz",
        asked=(),
        start=tmp_path / "drawn.nii.gz",
        between=between,
        output=OutputChoice(path=tmp_path / "o.nii.gz"),
    )
    done = segment(request)
    found = np.asarray(nib.load(tmp_path / "o.nii.gz").dataobj)
    assert (found[:, :, ::4] == drawn[:, :, ::4]).all()
    assert [(one.label, one.frames) for one in done.manifest.objects] == [(2, 9), (7, 9)]
    assert all((found[:, :, k] == 2).any() and (found[:, :, k] == 7).any() for k in range(9))


@pytest.mark.parametrize("between", Between)
@pytest.mark.parametrize("kind", ["mask", "markers"])
def test_one_structure_of_several_slices(folder: Path, tmp_path: Path, between: Between, kind: str) -> None:
    drawn = sparse(folder, tmp_path / "drawn.nii.gz")
    target = SegmentTarget(name="a", mask_label=7, between=between, **{kind: tmp_path / "drawn.nii.gz"})
    segment(SegmentRequest(input=folder / "a.nii.gz", asked=target, output=OutputChoice(path=tmp_path / "o.nii.gz")))
    found = np.asarray(nib.load(tmp_path / "o.nii.gz").dataobj)
    assert ((found[:, :, ::4] > 0) == (drawn[:, :, ::4] == 7)).all() and found.any(axis=(0, 1)).all()


def test_all_slices_of_a_mask_stay_where_nobody_chose_one(folder: Path, tmp_path: Path) -> None:
    drawn = sparse(folder, tmp_path / "drawn.nii.gz")
    target = SegmentTarget(mask=tmp_path / "drawn.nii.gz", mask_label=7)
    done = segment(
        SegmentRequest(input=folder / "a.nii.gz", asked=target, output=OutputChoice(path=tmp_path / "o.nii.gz"))
    )
    assert any("drawn on 3 slices; all are kept" in notice.message for notice in done.notices)
    found = np.asarray(nib.load(tmp_path / "o.nii.gz").dataobj)
    assert ((found[:, :, ::4] > 0) == (drawn[:, :, ::4] == 7)).all() and found.any(axis=(0, 1)).all()


@pytest.mark.parametrize("kind", ["manifest", "folder"])
def test_a_frame_that_classes_outlined_is_corrected_by_a_prompt(tmp_path: Path, kind: str) -> None:
    """Of a clip; one frame lacks a class. The run with both models is done again by the second alone."""
    frames = np.moveaxis(blocks(), 2, 0)[3:9].transpose(0, 2, 1).astype(np.uint8)
    frames[1][frames[1] > 150] = 0
    (tmp_path / "clip").mkdir()
    for n, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{n:03}.png")
    first = SegmentRequest(input=tmp_path / "clip", asked=(), output=OutputChoice(path=tmp_path / "classes"))
    before = segment(first, build=lambda _: TwoThresholds()).session.segmentation
    name = before.names[0]
    start = tmp_path / ("classes.manifest.json" if kind == "manifest" else "classes")
    target = SegmentTarget(name=name, prompts=(Box(6, 6, 20, 20, frame=4),))
    second = SegmentRequest(
        input=tmp_path / "clip", asked=target, start=start, output=OutputChoice(path=tmp_path / "corrected")
    )
    done = segment(second)
    after = done.session.segmentation
    changed = {(n, f) for n in before.names for f in range(6) if (before.mask(n, f) != after.mask(n, f)).any()}
    assert (name, 4) in changed and (kind == "folder" or {frame for _, frame in changed} == {4})
    again = Session.replay(done.scan, done.manifest.prompts)
    assert all((again.segmentation.mask(n, f) == after.mask(n, f)).all() for n in after.names for f in range(6))
