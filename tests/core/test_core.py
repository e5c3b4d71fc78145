"""Run lengths, scans, placed prompts, logs and segmentations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter

from delineate.core.drawn_lines import SCRIBBLE_STEP
from delineate.core.errors import DelineateError, InputError, PromptError
from delineate.core.grid import Grid, Placement, Space
from delineate.core.prompt_log import AddObject, AddPrompt, Event, PromptLog, Propagate
from delineate.core.prompts import Box, Lasso, Mask, Point, Prompt, Scribble
from delineate.core.resolve import resolve_prompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Overlap, Segmentation
from delineate.schemas import FOLDER, MODELS, schema_text

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
VOLUME = Scan.from_volume(VOXELS, Grid(VOXELS.shape, np.diag([-2.0, -2.0, 4.0, 1.0])))
IMAGE = Scan.from_image(np.zeros((30, 40), np.uint8))
VIDEO = Scan.from_frames(np.zeros((7, 30, 40, 3), np.uint8))


@settings(max_examples=80, derandomize=True, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_keep_every_pixel(mask: np.ndarray) -> None:
    rle = Rle.encode(mask)
    assert np.array_equal(rle.decode(), mask)
    assert rle.area == mask.sum()
    assert rle == Rle.encode(mask.copy()) and hash(rle) == hash(Rle.encode(mask.copy()))


def test_run_lengths_that_do_not_fill_are_refused() -> None:
    with pytest.raises(ValueError):
        Rle(2, 2, np.array([3]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_along_every_axis(axis: int) -> None:
    scan = VOLUME.sliced_along(axis)
    assert len(scan) == VOXELS.shape[axis]
    for index in range(len(scan)):
        frame = scan.pixels(index)
        assert frame.dtype == VOXELS.dtype
        for y in range(scan.height):
            for x in range(scan.width):
                voxel = scan.from_frame(index, x, y)
                assert frame[y, x] == VOXELS[tuple(int(v) for v in voxel)]
                assert scan.to_frame(voxel) == (index, x, y)


@pytest.mark.parametrize(("name", "axis"), [("i", 0), ("k", 2), ("R", 0), ("L", 0), ("P", 1), ("S", 2), ("1", 1)])
def test_slice_axes_by_name(name: str, axis: int) -> None:
    assert VOLUME.sliced_along(name).slice_axis == axis


def test_scans_refuse_what_is_not_there() -> None:
    with pytest.raises(InputError, match="0 to 5"):
        VOLUME.pixels(6)
    with pytest.raises(DelineateError, match="axis"):
        VOLUME.sliced_along("Q")
    with pytest.raises(DelineateError, match="image"):
        IMAGE.sliced_along(0)
    with pytest.raises(InputError, match="do not fit"):
        Scan.from_image(np.zeros((3, 4)), Grid.pixels(9, 9))


def test_kinds_of_scan() -> None:
    assert (IMAGE.kind, len(IMAGE), IMAGE.grid.placement) == (ScanKind.IMAGE, 1, Placement.PIXELS)
    assert (VIDEO.kind, len(VIDEO), VIDEO.channels) == (ScanKind.VIDEO, 7, 3)
    assert (VOLUME.slice_axis, VOLUME.frame_word, VIDEO.frame_word) == (2, "slice", "frame")


def test_a_box_in_a_volume_lands_on_its_middle_slice() -> None:
    placed = resolve_prompt(Box(1, 1, 1, 3, 4, 6), VOLUME)
    assert (placed.frame, placed.span, placed.prompts.box) == (3, (1, 6), (1, 1, 3, 4))


@pytest.mark.parametrize("space", [Space.RAS, Space.LPS])
def test_millimeter_prompts_land_where_voxel_prompts_do(space: Space) -> None:
    at = VOLUME.grid.to_world((2, 3, 4), space)
    placed = resolve_prompt(Point(*at, space=space), VOLUME)
    assert placed.frame == 4
    np.testing.assert_allclose(placed.prompts.points, [[2, 3]])
    corners = VOLUME.grid.to_world([[1, 1, 2], [2, 3, 4]], space)
    box = resolve_prompt(Box(*corners.min(axis=0), *corners.max(axis=0), space=space), VOLUME)
    assert (box.span, box.prompts.box) == ((2, 5), (1, 1, 3, 4))


@pytest.mark.parametrize("space", [Space.RAS, Space.LPS])
@pytest.mark.parametrize("voxel", [(2, 3, 400), (2, 3, -1), (200, 3, 4), (2, -3, 4)], ids=str)
@pytest.mark.parametrize("kind", ["point", "scribble"])
def test_millimeters_outside_are_told_as_they_were_given(kind: str, voxel: tuple[float, ...], space: Space) -> None:
    at, there = (tuple(VOLUME.grid.to_world(one, space)) for one in (voxel, (2, 3, voxel[2])))
    prompt = Point(*at, space=space) if kind == "point" else Scribble(points=(there, at), space=space)
    with pytest.raises(PromptError, match=rf"mm \({space}\) is outside the scan") as caught:
        resolve_prompt(prompt, VOLUME)
    assert caught.value.code == "E-PROMPT-OUTSIDE" and "slice" not in str(caught.value)
    assert f"In {space} the scan lies within" in caught.value.hint


def test_a_scribble_becomes_clicks_along_it() -> None:
    points = resolve_prompt(Scribble(points=((5, 5), (25, 5), (25, 20))), IMAGE).prompts.points
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() <= SCRIBBLE_STEP and tuple(points[0]) == (5, 5) and tuple(points[-1]) == (25, 20)


def test_a_lasso_becomes_its_inside_and_its_box() -> None:
    prompts = resolve_prompt(Lasso(points=((5, 5), (15, 5), (15, 12), (5, 12))), IMAGE).prompts
    assert prompts.box == (5, 5, 15, 12)
    assert prompts.mask is not None and prompts.mask.sum() == 10 * 7


@pytest.mark.parametrize(
    "prompt",
    [
        Point(1, 2), Point(1, 2, 3, positive=False), Box(1, 2, 3, 4, frame=2), Box(1, 2, 3, 4, 5, 6, space="LPS"),
        Scribble(points=((1, 2), (3, 4))), Lasso(points=((1, 2), (3, 4), (0, 9)), frame=1),
        Mask.from_array(np.eye(4, dtype=bool), 3),
    ],
    ids=lambda p: p.type,
)  # fmt: skip
def test_prompts_survive_json(prompt: object) -> None:
    adapter: TypeAdapter = TypeAdapter(Prompt)
    assert adapter.validate_json(adapter.dump_json(prompt)) == prompt


def events(count: int) -> list[Event]:
    return [AddPrompt(object="a", prompt=Point(n, n)) for n in range(count)]


@settings(max_examples=40, derandomize=True)
@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=25))
def test_undo_and_redo_are_each_others_inverse(moves: list[str]) -> None:
    log, model, undone = PromptLog(), [], []
    for n, move in enumerate(moves):
        if move == "do":
            event = AddPrompt(object="a", prompt=Point(n, 0))
            log = log.adding(event)
            model.append(event)
            undone.clear()
        elif move == "undo" and log.can_undo:
            log = log.undone()
            undone.append(model.pop())
        elif move == "redo" and log.can_redo:
            log = log.redone()
            model.append(undone.pop())
        assert log.current == tuple(model)
        assert (log.can_undo, log.can_redo) == (bool(model), bool(undone))
    assert PromptLog.parse(log.to_json()) == log


def test_a_log_keeps_what_it_is_told() -> None:
    log = PromptLog(scan="a.png", scan_sha256="12", model="quill")
    for event in (AddObject(object="a", label=3, color=(1, 2, 3)), *events(2), Propagate(objects=("a",), stop=9)):
        log = log.adding(event)
    assert PromptLog.parse(json.dumps({"prompts": json.loads(log.to_json())})) == log


@pytest.mark.parametrize("name", MODELS)
def test_the_published_schemas_are_those_of_the_code(name: str) -> None:
    assert (FOLDER / name).read_text() == schema_text(MODELS[name]), "run: python -m delineate.schemas"


def overlapping() -> Segmentation:
    left, right = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    left[:, :25], right[:, 15:] = True, True
    outlines = Segmentation.empty(IMAGE).adding("left").adding("right")
    return outlines.with_masks("left", {0: Rle.encode(left)}, {0: 0.9}).with_masks(
        "right", {0: Rle.encode(right)}, {0: 0.5}
    )


@pytest.mark.parametrize(("policy", "winner"), [(Overlap.LATER, 2), (Overlap.EARLIER, 1), (Overlap.SCORE, 1)], ids=str)
def test_who_keeps_a_shared_pixel(policy: Overlap, winner: int) -> None:
    assert overlapping().frame_labels(0, policy)[5, 20] == winner


def test_a_locked_object_keeps_shared_pixels_whatever_the_policy() -> None:
    from dataclasses import replace

    outlines = overlapping()
    outlines = outlines.replacing(replace(outlines["left"], locked=True))
    assert outlines.frame_labels(0, Overlap.LATER)[5, 20] == 1
    with pytest.raises(PromptError, match="locked"):
        outlines.with_masks("left", {})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_stack_back_into_the_volume(axis: int) -> None:
    scan = VOLUME.sliced_along(axis)
    wanted = VOXELS % 3 == 0
    frames = {n: Rle.encode(scan.pixels(n) % 3 == 0) for n in range(len(scan))}
    outlines = Segmentation.empty(scan).adding("thirds").with_masks("thirds", frames)
    assert np.array_equal(outlines.voxels("thirds"), wanted)
    assert np.array_equal(outlines.label_map() == 1, wanted)
    assert outlines.volume_mm3("thirds") == pytest.approx(wanted.sum() * 16)


def test_labels_are_never_reused_or_renumbered() -> None:
    outlines = Segmentation.empty(IMAGE).adding("a").adding("b").removing("a").adding("c")
    assert [(o.name, o.label) for o in outlines.objects] == [("b", 2), ("c", 3)]
    assert Segmentation.empty(VOLUME).adding("a", label=300).label_map().dtype == np.uint16
    with pytest.raises(PromptError, match="already"):
        outlines.adding("b")
    with pytest.raises(PromptError, match="b, c"):
        outlines["x"]


def test_a_segmentation_never_changes_in_place() -> None:
    before = overlapping()
    after = before.with_masks("left", {0: None})
    assert before["left"].frames == (0,) and after["left"].frames == ()
    with pytest.raises(TypeError):
        before["left"].masks[0] = None  # type: ignore[index]
