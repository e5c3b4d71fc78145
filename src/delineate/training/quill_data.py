"""What Quill is trained on: scenes, and what may be asked of each.

Worker processes make scenes all the time and think of questions about them: a structure, a prompt, a window. The
training loop draws questions from a pool of the latest scenes; crops and prompt maps are made from them where the
network is (``shown``), so that a GPU does not wait for data.
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
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.preprocess.crop import Window
from delineate.preprocess.prompt_maps import CropPrompts
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

QUESTIONS = 12  # about a scene
REAL_SHARE = 0.3
FOLLOWED_SHARE = 0.42  # scenes of several frames
FRAMES = 7  # of these: one that is known, one to find the structure on, the others to go on to
ONWARDS = FRAMES - 2
SCENE_SIZES = (192, 224, 288, 340)  # pixels along a side
CANVAS = 344  # pixels along a side, of the largest scene, in whole bytes
CLICKS = 5  # in a question, at most
LEAST_PART = 40.0  # pixels along a side of a window on a part of a structure
THIN = 0.2  # structures that fill less of their box
SEEN, UNSEEN = 0.45, 0.1  # shares of a border that can be seen: always kept from the first on, hardly ever below
SEEN_SIDE, SEEN_MARGIN = 128, 1.6  # of the crop on which that is told


@dataclass(frozen=True, eq=False)
class Question:
    """One prompt for one structure of a scene.

    truth    bool (T, H, W): the structure on every frame
    follows  it is looked for on the second frame, and known on the first; else it is pointed at on the first
    """

    truth: NDArray[np.bool_]
    prompts: CropPrompts
    window: Window
    follows: bool


@dataclass(frozen=True, eq=False)
class Asked:
    """Questions as tensors; the first axis, or the first two, count them.

    frames   uint8 (..., T, 3, C, C), scenes in the upper left corners of their canvas
    size     float32 (..., 2): height and width of the scene
    length   int64 (...): frames it has
    truth    uint8 (..., T, C, C / 8), packed bits
    outline  uint8 (..., C, C / 8), packed bits: the outline so far; where it is followed, of the first frame
    window   float32 (..., 3): x, y, size
    box      float32 (..., 4): nan where there is none
    clicks   float32 (..., CLICKS, 3): x, y, 1 inside or -1 outside, 0 where there is none
    follows  bool (...)
    """

    frames: Tensor
    size: Tensor
    length: Tensor
    truth: Tensor
    outline: Tensor
    window: Tensor
    box: Tensor
    clicks: Tensor
    follows: Tensor

    def part(self, chosen: Tensor) -> Self:
        """Some of the questions, by number."""
        return type(self)(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def to(self, device: torch.device | str) -> Self:
        return type(self)(*(getattr(self, one.name).to(device) for one in fields(self)))


OF_SCENES = ("frames", "size", "length")  # of ``Asked``, what belongs to the scene


@dataclass(frozen=True, eq=False)
class Exercise:
    """A scene and the questions about it: arrays as in ``Asked``, without canvas; questions (Q, ...)."""

    frames: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    window: NDArray[np.float32]
    box: NDArray[np.float32]
    clicks: NDArray[np.float32]
    follows: NDArray[np.bool_]

    @classmethod
    def of(cls, scene: Scene, questions: Sequence[Question]) -> Self:
        low, high = float(scene.frames.min()), float(scene.frames.max())
        frames = np.rint((scene.frames - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
        box = np.full((len(questions), 4), np.nan, np.float32)
        clicks = np.zeros((len(questions), CLICKS, 3), np.float32)
        outline = np.zeros((len(questions), *frames.shape[1:3]), bool)
        for n, question in enumerate(questions):
            given = question.prompts
            if given.box is not None:
                box[n] = given.box
            if given.points is not None and given.labels is not None:
                clicks[n, : len(given.points), :2] = given.points
                clicks[n, : len(given.points), 2] = np.where(given.labels, 1, -1)
            known = given.earlier_outline if question.follows else given.outline
            if known is not None:
                outline[n] = known
        return cls(
            frames.transpose(0, 3, 1, 2), np.packbits(np.stack([q.truth for q in questions]), axis=-1),
            np.packbits(outline, axis=-1),
            np.array([(q.window.x, q.window.y, q.window.size) for q in questions], np.float32), box, clicks,
            np.array([q.follows for q in questions]),
        )  # fmt: skip

    @property
    def count(self) -> int:
        return len(self.window)


def asked(pairs: Sequence[tuple[Scene, Question]]) -> Asked:
    """One question each about some scenes."""
    exercises = [Exercise.of(scene, [question]) for scene, question in pairs]
    room = Places(len(pairs), 1, max(len(one.frames) for one in exercises))
    for n, one in enumerate(exercises):
        room.put(n, one)
    return room.drawn(np.arange(len(pairs)), np.zeros(len(pairs), int))


class Places:
    """Room for scenes with their questions, on a device.

    count, questions, frames  scenes, questions about each, and frames of each, at most
    """

    def __init__(self, count: int, questions: int, frames: int = FRAMES, device: torch.device | str = "cpu") -> None:
        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        side, bits = CANVAS, CANVAS // 8
        self.kept = Asked(
            empty(count, frames, 3, side, side, dtype=torch.uint8), empty(count, 2), empty(count, dtype=torch.int64),
            empty(count, questions, frames, side, bits, dtype=torch.uint8),
            empty(count, questions, side, bits, dtype=torch.uint8), empty(count, questions, 3),
            empty(count, questions, 4), empty(count, questions, CLICKS, 3),
            empty(count, questions, dtype=torch.bool),
        )  # fmt: skip
        self.questions = np.zeros(count, int)  # there are

    def put(self, place: int, one: Exercise) -> None:
        """A scene, in place of the one that was there."""
        length, _, height, width = one.frames.shape
        many, bits = one.count, one.truth.shape[-1]
        kept = self.kept
        kept.frames[place, :length, :, :height, :width] = torch.from_numpy(one.frames).to(kept.frames.device)
        kept.size[place] = torch.tensor([float(height), float(width)])
        kept.length[place] = length
        kept.truth[place] = 0
        kept.truth[place, :many, :length, :height, :bits] = torch.from_numpy(one.truth).to(kept.truth.device)
        kept.outline[place] = 0
        kept.outline[place, :many, :height, :bits] = torch.from_numpy(one.outline).to(kept.outline.device)
        for name in ("window", "box", "clicks", "follows"):
            to = getattr(kept, name)
            to[place, :many] = torch.from_numpy(getattr(one, name)).to(to.device)
        self.questions[place] = many

    def drawn(self, scenes: NDArray[np.intp], questions: NDArray[np.intp]) -> Asked:
        """Questions (B,), by numbers of scenes and of questions about them."""
        device = self.kept.window.device
        first, second = torch.from_numpy(scenes).to(device), torch.from_numpy(questions).to(device)

        def of(name: str) -> Tensor:
            kept: Tensor = getattr(self.kept, name)
            return kept[first] if name in OF_SCENES else kept[first, second]

        return Asked(*(of(one.name) for one in fields(Asked)))


def question(rng: Rng, scene: Scene, known: dict[tuple[int, bool], float] | None = None) -> Question | None:
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
    return Question(truth, prompts, window, follows)


def questions_about(rng: Rng, scene: Scene) -> list[Question]:
    """What is asked about a scene, at most QUESTIONS; it may be nothing."""
    known: dict[tuple[int, bool], float] = {}
    return [one for one in (question(rng, scene, known) for _ in range(QUESTIONS)) if one is not None]


def _seen(frame: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Share of a structure's border that can be seen."""
    if not truth.any():
        return 1.0
    window = Window.around(_box(truth), SEEN_MARGIN).within(*truth.shape)
    grey = bool((frame[::4, ::4, 0] == frame[::4, ::4, 1]).all())
    colours = window.cut(frame[..., 0] if grey else frame, SEEN_SIDE)
    low, high = np.percentile(colours, (1, 99))
    colours = np.clip((colours - low) * (2 / max(float(high - low), 1e-6)) - 1, -1.5, 1.5).astype(np.float32)
    colours = colours[None] if grey else colours.transpose(2, 0, 1)
    seen = visible_share(colours, window.cut(truth, SEEN_SIDE) > 0.5)
    if truth.sum() < THIN * _extent(truth):
        return max(seen, 0.3)  # vessels are told by their course where their sides hardly differ
    return seen


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


