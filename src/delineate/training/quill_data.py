"""Scenes turned into what Quill is trained on: a prompt, the zoomed crop, the outline to find.

Worker processes make samples all the time; the training loop draws from a pool of the latest ones, so that the
network never waits for data and sees each sample a few times, turned and mirrored.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import Window
from delineate.preprocess.prompt_maps import CHANNELS, POINTED_SIDE, CropPrompts, examples_for, prompt_maps
from delineate.training.correction import LATER
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
from delineate.training.real import RealSource, random_real_scene, real_sources, real_textures
from delineate.training.scene import Scene
from delineate.training.synthetic import synthetic_scene, use_real_textures
from delineate.training.visibility import visible_share

SAMPLES_A_SCENE = 6
REAL_SHARE = 0.3
FOLLOWED_SHARE = 0.42  # scenes of several frames
FRAMES = 5  # of these: one that is known, one to find the structure on, the others to go on to
ONWARDS = FRAMES - 2
SCENE_SIZES = (192, 224, 288, 340)  # pixels along a side
PACK = 32  # samples that travel together; one pack is taken, mostly, before a batch is drawn
LEAST_PART = 40.0  # pixels along a side of a window on a part of a structure
THIN = 0.2  # structures that fill less of their box
SEEN, UNSEEN = 0.45, 0.1  # shares of a border that can be seen: always kept from the first on, hardly ever below


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples that are learned together.

    maps         float16 (B, C, S, S)
    truth        uint8 (B, S, S), 255 inside
    ambiguous    bool (B,): only clicks were given
    frames       int (B,): how many frames follow on this one, where a structure is followed
    later        float16 (B, ONWARDS, LATER, S, S), of these frames; see ``correction.followed``
    later_truth  uint8 (B, ONWARDS, S, S)
    pointed      float16 (B, ONWARDS, 2, s, s): the frame it was pointed at, for each of them
    """

    maps: NDArray[np.float16]
    truth: NDArray[np.uint8]
    ambiguous: NDArray[np.bool_]
    frames: NDArray[np.intp]
    later: NDArray[np.float16]
    later_truth: NDArray[np.uint8]
    pointed: NDArray[np.float16]

    @classmethod
    def empty(cls, count: int, side: int) -> Self:
        """Room for so many samples."""
        return cls(
            np.zeros((count, CHANNELS, side, side), np.float16),
            np.zeros((count, side, side), np.uint8),
            np.zeros(count, bool),
            np.zeros(count, np.intp),
            np.zeros((count, ONWARDS, len(LATER), side, side), np.float16),
            np.zeros((count, ONWARDS, side, side), np.uint8),
            np.zeros((count, ONWARDS, 2, POINTED_SIDE, POINTED_SIDE), np.float16),
        )


@dataclass(frozen=True, eq=False)
class Onward:
    """A frame further on: the same as in a batch, of one sample."""

    later: NDArray[np.float16]
    truth: NDArray[np.uint8]
    pointed: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Sample:
    """One of a batch, and the frames that follow on it."""

    maps: NDArray[np.float16]
    truth: NDArray[np.uint8]
    ambiguous: bool
    onwards: tuple[Onward, ...] = ()


