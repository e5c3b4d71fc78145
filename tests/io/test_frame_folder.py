"""Folders of pictures: what is damaged, unnumbered, deep, of several kinds, or asked for as slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.io.opening import open_scan
from delineate.io.overlay import save_preview
from delineate.io.own_files import seal


def frames(folder: Path, names: list[str], dtype: Any = np.uint8) -> Path:
    for n, name in enumerate(names):
        Image.fromarray(np.full((12, 16), 10 * n, dtype)).save(folder / name)
    return folder


def codes(scan: Scan) -> list[str]:
    return [notice.code for notice in scan.notices]


@pytest.mark.parametrize(
    "bad", [b"not a picture", b"", b"\x89PNG\r\n\x1a\n" + bytes(9), b"\xff\xd8\xff\xe0" + bytes(20)]
)
@pytest.mark.parametrize("name", ["1.png", "1.jpg", "1.webp"])
def test_a_picture_that_is_none_is_left_out_and_told(tmp_path: Path, bad: bytes, name: str) -> None:
    frames(tmp_path, ["0.png", "2.png", "3.png"])
    (tmp_path / name).write_bytes(bad)
    scan = open_scan(tmp_path)
    assert len(scan) == 3
    assert name in next(n.message for n in scan.notices if n.code == "W-FRAMES-DAMAGED")


def test_nothing_but_damaged_pictures_is_refused(tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"{n}.png").write_bytes(b"no")
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path)
    assert caught.value.code == "E-PICTURE-DAMAGED"


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "jp2"])
def test_a_frame_damaged_within_is_named_when_it_is_read(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for n in range(3):
        Image.fromarray(noise).save(tmp_path / f"{n}.{ending}")
    path = tmp_path / f"2.{ending}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    try:
        scan = open_scan(tmp_path)
    except InputError as error:  # a TIFF keeps its table at the end
        assert ending == "tif" and "2.tif" in str(error)
        return
    if len(scan) == 2:
        assert "W-FRAMES-DAMAGED" in codes(scan)
        return
    scan.pixels(1)
    with pytest.raises(InputError, match=r"Frame 2: .*2\.") as caught:
        scan.pixels(2)
    assert "without it" in str(caught.value)


def test_slices_are_made_where_they_are_asked_for(tmp_path: Path) -> None:
    scan = open_scan(frames(tmp_path, ["s1.png", "s2.png", "s10.png"]), pages="stack")
    assert scan.kind is ScanKind.VOLUME and scan.grid.placement is Placement.PIXELS
    np.testing.assert_array_equal(scan.voxels()[0, 0], [0, 10, 20])


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png"],
        ["f_0_endo.png", "f_0_endo_mask.png", "f_1_endo.png"],
        ["1.png", "1.jpg"],
        ["x1.png", "y1.png"],
    ],
)
def test_names_that_give_no_order_are_asked_about(tmp_path: Path, names: list[str]) -> None:
    frames(tmp_path, names)
    with pytest.raises(InputError, match="--pages") as caught:
        open_scan(tmp_path)
    assert caught.value.code == "E-FRAMES-ORDER"
    assert len(open_scan(tmp_path, pages="video")) == len(names)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_colors_keep_their_bits_and_are_those_of_the_file_alone(tmp_path: Path, dtype: Any, compression: Any) -> None:
    if compression:
        pytest.importorskip("imagecodecs")
    colors = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (12, 16, 3), dtype=dtype)
    for n in range(2):
        tifffile.imwrite(tmp_path / f"{n}.tif", colors, photometric="rgb", compression=compression)
    scan = open_scan(tmp_path)
    assert scan.dtype == dtype
    np.testing.assert_array_equal(scan.pixels(1), open_scan(tmp_path / "1.tif").pixels(0))


def test_frames_of_two_number_types_are_refused_by_name(tmp_path: Path) -> None:
    frames(tmp_path, ["0.png"])
    Image.fromarray(np.zeros((12, 16), np.uint16)).save(tmp_path / "1.png")
    scan = open_scan(tmp_path)
    with pytest.raises(InputError, match=r"1\.png is uint16") as caught:
        scan.pixels(1)
    assert caught.value.code == "E-FRAMES-MIXED"


def test_previews_the_program_wrote_are_no_frames(tmp_path: Path) -> None:
    frames(tmp_path, ["0.png", "1.png"])
    image = Scan.from_image(np.zeros((12, 16), np.uint8))
    outlines = Segmentation.empty(image).adding("a").with_masks("a", {0: Rle.encode(np.eye(12, 16, dtype=bool))})
    save_preview(image, outlines, tmp_path / "out.preview.png")
    seal(tmp_path / "out.preview.png")
    assert len(open_scan(tmp_path)) == 2


def test_linked_folders_are_told(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    frames(tmp_path / "real", ["0.png"])
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "series").symlink_to("../real")
    with pytest.raises(InputError, match="1 linked folder, which is not entered") as caught:
        open_scan(tmp_path / "study")
    assert caught.value.code == "E-FOLDER-EMPTY"
    frames(tmp_path / "study", ["0.png", "1.png"])
    assert "W-LINKS-FOLDERS" in codes(open_scan(tmp_path / "study"))