class ScenePool:
    """The latest scenes, with what is asked about them; worker processes replace the oldest ones all the time.

    capacity  scenes kept
    data      folder of labelled scans, or None for synthetic scenes only
    device    where they are kept
    """

    def __init__(
        self, capacity: int, seed: int, data: Path | None, workers: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        context = mp.get_context("spawn")
        self.capacity, self.made = capacity, 0
        self._rng = np.random.default_rng(seed)
        self._places = Places(capacity, QUESTIONS, device=device)
        self._queue: mp.Queue[Exercise] = context.Queue(8 + 8 * workers)
        self._workers = [
            context.Process(target=_work, args=(self._queue, seed + 1 + n, data), daemon=True) for n in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def fill(self, least: int) -> None:
        """Wait until so many scenes are there. Raises RuntimeError if the workers died."""
        while self.made < min(least, self.capacity):
            self._take(wait=True)

    def draw(self, batch: int) -> Asked:
        """Random questions."""
        while self._take(wait=False):
            pass
        there = np.cumsum(self._places.questions)
        chosen = self._rng.integers(there[-1], size=batch)
        scenes = np.searchsorted(there, chosen, side="right")
        return self._places.drawn(scenes, there[scenes] - 1 - chosen)

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()

    def _take(self, wait: bool) -> bool:
        """Keep what was made next; False if nothing is ready."""
        try:
            one = self._queue.get(wait, 60 if wait else None)
        except queue.Empty:
            if not any(worker.is_alive() for worker in self._workers):
                raise RuntimeError("The processes that make training data have died.") from None
            return wait
        self._places.put(self.made % self.capacity, one)
        self.made += 1
        return True


def _work(outbox: mp.Queue[Exercise], seed: int, data: Path | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    os.nice(10)  # the network comes first
    rng = np.random.default_rng(seed)
    sources = real_sources(data) if data else []
    use_real_textures(real_textures(rng, sources))
    while True:
        scene = random_scene(rng, sources)
        found = questions_about(rng, scene)
        if found and not _handed(outbox, Exercise.of(scene, found)):
            return


def _handed(outbox: mp.Queue[Exercise], one: Exercise) -> bool:
    """Put a scene where there is room; False where nobody is left to take it."""
    parent = mp.parent_process()
    while parent is None or parent.is_alive():
        try:
            outbox.put(one, timeout=5)
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
