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
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.core.errors import ModelError
from delineate.data.confined import DataFolder
from delineate.quill.data.prompt_samples import QUESTIONS, PromptSample, prompt_samples
from delineate.quill.data.real_scenes import RealSource, random_real_scene, real_sources, real_textures
from delineate.quill.data.scene import Scene
from delineate.quill.data.synthetic import synthetic_scene, use_real_textures
from delineate.training.prompt_simulation import Rng

REAL_SHARE = 0.3
FOLLOWED_SHARE = 0.42  # scenes of several frames
FRAMES = 7  # of these: one that is known, one to find the structure on, the others to go on to
SCENE_SIZES = (192, 224, 288, 340)  # pixels along a side
CANVAS = 344  # pixels along a side, of the largest scene, in whole bytes
PATIENCE = 2.0  # seconds between two looks at whether the workers are alive
CLICKS = 5  # in a question, at most


@dataclass(frozen=True, eq=False)
class QueryBatch:
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


OF_SCENES = ("frames", "size", "length")  # of ``QueryBatch``, what belongs to the scene


@dataclass(frozen=True, eq=False)
class SceneSample:
    """A scene and the questions about it: arrays as in ``QueryBatch``, without canvas; questions (Q, ...)."""

    frames: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    window: NDArray[np.float32]
    box: NDArray[np.float32]
    clicks: NDArray[np.float32]
    follows: NDArray[np.bool_]

    @classmethod
    def of(cls, scene: Scene, questions: Sequence[PromptSample]) -> Self:
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


def query_batch(pairs: Sequence[tuple[Scene, PromptSample]]) -> QueryBatch:
    """One question each about some scenes."""
    exercises = [SceneSample.of(scene, [question]) for scene, question in pairs]
    room = SampleBuffer(len(pairs), 1, max(len(one.frames) for one in exercises))
    for n, one in enumerate(exercises):
        room.put(n, one)
    return room.drawn(np.arange(len(pairs)), np.zeros(len(pairs), int))


class SampleBuffer:
    """Room for scenes with their questions, on a device.

    count, questions, frames  scenes, questions about each, and frames of each, at most
    """

    def __init__(self, count: int, questions: int, frames: int = FRAMES, device: torch.device | str = "cpu") -> None:
        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        side, bits = CANVAS, CANVAS // 8
        self.kept = QueryBatch(
            empty(count, frames, 3, side, side, dtype=torch.uint8), empty(count, 2), empty(count, dtype=torch.int64),
            empty(count, questions, frames, side, bits, dtype=torch.uint8),
            empty(count, questions, side, bits, dtype=torch.uint8), empty(count, questions, 3),
            empty(count, questions, 4), empty(count, questions, CLICKS, 3),
            empty(count, questions, dtype=torch.bool),
        )  # fmt: skip
        self.questions = np.zeros(count, int)  # there are

    def put(self, place: int, one: SceneSample) -> None:
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

    def drawn(self, scenes: NDArray[np.intp], questions: NDArray[np.intp]) -> QueryBatch:
        """Questions (B,), by numbers of scenes and of questions about them."""
        device = self.kept.window.device
        first, second = torch.from_numpy(scenes).to(device), torch.from_numpy(questions).to(device)

        def of(name: str) -> Tensor:
            kept: Tensor = getattr(self.kept, name)
            return kept[first] if name in OF_SCENES else kept[first, second]

        return QueryBatch(*(of(one.name) for one in fields(QueryBatch)))


class ScenePool:
    """The latest scenes, with what is asked about them; worker processes replace the oldest ones all the time.

    capacity  scenes kept
    data      folder of labeled scans, or None for synthetic scenes only
    device    where they are kept
    """

    def __init__(
        self, capacity: int, seed: int, data: DataFolder | None, workers: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        context = mp.get_context("spawn")
        self.capacity, self.made = capacity, 0
        self._rng = np.random.default_rng(seed)
        self._places = SampleBuffer(capacity, QUESTIONS, device=device)
        self._queue: mp.Queue[SceneSample] = context.Queue(8 + 8 * workers)
        self._workers = [
            context.Process(target=_work, args=(self._queue, seed + 1 + n, data), daemon=True) for n in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def fill(self, least: int) -> None:
        """Wait until so many scenes are there. Raises ModelError if a worker died."""
        while self.made < min(least, self.capacity):
            self._require_workers()
            self._take(wait=True)

    def draw(self, batch: int) -> QueryBatch:
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
            one = self._queue.get(wait, PATIENCE if wait else None)
        except queue.Empty:
            self._require_workers()
            return wait
        self._places.put(self.made % self.capacity, one)
        self.made += 1
        return True

    def _require_workers(self) -> None:
        """None of them ends by itself."""
        for worker in self._workers:
            if worker.exitcode is not None:
                raise ModelError(
                    "E-TRAIN-WORKER",
                    f"A process that makes training data ended (exit code {worker.exitcode}).",
                    "Exit code -9 mostly means that memory ran out: give fewer --workers, and go on with --resume.",
                )


def _work(outbox: mp.Queue[SceneSample], seed: int, data: DataFolder | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    os.nice(10)  # the network comes first
    rng = np.random.default_rng(seed)
    sources = real_sources(data) if data else []
    use_real_textures(real_textures(rng, sources))
    while True:
        scene = random_scene(rng, sources)
        found = prompt_samples(rng, scene)
        if found and not _handed(outbox, SceneSample.of(scene, found)):
            return


def _handed(outbox: mp.Queue[SceneSample], one: SceneSample) -> bool:
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
