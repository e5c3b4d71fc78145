"""AVIF and HEIF: still pictures in the container of movies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from delineate.core.errors import InputError
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.readers import picture


@pytest.mark.parametrize("turn", range(1, 9))
def test_an_avif_is_a_picture_and_upright(tmp_path: Path, turn: int) -> None:
    """It was taken for a movie of one frame, lying as it is stored."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    colors = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(colors).save(tmp_path / "a.avif", exif=exif)
    scan = open_scan(tmp_path / "a.avif")
    with Image.open(tmp_path / "a.avif") as shown:
        np.testing.assert_array_equal(scan.pixels(0), np.asarray(ImageOps.exif_transpose(shown)))
    assert scan.kind is ScanKind.IMAGE and ("W-EXIF-ROTATED" in [n.code for n in scan.notices]) == (turn > 1)


@pytest.mark.parametrize("flags,bits", [(0x00, 8), (0x40, 10), (0x60, 12)])
def test_the_depth_of_an_avif_is_known(tmp_path: Path, flags: int, bits: int) -> None:
    """The settings of its decoder say how many bits a value has; Pillow gives 8 of them, which is told."""
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.avif")
    data = bytearray((tmp_path / "a.avif").read_bytes())
    data[data.index(b"av1C") + 6] |= flags
    (tmp_path / "a.avif").write_bytes(data)
    assert picture._avif_bits(tmp_path / "a.avif") == bits


@pytest.mark.parametrize("major,others", [(b"heic", [b"mif1", b"heic"]), (b"mif1", [b"heic"]), (b"heix", [])])
def test_a_photograph_of_a_telephone_is_no_movie(tmp_path: Path, major: bytes, others: list[bytes]) -> None:
    """Its picture is cut into tiles, of which a decoder of movies gives the first."""
    said = major + bytes(4) + b"".join(others)
    (tmp_path / "a.heic").write_bytes((len(said) + 8).to_bytes(4, "big") + b"ftyp" + said + bytes(200))
    with pytest.raises(InputError, match="HEIF") as told:
        open_scan(tmp_path / "a.heic")
    assert told.value.code == "E-FORMAT-UNKNOWN"


def test_a_sequence_of_avif_pictures_is_asked_about_like_a_gif(tmp_path: Path) -> None:
    """A decoder of movies gives the first of them alone."""
    first, *rest = (Image.fromarray(np.full((32, 32, 3), 60 * n, np.uint8)) for n in range(3))
    first.save(tmp_path / "a.avif", save_all=True, append_images=rest)
    with pytest.raises(InputError, match="3 pictures"):
        open_scan(tmp_path / "a.avif")
    clip = open_scan(tmp_path / "a.avif", pages="video")
    assert [round(float(clip.pixels(n).mean()), -1) for n in range(len(clip))] == [0, 60, 120]
