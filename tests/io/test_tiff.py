"""TIFF as it is meant: colors, orientation, compression, axes, channels, units; and nothing beside the file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError, MissingExtraError
from delineate.core.grid import Placement
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.readers import tiff_pages
from delineate.labels.reading import open_segmentation
from delineate.verbs.drawn_masks import picture_values

GRAY = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))
RGB = np.dstack([GRAY, GRAY[::-1, ::-1], GRAY // 2])


def as_pillow_shows(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "LAB", "P"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_colors_are_those_viewers_show(tmp_path: Path, mode: str, compression: str | None) -> None:
    picture = Image.fromarray(RGB).quantize(16) if mode == "P" else Image.fromarray(RGB).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    scan = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.pixels(0), as_pillow_shows(tmp_path / "a.tif"))
    assert ("W-CMYK" in [n.code for n in scan.notices]) == (mode == "CMYK")


def test_a_jpeg_in_a_tiff_is_read(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert np.abs(open_scan(tmp_path / "a.tif").pixels(0).astype(int) - as_pillow_shows(tmp_path / "a.tif")).max() < 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_white_as_zero_is_turned(tmp_path: Path, dtype: Any) -> None:
    top = np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", (top - GRAY.astype(dtype)).astype(dtype), photometric="miniswhite")
    scan = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.pixels(0), GRAY)
    assert scan.dtype == dtype and "W-TIFF-WHITE" in [n.code for n in scan.notices]


@pytest.mark.parametrize("labels", [GRAY > 99, (GRAY > 99).astype(np.uint8), (GRAY // 30).astype(np.uint16)], ids=str)
def test_labels_that_keep_white_as_zero_are_what_is_stored(tmp_path: Path, labels: np.ndarray) -> None:
    """tifffile and scikit-image write every bool mask so, ImageJ masks with an inverted look-up table."""
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="miniswhite")
    found = open_segmentation(tmp_path / "a.tif")
    inside = sum(found.segmentation.mask(name, 0) for name in found.segmentation.names)
    np.testing.assert_array_equal(inside, labels != 0)
    assert "W-TIFF-WHITE" in [n.code for n in found.scan.notices]


def test_a_mask_that_keeps_white_as_zero_is_drawn_where_it_is_stored(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY > 99)
    np.testing.assert_array_equal(picture_values(tmp_path / "a.tif") > 0, GRAY > 99)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_the_structure_of_a_fax_is_white(tmp_path: Path, compression: str) -> None:
    Image.fromarray(GRAY > 99).save(tmp_path / "a.tif", compression=compression)
    (name,) = (found := open_segmentation(tmp_path / "a.tif").segmentation).names
    np.testing.assert_array_equal(found.mask(name, 0), GRAY > 99)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "raw"])
def test_a_fax_is_black_on_white(tmp_path: Path, compression: str) -> None:
    Image.fromarray(GRAY > 99).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.tif").pixels(0), (GRAY > 99).astype(np.uint8) * 255)


@pytest.mark.parametrize("extra", ["unspecified", "unassalpha", "assocalpha"])
def test_transparency_is_told(tmp_path: Path, extra: str) -> None:
    pixels = np.dstack([RGB, GRAY])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra], metadata=None)
    scan = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.pixels(0), RGB)
    assert "W-ALPHA-DROPPED" in [n.code for n in scan.notices]


def test_gray_and_alpha(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GRAY, GRAY]), "LA").save(tmp_path / "a.tif")
    scan = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.pixels(0), GRAY)
    assert "W-ALPHA-DROPPED" in [n.code for n in scan.notices]


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_tag_is_obeyed(tmp_path: Path, turn: int) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo={274: turn})
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.tif").pixels(0), open_scan(tmp_path / "a.png").pixels(0))
    stored = open_scan(tmp_path / "a.tif", stored_orientation=True)
    np.testing.assert_array_equal(stored.pixels(0), RGB)


def test_without_the_codecs_pillow_reads_or_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Any, page: Any, index: int) -> Any:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tiff_pages.TiffPages, "_stored", missing)
    for name, pixels in (("gray", GRAY), ("deep", GRAY.astype(np.uint16) * 257), ("rgb", RGB)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.tif", compression="tiff_lzw")
        np.testing.assert_array_equal(open_scan(tmp_path / f"{name}.tif").pixels(0), pixels)
    tifffile.imwrite(tmp_path / "c.tif", RGB.astype(np.uint16) * 257, photometric="rgb")
    with pytest.raises(MissingExtraError, match="tiff"):
        open_scan(tmp_path / "c.tif")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_colors_and_lzw(tmp_path: Path, dtype: Any) -> None:
    pytest.importorskip("imagecodecs")
    pixels = RGB.astype(dtype) * 200
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="lzw", predictor=True)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.tif").pixels(0), pixels)


def ome(path: Path, array: np.ndarray, axes: str, **about: Any) -> Path:
    tifffile.imwrite(path, array, ome=True, photometric="minisblack", metadata={"axes": axes, **about})
    return path


def test_channels_are_chosen_by_number_and_listed_by_name(tmp_path: Path) -> None:
    stack = np.zeros((4, 2, 30, 40), np.uint8)
    stack[:, 1] = 100 + np.arange(4)[:, None, None]
    path = ome(tmp_path / "a.ome.tif", stack, "ZCYX", Channel={"Name": ["DAPI", "GFP"]})
    with pytest.raises(InputError, match=r"DAPI.*GFP") as caught:
        open_scan(path, pages="stack")
    assert caught.value.code == "E-CHANNELS" and "--channel" in str(caught.value)
    scan = open_scan(path, channel=1)
    assert scan.kind is ScanKind.VOLUME
    np.testing.assert_array_equal(scan.voxels()[0, 0], 100 + np.arange(4))
    with pytest.raises(InputError) as caught:
        open_scan(path, channel=2)
    assert caught.value.code == "E-CHANNEL-RANGE"


@pytest.mark.parametrize("imagej", [True, False])
@pytest.mark.parametrize(
    ("axes", "kind", "count"), [("ZYX", ScanKind.VOLUME, 5), ("TYX", ScanKind.VIDEO, 5), ("YX", ScanKind.IMAGE, 1)]
)
def test_axes_the_file_names_are_used(tmp_path: Path, imagej: bool, axes: str, kind: ScanKind, count: int) -> None:
    array = np.arange(5, dtype=np.uint16)[:, None, None] + np.zeros((5, 30, 40), np.uint16)
    array = array if len(axes) == 3 else array[0]
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=imagej, ome=not imagej, metadata={"axes": axes})
    scan = open_scan(tmp_path / "a.tif")
    assert (scan.kind, len(scan)) == (kind, count)
    assert [int(scan.pixels(n)[0, 0]) for n in range(count)] == list(range(count))


def test_time_points_of_volumes_are_chosen(tmp_path: Path) -> None:
    array = np.arange(3, dtype=np.uint8)[:, None, None, None] + np.zeros((3, 4, 30, 40), np.uint8)
    path = ome(tmp_path / "a.ome.tif", array, "TZYX")
    with pytest.raises(InputError, match="3 time points x 4 slices") as caught:
        open_scan(path)
    assert caught.value.code == "E-PAGES" and "--index" in str(caught.value)
    scan = open_scan(path, index=2)
    assert scan.kind is ScanKind.VOLUME and len(scan) == 4 and int(scan.voxels().max()) == 2


def test_samples_that_are_no_colors_are_channels(tmp_path: Path) -> None:
    array = np.stack([GRAY, GRAY + 1, GRAY + 2, GRAY + 3, GRAY + 4], axis=2)
    for planar in ("contig", "separate"):
        stored = array if planar == "contig" else array.transpose(2, 0, 1)
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, metadata=None,
            extrasamples=["unspecified"] * 4,
        )  # fmt: skip
        with pytest.raises(InputError, match="5 channels"):
            open_scan(tmp_path / "a.tif")
        np.testing.assert_array_equal(open_scan(tmp_path / "a.tif", channel=3).pixels(0), GRAY + 3)


def test_all_slices_behind_one_header_are_read(tmp_path: Path) -> None:
    array = np.arange(5, dtype=np.uint16)[:, None, None] + np.zeros((5, 30, 40), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, truncate=True, metadata={"axes": "ZYX"})
    scan = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.voxels()[0, 0], np.arange(5))


def test_files_an_xml_names_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.zeros((2, 3, 30, 40), np.uint8)
    with tifffile.TiffFile(ome(tmp_path / "a.ome.tif", stack, "CZYX")) as file:
        xml = str(file.ome_metadata)
    other = '<TiffData IFD="0" FirstC="1" PlaneCount="3"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    xml = xml.replace('PlaneCount="6"/>', f'FirstC="0" PlaneCount="3"/>{other}')
    assert other in xml
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as out:
        for n in range(3):
            out.write(stack[0, n], description=xml if n == 0 else None, metadata=None, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.ome.tif", stack[1], photometric="minisblack", metadata=None)
    opened = list[str]()
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (opened.append(self.name), plain(self, *a, **k))[1])
    handles = list[str]()
    real = tifffile.FileHandle.open
    monkeypatch.setattr(tifffile.FileHandle, "open", lambda self: (handles.append(str(self._file)), real(self))[1])
    with pytest.raises(InputError, match="other files") as caught:
        open_scan(tmp_path / "a.ome.tif")
    assert caught.value.code == "E-PAGES"
    scan = open_scan(tmp_path / "a.ome.tif", pages="stack")
    assert len(scan) == 3 and "W-TIFF-ELSEWHERE" in [n.code for n in scan.notices]
    assert not any("b.ome.tif" in name for name in (*opened, *handles))


@pytest.mark.parametrize(
    ("unit", "size", "mm"),
    [("µm", 0.5, 5e-4), ("um", 0.5, 5e-4), ("nm", 325, 3.25e-4), ("mm", 0.5, 0.5), ("cm", 0.05, 0.5), (None, 2, 2e-3)],
)
def test_the_unit_of_length_is_read(tmp_path: Path, unit: str | None, size: float, mm: float) -> None:
    about = {f"PhysicalSize{axis}": size * (3 if axis == "Z" else 1) for axis in "XYZ"}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"} if unit else {}
    path = ome(tmp_path / "a.ome.tif", np.zeros((4, 30, 40), np.uint8), "ZYX", **about, **units)
    grid = open_scan(path).grid
    np.testing.assert_allclose(grid.spacing, (mm, mm, 3 * mm), rtol=1e-6)
    assert grid.placement is Placement.SCALE


def test_units_that_are_no_length_say_nothing(tmp_path: Path) -> None:
    about = {"PhysicalSizeX": 2, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 2, "PhysicalSizeYUnit": "pixel"}
    path = ome(tmp_path / "a.ome.tif", np.zeros((4, 30, 40), np.uint8), "ZYX", **about)
    assert open_scan(path).grid.placement is Placement.PIXELS
    Image.fromarray(GRAY).save(tmp_path / "b.tif", dpi=(300, 300))
    assert open_scan(tmp_path / "b.tif").grid.placement is Placement.PIXELS


def test_imagej_microns_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 30, 40), np.uint8), imagej=True, resolution=(2, 4),
        metadata={"axes": "ZYX", "unit": "micron", "spacing": 3.0},
    )  # fmt: skip
    np.testing.assert_allclose(open_scan(tmp_path / "a.tif").grid.spacing, (5e-4, 2.5e-4, 3e-3))


def test_smaller_copies_and_labels_of_a_slide_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(np.full((64, 64), 7, np.uint8), metadata=None)
        out.write(np.full((32, 32), 7, np.uint8), metadata=None, subfiletype=1)
    assert open_scan(tmp_path / "a.tif").kind is ScanKind.IMAGE
    with tifffile.TiffWriter(tmp_path / "b.tif") as out:
        for size in (64, 32, 16):
            out.write(np.full((size, size), size, np.uint8), metadata=None)
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path / "b.tif")
    assert caught.value.code == "E-PAGES"
    assert open_scan(tmp_path / "b.tif", index=2).width == 16


@pytest.mark.parametrize("kind", ["c8", "c16"])
def test_complex_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((30, 40), kind))
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path / "a.tif")
    assert caught.value.code == "E-TIFF-DTYPE"


@pytest.mark.parametrize("pages", [1, 3])
def test_nan_is_told(tmp_path: Path, pages: int) -> None:
    array = np.ones((pages, 30, 40), np.float32)
    array[:, 3, :] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", array[0] if pages == 1 else array, photometric="minisblack")
    scan = open_scan(tmp_path / "a.tif", pages="stack" if pages > 1 else None)
    assert f"{40 * pages} pixels" in next(n.message for n in scan.notices if n.code == "W-NOT-FINITE")


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_few_bits_stay_numbers(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("imagecodecs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(tmp_path / "a.tif", GRAY % 2**bits, photometric="minisblack", bitspersample=bits)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.tif", palette_indices=True).pixels(0), GRAY % 2**bits)


def test_a_palette_keeps_its_numbers_where_labels_are_read(tmp_path: Path) -> None:
    from delineate.data.label_pictures import read_labels

    labels = (GRAY // 100).astype(np.uint8)
    picture = Image.fromarray(labels)
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    for name in ("a.tif", "a.png", "a.gif", "a.bmp"):
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels, err_msg=name)
    assert open_scan(tmp_path / "a.tif").channels == 3
