"""Millimeters that no file says are never made up: not by a reader, nor by writing a picture as a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.opening import open_scan
from delineate.io.saving import save
from delineate.io.writers.image import image_writer
from delineate.labels.reading import open_segmentation
from delineate.outlines.measure import measure
from delineate.outlines.stacks import with_stack
from delineate.verbs.convert import ConvertRequest, convert

ENDINGS = (".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".tif", ".npz", ".json", ".png")
OBLIQUE = np.array([[0.5, 0.1, 0, 3], [-0.1, 0.5, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1.0]])
GRIDS = (  # of a photograph, a scaled and a placed picture, pages, a scaled and a placed volume
    ("image", Grid.pixels(9, 7)),
    ("image", Grid.scaled((9, 7), (0.2, 0.3))),
    ("image", Grid((9, 7), OBLIQUE, ("i", "j"))),
    ("volume", Grid((9, 7, 3), placement=Placement.PIXELS)),
    ("volume", Grid.scaled((9, 7, 3), (0.2, 0.3, 1))),
    ("volume", Grid((9, 7, 3), OBLIQUE)),
)


def outlined(kind: str, grid: Grid) -> tuple[Scan, Segmentation]:
    """A scan on a grid, and 12 pixels of it."""
    pixels = np.zeros(grid.shape, np.uint8)
    scan = Scan.from_image(pixels.T, grid) if kind == "image" else Scan.from_volume(pixels, grid)
    stack = np.zeros(grid.shape, bool)
    stack[2:6, 1:4, ...] = True
    return scan, with_stack(Segmentation.empty(scan).adding("a"), "a", stack)


@pytest.mark.parametrize(
    "ending,kind,grid", [(e, *g) for e in ENDINGS for g in GRIDS if (e, g[0]) != (".png", "volume")]
)
def test_outlines_measure_the_same_in_every_format(tmp_path: Path, ending: str, kind: str, grid: Grid) -> None:
    scan, outlines = outlined(kind, grid)
    save(outlines, tmp_path / f"a{ending}", scan)
    found = open_segmentation(tmp_path / f"a{ending}").segmentation
    names = ("voxels", "volume_ml", "area_cm2", "long_axis_mm", "long_axis_px")
    before, after = (measure(one).structures[0] for one in (outlines, found))
    for name in names:
        was = getattr(before, name)
        assert getattr(after, name) == (None if was is None else pytest.approx(was, rel=1e-5)), name
    if ending not in (".tif", ".npz"):
        assert found.grid.placement is grid.placement
        np.testing.assert_allclose(found.grid.affine, grid.affine, atol=1e-6)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".tif", ".npz", ".png"])
@pytest.mark.parametrize("grid", [Grid.scaled((9, 7), (0.2, 0.3)), Grid((9, 7), OBLIQUE, ("i", "j"))])
def test_a_scan_of_one_picture_keeps_its_mm(tmp_path: Path, ending: str, grid: Grid) -> None:
    scan, _ = outlined("image", grid)
    image_writer(tmp_path / f"a{ending}", scan)(scan, tmp_path / f"a{ending}")
    found = open_scan(tmp_path / f"a{ending}").grid
    assert found.spacing == pytest.approx(grid.spacing)
    if ending not in (".tif", ".npz"):
        assert found.placement is grid.placement
        np.testing.assert_allclose(found.affine, grid.affine, atol=1e-6)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".tif"])
def test_a_photograph_converted_to_another_format_is_a_photograph(tmp_path: Path, ending: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (7, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    convert(ConvertRequest(input=tmp_path / "p.png", output=tmp_path / f"q{ending}", kind="image"))
    scan = open_scan(tmp_path / f"q{ending}")
    assert scan.kind == "image" and scan.grid.placement is Placement.PIXELS
    np.testing.assert_array_equal(scan.pixels(0), pixels)


def test_a_header_that_was_changed_since_is_believed(tmp_path: Path) -> None:
    """Another program may give a picture a spacing, or resample it, and keep our note."""
    scan, outlines = outlined("image", Grid.pixels(9, 7))
    save(outlines, tmp_path / "a.mha", scan)
    raw = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "b.mha").write_bytes(raw.replace(b"ElementSpacing = 1.0 1.0 1.0", b"ElementSpacing = 0.5 0.5 1.0"))
    assert open_scan(tmp_path / "b.mha").grid.spacing == (0.5, 0.5)
    assert open_scan(tmp_path / "b.mha").grid.placement is not Placement.PIXELS


@pytest.mark.parametrize("header,known", [({}, False), ({"xyzt_units": 2}, True), ({"pixdim": 0.9}, True)], ids=str)
def test_a_nifti_header_of_defaults_says_no_lengths(tmp_path: Path, header: dict[str, Any], known: bool) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None)
    image.header["xyzt_units"] = header.get("xyzt_units", 0)
    image.header["pixdim"][1:4] = header.get("pixdim", 1)
    nib.save(image, tmp_path / "a.nii.gz")
    assert (open_scan(tmp_path / "a.nii.gz").grid.placement is not Placement.PIXELS) == known


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_pictures_of_an_animation_as_slices_have_no_mm(tmp_path: Path, name: str) -> None:
    first, *rest = (Image.fromarray((np.indices((8, 9))[0] * k).astype(np.uint8)) for k in (1, 5, 9))
    first.save(tmp_path / name, save_all=True, append_images=rest)
    assert open_scan(tmp_path / name, pages="stack").grid.placement is Placement.PIXELS


@pytest.mark.parametrize("size_z,placement", [(None, Placement.PIXELS), (1.5, Placement.SCALE)])
def test_a_microscope_that_does_not_say_how_far_slices_are_apart(
    tmp_path: Path, size_z: float | None, placement: Placement
) -> None:
    about: dict[str, Any] = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2}
    about |= {} if size_z is None else {"PhysicalSizeZ": size_z}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((3, 8, 9), np.uint16), metadata=about)
    scan = open_scan(tmp_path / "a.ome.tif")
    assert scan.grid.placement is placement
    assert ("W-SPACING-UNKNOWN" in {n.code for n in scan.notices}) == (size_z is None)
