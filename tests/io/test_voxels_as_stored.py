"""Values beside independent libraries: detached data, few and many bits, colors over time, other byte orders."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError
from delineate.io.opening import open_scan
from delineate.io.readers.frame_folder import natural_order
from delineate.io.writers import image as image_writers
from delineate.verbs.convert import ConvertRequest, convert

SimpleITK = pytest.importorskip("SimpleITK")
RNG = np.random.default_rng(0)
COLORS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize("names", ["LIST\ns0.raw\ns1.raw\ns2.raw\n", "s%d.raw 0 2 1\n"], ids=["list", "numbered"])
@pytest.mark.parametrize("header", [0, 10, -1, "packed"])
def test_a_metaimage_in_several_files(tmp_path: Path, names: str, header: Any) -> None:
    voxels = np.arange(60, dtype="<i2").reshape(3, 5, 4)
    for k, plane in enumerate(voxels):
        raw = plane.tobytes()
        junk = b"\xff" * 10 if header in (10, -1) else b""
        (tmp_path / f"s{k}.raw").write_bytes(zlib.compress(raw) if header == "packed" else junk + raw)
    more = "CompressedData = True" if header == "packed" else f"HeaderSize = {header}"
    text = f"ObjectType = Image\nNDims = 3\nDimSize = 4 5 3\nElementType = MET_SHORT\n{more}\nElementDataFile = {names}"
    (tmp_path / "m.mhd").write_text(text)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "m.mhd"))), voxels)
    assert np.array_equal(open_scan(tmp_path / "m.mhd").voxels().T, voxels)


def test_voxels_that_do_not_share_out_among_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.raw", "b.raw"):
        (tmp_path / name).write_bytes(bytes(64))
    head = "ObjectType = Image\nNDims = 3\nDimSize = 3 3 3\nElementType = MET_UCHAR\n"
    (tmp_path / "m.mhd").write_text(f"{head}ElementDataFile = LIST\na.raw\nb.raw\n")
    with pytest.raises(InputError, match="unevenly"):
        open_scan(tmp_path / "m.mhd")


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_show_all_of_their_range(tmp_path: Path, bits: int) -> None:
    """As Pillow shows them, and a PNG of so many bits; as labels they keep their numbers."""
    stored = RNG.integers(0, 2**bits, (8, 16), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=bits)
    with Image.open(tmp_path / "a.tif") as picture:
        assert np.array_equal(open_scan(tmp_path / "a.tif").pixels(0), np.asarray(picture.convert("L")))
    assert np.array_equal(open_scan(tmp_path / "a.tif", palette_indices=True).pixels(0), stored)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(7, 9, 3), (5, 7, 9, 3)], ids=["picture", "volume"])
def test_colors_of_any_type_are_kept_in_a_tiff(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    pixels = RNG.integers(0, 255, shape).astype(dtype) * dtype(3)
    np.save(tmp_path / "a.npy", pixels)
    convert(ConvertRequest(input=tmp_path / "a.npy", output=tmp_path / "b.tif", kind="image"))
    scan = open_scan(tmp_path / "b.tif")
    assert np.array_equal(np.stack([scan.pixels(n) for n in range(len(scan))]).reshape(shape), pixels)


@pytest.mark.parametrize("shape", [(7, 9), (5, 7, 9)], ids=["picture", "volume"])
def test_a_large_tiff_keeps_its_spacing(
    tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_writers, "CLASSIC", 100)
    image = SimpleITK.GetImageFromArray(RNG.integers(0, 4000, shape).astype(np.uint16))
    image.SetSpacing((0.5, 0.7, 2.5)[: len(shape)])
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    convert(ConvertRequest(input=tmp_path / "a.mha", output=tmp_path / "b.tif", kind="image"))
    scan = open_scan(tmp_path / "b.tif")
    assert scan.grid.spacing == pytest.approx((0.5, 0.7, 2.5)[: len(shape)])
    found = np.stack([scan.pixels(n) for n in range(len(scan))]).reshape(shape)
    assert np.array_equal(found, SimpleITK.GetArrayFromImage(image))


@pytest.mark.parametrize("dtype", [">i2", ">u2", ">f4", ">i4"])
def test_arrays_of_the_other_byte_order(tmp_path: Path, dtype: str) -> None:
    array = RNG.integers(0, 9999, (7, 9)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    scan = open_scan(tmp_path / "a.npy")
    assert scan.dtype.isnative and np.array_equal(scan.pixels(0), array)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("name", ["a.jp2", "a.j2k"])
def test_gray_values_of_jpeg_2000_are_not_stretched(tmp_path: Path, name: str, bits: int) -> None:
    codecs = pytest.importorskip("imagecodecs")
    stored = RNG.integers(0, 2**bits, (20, 30)).astype(np.uint8 if bits == 8 else np.uint16)
    packed = codecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat=name[2:], bitspersample=bits)
    (tmp_path / name).write_bytes(packed)
    assert np.array_equal(open_scan(tmp_path / name).pixels(0), stored)


def test_colors_of_a_nifti_file(tmp_path: Path) -> None:
    """Over time as well, asked for as gray values; and never scaled, as the standard says of them."""
    stored = RNG.integers(0, 255, (8, 9, 1, 6, 3), dtype=np.uint8)
    image = nib.Nifti1Image(stored.view(COLORS)[..., 0], np.eye(4))
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="to-gray"):
        open_scan(tmp_path / "a.nii", pages="video")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([2, 1], np.float32).tobytes()  # scl_slope, scl_inter
    (tmp_path / "b.nii").write_bytes(raw)
    gray = stored.mean(axis=-1).round()
    for name in ("a.nii", "b.nii"):
        clip = open_scan(tmp_path / name, pages="video", to_gray=True)
        assert all(np.array_equal(clip.pixels(n), gray[:, :, 0, n].T) for n in range(6))
        assert np.array_equal(open_scan(tmp_path / name, index=2, to_gray=True).voxels(), gray[..., 2])


@pytest.mark.parametrize("name", ["1²2.png", "²", "frame①7.png", "٣.png"])
def test_digits_that_are_no_numbers_in_a_name(name: str) -> None:
    assert natural_order(Path(name)) is not None
