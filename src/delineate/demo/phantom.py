"""A CT-like abdomen and an ultrasound-like clip that belong to nobody, with their true outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Modality, ModalityName, Scan
from delineate.core.segmentation import Segmentation

Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A scan and what is in it."""

    scan: Scan
    truth: Segmentation


def phantom_volume(seed: int = 0) -> Phantom:
    """An abdomen of 160 x 128 x 32 voxels at 2.2 x 2.2 x 5 mm in Hounsfield units.

    Objects: liver, lesion, left kidney, right kidney, spleen, aorta. Axes run to L, P, S as scanners write them.
    """
    rng = np.random.default_rng(seed)
    body = _Abdomen(rng, (160, 128, 32), (2.2, 2.2, 5.0))
    voxels, masks = body.paint()
    affine = np.diag([-2.2, -2.2, 5.0, 1.0])
    affine[:3, 3] = (2.2 * 79.5, 2.2 * 63.5, -80.0)
    reason = "made by delineate in Hounsfield units"
    scan = Scan.from_volume(voxels, Grid(voxels.shape, affine), 2, modality=Modality(ModalityName.CT, reason))
    truth = Segmentation.empty(scan)
    for name, mask in masks.items():
        frames = {k: Rle.encode(mask[:, :, k].T) for k in range(voxels.shape[2]) if mask[:, :, k].any()}
        truth = truth.adding(name).with_masks(name, frames)
    return Phantom(scan, truth)


