"""Rows 37 to 46: photographs, animations, archives."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bad_inputs.table import Row
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.readers.png16 import read as read_png16

GRAY = (np.arange(40 * 30).reshape(30, 40) % 256).astype(np.uint8)
RGB = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], axis=2)


def saved(folder: Path, picture: Image.Image, name: str, **options: Any) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def png16(folder: Path, pixels: np.ndarray, filters: int) -> Path:
    """A 16-bit color PNG with one filter type on all lines, written by hand."""
    height, width, channels = pixels.shape
    raw = pixels.astype(">u2").tobytes()
    step, size = 2 * channels, width * 2 * channels
    lines, above = b"", bytes(size)
    for row in range(height):
        line = raw[row * size : (row + 1) * size]
        left = bytes(step) + line[:-step]
        corner = bytes(step) + above[:-step]
        guesses = {
            0: bytes(size), 1: left, 2: above,
            3: bytes((a + b) // 2 for a, b in zip(left, above, strict=True)),
            4: bytes(_paeth(a, b, c) for a, b, c in zip(left, above, corner, strict=True)),
        }  # fmt: skip
        coded = bytes((v - g) & 255 for v, g in zip(line, guesses[filters], strict=True))
        lines += bytes([filters]) + coded
        above = line

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6, 2: 4}[channels], 0, 0, 0)
    path = folder / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )
    return path


def _paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


DEEP = np.random.default_rng(9).integers(0, 65536, (5, 7, 4), dtype=np.uint16)


def read_often(folder: Path) -> Any:
    """A 16-bit picture of gray and transparency: a conversion by swscale gives other pixels one time in a hundred."""
    path = png16(folder, DEEP[..., :2].copy(), 3)
    for _ in range(500):
        np.testing.assert_array_equal(read_png16(path), DEEP[..., 0])
    return open_scan(path)


def cut_deep(folder: Path, share: float) -> Any:
    path = png16(folder, DEEP[..., :3].copy(), 4)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return open_scan(path)


def deep_rotated(folder: Path) -> Any:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    path = png16(folder, DEEP[..., :3].copy(), 4)
    raw = path.read_bytes()
    path.write_bytes(raw[:33] + chunk + raw[33:])
    return open_scan(path)


def deep(filters: int) -> Row:
    pixels = np.random.default_rng(filters).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    return Row(
        f"37-16-bit-color-filter-{filters}",
        lambda folder: open_scan(png16(folder, pixels, filters)),
        check=lambda scan: np.testing.assert_array_equal(scan.pixels(0), pixels),
    )


def animation(folder: Path, **options: Any) -> Any:
    frames = [Image.fromarray(np.roll(GRAY, n, axis=1)) for n in range(4)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    return open_scan(folder / "a.gif", **options)


def rotated(folder: Path, **options: Any) -> Any:
    exif = Image.Exif()
    exif[0x0112] = 6
    return open_scan(saved(folder, Image.fromarray(RGB), "a.jpg", exif=exif), **options)


def tiff_stack(folder: Path, **options: Any) -> Any:
    import tifffile

    tifffile.imwrite(folder / "a.tif", np.stack([GRAY] * 5), photometric="minisblack", metadata=None)
    return open_scan(folder / "a.tif", **options)


def damaged(folder: Path, share: float, name: str) -> Any:
    path = saved(folder, Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)), name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return open_scan(path)


def canvas(folder: Path, side: int) -> Any:
    """A GIF of one stored pixel on a canvas of ``side`` pixels each way."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"
    (folder / "a.gif").write_bytes(head + b"\x21\xf9\x04\0\1\0\0\0" + frame)
    return open_scan(folder / "a.gif")


def growing(folder: Path) -> Any:
    """An animation whose second picture lies far outside its canvas."""
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    data = bytearray((folder / "a.gif").read_bytes())
    at = data.rfind(b"\x2c" + bytes(4))  # where the second picture says its place and size
    data[at + 1 : at + 5] = struct.pack("<HH", 50000, 50000)
    (folder / "a.gif").write_bytes(data)
    return open_scan(folder / "a.gif", pages="video")


def claiming_jpeg(folder: Path, side: int) -> Any:
    path = saved(folder, Image.fromarray(RGB), "a.jpg")
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    path.write_bytes(data)
    return open_scan(path)


def archive(folder: Path, members: dict[str, bytes]) -> Any:
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return open_scan(folder / "a.npz")


def renamed(folder: Path) -> Any:
    return open_scan(saved(folder, Image.fromarray(RGB), "a.jpg").rename(folder / "b.png"))


def is_size(width: int, height: int) -> Any:
    def check(scan: Any) -> None:
        assert (scan.width, scan.height) == (width, height)

    return check


def is_kind(kind: ScanKind, frames: int) -> Any:
    def check(scan: Any) -> None:
        assert (scan.kind, len(scan)) == (kind, frames)

    return check


def pixels_are(expected: np.ndarray) -> Any:
    return lambda scan: np.testing.assert_array_equal(scan.pixels(0), expected)


