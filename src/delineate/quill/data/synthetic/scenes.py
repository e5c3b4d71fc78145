"""One synthetic scene: a layout, painted with a look, as a still or as a few neighboring frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.quill.data.scene import Scene
from delineate.quill.data.synthetic.layout import SceneLayout, random_layout
from delineate.quill.data.synthetic.looks import finish, random_look, render
from delineate.quill.data.synthetic.noise import Field, slow_field

LEAST_PIXELS = 25  # of a target on the first frame
MOST_SHARE = 0.85  # of the frame a target may fill
MOST_TARGETS = 10
SOFT, SHAKE, JUMP = 0.05, 0.02, 0.12  # of the side: how far the frame bends, shakes and jumps
BENDING = (0.2, 1.0)  # radians in a unit of time, of a swing to and fro
JUMPY = 0.35, 0.5  # share of scenes of which frames jump, as where only some of a clip are kept; and of their frames
PACE = (-0.9, 0.0)  # log10 of the time from one frame to the next: slices are thin or thick
DARK = 0.02  # shading below which a place is outside of the view


def synthetic_scene(rng: np.random.Generator, size: int = 192, frames: int = 1) -> Scene:
    """A scene of ``frames`` frames of ``size`` pixels (at most 352); the same ``rng`` state gives the same scene."""
    while True:
        layout = random_layout(rng, size)
        pace = 10 ** rng.uniform(*PACE)
        regions = [layout.paint(t * pace) for t in range(frames)]
        meanings = _visible(rng, layout, regions[0])
        if not meanings:
            continue
        look = random_look(rng, layout)
        pictures = [
            render(rng, one, look, t * pace) * (1 + (t > 0) * rng.normal(0, 0.05)) for t, one in enumerate(regions)
        ]
        targets = np.stack([_masks(one, meanings, layout.regions) for one in regions], axis=1)
        targets &= look.shading > DARK  # beyond a round field of view nothing is seen
        targets = targets[targets[:, 0].sum(axis=(1, 2)) > LEAST_PIXELS]
        if not len(targets):
            continue
        motion = Motion(rng, size)
        for t in range(1, frames):
            pictures[t], targets[:, t] = motion(rng, pictures[t], targets[:, t], t * pace)
        shown = finish(rng, pictures, regions, layout.regions)
        if shown is not None:
            return Scene(shown, targets, layout.style.value)


def _visible(rng: np.random.Generator, layout: SceneLayout, regions: NDArray[np.int32]) -> list[list[int]]:
    """Meanings that are large enough to point at and do not fill the frame, at most MOST_TARGETS of them."""
    pixels = np.bincount(regions.ravel(), minlength=layout.regions + 1)
    seen = [m for m in layout.meanings() if LEAST_PIXELS < pixels[m].sum() < MOST_SHARE * layout.side**2]
    if len(seen) > MOST_TARGETS:
        seen = [seen[n] for n in rng.choice(len(seen), MOST_TARGETS, replace=False)]
    return seen


def _masks(regions: NDArray[np.int32], meanings: list[list[int]], count: int) -> NDArray[np.bool_]:
    masks = np.zeros((len(meanings), *regions.shape), dtype=bool)
    for number, members in enumerate(meanings):
        chosen = np.zeros(count + 1, dtype=bool)
        chosen[members] = True
        masks[number] = chosen[regions]
    return masks


class Motion:
    """How the whole frame moves: it bends to and fro, shakes, and in some scenes jumps."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self.side = side
        self._bends = slow_field(rng, side), slow_field(rng, side)
        self._size, self._pace = rng.uniform(0, SOFT) * side, rng.uniform(*BENDING)
        self._shake = rng.uniform(0, SHAKE) * side
        self._jumps = JUMPY[1] if rng.random() < JUMPY[0] else 0.0

    def __call__(
        self, rng: np.random.Generator, picture: Field, masks: NDArray[np.bool_], t: float
    ) -> tuple[Field, NDArray[np.bool_]]:
        """The frame (side, side) at time ``t`` and the structures (N, side, side) in it, moved."""
        far = JUMP * self.side if rng.random() < self._jumps else self._shake
        bent = self._size * np.sin(self._pace * t)
        axes = np.mgrid[: self.side, : self.side]
        y, x = (axis + bent * bend + rng.normal(0, far) for axis, bend in zip(axes, self._bends, strict=True))
        moved = ndimage.map_coordinates(picture, [y, x], order=1, mode="nearest")
        near = tuple(np.clip(np.rint(axis), 0, self.side - 1).astype(int) for axis in (y, x))
        return moved, masks[:, near[0], near[1]]
