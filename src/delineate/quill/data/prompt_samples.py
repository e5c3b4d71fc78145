"""What may be asked of a scene while Quill is trained: a structure, a prompt for it, and a window to look through."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import CropWindow
from delineate.quill.data.scene import Scene
from delineate.quill.data.visibility import visible_share
from delineate.quill.prompt_maps import CropPrompts
from delineate.training.prompt_simulation import (
    Rng,
    bounding_box,
    click_in,
    clicks_around,
    coarse,
    correcting_click,
    jittered_box,
    spoiled,
)

QUESTIONS = 12  # about a scene
LEAST_PART = 40.0  # pixels along a side of a window on a part of a structure
THIN = 0.2  # structures that fill less of their box
SEEN, UNSEEN = 0.45, 0.1  # shares of a border that can be seen: always kept from the first on, hardly ever below
SEEN_SIDE, SEEN_MARGIN = 128, 1.6  # of the crop on which that is told


@dataclass(frozen=True, eq=False)
class PromptSample:
    """One prompt for one structure of a scene.

    truth    bool (T, H, W): the structure on every frame
    follows  it is looked for on the second frame, and known on the first; else it is prompted on the first
    """

    truth: NDArray[np.bool_]
    prompts: CropPrompts
    window: CropWindow
    follows: bool


def prompt_sample(rng: Rng, scene: Scene, known: dict[tuple[int, bool], float] | None = None) -> PromptSample | None:
    """Something to ask about a scene; None where it is hard to see.

    known  of the structures that were asked for before, by number and whether followed, how much can be seen
    """
    known = {} if known is None else known
    extents = np.array([_extent(mask) for mask in scene.targets[:, 0]]) ** 0.4
    number = int(rng.choice(len(extents), p=extents / extents.sum()))
    truth = scene.targets[number]
    follows = len(scene.frames) > 1 and rng.random() < 0.75
    if (number, follows) not in known:
        known[number, follows] = _seen(scene.frames[int(follows)], truth[int(follows)])
    if rng.random() > np.clip((known[number, follows] - UNSEEN) / (SEEN - UNSEEN), 0.04, 1):
        return None
    prompts, window = _following(rng, scene, number) if follows else _pointing(rng, truth[0])
    return PromptSample(truth, prompts, window, follows)


def prompt_samples(rng: Rng, scene: Scene) -> list[PromptSample]:
    """What is asked about a scene, at most QUESTIONS; it may be nothing."""
    known: dict[tuple[int, bool], float] = {}
    return [one for one in (prompt_sample(rng, scene, known) for _ in range(QUESTIONS)) if one is not None]


def _seen(frame: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Share of a structure's border that can be seen."""
    if not truth.any():
        return 1.0
    window = CropWindow.around(_box(truth), SEEN_MARGIN).within(*truth.shape)
    gray = bool((frame[::4, ::4, 0] == frame[::4, ::4, 1]).all())
    colors = window.cut(frame[..., 0] if gray else frame, SEEN_SIDE)
    low, high = np.percentile(colors, (1, 99))
    colors = np.clip((colors - low) * (2 / max(float(high - low), 1e-6)) - 1, -1.5, 1.5).astype(np.float32)
    colors = colors[None] if gray else colors.transpose(2, 0, 1)
    seen = visible_share(colors, window.cut(truth, SEEN_SIDE) > 0.5)
    if truth.sum() < THIN * _extent(truth):
        return max(seen, 0.3)  # vessels are told by their course where their sides hardly differ
    return seen


def _following(rng: Rng, scene: Scene, number: int) -> tuple[CropPrompts, CropWindow]:
    """The frame before with its outline (not always a good one), seldom with a hint on this frame."""
    before, now = scene.targets[number, 0], scene.targets[number, 1]
    outline = spoiled(rng, before) if rng.random() < 0.5 else before
    prompts = CropPrompts(earlier=scene.frames[0], earlier_outline=outline)
    if now.any() and rng.random() < 0.12:
        prompts = replace(prompts, box=jittered_box(rng, now, 0.1))
    elif now.any() and rng.random() < 0.08:
        prompts = replace(prompts, points=np.array([click_in(rng, now, False)]), labels=np.array([True]))
    margin = rng.uniform(1.5, 2.3) if rng.random() < 0.75 else rng.uniform(2.3, 4)  # to find again what has jumped
    return prompts, _shifted(rng, CropWindow.around(_box(outline), margin), now.shape)


