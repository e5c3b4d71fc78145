"""A round picture's own outline is not what a person points at."""

from __future__ import annotations

import numpy as np

from delineate.preprocess.field_of_view import field_of_view, is_no_view, without_rim

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE]
DISC = np.hypot(Y - 48, X - 48) < 40
COLOR = np.array([0.8, 0.1, -0.4], np.float32)[:, None, None]


def fundus() -> np.ndarray:
    return np.where(DISC, COLOR, -1).astype(np.float32)


def test_the_view_of_a_lens_is_found_on_color_pictures_only() -> None:
    view = field_of_view(fundus())
    assert view is not None and (view == DISC).all()
    assert field_of_view(np.repeat(fundus()[:1], 3, axis=0)) is None  # a brain without its skull is no view
    assert field_of_view(np.broadcast_to(COLOR, (3, SIDE, SIDE))) is None


def test_a_dark_place_within_the_view_belongs_to_it() -> None:
    colors = fundus()
    colors[:, 40:50, 40:50] = -1
    view = field_of_view(colors)
    assert view is not None and view[45, 45]


def test_only_the_view_itself_is_doubted() -> None:
    vessels = DISC & (np.abs(Y - X) < 4)
    half = DISC & (X > 48)
    assert list(is_no_view(np.stack([DISC, vessels, half]), fundus())) == [np.float32(0.1), 1, 1]


def test_the_rim_of_a_view_is_left_out() -> None:
    y, x = np.mgrid[:128, :128]
    distance = np.hypot(y - 64, x - 64)
    colors = np.where(distance < 50, np.array([0.4, 0.1, -0.3])[:, None, None], -1.0).astype(np.float32)
    inner = without_rim(colors)
    assert inner[distance < 47].all() and not inner[distance > 49.5].any()
    assert without_rim(np.zeros((3, 128, 128), np.float32)).all(), "a gray picture has no such view"
