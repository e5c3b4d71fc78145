"""A frame damaged halfway: named, and on request stood in for by the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import DelineateWarning, InputError
from delineate.core.frame_source import SteadyFrames
from delineate.io.opening import open_scan

COUNT, BAD = 6, 3
NOISE = np.random.default_rng(0).integers(0, 255, (COUNT, 64, 64), dtype=np.uint8)


def folder(place: Path) -> Path:
    for n, pixels in enumerate(NOISE):
        Image.fromarray(pixels).save(place / f"{n}.png")
    path = place / f"{BAD}.png"
    path.write_bytes(path.read_bytes()[:2000])
    return place


def tiff(place: Path) -> Path:
    tifffile.imwrite(place / "a.tif", NOISE, compression="zlib", metadata={"axes": "TYX"}, ome=True)
    data = bytearray((place / "a.tif").read_bytes())
    with tifffile.TiffFile(place / "a.tif") as file:
        page = file.series[0].pages[BAD]
        start = page.dataoffsets[0] + 100
    data[start : start + 300] = b"\xff" * 300
    (place / "a.tif").write_bytes(data)
    return place / "a.tif"


@pytest.mark.parametrize("make", [folder, tiff])
def test_it_is_named_and_on_request_the_frame_before_stands_in(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    scan = open_scan(path)
    with pytest.raises(InputError, match=str(BAD)):
        scan.pixels(BAD)
    np.testing.assert_array_equal(scan.pixels(BAD + 1), NOISE[BAD + 1])
    scan = open_scan(path, skip_damaged=True)
    with pytest.warns(DelineateWarning, match=f"Frame {BAD - 1} stands in for frame {BAD}"):
        np.testing.assert_array_equal(scan.pixels(BAD), NOISE[BAD - 1])
    for n in (0, BAD, BAD + 1, COUNT - 1):  # told once
        np.testing.assert_array_equal(scan.pixels(n), NOISE[BAD - 1 if n == BAD else n])
    assert isinstance(scan.source, SteadyFrames) and list(scan.source.damaged) == [BAD]
    scan.close()
    with pytest.raises(InputError) as caught:
        scan.pixels(0)
    assert caught.value.code == "E-SCAN-CLOSED"


class Damaged:
    shape, dtype = (3, 4, 5), np.dtype(np.uint8)

    def __init__(self, *bad: int) -> None:
        self.bad = bad

    def read(self, index: int) -> np.ndarray:
        if index in self.bad:
            raise InputError("E-PICTURE-DAMAGED", f"Frame {index} is damaged.", "Copy it again.")
        return np.full((4, 5), index, np.uint8)


def test_the_first_readable_one_stands_in_at_the_start() -> None:
    frames = SteadyFrames(Damaged(0, 1))
    with pytest.warns(DelineateWarning, match="Frame 2 stands in for frame 0"):
        assert frames.read(0).max() == 2


def test_nothing_stands_in_for_all() -> None:
    frames = SteadyFrames(Damaged(0, 1, 2))
    for _ in range(2):
        with pytest.raises(InputError):
            frames.read(1)
