"""Video files, frame-accurate: indexed by presentation order, upright as shown, a few frames in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.scan import Scan
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_picture
from delineate.io.options import ReadOptions
from delineate.io.readers.modality import guess

CACHE = 4  # frames kept as they are shown
BLOCK_BYTES = 1 << 28  # of decoded frames kept, as the decoder gives them, where a video is read backwards


class VideoFrames(HeldFile):
    """Frames of one video stream by number, whatever order and spacing they are stored in.

    Reading forwards decodes each frame once. Reading elsewhere decodes from the keyframe before; what is decoded on the
    way there is kept, as far as BLOCK_BYTES reach, so that reading backwards decodes each group of pictures once too.
    """

    def __init__(self, path: Path, pts: list[int], keys: list[int], aspect: float = 1.0) -> None:
        super().__init__(path)
        self._pts, self._keys, self._aspect = pts, keys, aspect
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._block: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._running: Iterator[av.VideoFrame] | None = None
        self._container: Any = None
        self._next = 0
        first = self.read(0)
        self.shape = (len(pts), *first.shape)
        self.dtype = first.dtype

    def _read(self, index: int) -> NDArray[Any]:
        """Frame ``index`` as shown: (height, width, 3) or (height, width) uint8."""
        if index not in self._cache:
            frame = self._block.get(index)
            self._keep(index, _as_shown(frame or self._decoded(index), self._aspect))
        self._cache.move_to_end(index)
        return self._cache[index]

    def _release(self) -> None:
        self._stop()
        self._cache.clear()
        self._block.clear()

    def _stop(self) -> None:
        """Let go of the file until the next frame is decoded."""
        if self._container is not None:
            self._container.close()
        self._container = self._running = None

    def _keyframe(self, index: int) -> int:
        """Number of the keyframe a decoder has to start from."""
        at = bisect_right(self._keys, self._pts[min(index, len(self._pts) - 1)]) - 1
        return max(0, at)

    def _seek(self, index: int) -> None:
        self._stop()
        self._container = av.open(str(self._path))
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        if index > 0:
            self._container.seek(self._keys[self._keyframe(index)], stream=stream, backward=True)
        self._running = self._container.decode(stream)
        self._next = -1

    def _decoded(self, index: int) -> av.VideoFrame:
        """A frame that is not among those kept: decoded from where the stream stands, or from a keyframe."""
        self._block.clear()
        backwards = self._running is not None and index < self._next
        if self._running is None or backwards or self._keyframe(index) > self._keyframe(self._next):
            self._seek(index)
        wanted = self._pts[index]
        assert self._running is not None
        try:
            for frame in self._running:
                if frame.pts is not None and frame.pts >= wanted:
                    self._next = index + 1
                    return frame
                if backwards and frame.pts is not None:
                    self._remember(frame)
        except FFmpegError as error:
            raise InputError(
                "E-VIDEO-DAMAGED",
                f"Frame {index} of {self._path.name} cannot be decoded: {error}.",
                "Copy or download it again.",
            ) from None
        raise InputError(
            "E-VIDEO-DAMAGED", f"{self._path.name} ends before frame {index}.", "Copy or download it again."
        )

    def _remember(self, frame: av.VideoFrame) -> None:
        """Keep a frame passed on the way to a later one, and let those go that are farthest from it."""
        number = bisect_left(self._pts, frame.pts)
        if number < len(self._pts) and self._pts[number] == frame.pts:
            self._block[number] = frame
            room = BLOCK_BYTES // max(1, sum(plane.buffer_size for plane in frame.planes))
            while len(self._block) > max(1, room):
                self._block.popitem(last=False)

    def _keep(self, index: int, pixels: NDArray[Any]) -> None:
        self._cache[index] = pixels
        while len(self._cache) > CACHE:
            self._cache.popitem(last=False)


def read(path: Path, options: ReadOptions) -> Scan:
    """A video file's first video stream.

    Raises InputError for files without a picture, unfinished recordings and clips longer than allowed.
    """
    try:
        container = av.open(str(path))
    except FFmpegError as error:
        if "invalid data" in str(error).lower():
            raise _unfinished(path) from None
        raise InputError(
            "E-VIDEO-DAMAGED", f"{path.name} is not a usable video: {error}.", "Copy or download it again."
        ) from None
    with container:
        if not container.streams.video and not container.streams.audio:
            raise _unfinished(path)
        if not container.streams.video:
            raise InputError(
                "E-VIDEO-NO-PICTURE", f"{path.name} holds sound but no picture.", "Check that it is the right file."
            )
        stream = container.streams.video[0]
        check_picture(path, stream.width, stream.height, 3, options)
        pts, keys, notices = _frame_table(path, container, stream, options)
        base = float(stream.time_base or 1)
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    frames = VideoFrames(path, pts, keys, aspect)
    times = tuple((p - pts[0]) * base for p in pts)
    about: dict[str, Any] = {"modality": guess(frames.read(0), path), "times": times, "notices": tuple(notices)}
    return Scan.from_frames(frames, **about)


def _unfinished(path: Path) -> InputError:
    return InputError(
        "E-VIDEO-UNFINISHED",
        f"{path.name} is an unfinished recording: its table of frames is missing.",
        "Copy it again, or repair it with the recorder's own tool.",
    )


def _frame_table(
    path: Path, container: Any, stream: Any, options: ReadOptions
) -> tuple[list[int], list[int], list[Notice]]:
    """Presentation times of all frames that will be shown, and of keyframes, without decoding them all."""
    pts: list[int] = []
    keys: list[int] = []
    discarded = 0
    try:
        for packet in container.demux(stream):
            if packet.pts is None or packet.size == 0:
                continue
            if packet.is_discard:
                discarded += 1
                continue
            pts.append(int(packet.pts))
            if packet.is_keyframe:
                keys.append(int(packet.pts))
            if len(pts) > options.max_frames:
                raise InputError(
                    "E-FRAMES-LARGE",
                    f"{path.name} holds more than {options.max_frames} frames.",
                    "If all of them are meant, raise the limit with --max-frames.",
                )
    except FFmpegError:
        pass  # cut short: what is there is counted below
    pts, keys = sorted(set(pts)), sorted(set(keys))
    if not pts:
        raise InputError("E-VIDEO-EMPTY", f"{path.name} holds no frames.", "Copy or download it again.")
    keys = keys or pts[:1]
    notices = []
    whole = _decodable(path, pts, keys)
    if whole < len(pts):
        if whole == 0:
            raise InputError(
                "E-VIDEO-DAMAGED", f"No frame of {path.name} can be decoded.", "Copy or download it again."
            )
        notices.append(Notice("W-VIDEO-CUT", f"The video is cut short: {whole} of {len(pts)} frames can be shown."))
        pts = pts[:whole]
    if getattr(stream.codec_context, "field_order", None) in ("tt", "bb", "tb", "bt", 2, 3, 4, 5):
        notices.append(Notice("W-VIDEO-INTERLACED", "The video is interlaced: edges of moving things look combed."))
    return pts, keys, notices


def _decodable(path: Path, pts: list[int], keys: list[int]) -> int:
    """How many frames can be shown, found by decoding from the last keyframe on."""
    for key in reversed(keys):
        last = None
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                container.seek(key, stream=stream, backward=True)
                for frame in container.decode(stream):
                    last = frame.pts if last is None or (frame.pts or 0) > last else last
        except FFmpegError:
            pass
        if last is not None and last >= key:
            return bisect_right(pts, last)
    return 0


def _as_shown(frame: Any, aspect: float) -> NDArray[Any]:
    """Turned upright, square pixels, 8 bits."""
    grey = frame.format.name.startswith("gray")
    width, height = frame.width, frame.height
    if abs(aspect - 1) > 0.01:
        width = round(width * aspect)
    pixels = frame.reformat(width=width, height=height, format="gray" if grey else "rgb24").to_ndarray()
    turn = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turn)) if turn else pixels