class _Abdomen:
    """Organs as distorted ellipsoids, painted one over the other."""

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]
    ) -> None:
        self.rng, self.shape = rng, shape
        axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
        self.x, self.y, self.z = np.meshgrid(*axes, indexing="ij")  # mm from the middle: to the left, back, up
        bends = [ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), (14, 14, 5)) for _ in range(2)]
        self.bx, self.by = (bend / bend.std() for bend in bends)

    def ellipsoid(
        self, at: tuple[float, float, float], size: tuple[float, float, float], turn: float = 0.0, bend: float = 3.0
    ) -> NDArray[np.bool_]:
        """Millimeters; ``turn`` about the body axis in degrees, ``bend`` the size of the distortion."""
        cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        dx, dy = self.x + bend * self.bx - at[0], self.y + bend * self.by - at[1]
        u, v, w = (dx * cos + dy * sin) / size[0], (-dx * sin + dy * cos) / size[1], (self.z - at[2]) / size[2]
        return u * u + v * v + w * w < 1

    def texture(self, grain: float, size: float) -> Field:
        noise = ndimage.gaussian_filter(self.rng.standard_normal(self.shape).astype(np.float32), (grain, grain, 0.6))
        return np.asarray(size * noise / noise.std(), np.float32)

    def paint(self) -> tuple[NDArray[np.int16], dict[str, NDArray[np.bool_]]]:
        long = 400.0  # beyond both ends of the scan
        skin = self.ellipsoid((0, 0, 0), (160, 118, long), bend=2)
        wall = self.ellipsoid((0, 2, 0), (142, 100, long), bend=2)
        inner = self.ellipsoid((0, -4, 0), (130, 86, long), bend=3)
        hu = np.full(self.shape, -1000, np.float32)
        hu[skin] = -100 + self.texture(1.5, 8)[skin]
        hu[wall & ~inner] = 50 + self.texture(1, 10)[wall & ~inner]
        hu[inner] = -95 + self.texture(2, 12)[inner]
        self._bowel(hu, inner)
        self._bones(hu, wall)
        return self._organs(hu, inner)

    def _bowel(self, hu: Field, inner: NDArray[np.bool_]) -> None:
        for _ in range(16):
            at = (self.rng.uniform(-60, 95), self.rng.uniform(-75, 5), self.rng.uniform(-80, 20))
            size = (self.rng.uniform(12, 20), self.rng.uniform(12, 20), self.rng.uniform(15, 40))
            loop = self.ellipsoid(at, size, self.rng.uniform(0, 180), 5) & inner
            lumen = ndimage.binary_erosion(loop, iterations=2, border_value=1)
            hu[loop] = 45 + self.texture(1, 8)[loop]
            gas = lumen & (self.y < at[1])
            hu[lumen] = 20
            if self.rng.random() < 0.5:
                hu[gas] = -850

    def _bones(self, hu: Field, wall: NDArray[np.bool_]) -> None:
        disc = 0.5 + 0.5 * np.cos(self.z / 32 * 2 * np.pi)  # vertebrae and the discs between them
        spine = self.ellipsoid((0, 62, 0), (24, 19, 400), bend=1)
        canal = self.ellipsoid((0, 84, 0), (10, 8, 400), bend=1)
        arch = self.ellipsoid((0, 86, 0), (22, 15, 400), bend=1)
        hu[arch] = 350 + self.texture(1, 60)[arch]
        hu[spine] = (80 + 190 * (disc > 0.12) + self.texture(1.2, 40))[spine]
        rim = spine & ~ndimage.binary_erosion(spine, border_value=1)
        hu[rim & (disc > 0.12)] = 520
        hu[canal] = 25
        angle = np.arctan2(self.y, self.x)
        ring = ndimage.binary_dilation(wall, iterations=1) & ~ndimage.binary_erosion(wall, iterations=4, border_value=1)
        ribs = ring & (np.sin(angle * 3 + self.z / 9) > 0.82) & (self.z > -40)
        hu[ribs] = 420 + self.texture(1, 80)[ribs]

    def _organs(self, hu: Field, inner: NDArray[np.bool_]) -> tuple[NDArray[np.int16], dict[str, NDArray[np.bool_]]]:
        masks = {
            "liver": (
                self.ellipsoid((-62, -14, 30), (66, 62, 72), 25, 5) | self.ellipsoid((-12, -42, 42), (48, 26, 36), 0, 4)
            ) & inner,
            "spleen": self.ellipsoid((92, 32, 34), (24, 42, 44), -20, 4) & inner,
            "right kidney": self.ellipsoid((-58, 52, -28), (25, 30, 50), 20, 3) & inner,
            "left kidney": self.ellipsoid((60, 52, -16), (25, 30, 50), -20, 3) & inner,
            "aorta": self.ellipsoid((10, 34, 0), (11, 11, 400), 0, 2),
        }  # fmt: skip
        masks["liver"] &= ~masks["right kidney"]
        masks["spleen"] &= ~masks["left kidney"]
        for name, value, grain in (("liver", 108, 1.6), ("spleen", 125, 1.4), ("aorta", 175, 1.0)):
            hu[masks[name]] = value + self.texture(grain, 6)[masks[name]]
        for name, side in (("right kidney", -1), ("left kidney", 1)):
            pelvis = self.ellipsoid((side * 46, 50, -22), (12, 12, 18), 0, 3)
            depth = ndimage.distance_transform_edt(masks[name], sampling=(2.2, 2.2, 5))
            hu[masks[name]] = (175 - 45 * (depth > 9) + self.texture(1, 8))[masks[name]]
            hu[pelvis & masks[name]] = -40
            masks[name] = masks[name] & ~pelvis
        cava = self.ellipsoid((-14, 36, 0), (13, 10, 400), 0, 2)
        hu[cava & ~masks["liver"]] = 140
        vessels = np.abs(self.texture(7, 1)) < 0.09
        hu[vessels & masks["liver"]] = 150
        lesion = self.ellipsoid((-76, -8, 26), (17, 15, 18), 0, 2) & masks["liver"]
        hu[lesion] = 62 + self.texture(1.2, 7)[lesion]
        masks["lesion"] = lesion
        hu = ndimage.gaussian_filter(hu, (0.7, 0.7, 0.3)) + self.texture(0.7, 13)
        return np.clip(np.round(hu), -1024, 3000).astype(np.int16), masks


