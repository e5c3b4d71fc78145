"""How regions look: gray values, textures, membranes, shading, shadows, speckle, noise and color of one scene.

No look is tied to one kind of layout. A ``Look`` is drawn once and rendered for every frame, so that a structure keeps
its face from frame to frame while the noise is new, and in slices the grain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from delineate.quill.data.synthetic.layout import SceneLayout, Style
from delineate.quill.data.synthetic.noise import Field, slow_field, texture
from delineate.quill.data.synthetic.shapes import Lines

TEXTURES = 3
CUT = 0.6  # share of scenes that are cut through a solid: the grain changes from slice to slice
QUIET_BESIDE = 10.0  # vessels of less contrast than a tenth have quieter neighborhoods


@dataclass(frozen=True, eq=False)
class SceneAppearance:
    """Drawn parameters; arrays indexed by region number, fields (side, side)."""

    gray: Field
    roughness: Field  # (TEXTURES, regions + 1)
    textures: tuple[Field, ...]
    others: tuple[Field, ...]  # what the textures turn into, ``turning`` radians in a unit of time
    turning: float
    gradient: Field | None
    gradient_size: Field
    membrane: float
    membrane_width: int
    blur: float
    lost_border: Field | None
    shading: Field
    speckle: float
    speckle_grain: tuple[float, float]
    noise: float
    noise_grain: float
    additive: bool


def random_look(rng: np.random.Generator, layout: SceneLayout) -> SceneAppearance:
    side, regions = layout.side, layout.regions
    classes = int(rng.integers(2, 8))
    tissue = rng.permutation(np.linspace(0, rng.uniform(0.5, 1), classes))  # each can be distinguished from the others
    if rng.random() < 0.2:  # or hardly
        tissue = rng.uniform(0.35, 0.65) + rng.uniform(0.05, 0.3) * (rng.uniform(0, 1, classes) - 0.5)
    member = rng.integers(0, classes, regions + 1)  # look-alikes share a class
    own = rng.normal(0, 1, regions + 1)
    for number, item in enumerate(layout.items, layout.base + 1):
        if item.like >= 0:
            member[number], own[number] = member[layout.base + item.like + 1], own[layout.base + item.like + 1]
    if layout.style is Style.CELLS:
        member[1:] = rng.integers(1, classes)
    elif layout.style is Style.SHEET:
        member[1 : layout.base + 1] = 1
    gray = tissue[member] + own * rng.choice([0.01, 0.03, 0.06])
    if layout.style is Style.CELLS and rng.random() < 0.5:
        gray[2::2] += rng.uniform(-0.4, 0.4)  # nuclei
    quiet = rng.uniform(0.15, 1)  # a network that sees too little of what it is asked for learns to guess
    if layout.style is Style.VESSELS:  # vessels are seen by their contrast, nothing else tells them
        contrast = rng.choice([-1, 1]) * 10 ** rng.uniform(-1.8, -0.3)
        quiet = min(quiet, QUIET_BESIDE * abs(contrast))
        for number, item in enumerate(layout.items):
            if isinstance(item.shape, Lines):
                gray[layout.base + number + 1] = gray[0] + contrast
    rough = quiet * np.abs(rng.normal(0, rng.choice([0.015, 0.04, 0.08]), (TEXTURES, classes)))
    if rng.random() < 0.4:
        rough = np.repeat(rough[:, :1], classes, axis=1)
    membrane = 0.0
    if rng.random() < (0.8 if layout.style is Style.SHEET else 0.18):
        membrane = float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.6))
        membrane = -abs(membrane) if layout.style is Style.SHEET and rng.random() < 0.7 else membrane
    return SceneAppearance(
        gray=gray.astype(np.float32),
        roughness=rough[:, member].astype(np.float32),
        textures=tuple(texture(rng, side) for _ in range(TEXTURES)),
        others=tuple(texture(rng, side) for _ in range(TEXTURES)),
        turning=rng.uniform(0.3, 3) if rng.random() < CUT else 0.0,
        gradient=slow_field(rng, side) if rng.random() < 0.5 else None,
        gradient_size=np.abs(rng.normal(0, 0.08, regions + 1)).astype(np.float32),
        membrane=membrane,
        membrane_width=int(rng.choice([2, 3, 3, 4])),
        blur=quiet * abs(rng.normal(0, 1.1)),
        lost_border=1 / (1 + np.exp(-3 * (slow_field(rng, side) - rng.uniform(0, 1.5))))
        if rng.random() < 0.15
        else None,
        shading=_shading(rng, side, 0.5 if layout.style is Style.VESSELS else 0.12),
        speckle=quiet * rng.uniform(0.2, 1) if rng.random() < 0.3 else 0.0,
        speckle_grain=(rng.uniform(0.4, 1.5), rng.uniform(0.4, 3)),
        noise=quiet * abs(rng.normal(0, 0.045)),
        noise_grain=rng.uniform(0.4, 1.2) if rng.random() < 0.4 else 0.0,
        additive=rng.random() < 0.6,
    )


def _shading(rng: np.random.Generator, side: int, round_view: float) -> Field:
    """Bias field, acoustic shadows from above, and a round field of view (with probability ``round_view``)."""
    shade = np.ones((side, side), np.float32)
    if rng.random() < 0.6:
        shade = np.exp(rng.uniform(0, 0.35) * slow_field(rng, side))
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    if rng.random() < 0.2:
        angle = np.arctan2(x - rng.uniform(0, 1), y + 0.3)
        shadow = np.ones_like(shade)
        for _ in range(rng.integers(1, 4)):
            wedge = np.exp(-(((angle - rng.uniform(-0.7, 0.7)) / rng.uniform(0.03, 0.2)) ** 2))
            shadow *= 1 - rng.uniform(0.3, 0.9) * wedge * (y > rng.uniform(0, 0.7))
        shade = shade * ndimage.gaussian_filter(shadow, 2)
    if rng.random() < round_view:
        shade = shade * (np.hypot(x - 0.5, y - 0.5) < rng.uniform(0.42, 0.6))
    return np.asarray(shade, np.float32)


def render(rng: np.random.Generator, regions: NDArray[np.int32], look: SceneAppearance, t: float = 0.0) -> Field:
    """The frame (side, side) of a layout's regions at time ``t``."""
    side = regions.shape[0]
    picture = look.gray[regions]
    kept, new = np.float32(np.cos(look.turning * t)), np.float32(np.sin(look.turning * t))
    for size, surface, other in zip(look.roughness, look.textures, look.others, strict=True):
        picture = picture + size[regions] * (surface if new == 0 else kept * surface + new * other)
    if look.gradient is not None:
        picture = picture + look.gradient_size[regions] * look.gradient
    if look.membrane:
        width = look.membrane_width
        edge = ndimage.maximum_filter(regions, width) != ndimage.minimum_filter(regions, width)
        picture = np.where(edge, picture + look.membrane * (0.6 + 0.4 * look.textures[0]), picture)
    if look.blur > 0.3:
        picture = ndimage.gaussian_filter(picture, look.blur)
    if look.lost_border is not None:
        picture = picture + (ndimage.gaussian_filter(picture, 5) - picture) * look.lost_border
    picture = picture * look.shading
    if look.speckle:  # magnitude of a complex Gaussian, as in fully developed ultrasound speckle
        waves = ndimage.gaussian_filter(
            rng.standard_normal((2, side, side)).astype(np.float32), (0, *look.speckle_grain)
        )
        grain = np.sqrt((waves**2).sum(axis=0) / 2) / waves.std()
        picture = picture * (1 - look.speckle + look.speckle * grain)
    noise = rng.standard_normal((side, side)).astype(np.float32)
    if look.noise_grain:
        noise = ndimage.gaussian_filter(noise, look.noise_grain)
        noise /= noise.std()
    return picture + look.noise * noise * (1 if look.additive else np.sqrt(np.clip(picture, 0.02, 2)))


