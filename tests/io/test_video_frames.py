"""Videos: frame n is the n-th a player shows, from any container, however reached; what is changed is reported."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.core.scan import Scan, ScanKind
from delineate.io.opening import open_scan
from delineate.io.readers import video_index

BITS = 6


def numbered(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A picture that says its number in bright and dark blocks."""
    width, height = size
    picture = np.full((height, width, 3), 90, np.uint8)
    for bit in range(BITS):
        picture[8:24, 16 * bit : 16 * bit + 16] = 235 if number >> bit & 1 else 20
    return picture


def number_of(picture: np.ndarray) -> int:
    return sum(1 << bit for bit in range(BITS) if picture[12:20, 16 * bit + 4 : 16 * bit + 12].mean() > 128)


def clip(path: Path, codec: str = "libx264", form: str | None = None, count: int = 40, **options: str) -> Path:
    with av.open(str(path), "w", format=form) as film:
        stream = film.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 64, "yuv420p", 2_000_000
        stream.options = options
        if codec.startswith("mpeg"):
            stream.codec_context.max_b_frames = 2
        for number in range(count):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        film.mux(stream.encode())
    return path


def codes(scan: Scan) -> list[str]:
    return [notice.code for notice in scan.notices]


CONTAINERS = {
    "b-frames.avi": ("libx264", None, {}),
    "mpeg4.avi": ("mpeg4", None, {}),
    "mpeg2.avi": ("mpeg2video", None, {}),
    "a.ts": ("libx264", None, {}),
    "short-groups.ts": ("libx264", None, {"g": "6", "bf": "2"}),
    "a.mpg": ("mpeg2video", None, {}),
    "a.h264": ("libx264", "h264", {}),
    "a.wmv": ("wmv2", "asf", {}),
    "a.flv": ("libx264", "flv", {}),
    "a.mkv": ("libx264", None, {"bf": "3", "g": "12"}),
    "a.mp4": ("libx264", None, {"bf": "3", "g": "12"}),
    "a.mov": ("mpeg4", None, {}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_frame_n_is_the_nth_shown_however_it_is_reached(tmp_path: Path, name: str) -> None:
    codec, form, options = CONTAINERS[name]
    scan = open_scan(clip(tmp_path / name, codec, form, **options))
    assert scan.kind is ScanKind.VIDEO and len(scan) == 40
    at_random = np.random.default_rng(0).integers(0, 40, 15)
    for number in (*range(0, 40, 3), *reversed(range(25, 40)), *at_random):
        assert number_of(scan.pixels(int(number))) == number
    assert scan.times is not None and np.diff(scan.times) == pytest.approx(0.04, abs=2e-3)


def test_keyframe_flags_that_lie_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mkv", g="250", bf="0")
    plain = video_index._table

    def lying(*about: Any) -> Any:
        times, _, packets = plain(*about)
        return times, [times[0], times[10], times[20]], packets

    monkeypatch.setattr(video_index, "_table", lying)
    scan = open_scan(path)
    assert [number_of(scan.pixels(n)) for n in (35, 12, 10, 30, 0)] == [35, 12, 10, 30, 0]


UPRIGHT = np.zeros((64, 96, 3), np.uint8)
UPRIGHT[:32, :48], UPRIGHT[:32, 48:], UPRIGHT[32:, :48] = 240, 160, 80  # a quarter each: four shades


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(UPRIGHT, format="rgb24")))
        film.mux(stream.encode())
    raw = bytearray(path.read_bytes())
    at = raw.find(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    raw[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(raw)
    return path


MATRICES = {  # x' = a x + c y, y' = b x + d y, y down
    "upright": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "half turn": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "quarter right": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "quarter left": ((0, -1, 1, 0), lambda p: np.rot90(p)),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed about the other diagonal": ((0, -1, -1, 0), lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_whole_display_matrix_is_applied(tmp_path: Path, name: str) -> None:
    matrix, shown = MATRICES[name]
    scan = open_scan(with_matrix(tmp_path / "a.mp4", matrix))
    expected = shown(UPRIGHT).astype(int)
    assert scan.pixels(1).shape == expected.shape
    inner = (slice(8, -8, 12), slice(8, -8, 12))
    assert np.abs(scan.pixels(1)[inner].astype(int) - expected[inner]).max() < 12
    assert ("W-VIDEO-TURNED" in codes(scan)) == (name != "upright")


@pytest.mark.parametrize(("pixels", "values"), [("gray16le", 3000), ("gray", 250)])
def test_grays_keep_their_bits(tmp_path: Path, pixels: str, values: int) -> None:
    ramp = np.linspace(0, 5000 if "16" in pixels else 255, 48 * 64).reshape(48, 64)
    ramp = ramp.astype(np.uint16 if "16" in pixels else np.uint8)
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format=pixels)))
        film.mux(stream.encode())
    scan = open_scan(tmp_path / "a.mkv")
    np.testing.assert_array_equal(scan.pixels(2), ramp)
    assert len(np.unique(scan.pixels(0))) > values


def test_colors_cut_to_eight_bits_are_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        for n in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(n), format="rgb24")))
        film.mux(stream.encode())
    assert codes(open_scan(tmp_path / "a.mkv")) == ["W-DEPTH-CUT"]


def test_a_second_stream_of_pictures_is_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        streams = []
        for _ in range(2):
            stream = film.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            streams.append(stream)
        for n in range(3):
            for stream in streams:
                film.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(n), format="rgb24")))
        for stream in streams:
            film.mux(stream.encode())
    scan = open_scan(tmp_path / "a.mkv")
    assert "W-VIDEO-STREAMS" in codes(scan) and len(scan) == 3


def test_a_video_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_scan(clip(tmp_path / "a.mp4", count=3), pages="stack")
    assert caught.value.code == "E-PAGES-VIDEO"


def test_a_frame_damaged_late_is_named_and_those_before_it_are_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "a.avi"), "w") as film:
        stream = film.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        for picture in noise:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    data = bytearray((tmp_path / "a.avi").read_bytes())
    within = len(data) * 19 // 40  # of frame 9
    data[within : within + 2000] = bytes(2000)
    (tmp_path / "a.avi").write_bytes(data)
    scan = open_scan(tmp_path / "a.avi")
    damaged = []
    for n in range(len(scan)):
        try:
            np.testing.assert_array_equal(scan.pixels(n), noise[n])
        except InputError as error:
            assert f"Frame {n} " in str(error) and error.code == "E-VIDEO-DAMAGED"
            damaged.append(n)
    assert damaged == [9] or (len(scan) == 9 and "W-VIDEO-CUT" in codes(scan))
