"""Rows 47 to 52: video files and folders of frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from bad_inputs.table import Row
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan


def gray_of(number: int) -> int:
    return 10 + number % 30 * 8


def clip(
    folder: Path, count: int = 30, name: str = "a.mp4", size: tuple[int, int] = (64, 48), codec: str = "libx264",
    pixels: str = "yuv420p", times: list[int] | None = None, aspect: Fraction | None = None, **options: str,
) -> Path:  # fmt: skip
    """A clip whose frame n is gray all over, a little brighter each time."""
    with av.open(str(folder / name), "w") as film:
        stream = film.add_stream(codec, rate=100 if times else 25)
        stream.width, stream.height = size
        stream.pix_fmt, stream.bit_rate = pixels, 4_000_000
        stream.options = options
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), gray_of(n), np.uint8), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[n], Fraction(1, 100)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return folder / name


def cut(folder: Path, share: float, name: str) -> Any:
    path = clip(folder, 60, name, bf="0", g="5")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return open_scan(path)


def sound_only(folder: Path) -> Any:
    with av.open(str(folder / "a.mp4"), "w") as film:
        stream = film.add_stream("aac", rate=44100)
        for _ in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return open_scan(folder / "a.mp4")


def pictures(folder: Path, names: list[str], sizes: list[tuple[int, int]] | None = None) -> Path:
    for n, name in enumerate(names):
        height, width = (sizes or [(12, 16)] * len(names))[n]
        Image.fromarray(np.full((height, width), gray_of(n), np.uint8)).save(folder / name)
    return folder


def in_order(count: int) -> Any:
    """All frames are there, each where it belongs, read forwards, backwards and at random."""

    def check(scan: Any) -> None:
        assert (scan.kind, len(scan)) == (ScanKind.VIDEO, count)
        order = [*range(count), *reversed(range(count)), *np.random.default_rng(0).integers(0, count, 25)]
        for n in order:
            assert abs(float(scan.pixels(int(n)).mean()) - gray_of(int(n))) < 3.5

    return check


def times_are(expected: list[float]) -> Any:
    return lambda scan: np.testing.assert_allclose(scan.times, expected, atol=1e-3)


def size_is(width: int, height: int) -> Any:
    def check(scan: Any) -> None:
        assert (scan.width, scan.height) == (width, height) and scan.dtype == np.uint8

    return check


UNEVEN = [0, 4, 9, 30, 31, 60, 100, 140]

ROWS = [
    Row("47-unfinished", lambda f: cut(f, 0.7, "a.mp4"), error="E-VIDEO-UNFINISHED", says=("unfinished recording",)),
    Row("47-cut-but-readable", lambda f: cut(f, 0.6, "a.mkv"), check=lambda s: np.testing.assert_array_less([5, len(s)], [len(s), 60])),
    Row("48-b-frames", lambda f: open_scan(clip(f, bf="3", g="12")), check=in_order(30)),
    Row("48-one-keyframe", lambda f: open_scan(clip(f, bf="2", g="250")), check=in_order(30)),
    Row("48-variable-rate", lambda f: open_scan(clip(f, 8, "a.mkv", times=UNEVEN)), check=times_are([t / 100 for t in UNEVEN])),
    Row("48-avi", lambda f: open_scan(clip(f, 20, "a.avi", codec="mpeg4")), check=in_order(20)),
    Row("49-wide-pixels", lambda f: open_scan(clip(f, 5, aspect=Fraction(2, 1))), check=size_is(128, 48)),
    Row("50-ten-bits", lambda f: open_scan(clip(f, 5, pixels="yuv420p10le")), check=in_order(5)),
    Row("50-odd-size", lambda f: open_scan(clip(f, 5, size=(63, 47), pixels="yuv444p")), check=size_is(63, 47)),
    Row("51-sound-only", sound_only, error="E-VIDEO-NO-PICTURE"),
    Row("51-no-bytes", lambda f: [(f / "a.mp4").touch(), open_scan(f / "a.mp4")], error="E-FILE-EMPTY"),
    Row("52-natural-order", lambda f: open_scan(pictures(f, ["f1.png", "f2.png", "f3.png"])), check=in_order(3)),
    Row("52-ten-after-nine", lambda f: open_scan(pictures(f, [f"f{n}.png" for n in range(12)])), check=in_order(12)),
    Row("52-gap", lambda f: open_scan(pictures(f, ["f1.png", "f2.png", "f4.png"])), notice="W-FRAMES-GAP", check=in_order(3)),
    Row("52-mixed-sizes", lambda f: open_scan(pictures(f, ["a1.png", "a2.png"], [(12, 16), (16, 12)])), error="E-FRAMES-MIXED", says=("16 x 12", "12 x 16")),
    Row("52-other-files", lambda f: open_scan([pictures(f, ["a1.png", "a2.png"]), (f / "n.txt").write_text("x")][0]), notice="W-FRAMES-SKIPPED"),
]  # fmt: skip