def ultrasound_clip(seed: int = 0, frames: int = 60, size: int = 256) -> Phantom:
    """A beating heart chamber in a fan of speckle, ``frames`` frames at 30 a second; the chamber is the truth.

    Speckle moves with the tissue, the side walls are weak, and a rib casts a shadow, as in real echo clips.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    radius, angle = np.hypot(x - 0.5, y + 0.12), np.arctan2(x - 0.5, y + 0.12)
    fan = (np.abs(angle) < 0.62) & (radius < 1.08) & (radius > 0.16)
    grain = rng.standard_normal((2, 2 * size, 2 * size)).astype(np.float32)
    shadow = 1 - 0.75 * np.exp(-(((angle + 0.38) / 0.05) ** 2)) * (radius > 0.35)
    pictures, masks = [], []
    for n in range(frames):
        picture, mask = _echo_frame(n / 22, x, y, radius, angle, grain, rng)
        picture = picture * shadow * np.exp(-0.5 * radius)
        pictures.append((np.clip(picture, 0, 1) ** 0.75 * 255 * fan).astype(np.uint8))
        masks.append(mask & fan)
    scan = Scan.from_frames(
        np.stack(pictures),
        modality=Modality(ModalityName.ULTRASOUND, "made by delineate"),
        times=tuple(n / 30 for n in range(frames)),
    )
    truth = Segmentation.empty(scan).adding("chamber")
    return Phantom(scan, truth.with_masks("chamber", {n: Rle.encode(m) for n, m in enumerate(masks)}))


def _echo_frame(
    beat: float, x: Field, y: Field, radius: Field, angle: Field, grain: Field, rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """Echo brightness and the chamber at ``beat`` heart cycles."""
    size = x.shape[0]
    squeeze = 1 - 0.16 * (0.5 - 0.5 * np.cos(2 * np.pi * beat))
    cx, cy = 0.5 + 0.012 * np.sin(2 * np.pi * beat / 3), 0.52 + 0.015 * np.sin(2 * np.pi * beat)
    tilt = 0.25 + 0.04 * np.sin(2 * np.pi * beat)
    u = (x - cx) * np.cos(tilt) + (y - cy) * np.sin(tilt)
    v = -(x - cx) * np.sin(tilt) + (y - cy) * np.cos(tilt)
    width = 0.135 * squeeze * (1 - 0.5 * np.clip(-v / 0.3, 0, 1) ** 2)  # narrower towards the tip
    level = np.sqrt((u / width) ** 2 + (v / (0.27 * (0.5 + 0.5 * squeeze))) ** 2)
    wall = np.exp(-(((level - 1.28) / 0.2) ** 2))
    facing = 0.3 + 0.7 * np.abs(v) / (np.abs(u) + np.abs(v) + 1e-6)  # walls along the beam echo weakly
    tissue = 0.16 + 0.1 * np.sin(9 * x + 3) * np.cos(7 * y) + 0.75 * wall * facing
    echo = np.where(level < 1, 0.035 + 0.05 * (level > 0.9), tissue)
    push = size * 0.05 * (squeeze - 1) * np.exp(-((level - 1) ** 2))
    rows = np.clip(y * size + push * (y - cy) * 6 + size / 2, 0, 2 * size - 1)
    columns = np.clip(x * size + push * (x - cx) * 6 + size / 2, 0, 2 * size - 1)
    moved = [ndimage.map_coordinates(part, [rows, columns], order=1) for part in grain]
    fresh = rng.standard_normal((2, size, size)).astype(np.float32)
    blurred = [ndimage.gaussian_filter(0.9 * m + 0.45 * f, (0.7, 1.7)) for m, f in zip(moved, fresh, strict=True)]
    speckle = np.hypot(blurred[0], blurred[1])
    return echo * speckle / speckle.mean() + 0.01, level < 1
