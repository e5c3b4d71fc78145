"""A second, closer look at what is thin and was shown too small."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.predictors.frame_predictor import Query
from delineate.preprocess.crop import CropWindow
from delineate.quill import predictor as quill
from delineate.quill.tiled_refinement import MOST_ACROSS, Mosaic, is_worth_it, windows_on

SIDE = 64


def _cross(size: int, width: int = 3) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    middle = size // 2
    mask[middle : middle + width, 10:-10] = mask[10:-10, middle : middle + width] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "size", "worth"),
    [
        pytest.param(_cross(300), 300.0, True, id="thin, shown at a fifth"),
        pytest.param(_cross(300), 90.0, False, id="thin, shown nearly as it is"),
        pytest.param(np.ones((300, 300), bool), 300.0, False, id="compact"),
        pytest.param(np.zeros((300, 300), bool), 300.0, False, id="nothing outlined"),
    ],
)
def test_what_is_looked_at_again(mask: np.ndarray, size: float, worth: bool) -> None:
    assert is_worth_it(mask, CropWindow(0, 0, size), SIDE) is worth


@pytest.mark.parametrize("size", [50, 64, 65, 200, 333, 2000])
def test_windows_hold_all_of_the_outline_and_are_not_too_many(size: int) -> None:
    mask = _cross(size)
    windows = windows_on(mask, SIDE)
    seen = np.zeros_like(mask)
    for window in windows:
        seen[
            max(0, int(window.y)) : int(window.y + window.size), max(0, int(window.x)) : int(window.x + window.size)
        ] = 1
    assert not (mask & ~seen).any()
    assert len(windows) <= MOST_ACROSS**2 and all(window.size >= SIDE for window in windows)


def test_windows_are_put_together() -> None:
    mosaic = Mosaic.empty((40, 100))
    mosaic.add(np.full((SIDE, SIDE), 2.0, np.float32), CropWindow(0, -12, 64))
    mosaic.add(np.full((SIDE, SIDE), -1.0, np.float32), CropWindow(32, -12, 64))
    row = mosaic.logits(-20.0)[20]
    assert np.allclose(row[:32], 2) and np.allclose(row[64:96], -1) and (row[96:] == -20).all()
    assert (np.diff(row[32:64]) <= 1e-5).all() and row[33] > 1.5 and row[62] < -0.5


def test_vessels_on_a_large_frame_are_traced_better(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    angles = rng.uniform(0, 2 * np.pi, 12)
    picture = Image.new("L", (900, 900))
    for angle in angles:  # twelve vessels from one place, each with a branch
        tip = 450 + 420 * np.array([np.cos(angle), np.sin(angle)])
        fork, twig = 450 + 0.5 * (tip - 450), 450 + 400 * np.array([np.cos(angle + 0.2), np.sin(angle + 0.2)])
        for start, end, width in (((450, 450), tip, 7), (fork, twig, 5)):
            ImageDraw.Draw(picture).line([*map(float, start), *map(float, end)], fill=255, width=width)
    vessels = np.asarray(picture) > 0
    frame = 0.6 - 0.2 * vessels + rng.normal(0, 0.03, vessels.shape)
    predictor = quill.QuillPredictor()

    def dice() -> float:
        found = predictor.decode(
            predictor.encode(Frame.of(frame)), [Query(FramePrompts(box=(30.0, 30.0, 870.0, 870.0)))]
        )[0].mask
        return float(2 * (found & vessels).sum() / (found.sum() + vessels.sum()))

    closer = dice()
    monkeypatch.setattr(quill, "is_worth_it", lambda *_: False)
    assert closer > 0.85 and closer > dice() + 0.1
