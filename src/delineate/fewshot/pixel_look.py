"""What a structure looks like pixel by pixel: filters at several scales, and a classifier learned on the supports.

Pixel classification as in ilastik (Berg et al., Nature Methods 2019), with a kernel machine of random Fourier features
(Rahimi and Recht, NeurIPS 2007) in place of the forest. It knows no place and no shape: for cells, fibers, tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.fewshot.descriptors import gray_and_color
from delineate.fewshot.feature_map import Array
from delineate.preprocess.crop import resize

SIDE = 256  # pixels along the longer side of frames as they are classified
BLURS, EDGES, RIDGES = (0.7, 1.5, 3.0, 6.0, 12.0), (1.0, 2.0, 4.0), (1.5, 3.0)  # pixels
BASIS = 192  # random Fourier features
REACH = 4.0  # length scale of the kernel, in standard deviations of a filter
SAMPLES = 4000  # pixels of a support that are learned from
DAMPING = 1e-3  # of the ridge regression, as a share of the mean variance
PARTS = 4
LEVELS = np.linspace(0.02, 0.98, 33)  # quantiles by which distributions of gray values are compared
FAR, NEARER = 0.3, 0.7  # a mean difference of gray values, and the share of it that a negative has to stay below
CUTS = np.linspace(0.2, 0.8, 13)


@dataclass(frozen=True, eq=False)
class PixelLook:
    """A classifier of pixels.

    channels  of gray and color that all supports have
    mean, scale  (F,) of each filter over the supports
    weights   (BASIS + 1,) of the linear machine
    cut       value from which on a pixel belongs to the structure: of the best Dice on the supports
    gray      the same by gray values alone, for frames without color; None where it is that
    """

    channels: int
    mean: Array
    scale: Array
    weights: NDArray[np.float64]
    cut: float
    gray: PixelLook | None = None

    @classmethod
    def of(cls, shown: Sequence[tuple[Frame, NDArray[np.bool_]]], color: bool = True) -> PixelLook:
        """Learned from labeled frames; without ``color`` from their gray values alone."""
        pictures = [gray_and_color(frame) for frame, _ in shown]
        channels = min(len(one) for one in pictures) if color else 1
        rows, labels = [], []
        random = np.random.default_rng(0)
        for picture, (_, mask) in zip(pictures, shown, strict=True):
            values = filtered(picture[:channels])
            inside = resize(mask.astype(np.float32), (values.shape[2], values.shape[1])).ravel()
            chosen = random.permutation(inside.size)[: max(SAMPLES // len(shown), 500)]
            rows.append(values.reshape(len(values), -1)[:, chosen])
            labels.append(inside[chosen])
        gray = cls.of(shown, color=False) if channels > 1 else None
        samples, label = np.concatenate(rows, axis=1), np.concatenate(labels)
        mean, scale = samples.mean(axis=1), samples.std(axis=1) + 1e-6
        basis = _basis((samples - mean[:, None]) / scale[:, None]).astype(np.float64)
        gram = basis @ basis.T / basis.shape[1]
        gram += DAMPING * np.trace(gram) / len(gram) * np.eye(len(gram))
        weights = np.linalg.solve(gram, basis @ label / basis.shape[1])
        said = weights @ basis
        truth = label > 0.5
        dice = [2 * (truth & (said > cut)).sum() / max(truth.sum() + (said > cut).sum(), 1) for cut in CUTS]
        return cls(channels, mean, scale, weights, float(CUTS[int(np.argmax(dice))]), gray)

    def probability(self, frame: Frame) -> Array:
        """(height, width): 0.5 where the value is ``cut``."""
        picture = gray_and_color(frame)
        if self.gray is not None and len(picture) < self.channels:
            return self.gray.probability(frame)
        values = filtered(picture[: self.channels])
        shape = values.shape[1:]
        flat = (values.reshape(len(values), -1) - self.mean[:, None]) / self.scale[:, None]
        said = (self.weights.astype(np.float32) @ _basis(flat)).reshape(shape)
        height, width = frame.size
        soft = 1 / (1 + np.exp(-8 * (said - self.cut)))
        return resize(soft.astype(np.float32), (width, height))


def is_scattered(mask: NDArray[np.bool_]) -> bool:
    """Whether a structure is many parts, such as cells: more than PARTS, as far as their areas say."""
    parts, count = ndimage.label(mask)
    if count <= PARTS:
        return False
    shares = np.bincount(parts.ravel())[1:] / mask.sum()
    return bool(1 / (shares**2).sum() > PARTS)


def as_shown(frame: Frame, shown: Sequence[Frame]) -> Frame:
    """A frame, or its gray negative where that is much more like the frames that show a structure.

    Cells are bright on dark in fluorescence and dark on bright in a stain.
    """
    gray = gray_and_color(frame)[0]
    own = np.quantile(gray, LEVELS)
    others = np.mean([np.quantile(gray_and_color(one)[0], LEVELS) for one in shown], axis=0)
    straight, negative = np.abs(own - others).mean(), np.abs(1 - own[::-1] - others).mean()
    if straight < FAR or negative > NEARER * straight:
        return frame
    return Frame.of(np.rint(255 * (1 - gray)).astype(np.uint8))


def filtered(channels: Sequence[Array]) -> Array:
    """Filters (F, h, w) of a picture's gray value and its colors, its longer side SIDE pixels at most."""
    height, width = channels[0].shape
    shrink = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    gray, *colors = (resize(one, size) for one in channels)
    maps = [ndimage.gaussian_filter(gray, sigma) for sigma in BLURS]
    maps += [sigma * ndimage.gaussian_gradient_magnitude(gray, sigma) for sigma in EDGES]
    maps += [sigma**2 * ndimage.gaussian_laplace(gray, sigma) for sigma in EDGES]
    for sigma in RIDGES:
        xx, yy, xy = (sigma**2 * ndimage.gaussian_filter(gray, sigma, order) for order in ((0, 2), (2, 0), (1, 1)))
        root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
        maps += [(xx + yy) / 2 + root, (xx + yy) / 2 - root]
    maps += [np.sqrt(np.maximum(ndimage.gaussian_filter(gray**2, 3.0) - maps[2] ** 2, 0))]
    maps += [ndimage.gaussian_filter(one, sigma) for one in colors for sigma in (1.5, 4.0)]
    return np.stack(maps).astype(np.float32)


def _basis(values: Array) -> Array:
    """(F, N) -> (BASIS + 1, N), the last a constant."""
    directions, phases = _random(len(values))
    waves = np.cos(directions @ values + phases[:, None]) * np.float32(np.sqrt(2 / BASIS))
    return np.concatenate([waves, np.ones((1, values.shape[1]), np.float32)])


@lru_cache(maxsize=8)
def _random(filters: int) -> tuple[Array, Array]:
    random = np.random.default_rng(filters)
    directions = random.normal(0, 1 / REACH, (BASIS, filters))
    return directions.astype(np.float32), random.uniform(0, 2 * np.pi, BASIS).astype(np.float32)
