"""Masks as people keep them: what is meant is taken, and what cannot be known is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import PromptError
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.verbs.drawn_masks import one_structure
from delineate.verbs.prompt_files import marker_prompts, mask_prompt

Y, X = np.mgrid[:96, :128]
DISC = (X - 60) ** 2 + (Y - 45) ** 2 < 484
BYTES = DISC.astype(np.uint8)


def palette(path: Path) -> None:
    picture = Image.fromarray(BYTES)
    picture.putpalette([255, 255, 255, 200, 0, 0])  # 0 is shown white
    picture.save(path)


def white_first(mode: str) -> Callable[[Path], None]:
    """A mask of black and white that a program gave a palette in which white comes first."""

    def write(path: Path) -> None:
        picture = Image.fromarray(1 - BYTES)
        picture.putpalette([255, 255, 255, 0, 0, 0] if mode == "gray" else [250, 255, 255, 0, 0, 0])
        picture.save(path)

    return write


def colors_as_they_come(path: Path) -> None:
    """The structure is red and number 0, the background black and number 2; number 1 is not used."""
    picture = Image.fromarray(np.where(DISC, 0, 2).astype(np.uint8))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    picture.save(path)


def ink(path: Path) -> None:
    Image.fromarray(np.dstack([np.full((96, 128), 255, np.uint8)] * 3 + [BYTES * 255])).save(path)


def opaque(path: Path) -> None:
    Image.fromarray(np.dstack([BYTES * 255] * 3 + [np.full((96, 128), 255, np.uint8)])).save(path)


def soft_edges(path: Path) -> None:
    large = Image.fromarray(BYTES * 255).resize((1280, 960), Image.Resampling.NEAREST)
    large.resize((128, 96), Image.Resampling.BICUBIC).save(path)


def picture(values: np.ndarray, **how: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(values).save(path, **how)


@pytest.mark.parametrize(
    ("name", "write", "codes"),
    [
        pytest.param("m.png", picture(BYTES * 255), [], id="black-and-white"),
        pytest.param("m.png", picture(BYTES), [], id="ones"),
        pytest.param("m.png", picture(DISC), [], id="one-bit"),
        pytest.param("m.png", picture(BYTES.astype(np.uint16) * 65535), [], id="sixteen-bits"),
        pytest.param("m.png", picture(np.dstack([BYTES * 200, BYTES * 0, BYTES * 0])), [], id="red-on-black"),
        pytest.param("m.png", palette, [], id="palette"),
        *(
            pytest.param(f"m.{end}", white_first(mode), [], id=f"white-first-{mode}-{end}")
            for end in ("gif", "png", "tif", "bmp")
            for mode in ("gray", "RGB")
        ),
        pytest.param("m.gif", colors_as_they_come, [], id="colors-as-they-come"),
        pytest.param("m.png", ink, [], id="ink-on-nothing"),
        pytest.param("m.png", opaque, [], id="opaque"),
        pytest.param("m.png", soft_edges, ["W-MASK-GRAY"], id="soft-edges"),
        pytest.param("m.jpg", picture(np.dstack([BYTES * 255] * 3), quality=75), [], id="jpeg"),
        pytest.param("m.jpg", picture(BYTES * 255, quality=60), [], id="gray-jpeg"),
        pytest.param("m.gif", picture(BYTES), [], id="gif"),
        pytest.param("m.bmp", picture(BYTES * 255), [], id="bmp"),
        pytest.param("m.tif", picture(np.where(DISC, 0.9, 0.01).astype(np.float32)), ["W-MASK-FRACTIONS"], id="soft"),
        pytest.param("m.tif", picture(np.where(DISC, 1, np.nan).astype(np.float32)), [], id="nan"),
    ],
)
def test_a_picture_is_the_mask_that_was_drawn(
    name: str, write: Callable[[Path], None], codes: list[str], tmp_path: Path
) -> None:
    Image.fromarray(np.where(DISC, 170, 60).astype(np.uint8)).save(tmp_path / "scan.png")
    write(tmp_path / name)
    mask, notices = mask_prompt(tmp_path / name, open_scan(tmp_path / "scan.png"), None)
    wrong = int((mask.array != DISC).sum())
    assert wrong <= (12 if name.endswith(".jpg") or "W-MASK-GRAY" in codes else 0)
    assert [notice.code for notice in notices] == codes


LABELS = np.zeros((40, 36, 8), np.uint8)
LABELS[10:25, 8:24, 2:6] = 3
LABELS[2:38, 2:6, 4] = 7


def volumes(folder: Path, values: np.ndarray) -> tuple[Path, Path]:
    for name, array in (("scan", np.zeros(LABELS.shape, np.int16)), ("mask", values)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), folder / f"{name}.nii.gz")
    return folder / "scan.nii.gz", folder / "mask.nii.gz"


@pytest.mark.parametrize(
    ("values", "label", "pixels"),
    [
        pytest.param(LABELS, 3, 240, id="label"),
        pytest.param(LABELS, 7, 144, id="other-label"),
        pytest.param(LABELS.astype(np.float64), 3, 240, id="labels-as-floats"),
        pytest.param(np.where(LABELS == 3, 1, np.nan).astype(np.float32), None, 240, id="nan-background"),
        pytest.param(np.where(LABELS == 3, 0.95, 0.01).astype(np.float32), None, 240, id="probabilities"),
        pytest.param((LABELS == 3) * np.int16(-5), None, 240, id="negative"),
        pytest.param((LABELS == 3) * np.int32(70_000), None, 240, id="large-label"),
    ],
)
def test_a_volume_gives_one_structure(values: np.ndarray, label: int | None, pixels: int, tmp_path: Path) -> None:
    scan, mask = volumes(tmp_path, values)
    assert int(mask_prompt(mask, open_scan(scan), None, label)[0].array.sum()) == pixels
    boxes, _ = marker_prompts(mask, open_scan(scan), label)
    assert boxes


@pytest.mark.parametrize(
    ("values", "label", "code", "words"),
    [
        pytest.param(LABELS, None, "E-MASK-LABELS", ("2 labels: 3, 7", "--mask-label 3"), id="several"),
        pytest.param(LABELS, 5, "E-MASK-LABEL", ("no label 5", "3, 7"), id="label-there-is-not"),
        pytest.param(LABELS - 0.5, None, "E-MASK-VALUES", ("-0.5 to 6.5",), id="logits"),
        pytest.param(
            np.where(LABELS, np.inf, 0).astype(np.float32), None, "E-MASK-VALUES", ("infinite",), id="infinite"
        ),
        pytest.param(
            np.arange(11520, dtype=np.int32).reshape(LABELS.shape),
            None,
            "E-MASK-LABELS",
            ("11519 labels", "…"),
            id="a-scan",
        ),
        pytest.param(np.full(LABELS.shape, np.nan), None, "E-MASK-EMPTY", (), id="all-nan"),
        pytest.param(np.full(LABELS.shape, 0.2), None, "E-MASK-EMPTY", (), id="improbable"),
    ],
)
def test_what_is_no_mask_of_one_structure_is_asked_about(
    values: np.ndarray, label: int | None, code: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    scan, mask = volumes(tmp_path, values)
    with pytest.raises(PromptError) as caught:
        mask_prompt(mask, open_scan(scan), None, label)
    assert caught.value.code == code and all(word in str(caught.value) for word in words)


def test_a_label_map_of_many_nuclei_is_no_soft_edge() -> None:
    with pytest.raises(PromptError, match="20 labels"):
        one_structure(np.arange(21), "nuclei.png", None)


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, Path]:
    """Four frames, and an outline of each that moves."""
    for folder in ("clip", "outlines"):
        (tmp_path / folder).mkdir()
        for k in range(4):
            disc = np.roll(BYTES, 10 * k, axis=1) * np.uint8(255)
            Image.fromarray(disc if folder == "outlines" else disc // 2 + 30).save(tmp_path / folder / f"{k:03}.png")
    return tmp_path / "clip", tmp_path / "outlines"


@pytest.mark.parametrize("kind", ["video", "volume"])
def test_of_outlines_of_all_frames_that_of_the_frame_is_taken(frames: tuple[Path, Path], kind: str) -> None:
    scan = open_scan(frames[0]) if kind == "video" else Scan.from_volume(np.zeros((128, 96, 4), np.int16))
    for frame in (0, 3):
        outline, _ = mask_prompt(frames[1], scan, frame)
        assert outline.frame == frame and np.array_equal(outline.array, np.roll(DISC, 10 * frame, axis=1))
    with pytest.raises(PromptError, match="nothing says which one is meant"):
        mask_prompt(frames[1], scan, None)


def test_outlines_of_more_frames_than_there_are_are_refused(frames: tuple[Path, Path]) -> None:
    others = Scan.from_volume(np.zeros((128, 96, 5), np.int16)), Scan.from_image(np.zeros((96, 128), np.uint8))
    for scan in others:
        with pytest.raises(PromptError) as caught:
            mask_prompt(frames[1], scan, 0)
        assert caught.value.code == "E-MASK-GRID"


AXES = (np.abs(X - 60) < 2) & (np.abs(Y - 45) < 20) | (np.abs(Y - 45) < 2) & (np.abs(X - 60) < 12)


@pytest.mark.parametrize(
    ("drawn", "told"),
    [(DISC, True), (AXES, False), (np.abs(X - Y) < 2, False), ((X < 4) & (Y < 4), False)],
    ids=["an outline", "two axes", "a slanting line", "a dot"],
)
def test_outlines_given_as_marks_are_told(tmp_path: Path, drawn: np.ndarray, told: bool) -> None:
    marks = np.zeros((128, 96, 6), np.uint8)
    marks[:, :, 1] = marks[:, :, 4] = drawn.T
    nib.save(nib.Nifti1Image(marks, np.eye(4)), tmp_path / "marks.nii")
    _, notices = marker_prompts(tmp_path / "marks.nii", Scan.from_volume(np.zeros(marks.shape, np.int16)))
    assert ("W-MARKS-OUTLINES" in {notice.code for notice in notices}) == told
