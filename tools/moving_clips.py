"""Clips with exact labels from still ultrasound: a vessel that beats under a hand that moves, in speckle and shadows.

What changes from frame to frame is what an encoder of single frames cannot average away: noise that is new each time,
the gain, and shadows over half of the picture or all of it for up to three frames (a probe that loses contact).
Where it lies and how large it is changes smoothly, at the pace of a heart seen at 20 to 30 frames a second. Each clip
bends the tissue in its own way, so that few stills give many shapes. The motion is made up; the tissue is real.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from delineate.data.cases import Case
from delineate.data.layouts import read_dataset

FRAMES, SIDE = 16, 128
NEAR = (0.7, 1.4)  # pixels of the source per pixel: the vessel takes a quarter of the picture or more
BENT = 6.0  # pixels of the source, the deviation of how far tissue is displaced
SHADOWED, DARK = 0.3, 0.02  # chance that a shadow begins on a frame; what is left of the brightness
Field = NDArray[np.float64]


def clip_of(picture: Field, labels: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray, NDArray, list[int]]:
    """Frames (T, S, S) in 8 bits, labels (T, S, S) and the shadowed frames, from a still picture of values 0 to 1."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    scale, turn, mirror = rng.uniform(*NEAR), rng.uniform(-0.4, 0.4), rng.choice((-1.0, 1.0))
    center = np.array(ndimage.center_of_mass(labels)) + scale * rng.uniform(-0.25, 0.25, 2) * SIDE
    beat, hand = rng.uniform(14, 24), rng.uniform(30, 60)  # frames of a period
    phases, amounts = rng.uniform(0, 2 * np.pi, 3), rng.uniform(2, 5, 2)
    pulse, width = rng.uniform(0.12, 0.25), rng.uniform(0.25, 0.4) * SIDE
    vessel = np.array(ndimage.center_of_mass(labels))
    speckle, gain = rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.2)
    bent, gamma = [_bend(picture.shape, rng) for _ in range(2)], rng.uniform(0.6, 1.6)
    shadow, left = np.ones((SIDE, SIDE)), 0
    frames, masks, shadowed = [], [], []
    for t in range(FRAMES):
        sway = turn + 0.05 * np.sin(2 * np.pi * t / hand + phases[2])
        away = amounts * np.sin(2 * np.pi * t / hand + phases[:2])
        rows = scale * (np.cos(sway) * y + np.sin(sway) * x * mirror) + center[0] + away[0]
        columns = scale * (-np.sin(sway) * y + np.cos(sway) * x * mirror) + center[1] + away[1]
        dy, dx = rows - vessel[0], columns - vessel[1]
        wide = 1 + pulse * np.sin(2 * np.pi * t / beat + phases[0]) * np.exp(-(dy**2 + dx**2) / (2 * width**2))
        at = np.stack([vessel[0] + dy * wide, vessel[1] + dx * wide])
        at = at + np.stack([_seen(one, at) for one in bent])
        if left == 0 and rng.random() < SHADOWED:
            shadow, left = _shadow(rng), int(rng.integers(1, 4))
        if left:
            shadowed.append(t)
        seen = _seen(picture, at) ** gamma
        grain = ndimage.gaussian_filter(rng.normal(0, 1, seen.shape), 1.0) * 3.5
        seen = seen * (1 + gain * rng.normal()) * (1 + speckle * grain) + 0.02 * np.abs(grain)
        frames.append(np.clip(255 * seen * (shadow if left else 1), 0, 255).astype(np.uint8))
        masks.append(ndimage.map_coordinates(labels.astype(float), at, order=1) > 0.5)
        left = max(0, left - 1)
    return np.stack(frames), np.stack(masks), shadowed


def _seen(field: Field, at: Field) -> Field:
    """Values at places that are no pixels."""
    return ndimage.map_coordinates(field, at, order=1, mode="nearest")


def _bend(shape: Sequence[int], rng: np.random.Generator) -> Field:
    """How far tissue is displaced along an axis."""
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, shape), 22)
    return BENT * smooth / smooth.std()


def _shadow(rng: np.random.Generator) -> Field:
    """Columns that are nearly dark, with soft edges."""
    middle, half = rng.uniform(0.35, 0.65) * SIDE, rng.uniform(0.3, 0.6) * SIDE
    away = np.abs(np.arange(SIDE) - middle) - half
    return np.broadcast_to(DARK + (1 - DARK) / (1 + np.exp(-away / 2)), (SIDE, SIDE))


def moving(cases: Sequence[Case], folder: Path, each: int) -> tuple[list[Case], dict[str, set[int]]]:
    """``each`` clips of every still picture, written once as a data set, and their shadowed frames by the clip's id.

    Their subjects are the pictures'.
    """
    manifest, shadows = folder / "manifest.json", folder / "shadowed.json"
    if not manifest.is_file():
        shadowed: dict[str, list[int]] = {}
        items = [item for case in cases for item in _written(case, folder, each, shadowed)]
        shadows.write_text(json.dumps(shadowed))
        manifest.write_text(json.dumps(items, indent=1))
    return read_dataset(folder)[1], {key: set(frames) for key, frames in json.loads(shadows.read_text()).items()}


def _written(case: Case, folder: Path, each: int, shadowed: dict[str, list[int]]) -> list[dict[str, Any]]:
    opened, items = case.open(), []
    picture = opened.scan.pixels(0).astype(float)
    gray = (picture if picture.ndim == 2 else picture.mean(axis=2)) / 255
    ((value, name),) = case.structures.items()
    for number in range(each):
        own = case.id.replace("/", "_") + f"_{number}"
        rng = np.random.default_rng(crc32(own.encode()))
        frames, masks, shadowed[own] = clip_of(gray, opened.labels.pixels(0) == value, rng)
        for kind, pictures in (("frames", frames), ("labels", masks.astype(np.uint8))):
            (folder / own / kind).mkdir(parents=True, exist_ok=True)
            for t, one in enumerate(pictures):
                Image.fromarray(one).save(folder / own / kind / f"{t:03}.png")
        about = {"id": own, "dataset": "moving", "modality": case.modality, "task": "video", "use": "train"}
        places = {"image": f"{own}/frames", "label": f"{own}/labels", "labels": {"1": name}}
        items.append(about | places | {"subject": case.subject or case.id})
    return items
