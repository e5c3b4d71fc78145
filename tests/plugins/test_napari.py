"""Outlining in napari's layers; needs the package napari, and no window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import InputError, PromptError
from serving import voxels

components = pytest.importorskip("napari.components", reason="napari is not installed")
from delineate.plugins.napari_widget import Annotation  # noqa: E402

BAR = (voxels() == 200).transpose(2, 1, 0)  # (z, y, x)


def annotated(data: np.ndarray, **about: Any) -> Annotation:
    viewer = components.ViewerModel()
    return Annotation(viewer, viewer.add_image(data, **about), BrightPredictor())


def test_points_on_a_volume_become_labels_and_are_followed() -> None:
    one = annotated(voxels().transpose(2, 1, 0), scale=(3.0, 1.5, 1.0), translate=(5.0, 6.0, 7.0))
    assert one.session.scan.grid.spacing == (1.0, 1.5, 3.0) and not one.answer()
    one.positive.add((4, 10, 12))
    assert one.answer("bar") and np.array_equal(one.labels.data[4] > 0, BAR[4]) and not one.labels.data[3].any()
    one.follow()
    assert np.array_equal(one.labels.data > 0, BAR)
    assert one.undo() and not one.labels.data[3].any()
    one.negative.add((4, 0, 0))
    assert one.answer("bar") and not one.answer("bar")


def test_points_lie_where_they_are_seen_after_the_image_was_moved() -> None:
    one = annotated(voxels().transpose(2, 1, 0), scale=(3.0, 1.5, 1.0))
    one._image.translate = (30.0, 0.0, 0.0)  # ten slices
    one.positive.add((14, 10, 12))
    assert one.answer() and np.array_equal(one.labels.data[4] > 0, BAR[4])


def test_pictures_with_and_without_colors() -> None:
    gray = voxels()[..., 4].T.astype(np.uint8)
    one = annotated(gray)
    one.positive.add((10, 12))
    assert one.answer() and np.array_equal(one.labels.data > 0, BAR[4])
    one = annotated(np.repeat(gray[..., None], 3, -1), rgb=True)
    one.positive.add((10, 12))
    assert one.session.scan.channels == 3 and one.labels.data.shape == gray.shape
    assert one._point(one.positive.data[0], one.positive, True).at == (12.0, 10.0)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match="4 axes"):
        annotated(np.zeros((2, 3, 4, 5)))
    one = annotated(voxels().transpose(2, 1, 0))
    one.positive.add((400, 10, 12))
    with pytest.raises(PromptError):
        one.answer()
