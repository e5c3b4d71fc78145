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

SHARE = 0.5  # of the way from what is seen without the structure to what is seen with it on other supports
SHARE_OF_ONE = 0.3  # the same where it is seen on one scan alone: another patient is less alike
LEAST, MOST = 0.3, 0.5
TURN, GROWTH, GAMMA, NOISE = 8.0, 1.12, 0.8, 0.03  # degrees, factor, exponent, share of the range


@dataclass(frozen=True)
class Threshold:
    """Of one structure.

    similarity  from which on it counts as found
    present     mean similarity where it is: on other supports, or on a changed copy of the only one
    absent      mean similarity on the supports with the structure painted over
    """

    similarity: float
    present: float
    absent: float


def calibrated(matcher: Matcher, scans: Sequence[int] | None = None) -> dict[str, Threshold]:
    """The threshold of each structure, from the supports alone.

    A support is compared with those of other scans that show the structure; where there are none, with the other slices
    of its own, or as a changed copy with itself.

    scans  which scan each support is a frame of; default: each of its own
    """
    scans = range(len(matcher.supports)) if scans is None else scans
    found: dict[tuple[int, tuple[int, ...]], dict[str, Match]] = {}
    limits = {}
    for name in matcher.names:
        showing = [n for n, support in enumerate(matcher.supports) if name in support.masks]
        present, absent = [], []
        for n in showing:
            support = matcher.supports[n]
            elsewhere = tuple(m for m in showing if scans[m] != scans[n])
            others = elsewhere or tuple(m for m in showing if m != n) or (n,)
            if (n, others) not in found:
                seen = changed(support.frame) if others == (n,) else support.frame
                found[n, others] = matcher.match(seen, others)
            present.append(found[n, others][name].similarity)
            mask = support.masks[name]
            told = not is_scattered(mask)  # painted over, it would be elsewhere
            absent.append(matcher.match(painted_over(support.frame, mask), others)[name].similarity if told else 0.0)
        several = len({scans[n] for n in showing}) > 1
        limits[name] = _between(present, absent, SHARE if several else SHARE_OF_ONE)
    return limits


def _between(present: Sequence[float], absent: Sequence[float], share: float) -> Threshold:
    high, low = float(np.mean(present)), float(np.mean(absent))
    return Threshold(float(np.clip(low + share * (high - low), LEAST, MOST)), high, low)


def changed(frame: Frame) -> Frame:
    """A frame turned, enlarged, brightened and with noise: another picture of the same."""
    pixels = np.nan_to_num(frame.pixels.astype(np.float32))
    size = np.array(pixels.shape[:2], float)
    turn = np.deg2rad(TURN)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / GROWTH
    offset = size / 2 - matrix @ (size / 2)

    def moved(channel: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.affine_transform(channel, matrix, offset, order=1, mode="nearest"))

    channels = [moved(pixels)] if pixels.ndim == 2 else [moved(pixels[..., c]) for c in range(pixels.shape[2])]
    low, high = float(pixels.min()), float(pixels.max())
    spread = max(high - low, 1e-6)
    noise = np.random.default_rng(0).normal(0, NOISE, pixels.shape[:2])
    shares = [np.clip((c - low) / spread, 0, 1) for c in channels]
    out = [low + spread * np.clip(share**GAMMA + noise, 0, 1) for share in shares]
    return _like(frame, np.stack(out, axis=2) if pixels.ndim == 3 else out[0])


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
