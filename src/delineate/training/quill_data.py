"""Scenes turned into what Quill is trained on: a prompt, the zoomed crop, the outline to find."""

from __future__ import annotations

import multiprocessing as mp
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import Window
from delineate.preprocess.prompt_maps import CropPrompts, prompt_maps
from delineate.training.prompt_simulation import (
    Rng,
    bounding_box,
    click_in,
    clicks_around,
    correcting_click,
    jittered_box,
    spoiled,
)
from delineate.training.real import RealSource, random_real_scene, real_sources
from delineate.training.scene import Scene
from delineate.training.synthetic import synthetic_scene

SAMPLES_A_SCENE = 6
REAL_SHARE = 0.25
PAIR_SHARE = 0.3  # scenes of two frames, for following
SCENE_SIZES = {128: (160, 192, 192, 256), 256: (300, 340)}  # crop side to scene sides


@dataclass(frozen=True, eq=False)
class Batch:
    """maps float16 (B, C, S, S) · truth uint8 (B, S, S), 255 inside · ambiguous bool (B,): only clicks were given."""

    maps: NDArray[np.float16]
    truth: NDArray[np.uint8]
    ambiguous: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Sample:
    maps: NDArray[np.float16]
    truth: NDArray[np.uint8]
    ambiguous: bool


def sample(rng: Rng, scene: Scene, side: int) -> _Sample:
    """One prompt for one structure of a scene, as the network sees it at ``side`` pixels."""
    areas = np.sqrt(scene.targets[:, 0].sum(axis=(1, 2)))
    number = int(rng.choice(len(areas), p=areas / areas.sum()))
    if len(scene.frames) > 1 and rng.random() < 0.75:
        frame, truth = scene.frames[1], scene.targets[number, 1]
        prompts, box, margin = _following(rng, scene, number)
    else:
        frame, truth = scene.frames[0], scene.targets[number, 0]
        prompts, box, margin = _pointing(rng, truth)
    window = Window.around(box, margin).within(*truth.shape)
    jitter = 0.06 * window.size
    window = Window(window.x + rng.uniform(-jitter, jitter), window.y + rng.uniform(-jitter, jitter), window.size)
    maps, shown = prompt_maps(frame, prompts, window, side), window.cut(truth, side)
    turns = int(rng.integers(4))
    maps, shown = np.rot90(maps, turns, (1, 2)), np.rot90(shown, turns)
    if rng.random() < 0.5:
        maps, shown = maps[:, :, ::-1], shown[:, ::-1]
    ambiguous = prompts.box is None and prompts.earlier is None
    return _Sample(maps.astype(np.float16), (shown * 255).astype(np.uint8), ambiguous)


def _following(rng: Rng, scene: Scene, number: int) -> tuple[CropPrompts, tuple[float, float, float, float], float]:
    """The frame before with its outline (not always a good one), seldom with a hint on this frame."""
    before, now = scene.targets[number, 0], scene.targets[number, 1]
    outline = spoiled(rng, before) if rng.random() < 0.4 else before
    prompts = CropPrompts(earlier=scene.frames[0], earlier_outline=outline)
    if now.any() and rng.random() < 0.12:
        prompts = replace(prompts, box=jittered_box(rng, now, 0.1))
    elif now.any() and rng.random() < 0.08:
        prompts = replace(prompts, points=np.array([click_in(rng, now, False)]), labels=np.array([True]))
    return prompts, _box(outline), rng.uniform(1.5, 2.3)


def _pointing(rng: Rng, truth: NDArray[np.bool_]) -> tuple[CropPrompts, tuple[float, float, float, float], float]:
    """A box (55 %), clicks (25 %), or a nearly right outline to correct (20 %)."""
    kind = rng.random()
    if kind < 0.55:
        box = jittered_box(rng, truth, float(rng.choice([0.03, 0.06, 0.1])))
        prompts = CropPrompts(box=box)
        if rng.random() < 0.12:
            prompts = replace(prompts, points=np.array([click_in(rng, truth, False)]), labels=np.array([True]))
        return prompts, box, rng.uniform(1.25, 1.8)
    if kind < 0.8:
        points, labels = clicks_around(rng, truth)
        margin = rng.uniform(1.3, 2.2) if rng.random() < 0.6 else rng.uniform(2, 6)
        return CropPrompts(points=points, labels=labels), _box(truth), margin
    outline = spoiled(rng, truth)
    prompts = CropPrompts(outline=outline)
    if (click := correcting_click(rng, outline, truth)) is not None:
        prompts = replace(prompts, points=click[0], labels=click[1])
    if rng.random() < 0.4:
        prompts = replace(prompts, box=jittered_box(rng, truth, 0.06))
    return prompts, _box(truth), rng.uniform(1.3, 2.2)


def _box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
    return x0, y0, x1, y1


class BatchMaker:
    """Worker processes that make batches of one crop side ahead of the training loop."""

    def __init__(self, side: int, batch: int, seed: int, data: Path | None, workers: int = 1, ahead: int = 8) -> None:
        context = mp.get_context("spawn")
        self._queue: mp.Queue[Batch] = context.Queue(ahead)
        self._workers = [
            context.Process(target=_work, args=(self._queue, side, batch, seed + n, data), daemon=True)
            for n in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def next(self) -> Batch:
        """The next batch. Raises RuntimeError if the workers died."""
        while True:
            try:
                return self._queue.get(timeout=60)
            except Exception as error:
                if not any(worker.is_alive() for worker in self._workers):
                    raise RuntimeError("The processes that make training data have died.") from error

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()


def _work(queue: mp.Queue[Batch], side: int, batch: int, seed: int, data: Path | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    rng = np.random.default_rng(seed)
    sources = real_sources(data) if data else []
    pool: list[_Sample] = []
    while True:
        while len(pool) < 3 * batch:
            scene = random_scene(rng, side, sources)
            pool += [sample(rng, scene, side) for _ in range(SAMPLES_A_SCENE)]
        order = rng.permutation(len(pool))
        picked, pool = [pool[n] for n in order[:batch]], [pool[n] for n in order[batch:]]
        queue.put(
            Batch(
                np.stack([s.maps for s in picked]),
                np.stack([s.truth for s in picked]),
                np.array([s.ambiguous for s in picked]),
            )
        )


def random_scene(rng: Rng, side: int, sources: list[RealSource]) -> Scene:
    """A synthetic scene, or a real one in REAL_SHARE of the cases where there are real sources."""
    frames = 2 if rng.random() < PAIR_SHARE else 1
    if sources and rng.random() < REAL_SHARE:
        return random_real_scene(rng, sources, frames)
    return synthetic_scene(rng, int(rng.choice(SCENE_SIZES[side])), frames)
