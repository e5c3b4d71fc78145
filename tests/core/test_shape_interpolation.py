"""Shapes between drawn slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.core.shape_interpolation import interpolate


def disc(x: float, y: float, radius: float, size: int = 64, aspect: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (columns - x) ** 2 + ((rows - y) * aspect) ** 2 <= radius**2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_the_same_shape_stays_the_same() -> None:
    found = interpolate({3: disc(30, 30, 10), 7: disc(30, 30, 10)})
    assert sorted(found) == [4, 5, 6]
    assert all((mask == disc(30, 30, 10)).all() for mask in found.values())


def test_a_shape_grows_evenly() -> None:
    found = interpolate({0: disc(30, 30, 6), 4: disc(30, 30, 18)})
    for number, radius in ((1, 9), (2, 12), (3, 15)):
        assert dice(found[number], disc(30, 30, radius)) > 0.97


@pytest.mark.parametrize("spacing", [(0.5, 2.0), (2.0, 0.5), (0.7, 5.0)], ids=lambda mm: f"{mm[0]:g}-x-{mm[1]:g}")
def test_a_shape_grows_evenly_on_pixels_that_are_no_squares(spacing: tuple[float, float]) -> None:
    rows, columns = np.mgrid[:120, :120]
    away = np.hypot((columns - 60) * spacing[0], (rows - 60) * spacing[1])
    found = interpolate({0: away <= 12, 10: away <= 24}, spacing)
    for number in (1, 3, 7, 9):
        radius = 12 + 1.2 * number
        assert found[number].sum() * np.prod(spacing) == pytest.approx(np.pi * radius**2, rel=0.045), number


def test_a_shape_moves_evenly_even_where_the_drawn_ones_do_not_overlap() -> None:
    found = interpolate({0: disc(12, 20, 6), 4: disc(48, 40, 6)})
    for number, (x, y) in ((1, (21, 25)), (2, (30, 30)), (3, (39, 35))):
        assert dice(found[number], disc(x, y, 6)) > 0.95


def test_pixels_that_are_not_square_are_measured_in_millimeters() -> None:
    """A disc in mm on pixels twice as high as wide."""
    found = interpolate({0: disc(30, 30, 8, aspect=2), 2: disc(30, 30, 16, aspect=2)}, spacing=(1.0, 2.0))
    assert dice(found[1], disc(30, 30, 12, aspect=2)) > 0.95


@pytest.mark.parametrize(
    ("masks", "between"),
    [
        ({}, []),
        ({4: disc(30, 30, 5)}, []),
        ({4: disc(30, 30, 5), 5: disc(30, 30, 5)}, []),
        ({0: disc(30, 30, 5), 3: disc(30, 30, 0) & False, 6: disc(30, 30, 5)}, []),
        ({9: disc(30, 30, 5), 6: disc(30, 30, 5), 0: disc(9, 9, 0) & False}, [7, 8]),
    ],
    ids=["none", "one", "neighbors", "an empty one between", "out of order"],
)
def test_what_is_between(masks: dict[int, np.ndarray], between: list[int]) -> None:
    assert sorted(interpolate(masks)) == between


def test_a_shape_that_touches_the_border_stays_there() -> None:
    found = interpolate({0: disc(0, 30, 12), 2: disc(0, 30, 16)})
    assert found[1][:, 0].any()
    assert dice(found[1], disc(0, 30, 14)) > 0.95


def test_outlines_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        interpolate({0: disc(30, 30, 5), 2: disc(30, 30, 5, size=32)})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_is_symmetric(seed: int) -> None:
    """Read from the other end, the same comes out."""
    draw = np.random.default_rng(seed)
    first = disc(*draw.uniform(15, 45, 2), draw.uniform(3, 12))
    last = disc(*draw.uniform(15, 45, 2), draw.uniform(3, 12))
    there, back = interpolate({0: first, 3: last}), interpolate({0: last, 3: first})
    assert (there[1] ^ back[2]).mean() < 0.002


def test_every_other_slice_of_real_structures(data_root: Path, data_items: list[dict[str, Any]]) -> None:
    """Better than to copy the nearest drawn slice."""
    nibabel = pytest.importorskip("nibabel")
    labels = [i["label"] for i in data_items if i["dataset"] in ("hippocampus_mri_msd", "cardiac_mri_acdc")]
    ours, copied = [], []
    for file in [name for name in labels if name.endswith(".nii.gz")][:4]:
        volume = np.moveaxis(np.asarray(nibabel.load(data_root / file).dataobj) == 1, 2, 0)
        seen = np.flatnonzero(volume.any(axis=(1, 2)))
        if len(seen) < 5:
            continue
        drawn = {int(n): volume[n] for n in seen[::2]}
        found = interpolate(drawn)
        truth = np.array([volume[n] for n in found])
        ours.append(dice(truth, np.array(list(found.values()))))
        copied.append(dice(truth, np.array([drawn[n - 1] for n in found])))
    assert np.mean(ours) > np.mean(copied) + 0.02
