"""Volumes are looked at as the supports lie, however their files store the axes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.outputs import Outputs
from delineate.io.saving import outline_files, write_outlines
from delineate.labels.reading import segmentation_of
from delineate.oneshot.examples import Example, read_example, together
from delineate.oneshot.orientation import Turn
from delineate.outlines.stacks import stack_of, with_stack

AFFINE = np.array([[-2.0, 0, 0, 5], [0, 0, 3, -7], [0, 1.5, 0, 11], [0, 0, 0, 1]])  # L, S, A
VOXELS = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(np.int16)


def stored(codes: str, voxels: np.ndarray = VOXELS) -> nib.Nifti1Image:
    image = nib.Nifti1Image(voxels, AFFINE)
    return image.as_reoriented(ornt_transform(io_orientation(AFFINE), axcodes2ornt(codes)))


def scan_of(image: nib.Nifti1Image, axis: int = 2) -> Scan:
    return Scan.from_volume(np.asarray(image.dataobj), Grid(image.shape, image.affine), axis)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSL", "IRP", "ALI"])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_volume_turned_is_the_one_that_lies_so(codes: str, axis: int) -> None:
    shown, scan = scan_of(stored("RAS"), 2), scan_of(stored(codes), axis)
    turn = Turn.between(scan, shown)
    if turn is None:
        assert codes == "RAS" and axis == 2
        return
    turned = turn.scan(scan)
    assert np.array_equal(turned.voxels(), shown.voxels())
    assert np.allclose(turned.grid.affine, shown.grid.affine)
    assert turned.slice_axis == 2
    labels = segmentation_of(Scan.from_volume((VOXELS % 3 == 0).astype(np.uint8), Grid(VOXELS.shape, AFFINE), 1))
    own = scan_of(stored(codes, (VOXELS % 3 == 0).astype(np.uint8)), axis)
    outlines = segmentation_of(own)
    there = turn.outlines(outlines, turned)
    back = turn.back(there, scan)
    assert stack_of(there, "label 1").sum() == stack_of(labels, "label 1").sum()
    assert np.array_equal(stack_of(back, "label 1"), stack_of(outlines, "label 1"))
    same_plane = scan.grid.axis_codes[axis] in "IS"
    for n in range(len(turned)) if same_plane else ():
        frame = turn.frame(n, scan, back["label 1"])
        assert set(np.ravel(scan.pixels(frame))) == set(np.ravel(turned.pixels(n)))


def test_what_does_not_say_how_it_lies_stays_as_it_is() -> None:
    shown = scan_of(stored("RAS"))
    scaled = Scan.from_volume(VOXELS, Grid.scaled(VOXELS.shape, (1, 1, 1)), 2)
    assert scaled.grid.placement is Placement.SCALE
    assert Turn.between(scaled, shown) is None
    assert Turn.between(Scan.from_image(VOXELS[0]), shown) is None


def example(value: int, name: str | None = None) -> Example:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = value
    scan = Scan.from_image(mask)
    labels = segmentation_of(scan)
    if name is not None:
        labels = Segmentation.empty(scan).adding(name, label=value).with_masks(name, dict(labels.objects[0].masks))
    return Example(scan, labels)


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ([(255, None), (1, None)], ["label 1", "label 1"]),
        ([(255, None), (5, "liver"), (255, None)], ["liver", "liver", "liver"]),
        ([(1, None), (2, None), (255, None)], ["label 1", "label 2", "label 255"]),
        ([(255, None), (255, None)], ["label 255", "label 255"]),
    ],
)
def test_black_and_white_masks_show_what_the_others_show(shown: list, names: list[str]) -> None:
    found = together([example(*one) for one in shown])
    assert [one.labels.names[0] for one in found] == names
    assert len({one.labels.objects[0].label for one in found}) == len(set(names))


@pytest.mark.parametrize("ending", [".seg.nrrd", ".json"])
def test_structures_that_overlap_stay_whole_on_another_grid(tmp_path: Path, ending: str) -> None:
    scan = scan_of(stored("LPS"))
    organ, tumor = np.zeros((2, *scan.grid.shape), bool)
    organ[:3, 1:5], tumor[1:3, 2:4, 1:3] = True, True
    labels = Segmentation.empty(scan)
    for name, stack in (("organ", organ), ("tumor", tumor)):
        labels = with_stack(labels.adding(name), name, stack)
    mask = tmp_path / f"labels{ending}"
    with Outputs([mask]) as outputs:
        write_outlines(labels, outline_files(mask, scan.kind), scan, outputs)
    nib.save(stored("RAS"), tmp_path / "image.nii.gz")
    found = read_example(tmp_path / "image.nii.gz", mask).labels
    for name, stack in (("organ", organ), ("tumor", tumor)):
        assert np.array_equal(stack_of(found, name), stack[::-1, ::-1])
