"""A video read backwards: the same frames, each group of pictures decoded once, a bounded block kept."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.io.opening import open_scan
from delineate.io.readers import video
from delineate.io.readers.video import VideoFrames


def clip(path: Path, frames: int, group: int, width: int = 160, height: int = 96, codec: str = "libx264") -> Path:
    """A moving bar on noise, with B-frames, and a keyframe every ``group`` frames."""
    back = np.random.default_rng(0).integers(60, 90, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = group
        for n in range(frames):
            pixels = back.copy()
            pixels[:, 2 * n % width : 2 * n % width + 12] = 200
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    return path


@pytest.mark.parametrize("group", [5, 12, 60])
@pytest.mark.parametrize("kept", [1, 23_040 * 4, 1 << 28], ids=["one", "some", "all"])
def test_frames_are_the_same_in_either_direction(
    group: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "BLOCK_BYTES", kept)
    path = clip(tmp_path / "a.mp4", 60, group)
    forwards, scan = [frame.copy() for frame in map(open_scan(path).pixels, range(60))], open_scan(path)
    for n in (*range(59, -1, -1), 30, 7, 8, 59, 3, 2, 45, 44):
        assert np.array_equal(scan.pixels(n), forwards[n]), n


@pytest.mark.parametrize("group", [12, 60])
def test_a_group_of_pictures_is_decoded_once_backwards(
    group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = open_scan(clip(tmp_path / "a.mp4", 60, group))
    seeks: list[int] = []
    plain = VideoFrames._seek
    monkeypatch.setattr(VideoFrames, "_seek", lambda self, index: (seeks.append(index), plain(self, index))[1])
    for n in range(59, -1, -1):
        scan.pixels(n)
    assert len(seeks) <= 60 // group + 1


def test_what_is_kept_is_bounded_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "BLOCK_BYTES", 10 * 160 * 96 * 2)
    scan = open_scan(clip(tmp_path / "a.mp4", 60, 60))
    assert isinstance(scan.source, VideoFrames)
    sizes = []
    for n in range(59, -1, -1):
        scan.pixels(n)
        sizes.append(sum(plane.buffer_size for frame in scan.source._block.values() for plane in frame.planes))
    assert 0 < max(sizes) <= 10 * 160 * 96 * 2


def test_frames_that_are_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_scan(clip(tmp_path / "a.mp4", 2, 2), max_pixels=160 * 96 - 1)
    assert caught.value.code == "E-PICTURE-LARGE"