def batch_of(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    batch = Batch.empty(len(samples), samples[0].truth.shape[-1])
    for n, one in enumerate(samples):
        batch.maps[n], batch.truth[n], batch.ambiguous[n] = one.maps, one.truth, one.ambiguous
        batch.frames[n] = len(one.onwards)
        for t, onward in enumerate(one.onwards):
            batch.later[n, t], batch.later_truth[n, t] = onward.later, onward.truth
            batch.pointed[n, t] = onward.pointed
    return batch


def sample(rng: Rng, scene: Scene, side: int) -> Sample | None:
    """One prompt for one structure of a scene, as the network sees it at ``side`` pixels; None if it is hard to see."""
    extents = np.array([_extent(mask) for mask in scene.targets[:, 0]]) ** 0.4
    number = int(rng.choice(len(extents), p=extents / extents.sum()))
    follows = len(scene.frames) > 1 and rng.random() < 0.75
    if follows:
        frame, truth = scene.frames[1], scene.targets[number, 1]
        prompts, window = _following(rng, scene, number)
    else:
        frame, truth = scene.frames[0], scene.targets[number, 0]
        prompts, window = _pointing(rng, truth)
    maps, shown = prompt_maps(frame, prompts, window, side), window.cut(truth, side)
    seen = visible_share(maps[:3], shown > 0.5) if (shown > 0.5).any() else 1.0
    if truth.any() and truth.sum() < THIN * _extent(truth):
        seen = max(seen, 0.3)  # vessels are told by their course where their sides hardly differ
    if rng.random() > np.clip((seen - UNSEEN) / (SEEN - UNSEEN), 0.04, 1):
        return None
    ambiguous = prompts.box is None and prompts.earlier is None
    found = Sample(maps.astype(np.float16), _bytes(shown), ambiguous)
    if not follows:
        return found
    onwards = [_onward(scene, number, t, prompts, window, side) for t in range(2, len(scene.frames))]
    return replace(found, onwards=tuple(onwards))


def _onward(scene: Scene, number: int, t: int, prompts: CropPrompts, window: Window, side: int) -> Onward:
    """What is known of frame ``t``, seen through the window of the first frame the structure is looked for on."""
    frame, before = scene.frames[t], scene.frames[t - 1]
    known = CropPrompts(earlier=before, earlier_outline=scene.targets[number, t - 1])
    maps = prompt_maps(frame, known, window, side)[list(LATER)].astype(np.float16)
    assert prompts.earlier is not None and prompts.earlier_outline is not None
    seen = examples_for(frame, window, side, prompts.earlier, prompts.earlier_outline)
    pointed = np.stack([seen.grey, seen.inside]).astype(np.float16)
    return Onward(maps, _bytes(window.cut(scene.targets[number, t], side)), pointed)


def _following(rng: Rng, scene: Scene, number: int) -> tuple[CropPrompts, Window]:
    """The frame before with its outline (not always a good one), seldom with a hint on this frame."""
    before, now = scene.targets[number, 0], scene.targets[number, 1]
    outline = spoiled(rng, before) if rng.random() < 0.5 else before
    prompts = CropPrompts(earlier=scene.frames[0], earlier_outline=outline)
    if now.any() and rng.random() < 0.12:
        prompts = replace(prompts, box=jittered_box(rng, now, 0.1))
    elif now.any() and rng.random() < 0.08:
        prompts = replace(prompts, points=np.array([click_in(rng, now, False)]), labels=np.array([True]))
    margin = rng.uniform(1.5, 2.3) if rng.random() < 0.75 else rng.uniform(2.3, 4)  # to find again what has jumped
    return prompts, _shifted(rng, Window.around(_box(outline), margin), now.shape)


def _pointing(rng: Rng, truth: NDArray[np.bool_]) -> tuple[CropPrompts, Window]:
    """A box (45 %), clicks (30 %), or a nearly right outline: of all to correct (12 %), of a part to draw finer."""
    kind = rng.random()
    if kind < 0.45:
        box = jittered_box(rng, truth, float(rng.choice([0.03, 0.06, 0.1])))
        prompts = CropPrompts(box=box)
        if rng.random() < 0.12:
            prompts = replace(prompts, points=np.array([click_in(rng, truth, False)]), labels=np.array([True]))
        return prompts, _shifted(rng, Window.around(box, rng.uniform(1.25, 1.8)), truth.shape)
    if kind < 0.75:
        points, labels = clicks_around(rng, truth)
        prompts = CropPrompts(points=points, labels=labels)
        if rng.random() < 0.5:
            return prompts, _shifted(rng, Window.around(_box(truth), rng.uniform(1.3, 2.2)), truth.shape)
        return prompts, _wide(rng, _box(truth), truth.shape)
    if kind > 0.87:
        return _part(rng, truth)
    outline = spoiled(rng, truth)
    prompts = CropPrompts(outline=outline)
    if (click := correcting_click(rng, outline, truth)) is not None:
        prompts = replace(prompts, points=click[0], labels=click[1])
    if rng.random() < 0.4:
        prompts = replace(prompts, box=jittered_box(rng, truth, 0.06))
    return prompts, _shifted(rng, Window.around(_box(truth), rng.uniform(1.3, 2.2)), truth.shape)


def _part(rng: Rng, truth: NDArray[np.bool_]) -> tuple[CropPrompts, Window]:
    """A window on a part of a structure whose outline was drawn from farther away, sometimes with a click on an error.

    The part that is seen may need no change, or hold nothing of the structure.
    """
    x0, y0, x1, y1 = _box(truth)
    side = max(LEAST_PART, max(x1 - x0, y1 - y0) * float(np.exp(rng.uniform(np.log(0.2), np.log(0.8)))))
    x, y = np.array(click_in(rng, truth, central=False)) + rng.normal(0, 0.15, 2) * side
    window = Window(x - side / 2, y - side / 2, side).within(*truth.shape)
    outline = coarse(rng, truth) if rng.random() < 0.7 else spoiled(rng, truth)
    prompts = CropPrompts(outline=outline if outline.any() else truth)
    if rng.random() < 0.4:
        rows, columns = (slice(max(0, int(low)), int(low + window.size) + 1) for low in (window.y, window.x))
        seen = np.zeros_like(truth)
        seen[rows, columns] = True
        if (click := correcting_click(rng, outline & seen, truth & seen)) is not None:
            prompts = replace(prompts, points=click[0], labels=click[1])
    return prompts, window


def _bytes(inside: NDArray[np.floating]) -> NDArray[np.uint8]:
    return (inside * 255).astype(np.uint8)


def _shifted(rng: Rng, window: Window, size: tuple[int, ...]) -> Window:
    """The window a little off, as where a person's prompt is."""
    window = window.within(size[0], size[1])
    jitter = 0.06 * window.size
    return Window(window.x + rng.uniform(-jitter, jitter), window.y + rng.uniform(-jitter, jitter), window.size)


def _wide(rng: Rng, box: tuple[float, float, float, float], size: tuple[int, ...]) -> Window:
    """A window several times as large as the structure, which may lie anywhere in it."""
    longer = max(box[2] - box[0], box[3] - box[1])
    side = min(longer * float(np.exp(rng.uniform(np.log(2), np.log(7)))), float(max(size)))
    room = max(0.0, side - longer)
    return Window(box[0] - rng.uniform(0, room), box[1] - rng.uniform(0, room), side)


def _extent(mask: NDArray[np.bool_]) -> float:
    """Area of the box around a structure: thin trees count by how far they reach."""
    x0, y0, x1, y1 = bounding_box(mask)
    return float((x1 - x0) * (y1 - y0))


def _box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
    return x0, y0, x1, y1


class SamplePool:
    """The latest samples of one crop side; worker processes replace the oldest ones all the time.

    side      pixels along a side of a crop
    capacity  samples kept
    data      folder of labelled scans, or None for synthetic scenes only
    """

    def __init__(self, side: int, capacity: int, seed: int, data: Path | None, workers: int = 1) -> None:
        context = mp.get_context("spawn")
        self.side, self.capacity, self.made = side, capacity, 0
        self._rng = np.random.default_rng(seed)
        self._kept = Batch.empty(capacity, side)
        self._queue: mp.Queue[Batch] = context.Queue(8)
        self._workers = [
            context.Process(target=_work, args=(self._queue, side, seed + 1 + n, data), daemon=True)
            for n in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def fill(self, least: int) -> None:
        """Wait until so many samples are there. Raises RuntimeError if the workers died."""
        while self.made < min(least, self.capacity):
            self._take(wait=True)

    def draw(self, batch: int) -> Batch:
        """A random batch, all of it turned and mirrored in one random way."""
        while self._take(wait=False):
            pass
        chosen = self._rng.integers(min(self.made, self.capacity), size=batch)
        turns, mirrored = int(self._rng.integers(4)), self._rng.random() < 0.5

        def turned(kept: NDArray) -> NDArray:
            out = np.rot90(kept[chosen], turns, (-2, -1))
            return np.ascontiguousarray(out[..., ::-1] if mirrored else out)

        return Batch(*(turned(kept) if kept.ndim > 1 else kept[chosen] for kept in self._arrays(self._kept)))

    @staticmethod
    def _arrays(batch: Batch) -> list[NDArray]:
        return [getattr(batch, one.name) for one in fields(batch)]

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def _take(self, wait: bool) -> bool:
        """Store one pack of samples; False if none is ready."""
        try:
            pack = self._queue.get(wait, 60 if wait else None)
        except queue.Empty:
            if not any(worker.is_alive() for worker in self._workers):
                raise RuntimeError("The processes that make training data have died.") from None
            return wait
        places = (self.made + np.arange(len(pack.maps))) % self.capacity
        for kept, new in zip(self._arrays(self._kept), self._arrays(pack), strict=True):
            kept[places] = new
        self.made += len(pack.maps)
        return True


def _work(outbox: mp.Queue[Batch], side: int, seed: int, data: Path | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.nice(10)  # the network comes first
    rng = np.random.default_rng(seed)
    sources = real_sources(data) if data else []
    use_real_textures(real_textures(rng, sources))
    pack: list[Sample] = []
    while True:
        scene = random_scene(rng, sources)
        pack += [s for s in (sample(rng, scene, side) for _ in range(SAMPLES_A_SCENE)) if s is not None]
        if len(pack) >= PACK:
            if not _handed(outbox, batch_of(pack)):
                return
            pack = []


def _handed(outbox: mp.Queue[Batch], batch: Batch) -> bool:
    """Put a batch where there is room; False where nobody is left to take it."""
    parent = mp.parent_process()
    while parent is None or parent.is_alive():
        try:
            outbox.put(batch, timeout=5)
        except queue.Full:
            continue
        return True
    return False


def random_scene(rng: Rng, sources: list[RealSource]) -> Scene:
    """A synthetic scene, or a real one in REAL_SHARE of the cases where there are real sources."""
    frames = FRAMES if rng.random() < FOLLOWED_SHARE else 1
    if sources and rng.random() < REAL_SHARE:
        return random_real_scene(rng, sources, frames)
    return synthetic_scene(rng, int(rng.choice(SCENE_SIZES)), frames)