def _pointing(rng: Rng, truth: NDArray[np.bool_]) -> tuple[CropPrompts, CropWindow]:
    """A box (45 %), clicks (30 %), or a nearly right outline: of all to correct (12 %), of a part to draw finer."""
    kind = rng.random()
    if kind < 0.45:
        box = jittered_box(rng, truth, float(rng.choice([0.03, 0.06, 0.1])))
        prompts = CropPrompts(box=box)
        if rng.random() < 0.12:
            prompts = replace(prompts, points=np.array([click_in(rng, truth, False)]), labels=np.array([True]))
        return prompts, _shifted(rng, CropWindow.around(box, rng.uniform(1.25, 1.8)), truth.shape)
    if kind < 0.75:
        points, labels = clicks_around(rng, truth)
        prompts = CropPrompts(points=points, labels=labels)
        if rng.random() < 0.5:
            return prompts, _shifted(rng, CropWindow.around(_box(truth), rng.uniform(1.3, 2.2)), truth.shape)
        return prompts, _wide(rng, _box(truth), truth.shape)
    if kind > 0.87:
        return _part(rng, truth)
    outline = spoiled(rng, truth)
    prompts = CropPrompts(outline=outline)
    if (click := correcting_click(rng, outline, truth)) is not None:
        prompts = replace(prompts, points=click[0], labels=click[1])
    if rng.random() < 0.4:
        prompts = replace(prompts, box=jittered_box(rng, truth, 0.06))
    return prompts, _shifted(rng, CropWindow.around(_box(truth), rng.uniform(1.3, 2.2)), truth.shape)


def _part(rng: Rng, truth: NDArray[np.bool_]) -> tuple[CropPrompts, CropWindow]:
    """A window on a part of a structure whose outline was drawn from farther away, sometimes with a click on an error.

    The part that is seen may need no change, or hold nothing of the structure.
    """
    x0, y0, x1, y1 = _box(truth)
    side = max(LEAST_PART, max(x1 - x0, y1 - y0) * float(np.exp(rng.uniform(np.log(0.2), np.log(0.8)))))
    x, y = np.array(click_in(rng, truth, central=False)) + rng.normal(0, 0.15, 2) * side
    window = CropWindow(x - side / 2, y - side / 2, side).within(*truth.shape)
    outline = coarse(rng, truth) if rng.random() < 0.7 else spoiled(rng, truth)
    prompts = CropPrompts(outline=outline if outline.any() else truth)
    if rng.random() < 0.4:
        rows, columns = (slice(max(0, int(low)), int(low + window.size) + 1) for low in (window.y, window.x))
        seen = np.zeros_like(truth)
        seen[rows, columns] = True
        if (click := correcting_click(rng, outline & seen, truth & seen)) is not None:
            prompts = replace(prompts, points=click[0], labels=click[1])
    return prompts, window


def _shifted(rng: Rng, window: CropWindow, size: tuple[int, ...]) -> CropWindow:
    """The window a little off, as where a person's prompt is."""
    window = window.within(size[0], size[1])
    jitter = 0.06 * window.size
    return CropWindow(window.x + rng.uniform(-jitter, jitter), window.y + rng.uniform(-jitter, jitter), window.size)


def _wide(rng: Rng, box: tuple[float, float, float, float], size: tuple[int, ...]) -> CropWindow:
    """A window several times as large as the structure, which may lie anywhere in it."""
    longer = max(box[2] - box[0], box[3] - box[1])
    side = min(longer * float(np.exp(rng.uniform(np.log(2), np.log(7)))), float(max(size)))
    room = max(0.0, side - longer)
    return CropWindow(box[0] - rng.uniform(0, room), box[1] - rng.uniform(0, room), side)


def _extent(mask: NDArray[np.bool_]) -> float:
    """Area of the box around a structure: thin trees count by how far they reach."""
    x0, y0, x1, y1 = bounding_box(mask)
    return float((x1 - x0) * (y1 - y0))


def _box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
    return x0, y0, x1, y1
