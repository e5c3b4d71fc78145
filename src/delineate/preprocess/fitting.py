"""Frames resized as each published system resizes them, and the way back for prompts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float32]


class Fit(StrEnum):
    LONGEST_SIDE = "longest side"  # keeps the aspect, padded right and below
    SQUARE = "square"  # ignores the aspect
    CENTER = "center"  # smaller frames are padded all around, others squared


class Coordinates(StrEnum):
    """How places on the frame become places in the input; the systems' own arithmetic, to the last bit."""

    INNER = "times the size the frame has in the input over its own"  # SAM, SAM-Med2D
    SIDE = "times the side of the input over the longest side of the frame"  # LiteMedSAM
    NORMALIZED = "divided by the size of the frame, times the side of the input"  # MedSAM
    NORMALIZED_FLOAT32 = "divided by the size of the frame, times the side of the input, in single precision"  # SAM 2


class Filter(StrEnum):
    """How pixels are resampled, and on what."""

    BILINEAR_8BIT = "bilinear, antialiased, on 8-bit pictures"
    BICUBIC_8BIT = "bicubic, antialiased, on 8-bit pictures"
    BILINEAR = "bilinear, antialiased"
    CUBIC_SPLINE_8BIT = "cubic spline after Gaussian smoothing, fractions of grays cut off"
    AREA_8BIT = "mean over the covered area, rounded to whole grays"
    NEAREST = "nearest"


@dataclass(frozen=True)
class Fitted:
    """Where a frame of ``height`` x ``width`` lies in a network's square input.

    inner  (height, width) it has there
    top, left  where it begins
    coordinates  how places on the frame are taken there
    """

    height: int
    width: int
    inner: tuple[int, int]
    side: int
    top: int = 0
    left: int = 0
    coordinates: Coordinates = Coordinates.INNER

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels for each frame pixel, along x and y."""
        return self.inner[1] / self.width, self.inner[0] / self.height

    def points(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Frame places (N, 2), x and y, in pixels of the input."""
        places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        size = np.array([self.width, self.height], np.float64)
        match self.coordinates:
            case Coordinates.INNER:
                placed = places * self.scale + (self.left, self.top)
            case Coordinates.SIDE:
                placed = places * (self.side / max(self.height, self.width))
            case Coordinates.NORMALIZED:
                placed = places / size * self.side
            case Coordinates.NORMALIZED_FLOAT32:
                single = np.divide(places, size, dtype=np.float32, casting="same_kind")
                return np.multiply(single, np.float32(self.side), dtype=np.float32)
        return placed.astype(np.float32)

    def corners(self, box: tuple[float, float, float, float]) -> NDArray[np.float32]:
        """The upper left and lower right corner (2, 2) of a box on the frame, in pixels of the input."""
        return self.points(np.asarray(box).reshape(2, 2))


def fitted(height: int, width: int, side: int, fit: Fit, coordinates: Coordinates = Coordinates.INNER) -> Fitted:
    """How a frame is fitted into a square of ``side`` pixels."""
    inner, top, left = (side, side), 0, 0
    if fit is Fit.CENTER and height < side and width < side:
        inner, top, left = (height, width), (side - height) // 2, (side - width) // 2
    elif fit is Fit.LONGEST_SIDE:
        scale = side / max(height, width)
        inner = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))  # thin ones keep a line
    return Fitted(height, width, inner, side, top, left, coordinates)


def resampled(picture: NDArray[Any], size: tuple[int, int], kind: Filter) -> Array:
    """A picture (height, width, channels), 0 to 255, at ``size`` (height, width)."""
    height, width = size
    if picture.shape[:2] == size and kind is not Filter.CUBIC_SPLINE_8BIT:
        return picture.astype(np.float32)
    match kind:
        case Filter.BILINEAR_8BIT | Filter.BICUBIC_8BIT:
            how = Image.Resampling.BILINEAR if kind is Filter.BILINEAR_8BIT else Image.Resampling.BICUBIC
            return np.asarray(Image.fromarray(picture).resize((width, height), how), np.float32)
        case Filter.BILINEAR:
            channels = [
                Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).resize(
                    (width, height), Image.Resampling.BILINEAR
                )
                for c in range(picture.shape[2])
            ]
            return np.stack([np.asarray(c) for c in channels], axis=2)
        case Filter.CUBIC_SPLINE_8BIT:
            return _spline(picture, size)
        case Filter.AREA_8BIT:
            return _area_means(picture, size)
        case Filter.NEAREST:
            rows, columns = _nearest(picture.shape[0], height), _nearest(picture.shape[1], width)
            return picture[rows][:, columns].astype(np.float32)


def _nearest(pixels: int, size: int) -> NDArray[np.intp]:
    """The old pixel for each new one, rounded as OpenCV does."""
    return np.minimum(np.floor(np.arange(size) * (1 / (size / pixels))), pixels - 1).astype(np.intp)


def _spline(picture: NDArray[Any], size: tuple[int, int]) -> Array:
    """Order 3, smoothed where it shrinks, within the range of the picture: scikit-image's ``resize`` to whole grays."""
    values = picture.astype(np.float64)
    factors = (picture.shape[0] / size[0], picture.shape[1] / size[1])
    smoothing = [max(0.0, (f - 1) / 2) for f in factors] + [0.0]
    if any(smoothing):
        values = ndimage.gaussian_filter(values, smoothing, mode="mirror")
    zoom = (1 / factors[0], 1 / factors[1], 1.0)
    out = ndimage.zoom(values, zoom, order=3, mode="mirror", cval=0, grid_mode=True)
    return np.floor(np.clip(out, picture.min(), picture.max())).astype(np.float32)


def _area_means(picture: NDArray[Any], size: tuple[int, int]) -> Array:
    """Whole grays as OpenCV's area mode gives them: halves are rounded up where each side is halved, else to even.

    Where it enlarges, OpenCV computes in fixed point: one gray in twenty is then another by one.
    """
    means = _means_along(_means_along(picture.astype(np.float32), 1, size[1]), 0, size[0])
    halved = picture.shape[:2] == (2 * size[0], 2 * size[1])
    return np.floor(means + np.float32(0.5)) if halved else np.rint(means)


def _means_along(values: Array, axis: int, size: int) -> Array:
    """Means over what each of ``size`` new pixels covers along an axis, summed in their order in float32."""
    pixels = values.shape[axis]
    shares = _overlaps(pixels, size)
    first, most = np.argmax(shares > 0, axis=1), int((shares > 0).sum(axis=1).max())
    means = np.zeros((*values.shape[:axis], size, *values.shape[axis + 1 :]), np.float32)
    for n in range(most):
        at = np.minimum(first + n, pixels - 1)
        share = np.where(first + n < pixels, shares[np.arange(size), at], np.float32(0))
        means += np.take(values, at, axis) * share.reshape(-1, *(1,) * (values.ndim - axis - 1))
    return means


def _overlaps(pixels: int, size: int) -> Array:
    """(size, pixels): the share of each new pixel that an old one covers."""
    edges = np.linspace(0, pixels, size + 1)
    low, high = edges[:-1, None], edges[1:, None]
    places = np.arange(pixels)[None]
    covered = np.clip(np.minimum(high, places + 1) - np.maximum(low, places), 0, None)
    return (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)
