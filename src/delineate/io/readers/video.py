"""Video files, frame-accurate: indexed by presentation order, upright as shown, a few frames in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_picture
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.readers.video_index import FrameIndex, frames_of, index_of
from delineate.io.readers.video_picture import as_shown, notices_of

AGAIN = "Copy or download it again."
GO_ON = f"{AGAIN} To go on without the frame: --skip-damaged."
CACHE = 4  # frames kept as they are shown
BLOCK_BYTES = 1 << 28  # of decoded frames kept, as the decoder gives them, where a video is read backwards


class VideoFrames(HeldFile):
    """Frames of one video stream by number, whatever order and spacing they are stored in.

    Reading forwards decodes each frame once. Reading elsewhere decodes from the keyframe before; what is decoded on the
    way there is kept, as far as BLOCK_BYTES reach, so that reading backwards decodes each group of pictures once too.
    """

    def __init__(self, path: Path, index: FrameIndex, aspect: float = 1.0) -> None:
        super().__init__(path)
        self._index, self._aspect = index, aspect
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._block: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._running: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._container: Any = None
        self._next = 0
        first = self.read(0)
        self.shape = (len(index.times), *first.shape)
        self.dtype = first.dtype

    def _read(self, index: int) -> NDArray[Any]:
        """Frame ``index`` as shown: (height, width, 3) uint8, or gray (height, width)."""
        if index not in self._cache:
            frame = self._block.get(index)
            pixels = as_shown(frame or self._decoded(index), self._aspect)
            if hasattr(self, "shape") and pixels.shape != self.shape[1:]:
                raise InputError(
                    "E-FRAMES-MIXED",
                    f"Frame {index} of {self._path.name} has the shape {pixels.shape}, the first {self.shape[1:]}.",
                    "Cut the video where its size changes.",
                )
            self._keep(index, pixels)
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

    def _seek(self, index: int, from_start: bool = False) -> None:
        self._stop()
        self._container = av.open(str(self._path))
        if index > 0 and not self._index.counted and not from_start:
            key = self._index.keys[self._index.keyframe(index)]
            self._container.seek(key, stream=self._container.streams.video[0], backward=True)
        self._running = self._numbered(frames_of(self._container))
        self._next = 0

    def _numbered(self, frames: Iterator[Any]) -> Iterator[tuple[int, av.VideoFrame]]:
        if self._index.counted:
            yield from enumerate(frames)
            return
        for frame in frames:
            if (number := self._index.number(frame.pts)) is not None:
                yield number, frame

    def _decoded(self, index: int) -> av.VideoFrame:
        """A frame that is not among those kept: decoded from where the stream stands, or from a keyframe."""
        self._block.clear()
        backwards = self._running is not None and index < self._next
        jump = not self._index.counted and self._index.keyframe(index) > self._index.keyframe(self._next)
        if self._running is None or backwards or jump:
            self._seek(index)
        for from_start in (False, True):  # a jump may land behind what it was to lead to
            if from_start:
                self._seek(index, from_start)
            frame = self._next_frame(index, backwards)
            if frame is not None:
                return frame
        self._stop()
        raise InputError("E-VIDEO-DAMAGED", f"Frame {index} of {self._path.name} is damaged or missing.", GO_ON)

    def _next_frame(self, index: int, backwards: bool) -> av.VideoFrame | None:
        """Frame ``index``, decoding on; None where it does not come."""
        assert self._running is not None
        try:
            for number, frame in self._running:
                if number == index:
                    self._next = index + 1
                    return frame
                if number > index:
                    break
                if backwards:
                    self._remember(number, frame)
        except FFmpegError as error:
            self._stop()
            raise InputError(
                "E-VIDEO-DAMAGED",
                f"Frame {index} of {self._path.name} cannot be decoded: {error}.",
                GO_ON,
            ) from None
        return None

    def _remember(self, number: int, frame: av.VideoFrame) -> None:
        """Keep a frame passed on the way to a later one, and let those go that are farthest from it."""
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
    if options.pages is Pages.STACK:
        raise InputError("E-PAGES-VIDEO", f"{path.name} is a video: its frames are no slices.", "Leave --pages out.")
    try:
        container = av.open(str(path))
    except FFmpegError as error:
        if "invalid data" in str(error).lower():
            raise _unfinished(path) from None
        raise InputError("E-VIDEO-DAMAGED", f"{path.name} is not a usable video: {error}.", AGAIN) from None
    with container:
        if not container.streams.video and not container.streams.audio:
            raise _unfinished(path)
        if not container.streams.video:
            raise InputError(
                "E-VIDEO-NO-PICTURE", f"{path.name} holds sound but no picture.", "Check that it is the right file."
            )
        stream = container.streams.video[0]
        if not stream.codec_context or not stream.width or not stream.height:
            raise InputError(
                "E-VIDEO-DAMAGED", f"{path.name} does not say how large its frames are, or how packed.", AGAIN
            )
        aspect = _aspect(stream)
        check_picture(path, round(stream.width * max(1.0, aspect)), stream.height, 3, options)
        packed = f"{stream.codec_context.codec.canonical_name}, {stream.pix_fmt or 'unknown pixels'}"
        base, streams = float(stream.time_base or 1), len(container.streams.video)
    index = index_of(path, options)
    frames = VideoFrames(path, index, aspect)
    unit = 1.0 if index.counted else base
    times = tuple((time - index.times[0]) * unit for time in index.times)
    notices = (*index.notices, *_picture_notices(path, aspect, streams))
    kind = guess(frames.read(0), path)
    return Scan.from_frames(frames, modality=kind, times=times, notices=notices, compression=packed)


def _aspect(stream: Any) -> float:
    """How many times as wide as high a pixel is; what cannot be is taken for square."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.1 <= aspect <= 10 else 1.0


def _picture_notices(path: Path, aspect: float, streams: int) -> tuple[Any, ...]:
    with av.open(str(path)) as container:
        frame = next(frames_of(container), None)
        return () if frame is None else notices_of(container.streams.video[0], frame, aspect, streams)


def _unfinished(path: Path) -> InputError:
    return InputError(
        "E-VIDEO-UNFINISHED",
        f"{path.name} is an unfinished recording: its table of frames is missing.",
        "Copy it again, or repair it with the recorder's own tool.",
    )
