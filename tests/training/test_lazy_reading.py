"""Training opens scans when they are drawn, reads the frames of a clip and no others, and keeps only so much open."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.core.errors import InputError
from delineate.core.frame import Frame
from delineate.core.scan import Pixels, Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.quill.train.finetune import LabeledFrameReader
from delineate.training.class_clips import placed as placed_classes
from delineate.training.distill import DistillationFrames
from delineate.training.frames import FrameOptions, drawn_batch, split_frames
from delineate.training.frames import _prepared as prepared_frame
from delineate.training.loop import LoopOptions
from delineate.training.sam2_objective import Sam2Finetune, sam2_objective
from delineate.training.sequences import SequenceOptions, split_sources
from delineate.training.sequences import _placed as placed_masks
from delineate.training.shelf import LRUCache
from training_clips import tiny_sam2_predictor
from training_discs import tiny_predictor

FRAMES, SIDE, CASES = 12, 48, 30


@dataclass(eq=False)
class Counted:
    """A reader of videos with a square, which counts what is opened and read; ``empty``: cases without one."""

    opened: Counter = field(default_factory=Counter)
    read: Counter = field(default_factory=Counter)
    empty: frozenset[str] = frozenset()

    def __call__(self, case: Case) -> OpenedFiles:
        self.opened[case.id] += 1
        labels = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
        labels[:, 10:30, 12:34] = case.id not in self.empty
        return OpenedFiles(Scan.from_frames(_Pixels(self, case.id, labels)), Scan.from_frames(labels))


@dataclass(eq=False)
class _Pixels:
    reader: Counted
    case: str
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype:
        return self.labels.dtype

    def read(self, index: int) -> Pixels:
        self.reader.read[self.case, index] += 1
        return 60 + 100 * self.labels[index]


def videos(reader: Counted) -> list[Case]:
    about = ("squares", "video", Task.VIDEO, Path(__file__), Path(__file__), {1: "square"}, Use.TRAIN)
    return [Case(f"case{n}", *about, subject=str(n), reader=reader) for n in range(CASES)]


def test_clips_are_read_when_they_are_drawn() -> None:
    reader = Counted()
    recipe = Sam2Finetune(LoopOptions(Path(), steps=1, rate=1e-4), clips=SequenceOptions(frames=3), measured=4)
    objective = sam2_objective(tiny_sam2_predictor(), videos(reader), recipe)
    assert not reader.opened
    rng = np.random.default_rng(0)
    for drawn in range(1, 4):
        objective.drawn(rng)
        assert len(reader.opened) <= drawn and reader.read.total() == 3 * drawn
    for _ in range(2):
        clips = objective.held_out()
        next(clips)
        assert reader.read.total() <= 9 + 2 * 4  # one clip at a time
    assert set(reader.opened.values()) == {1}


def test_frames_are_read_when_they_are_drawn() -> None:
    reader = Counted()
    training, testing = split_frames(tiny_predictor(), videos(reader), FrameOptions(slices=4))
    assert len(training) + len(testing) == 4 * CASES and not reader.opened
    drawn_batch(np.random.default_rng(0), training, 2)
    assert reader.read.total() == 2 and len(reader.opened) <= 2
    assert len(list(testing)) == len(testing) and len(list(testing)) == len(testing)
    assert reader.read.total() == 2 + len(testing), "what was prepared is kept"


def test_pictures_of_a_distillation_are_read_when_they_are_drawn() -> None:
    reader = Counted()
    pictures = DistillationFrames(videos(reader), 8)
    assert len(pictures) == 8 * CASES and not reader.opened
    assert pictures[9].shape[:2] == (SIDE, SIDE) and list(reader.opened) == ["case1"] and reader.read.total() == 1


def test_scans_without_structures_are_passed_over() -> None:
    reader = Counted(empty=frozenset(f"case{n}" for n in range(0, CASES, 2)))
    cases = videos(reader)
    recipe = Sam2Finetune(LoopOptions(Path(), steps=1, rate=1e-4), clips=SequenceOptions(frames=2))
    objective = sam2_objective(tiny_sam2_predictor(), cases, recipe)
    rng = np.random.default_rng(0)
    assert all(objective.drawn(rng).truth[:, 0].any() for _ in range(12))
    training, testing = split_frames(tiny_predictor(), cases, FrameOptions())
    assert all(training[n].masks.any() for n in range(0, len(training), 5))
    assert 0 < len(list(testing)) < len(testing)
    nothing = [replace(case, reader=Counted(empty=frozenset(c.id for c in cases))) for case in cases]
    with pytest.raises(InputError, match="None of"):
        sam2_objective(tiny_sam2_predictor(), nothing, recipe).drawn(rng)
    with pytest.raises(InputError, match="None of"):
        list(split_frames(tiny_predictor(), nothing, FrameOptions())[1])


def test_a_shelf_keeps_the_latest_that_fit() -> None:
    made: list[int] = []

    def get(shelf: LRUCache[int], *keys: int) -> None:
        for key in keys:
            assert shelf.get(key, lambda key=key: made.append(key) or 10 * key) == 10 * key

    shelf: LRUCache[int] = LRUCache(100, float)
    get(shelf, 1, 2, 3, 1, 4)
    assert made == [1, 2, 3, 4] and len(shelf) == 4 and shelf.bytes == 100
    get(shelf, 5, 1, 2)  # 2 and 3 make room for 5, then 4 for 2
    assert made == [1, 2, 3, 4, 5, 2] and shelf.bytes == 80
    get(shelf, 50)
    assert len(shelf) == 1 and shelf.bytes == 500, "the newest stays, however large"
    few: LRUCache[int] = LRUCache(1e9, float, most=2)
    get(few, 1, 2, 3)
    assert len(few) == 2


def fractions(case: Case) -> OpenedFiles:
    """Labels as resampling leaves them: nearly 1, with -1 where nobody looked."""
    labels = np.zeros((SIDE, SIDE), np.float32)
    labels[10:30, 10:20], labels[10:30, 20:30], labels[35:45] = 0.99999, 1.00001, -1
    labels[0, 0] = np.nan
    return OpenedFiles(Scan.from_image((60 + 100 * (labels > 0)).astype(np.uint8)), Scan.from_image(labels))


def test_labels_are_whole_numbers_above_nothing_for_every_kind_of_training() -> None:
    about = ("set", "MR", Task.IMAGE, Path(__file__), Path(__file__), {1: "square"}, Use.TRAIN)
    cases = [Case(f"case{n}", *about, subject=str(n), reader=fractions) for n in range(4)]
    for frame in split_frames(tiny_predictor(), cases, FrameOptions())[0]:
        assert frame.masks.shape[0] == 1 and abs(frame.masks.mean() - 400 / SIDE**2) < 0.01
    (source, *_), _ = split_sources(cases, 0.25, 0)
    assert source.areas == ({1: 400},)
    assert sorted(np.unique(LabeledFrameReader([source], 1).picture(source, 0).labels)) == [0, 1]


@pytest.mark.parametrize("side", [700, 1024])
def test_outlines_of_large_pictures_lie_where_answers_are_read(side: int) -> None:
    rows, columns = np.mgrid[:side, : side - 60]
    disc = (np.hypot(rows - 0.4 * side, columns - 0.55 * side) < 0.1 * side).astype(np.uint8)
    predictor, seen = tiny_predictor(), Frame.of(disc * 200)
    _, place = predictor.behavior.profile.prepare(seen)
    frame = prepared_frame(predictor, seen, disc)
    assert frame is not None
    masks = [frame.masks[0], placed_masks(disc, [1], place)[0].numpy(), placed_classes(disc.astype(int), place) == 1]
    middle = (np.argwhere(disc).mean(axis=0) + 0.5) * place.scale[::-1] - 0.5
    for mask in masks:  # the first pixel of those that become one is half an input pixel off
        assert np.abs(np.argwhere(mask).mean(axis=0) - middle).max() < 0.2
