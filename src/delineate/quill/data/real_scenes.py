"""Real training scenes: openly licensed, labeled items of a data manifest that are marked for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.scan import ScanKind
from delineate.data.cases import Case, Use, load_cases, refuse_outside
from delineate.data.confined import DataFolder
from delineate.preprocess.intensity import eight_bit
from delineate.quill.data.scene import Scene
from delineate.quill.data.synthetic.noise import SIDE, slow_field
from delineate.training.left_out import leave_out

Gray = NDArray[np.uint8]
MOST_INSTANCES = 8
JUMPS = 0.2  # share of moved copies that are far off
LARGEST = 320  # pixels along a side of a whole picture that is used at once


@dataclass(frozen=True, eq=False)
class RealSource:
    """One labeled picture (H, W, 3) or volume (i, j, k), uint8, with integer labels of the same size."""

    dataset: str
    pixels: Gray
    labels: NDArray[np.uint16]

    @property
    def is_volume(self) -> bool:
        return self.pixels.shape == self.labels.shape

    def scene(self, rng: np.random.Generator, frames: int = 1) -> Scene | None:
        """A random part of it, turned, mirrored and recolored at random; None where no structure is in it."""
        shown, labels = self._slices(rng, frames) if self.is_volume else self._parts(rng, frames)
        values = [int(v) for v in np.unique(labels[0]) if v]
        rng.shuffle(values)
        meanings = [[v] for v in values[:MOST_INSTANCES]]
        if self.is_volume and len(values) > 1:
            meanings.append(values)  # the parts together are a structure too
        masks = [np.stack([np.isin(one, members) for one in labels]) for members in meanings]
        masks = [m for m in masks if m[0].sum() > 25]
        if not masks:
            return None
        return Scene(_recolored(rng, np.stack(shown).astype(np.float32) / 255), np.stack(masks), self.dataset)

    def _slices(self, rng: np.random.Generator, frames: int) -> tuple[list[Gray], list[NDArray[np.uint16]]]:
        """Neighboring slices along a random axis, enlarged where they are small."""
        axis = int(rng.integers(3))
        labeled = np.flatnonzero(self.labels.any(axis=tuple(a for a in range(3) if a != axis)))
        middle, pace = int(rng.choice(labeled)), int(rng.choice([-2, -1, 1, 2]))
        numbers = [int(np.clip(middle + pace * t, 0, self.pixels.shape[axis] - 1)) for t in range(frames)]
        turns, mirrored, factor = int(rng.integers(4)), rng.random() < 0.5, int(rng.integers(2, 5))
        longest = max(n for a, n in enumerate(self.pixels.shape) if a != axis)
        step, factor = -(-longest // LARGEST), max(1, min(factor, LARGEST // longest))
        shown: list[Gray] = []
        labels: list[NDArray[np.uint16]] = []
        for number in numbers:
            gray = _turned(np.take(self.pixels, number, axis)[::step, ::step], turns, mirrored)
            label = _turned(np.take(self.labels, number, axis)[::step, ::step], turns, mirrored)
            size = (gray.shape[1] * factor, gray.shape[0] * factor)
            shown.append(np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC)))
            labels.append(_enlarged(label, size))
        return [np.repeat(one[..., None], 3, axis=2) for one in shown], labels

    def _parts(self, rng: np.random.Generator, frames: int) -> tuple[list[Gray], list[NDArray[np.uint16]]]:
        """A part of the picture (or all of it, smaller); later frames are softly moved copies."""
        height, width = self.labels.shape
        if rng.random() < 0.4:
            step = -(-max(height, width) // LARGEST)
            part, labels = self.pixels[::step, ::step], self.labels[::step, ::step]
        else:
            side = int(rng.uniform(96, LARGEST))
            y, x = (int(rng.integers(0, max(1, n - side))) for n in (height, width))
            part, labels = self.pixels[y : y + side, x : x + side], self.labels[y : y + side, x : x + side]
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        part, labels = _turned(part, turns, mirrored), _turned(labels, turns, mirrored)
        shown, all_labels = [part], [labels]
        for _ in range(1, frames):
            rows, columns = _motion(rng, labels.shape)
            moved = part[rows, columns] * rng.uniform(0.9, 1.1) + rng.normal(0, 3, part.shape)
            shown.append(np.clip(moved, 0, 255).astype(np.uint8))
            all_labels.append(labels[rows, columns])
        return shown, all_labels


def training_cases(home: DataFolder) -> list[Case]:
    """The labeled items of a folder's manifest.json that are marked ``train``."""
    return load_cases(home.root, uses=(Use.TRAIN,), follow_links=home.follow_links)


