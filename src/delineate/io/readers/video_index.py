"""Which frames a video shows, and how each is reached: by the times of its packets where those hold, else by count."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from delineate.core.errors import InputError, Notice
from delineate.core.terminal_text import counted
from delineate.io.options import ReadOptions

CHECKED = 48  # frames from the start whose times are compared with the table
UNTIMED = ("mpeg",)  # program streams: not every frame has a time, so that a jump may lead anywhere
FARTHEST_CHECK = 300  # frames decoded to compare what is found behind a keyframe with what plainly comes there


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a stream in the order they are shown.

    times     presentation times in units of the stream; of frames reached by count, their seconds
    keys      times of keyframes; () where frames are reached by decoding from the start alone
    """

    times: tuple[float, ...]
    keys: tuple[int, ...]
    notices: tuple[Notice, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether times lead to no frame, and frames are counted from the start."""
        return not self.keys

    def keyframe(self, number: int) -> int:
        """Number of the keyframe in ``keys`` a decoder has to start from."""
        return max(0, bisect_right(self.keys, self.times[min(number, len(self.times) - 1)]) - 1)

    def number(self, time: int | None) -> int | None:
        """Of the frame with a presentation time; None where the table holds none."""
        if time is None:
            return None
        at = bisect_right(self.times, time) - 1
        return at if at >= 0 and self.times[at] == time else None


def index_of(path: Path, options: ReadOptions) -> FrameIndex:
    """Raises InputError for a stream without frames, and for more frames than allowed."""
    times, keys, packets = _table(path, options)
    if not packets:
        raise InputError("E-VIDEO-EMPTY", f"{path.name} holds no frames.", "Copy or download it again.")
    if not _agrees(path, times, keys, packets):
        return _counted(path, options)
    whole = _decodable(path, times, keys)
    if whole == 0:  # no jump to a keyframe leads anywhere
        return _counted(path, options)
    notices = (_cut(whole, len(times)),) if whole < len(times) else ()
    return FrameIndex(tuple(times[:whole]), tuple(keys), notices)


def _too_many(path: Path, options: ReadOptions) -> InputError:
    return InputError(
        "E-FRAMES-LARGE",
        f"{path.name} holds more than {options.max_frames} frames.",
        "If all of them are meant, raise the limit with --max-frames.",
    )


def _cut(whole: int, promised: int) -> Notice:
    return Notice("W-VIDEO-CUT", f"The video is cut short: {whole} of {promised} frames can be shown.")


def _table(path: Path, options: ReadOptions) -> tuple[list[int], list[int], int]:
    """Presentation times of all packets that will be shown, and of keyframes; and how many packets there are."""
    times: set[int] = set()
    keys: set[int] = set()
    packets = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                packets += 1
                if packets > options.max_frames:
                    raise _too_many(path, options)
                if packet.pts is None:
                    continue
                times.add(int(packet.pts))
                if packet.is_keyframe:
                    keys.add(int(packet.pts))
    except FFmpegError:
        pass  # cut short: what is there is counted
    return sorted(times), sorted(keys), packets


def frames_of(container: Any, threads: int = 2) -> Iterator[Any]:
    """The decoded frames of the first video stream, from where the container stands."""
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return iter(container.decode(stream))


def _agrees(path: Path, times: list[int], keys: list[int], packets: int) -> bool:
    """Whether the decoder shows the frames the table tells of: from the start, and behind a keyframe."""
    if len(times) != packets or not keys or keys[0] != times[0]:
        return False
    with av.open(str(path)) as container:
        if container.format.name in UNTIMED:
            return False
    shown = list[Any]()
    second = bisect_right(times, keys[1]) if len(keys) > 1 else 0
    wanted = max(CHECKED, second + 1 if second <= FARTHEST_CHECK else 0)
    try:
        with av.open(str(path)) as container:
            for frame in frames_of(container):
                shown.append(frame.pts)
                at_key = second and frame.pts == keys[1]
                plain = frame.to_ndarray() if at_key else None
                if plain is not None and not _same_behind_keyframe(path, keys[1], plain):
                    return False
                if len(shown) >= wanted:
                    break
    except FFmpegError:
        pass  # cut short; whatever was shown must agree
    except ValueError:  # a format that is no array
        return shown == times[: len(shown)]
    return shown == times[: len(shown)]


def _same_behind_keyframe(path: Path, key: int, plain: Any) -> bool:
    """Whether a jump to a keyframe shows the same picture as decoding up to it: flags of keyframes may lie."""
    try:
        with av.open(str(path)) as container:
            container.seek(key, stream=container.streams.video[0], backward=True)
            for frame in frames_of(container):
                if frame.pts is not None and frame.pts >= key:
                    return bool(frame.pts == key and np.array_equal(frame.to_ndarray(), plain))
    except FFmpegError:
        return True  # damaged there: found when it is read
    return False


def _counted(path: Path, options: ReadOptions) -> FrameIndex:
    """All frames, counted by decoding them once."""
    stamps: list[int | None] = []
    cut = False
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base, rate = float(stream.time_base or 1), float(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in frames_of(container):
                stamps.append(frame.pts)
                if len(stamps) > options.max_frames:
                    raise _too_many(path, options)
        except FFmpegError:
            cut = True
    if not stamps:
        raise InputError("E-VIDEO-DAMAGED", f"No frame of {path.name} can be decoded.", "Copy or download it again.")
    known = [stamp for stamp in stamps if stamp is not None]
    ordered = len(known) == len(stamps) and all(a < b for a, b in pairwise(known))
    seconds = [(stamp - known[0]) * base for stamp in known] if ordered else [n / rate for n in range(len(stamps))]
    notices = [Notice("W-VIDEO-COUNTED", "The file's times lead to no frames: they are counted from the start.")]
    if cut:
        notices.append(Notice("W-VIDEO-CUT", f"The video is damaged after {counted(len(stamps), 'frame')}."))
    return FrameIndex(tuple(seconds), (), tuple(notices))


def _decodable(path: Path, times: list[int], keys: list[int]) -> int:
    """How many frames can be shown, found by decoding from the last keyframe on."""
    for key in reversed(keys):
        last = None
        try:
            with av.open(str(path)) as container:
                container.seek(key, stream=container.streams.video[0], backward=True)
                for frame in frames_of(container):
                    last = frame.pts if last is None or (frame.pts or 0) > last else last
        except FFmpegError:
            pass
        if last is not None and last >= key:
            return bisect_right(times, last)
    return 0
