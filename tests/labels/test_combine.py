"""Combining: sets of voxels, names and label values."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.segmentation import Segmentation
from delineate.labels.combine import How, kept, made, merge, one_over_another, relabeled, renamed
from delineate.outlines.stacks import stack_of
from label_shapes import pixel_grid, volume_of

GRID = pixel_grid((5, 4, 3))
RNG = np.random.default_rng(0)
A, B, C = (RNG.random(GRID.shape) < 0.5 for _ in range(3))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (How.UNION, A | B | C),
        (How.INTERSECT, A & B & C),
        (How.MINUS, A & ~B & ~C),
        (How.MAJORITY, (A.astype(int) + B + C) >= 2),
    ],
)
def test_one_structure_of_three_files(how: How, expected: np.ndarray) -> None:
    first, *others = (volume_of(GRID, liver=stack) for stack in (A, B, C))
    np.testing.assert_array_equal(stack_of(merge(first, others, how), "liver"), expected)


def test_different_structures_keep_names_and_free_labels() -> None:
    found = merge(volume_of(GRID, lv=A), [volume_of(GRID, rv=B), relabeled(volume_of(GRID, wall=C), {"wall": 9})])
    assert [(o.name, o.label) for o in found.objects] == [("lv", 1), ("rv", 2), ("wall", 9)]
    np.testing.assert_array_equal(stack_of(found, "rv"), B)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [("a - b", A & ~B), ("a + b & c", (A | B) & C), ("a", A), ("a - b - c", A & ~B & ~C)],
)
def test_formulas(formula: str, expected: np.ndarray) -> None:
    outlines = volume_of(GRID, a=A, b=B, c=C)
    found = made(outlines, "new one", formula)
    np.testing.assert_array_equal(stack_of(found, "new one"), expected)
    assert made(outlines, "a", formula).names == outlines.names, "an existing one is replaced"


def test_names_with_operators_in_them_are_names() -> None:
    outlines = volume_of(GRID, **{"non-enhancing": A, "T1+C": B})
    np.testing.assert_array_equal(stack_of(made(outlines, "x", "non-enhancing + T1+C"), "x"), A | B)


def labels(outlines: Segmentation) -> dict[str, int]:
    return {one.name: one.label for one in outlines.objects}


def test_names_and_values_change_and_voxels_do_not() -> None:
    outlines = volume_of(GRID, a=A, b=B)
    exchanged = renamed(outlines, {"a": "b", "b": "a"})
    assert labels(exchanged) == {"b": 1, "a": 2}
    np.testing.assert_array_equal(stack_of(exchanged, "b"), A)
    assert labels(relabeled(outlines, {"a": 2, "b": 1})) == {"a": 2, "b": 1}
    assert kept(outlines, ["b"]).names == ("b",)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda o: renamed(o, {"c": "x"}),
        lambda o: renamed(o, {"a": "b"}),
        lambda o: renamed(o, {"a": " "}),
        lambda o: relabeled(o, {"a": 2}),
        lambda o: relabeled(o, {"a": 0}),
        lambda o: relabeled(o, {"a": 70_000}),
        lambda o: kept(o, ["A"]),
        lambda o: made(o, "x", "a - d"),
    ],
    ids=["unknown", "taken", "empty", "value-taken", "zero", "beyond", "other-case", "in-formula"],
)
def test_what_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(PromptError) as caught:
        wrong(volume_of(GRID, a=A, b=B))
    assert caught.value.hint


def test_no_overlap_gives_voxels_to_the_later_one() -> None:
    found = one_over_another(volume_of(GRID, a=A, b=B))
    np.testing.assert_array_equal(stack_of(found, "a"), A & ~B)
    np.testing.assert_array_equal(stack_of(found, "b"), B)