def real_sources(home: DataFolder) -> list[RealSource]:
    """Scans and labels of ``training_cases``; nothing else is opened, and what cannot be read is left out.

    Raises OutsideError for one that leads outside the folder.
    """
    sources, cases = [], training_cases(home)
    refuse_outside(cases)
    for case in cases:
        try:
            sources += _sources_of(case)
        except Exception as error:
            leave_out(case, error)
    return sources


def _sources_of(case: Case) -> list[RealSource]:
    opened = case.open()
    scan = opened.scan
    if scan.kind is ScanKind.VOLUME:
        voxels = scan.voxels().astype(np.float32)
        low, high = np.percentile(voxels, (0.5, 99.5))
        gray = (np.clip((voxels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
        return [RealSource(case.dataset, gray, _numbers(opened.label_volume))]
    return [
        RealSource(case.dataset, eight_bit(scan.frame(frame)), _numbers(opened.labels_on(n)))
        for n, frame in enumerate(opened.frames)
    ]


def _numbers(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """Structures by number; what is below 0 is none."""
    return labels.clip(0).astype(np.uint16)


def real_textures(rng: np.random.Generator, sources: list[RealSource], count: int = 48) -> list[NDArray[np.float32]]:
    """Pieces of real scans as fields (SIDE, SIDE) of zero mean and unit variance, to texture synthetic structures."""
    names = sorted({s.dataset for s in sources})
    fields: list[NDArray[np.float32]] = []
    while len(fields) < count and names:
        own = [s for s in sources if s.dataset == names[len(fields) % len(names)]]
        source = own[rng.integers(len(own))]
        gray = source.pixels[:, :, source.pixels.shape[2] // 2] if source.is_volume else source.pixels.mean(axis=2)
        side = int(min(gray.shape) * rng.uniform(0.35, 1.0))
        y, x = (int(rng.integers(0, n - side + 1)) for n in gray.shape)
        piece = Image.fromarray(np.asarray(gray[y : y + side, x : x + side], np.float32))
        field = np.asarray(piece.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        fields.append(np.clip((field - field.mean()) / max(float(field.std()), 1.0), -3, 3).astype(np.float32))
    return fields


def random_real_scene(rng: np.random.Generator, sources: list[RealSource], frames: int = 1) -> Scene:
    """A scene of a random data set (so that small sets count), then of a random item of it."""
    names = sorted({s.dataset for s in sources})
    sizes = np.array([sum(s.dataset == n for s in sources) for n in names]) ** 0.5
    while True:
        name = names[rng.choice(len(names), p=sizes / sizes.sum())]
        own = [s for s in sources if s.dataset == name]
        scene = own[rng.integers(len(own))].scene(rng, frames)
        if scene is not None:
            return scene


def _enlarged(label: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Labels at another size (width, height), without the steps of the pixels they had."""
    values = np.unique(label)
    shares = [np.asarray(Image.fromarray((label == v).astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
              for v in values]  # fmt: skip
    return values[np.argmax(shares, axis=0)]


def _turned(array: NDArray, turns: int, mirrored: bool) -> NDArray:
    return np.ascontiguousarray(np.rot90(array[::-1] if mirrored else array, turns))


def _motion(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each pixel of a moved copy comes from."""
    height, width = shape
    least = min(shape)
    size, shift = rng.uniform(0, 0.03) * least, rng.normal(0, 0.1 if rng.random() < JUMPS else 0.025, 2) * least

    def moved(axis: int) -> NDArray[np.intp]:
        soft = Image.fromarray(np.ascontiguousarray(slow_field(rng, min(SIDE, max(shape))))).resize((width, height))
        place = np.mgrid[:height, :width][axis] + size * np.asarray(soft) + shift[axis]
        return np.clip(np.rint(place), 0, shape[axis] - 1).astype(np.intp)

    return moved(0), moved(1)


def _recolored(rng: np.random.Generator, frames: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gamma, and sometimes the negative, other colors or none."""
    if rng.random() < 0.25:
        frames = 1 - frames
    frames = frames ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.25:
        frames = frames[..., rng.permutation(3)]
    if rng.random() < 0.25:
        frames = np.repeat(frames.mean(axis=-1, keepdims=True), 3, axis=-1)
    return frames.astype(np.float32)