ROWS = [
    Row(
        "37-16-bit-gray",
        lambda f: open_scan(saved(f, Image.fromarray(GRAY.astype(np.uint16) * 257), "a.png")),
        check=pixels_are(GRAY.astype(np.uint16) * 257),
    ),
    *(deep(n) for n in range(5)),
    Row("37-16-bit-color-alpha", lambda f: open_scan(png16(f, DEEP, 4)), notice="W-ALPHA-DROPPED", check=pixels_are(DEEP[..., :3])),
    Row("37-16-bit-gray-alpha", lambda f: open_scan(png16(f, DEEP[..., :2], 3)), notice="W-ALPHA-DROPPED", check=pixels_are(DEEP[..., 0])),
    Row("37-16-bit-gray-alpha-often", read_often, notice="W-ALPHA-DROPPED"),
    Row("37-16-bit-color-cut", lambda f: cut_deep(f, 0.6), error="E-PICTURE-DAMAGED"),
    Row("41-exif-16-bit", deep_rotated, notice="W-EXIF-ROTATED", check=pixels_are(np.rot90(DEEP[..., :3], -1))),
    Row(
        "38-palette",
        lambda f: open_scan(saved(f, Image.fromarray(RGB).quantize(16), "a.png")),
        check=lambda s: np.testing.assert_array_equal(s.pixels(0), np.asarray(Image.fromarray(RGB).quantize(16).convert("RGB"))),
    ),
    Row(
        "38-one-bit",
        lambda f: open_scan(saved(f, Image.fromarray(GRAY > 99), "a.png")),
        check=pixels_are((GRAY > 99).astype(np.uint8) * 255),
    ),
    Row(
        "39-alpha",
        lambda f: open_scan(saved(f, Image.fromarray(np.dstack([RGB, GRAY])), "a.png")),
        notice="W-ALPHA-DROPPED",
        check=pixels_are(RGB),
    ),
    Row(
        "39-gray-alpha",
        lambda f: open_scan(saved(f, Image.fromarray(np.dstack([GRAY, GRAY]), "LA"), "a.png")),
        notice="W-ALPHA-DROPPED",
        check=pixels_are(GRAY),
    ),
    Row(
        "40-cmyk",
        lambda f: open_scan(saved(f, Image.fromarray(RGB).convert("CMYK"), "a.jpg")),
        notice="W-CMYK",
        check=is_size(40, 30),
    ),
    Row("41-exif", rotated, notice="W-EXIF-ROTATED", check=is_size(30, 40)),
    Row("41-exif-as-stored", lambda f: rotated(f, stored_orientation=True), check=is_size(40, 30)),
    Row("42-gif", animation, error="E-PAGES", says=("4 pictures", "--pages video")),
    Row("42-gif-video", lambda f: animation(f, pages="video"), check=is_kind(ScanKind.VIDEO, 4)),
    Row("42-gif-page", lambda f: animation(f, index=2), check=is_kind(ScanKind.IMAGE, 1)),
    Row("42-gif-no-such-page", lambda f: animation(f, index=9), error="E-PAGE-RANGE"),
    Row("42-tiff-pages", tiff_stack, error="E-PAGES", says=("5 pages",)),
    Row("42-tiff-stack", lambda f: tiff_stack(f, pages="stack"), check=is_kind(ScanKind.VOLUME, 5)),
    Row("42-tiff-video", lambda f: tiff_stack(f, pages="video"), check=is_kind(ScanKind.VIDEO, 5)),
    Row("43-tiny", lambda f: open_scan(saved(f, Image.fromarray(GRAY[:1]), "a.png")), error="E-PICTURE-TINY"),
    Row("43-empty-file", lambda f: [(f / "a.png").touch(), open_scan(f / "a.png")], error="E-FILE-EMPTY"),
    Row("43-cut-png", lambda f: damaged(f, 0.5, "a.png"), error="E-PICTURE-DAMAGED", says=("a.png",)),
    Row("43-cut-jpeg", lambda f: damaged(f, 0.5, "a.jpg"), error="E-PICTURE-DAMAGED"),
    Row("43-missing", lambda f: open_scan(f / "none.png"), error="E-FILE-MISSING", says=("none.png",)),
    Row("43-unknown", lambda f: [(f / "a.xyz").write_text("hello, world"), open_scan(f / "a.xyz")], error="E-FORMAT-UNKNOWN"),
    Row("43-empty-folder", lambda f: open_scan(f), error="E-FOLDER-EMPTY"),
    Row(
        "44-too-many-pixels",
        lambda f: open_scan(saved(f, Image.fromarray(GRAY), "a.png"), max_pixels=1000),
        error="E-PICTURE-LARGE",
        says=("--max-pixels",),
    ),
    Row("44-empty-canvas", lambda f: canvas(f, 14000), error="E-PICTURE-DAMAGED", says=("14000 x 14000",)),
    Row("44-growing-canvas", lambda f: growing(f).pixels(1), error="E-PICTURE-DAMAGED", says=("Picture 1",)),
    Row("44-jpeg-claims", lambda f: claiming_jpeg(f, 13000), error="E-PICTURE-DAMAGED", says=("13000 x 13000",)),
    Row("45-name-lies", renamed, notice="W-NAME-MISLEADS", says=("JPEG",), check=is_size(40, 30)),
    Row("46-zip-slip", lambda f: archive(f, {"../../evil.npy": b"x"}), error="E-NPZ-MEMBERS"),
    Row("46-absolute", lambda f: archive(f, {"/etc/evil.npy": b"x"}), error="E-NPZ-MEMBERS"),
    Row("46-not-arrays", lambda f: archive(f, {"readme.txt": b"x"}), error="E-NPZ-MEMBERS"),
    Row("46-damaged-array", lambda f: archive(f, {"imgs.npy": b"x" * 99}), error="E-NPZ-DAMAGED"),
]  # fmt: skip
