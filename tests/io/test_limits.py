"""What a file may ask for: declared sizes, in pixels and bytes; pictures and pages are decoded one at a time."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.io.limits import check_picture, check_volume
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.verbs.inspect import describe
from peak_memory import linux_only, peak_mib


@pytest.mark.parametrize(
    ("shape", "each", "fits"),
    [((100, 10), 4, True), ((100, 10), 5, False), ((1001, 1), 1, False), ((10**6, 10**6), 1, False)],
    ids=["at-the-limit", "too-many-bytes", "too-many-pixels", "absurd"],
)
def test_a_limit_counts_and_weighs(shape: tuple[int, int], each: int, fits: bool) -> None:
    options = ReadOptions(max_pixels=1000, max_voxels=1000)
    checks = (
        lambda: check_picture(Path("a"), *shape, each, options),
        lambda: check_volume(Path("a"), shape, each, options),
    )
    for check, option in zip(checks, ("--max-pixels", "--max-voxels"), strict=True):
        if fits:
            check()
            continue
        with pytest.raises(InputError) as caught:
            check()
        assert caught.value.code.endswith("-LARGE") and option in caught.value.hint


def png(folder: Path, width: int, height: int, depth: int, color: int) -> Path:
    """Black, in a few kB."""
    line = bytes(1 + (width * depth * {0: 1, 2: 3, 6: 4}[color] + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    return folder / "a.png"


def gif(folder: Path, side: int, frames: int) -> Path:
    """Each frame stores one pixel."""
    one = b"\x21\xf9\x04\0\1\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    (folder / "a.gif").write_bytes(head + one * frames + b";")
    return folder / "a.gif"


def jpeg(folder: Path, width: int, height: int) -> Path:
    """Claims a size it does not have."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    (folder / "a.jpg").write_bytes(data)
    return folder / "a.jpg"