def finish(
    rng: np.random.Generator, pictures: list[Field], regions: list[NDArray[np.int32]], count: int
) -> Field | None:
    """Frames (T, side, side, 3) in 0..1 from gray pictures: window, gamma, polarity, resolution, color.

    None where there is nothing to see.
    """
    low, high = np.percentile(pictures[0], (rng.uniform(0, 2), rng.uniform(98, 100)))
    if high - low < 0.02:
        return None
    gamma, negative = np.exp(rng.normal(0, 0.3)), rng.random() < 0.3
    coarse = rng.uniform(1, 3) if rng.random() < 0.3 else 1.0
    method = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)[rng.integers(3)]
    gray = []
    for picture in pictures:
        shown = np.clip((picture - low) / (high - low), 0, 1).astype(np.float32) ** np.float32(gamma)
        shown = 1 - shown if negative else shown
        gray.append(_coarsened(shown, coarse, method) if coarse > 1.2 else shown)
    stack = np.stack(gray)[..., None]
    if rng.random() < 0.7:
        return np.asarray(np.repeat(np.clip(stack, 0, 1), 3, axis=3), np.float32)
    return _colored(rng, stack, regions, count)


def _coarsened(picture: Field, factor: float, method: Image.Resampling) -> Field:
    """As acquired at a lower resolution and enlarged."""
    side = picture.shape[0]
    small = Image.fromarray(picture).resize((int(side / factor),) * 2, Image.Resampling.BILINEAR)
    return np.asarray(small.resize((side, side), method))


def _colored(rng: np.random.Generator, stack: Field, regions: list[NDArray[np.int32]], count: int) -> Field:
    """Gray values along a random path of three colors; each region of a still with its own cast."""
    colors = rng.uniform(0, 1, (3, 3))
    dark, middle, bright = colors[np.argsort(colors.sum(axis=1))]
    shown = np.where(stack < 0.5, dark + (middle - dark) * 2 * stack, middle + (bright - middle) * (2 * stack - 1))
    if len(regions) == 1:
        cast = rng.normal(0, rng.choice([0.02, 0.15]), (count + 1, 3))
        shown = shown + cast[regions[0]][None]
    return np.clip(shown, 0, 1).astype(np.float32)
