"""When a structure counts as found: what its own supports say of themselves and of frames without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.fewshot.matcher import Match, Matcher
from delineate.fewshot.pixel_look import is_scattered

ALONE = 0.7  # where a structure is seen on one scan alone; on made-up pairs, ``tools/presence.py``
SHARE = 0.5  # of the way from what is seen without the structure to what is seen with it on other supports
LEAST, MOST = 0.5, 0.75


@dataclass(frozen=True)
class Threshold:
    """Of one structure.

    similarity  from which on it counts as found
    present     mean similarity where it is, on supports of other scans; None where there are none
    absent      mean similarity on the supports with the structure painted over, likewise
    """

    similarity: float
    present: float | None = None
    absent: float | None = None


def calibrated(matcher: Matcher, scans: Sequence[int] | None = None) -> dict[str, Threshold]:
    """The threshold of each structure, from the supports alone: each is compared with those of other scans.

    What is seen on one scan alone has a threshold that was found on other pictures: a scan is too much like itself.

    scans  which scan each support is a frame of; default: each of its own
    """
    scans = range(len(matcher.supports)) if scans is None else scans
    found: dict[tuple[int, tuple[int, ...]], dict[str, Match]] = {}
    limits = {}
    for name in matcher.names:
        showing = [n for n, support in enumerate(matcher.supports) if name in support.masks]
        if len({scans[n] for n in showing}) == 1:
            limits[name] = Threshold(ALONE)
            continue
        present, absent = [], []
        for n in showing:
            support, mask = matcher.supports[n], matcher.supports[n].masks[name]
            others = tuple(m for m in showing if scans[m] != scans[n])
            if (n, others) not in found:
                found[n, others] = matcher.match(support.frame, others)
            present.append(found[n, others][name].similarity)
            told = not is_scattered(mask)  # painted over, it would be elsewhere
            absent.append(matcher.match(painted_over(support.frame, mask), others)[name].similarity if told else 0.0)
        limits[name] = _between(present, absent)
    return limits


def _between(present: Sequence[float], absent: Sequence[float]) -> Threshold:
    high, low = float(np.mean(present)), float(np.mean(absent))
    return Threshold(float(np.clip(low + SHARE * (high - low), LEAST, MOST)), high, low)


def painted_over(frame: Frame, mask: NDArray[np.bool_]) -> Frame:
    """A frame without a structure: in its place a part of the frame that does not show it, its edges blended."""
    pixels = np.nan_to_num(frame.pixels.astype(np.float32))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    best: tuple[float, tuple[int, int]] = (np.inf, (height // 2, width // 2))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    for down, across in ((-tall, 0), (tall, 0), (0, -wide), (0, wide), (-tall, -wide), (tall, wide)):
        covered = float((mask & np.roll(mask, (down, across), (0, 1))).sum())
        inside = rows[0] - down >= 0 and rows[-1] - down < height and columns[0] - across >= 0
        inside = inside and columns[-1] - across < width
        cost = covered + (0 if inside else mask.sum())
        best = min(best, (cost, (int(down), int(across))))
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(mask, iterations=2).astype(np.float32), 2)
    soft = soft if pixels.ndim == 2 else soft[..., None]
    return _like(frame, pixels * (1 - soft) + np.roll(pixels, best[1], (0, 1)) * soft)


def _like(frame: Frame, pixels: NDArray[np.float32]) -> Frame:
    """A picture is windowed on its own as others are, a slice or frame as its whole scan is."""
    kind = frame.pixels.dtype
    whole = (np.rint(pixels) if kind.kind in "iu" else pixels).astype(kind)
    if frame.intensities.source.shape[0] > 1:
        return frame.with_pixels(whole)
    return replace(Frame.of(whole), modality=frame.modality, window=frame.window)