def shared_strip(folder: Path, pages: int) -> Path:
    """A TIFF whose pages are all one strip of 100 x 100 pixels."""
    data, at = bytes(10_000), 8
    out, count = bytearray(b"II*\0" + struct.pack("<I", at + 10_000) + data), 8
    for page in range(pages):
        tags = [(256, 100), (257, 100), (258, 8), (259, 1), (262, 1), (273, at), (278, 100), (279, 10_000)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        following = 0 if page == pages - 1 else len(out) + 2 + 12 * count + 4
        out += struct.pack("<H", count) + entries + struct.pack("<I", following)
    (folder / "a.tif").write_bytes(out)
    return folder / "a.tif"


LARGE = [
    pytest.param(lambda f: png(f, 300, 300, 16, 2), {"max_pixels": 100_000}, "E-PICTURE-LARGE", id="png-16-bit"),
    pytest.param(lambda f: png(f, 300, 300, 1, 0), {"max_pixels": 89_999}, "E-PICTURE-LARGE", id="png-1-bit"),
    pytest.param(lambda f: gif(f, 300, 1), {"max_pixels": 89_999}, "E-PICTURE-LARGE", id="gif"),
    pytest.param(lambda f: jpeg(f, 300, 300), {"max_pixels": 89_999}, "E-PICTURE-LARGE", id="jpeg"),
    pytest.param(
        lambda f: gif(f, 100, 20), {"pages": "stack", "max_voxels": 199_999}, "E-VOXELS-LARGE", id="gif-stack"
    ),
    pytest.param(
        lambda f: shared_strip(f, 20), {"pages": "stack", "max_voxels": 199_999}, "E-VOXELS-LARGE", id="tiff-stack"
    ),
    pytest.param(
        lambda f: shared_strip(f, 20), {"pages": "video", "max_frames": 19}, "E-FRAMES-LARGE", id="tiff-video"
    ),
    pytest.param(lambda f: gif(f, 100, 20), {"pages": "video", "max_frames": 19}, "E-FRAMES-LARGE", id="gif-video"),
    pytest.param(lambda f: shared_strip(f, 1), {"max_pixels": 9_999}, "E-PICTURE-LARGE", id="tiff-page"),
]


@pytest.mark.parametrize(("make", "options", "code"), LARGE)
def test_what_is_too_large_is_refused(
    make: Callable[[Path], Path], options: dict[str, Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        open_scan(make(tmp_path), **options)
    assert caught.value.code == code


def claims(folder: Path, name: str, side: int, **how: Any) -> Path:
    """A small picture whose header says that it is ``side`` pixels wide and high."""
    path = folder / name
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    if name.endswith(".tif"):
        tifffile.imwrite(path, pixels[..., 0], **how)
        data = bytearray(path.read_bytes())
        at = int.from_bytes(data[4:8], "little")
        for entry in range(at + 2, at + 2 + 12 * int.from_bytes(data[at : at + 2], "little"), 12):
            if int.from_bytes(data[entry : entry + 2], "little") in (256, 257, 278):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
        path.write_bytes(data)
        return path
    Image.fromarray(pixels).convert(how.get("mode", "RGB")).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


@linux_only
@pytest.mark.parametrize(
    ("name", "how"),
    [("a.png", {"mode": "RGB"}), ("a.png", {"mode": "L"}), ("a.png", {"mode": "P"}), ("a.png", {"mode": "RGBA"}),
     ("a.png", {"mode": "1"}), ("a.tif", {}), ("a.tif", {"compression": "zlib"}), ("a.tif", {"photometric": "palette",
      "colormap": np.zeros((3, 256), np.uint16)})],
    ids=["RGB", "gray", "palette", "alpha", "one-bit", "tif", "tif-deflate", "tif-palette"],
)  # fmt: skip
def test_a_small_file_that_says_it_is_large_takes_no_memory(name: str, how: dict[str, Any], tmp_path: Path) -> None:
    path = claims(tmp_path, name, 12_000, **how)
    with pytest.raises(InputError) as caught:
        open_scan(path).pixels(0)
    assert caught.value.code == "E-FILE-CUT" and path.name in caught.value.message


def moving(folder: Path, kind: str, frames: int = 9) -> tuple[Path, np.ndarray]:
    values = np.zeros((frames, 20, 24), np.uint8)
    for n in range(frames):
        values[n, n : n + 5, 2 * n : 2 * n + 4] = 10 * n + 50
    path = folder / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    else:
        pictures = [Image.fromarray(v) for v in values]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path, values


@pytest.mark.parametrize("kind", ["gif", "tif"])
@pytest.mark.parametrize("kept", [1, 4000, 1 << 27], ids=["none", "two", "all"])
def test_frames_are_the_same_in_any_order(
    kind: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delineate.io.readers.picture.KEPT_BYTES", kept)
    path, values = moving(tmp_path, kind)
    scan = open_scan(path, pages="video")
    order = [*range(9), *range(8, -1, -1), 3, 7, 2, 2, 8, 0]
    for n in order:
        frame = scan.pixels(n)
        assert np.array_equal(frame if frame.ndim == 2 else frame[..., 0], values[n]), n
    assert np.array_equal(open_scan(path, pages="stack").voxels().transpose(2, 1, 0), values)


@linux_only
def test_an_animation_is_decoded_frame_by_frame(tmp_path: Path) -> None:
    """40 frames of 1000 x 1000: 120 MB at once, 3 MB each."""
    prepare = "from delineate.io.opening import open_scan\nfrom delineate.io.readers import dicom, picture"
    code = f"scan = open_scan({str(gif(tmp_path, 1000, 40))!r}, pages='video')\nfor n in range(40): scan.pixels(n)"
    assert peak_mib(code, prepare) < 40


@linux_only
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_inspecting_takes_a_part_of_what_the_picture_takes(kind: str) -> None:
    """A picture of 6000 x 6000: 288 MB in float64, were all of it turned into that."""
    prepare = f"""
import numpy as np
from delineate.verbs.inspect import describe
from delineate.core.scan import Scan
scan = Scan.from_image(np.ones((6000, 6000), {kind!r}))
describe(Scan.from_image(np.ones((60, 60), {kind!r})))
"""
    assert peak_mib("describe(scan)", prepare) < 160


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_the_range_is_that_of_every_value(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delineate.verbs.inspect.SAMPLE", 50)
    values = np.full((5, 30, 40), 7, dtype)
    values[3, 17, 11], values[4, 29, 39] = 1, 99
    if values.dtype.kind == "f":
        values[0, 0, 0] = np.nan
    card = describe(Scan.from_frames(values))
    assert card.values.endswith("1 to 99")
