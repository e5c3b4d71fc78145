"""Protocols of one labeled example: a structure shown on one scan is looked for on the others of its data set.

As SSL-ALPNet evaluates abdominal CT and MR (arXiv 2007.09886: five folds, three slices of the next scan after the
fold), and ProtoSAM polyps (arXiv 2407.07042: one training picture). Of volumes Dice is given of the whole and as the
mean over slices: the papers' tables mix the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import getdoc
from pathlib import Path
from time import perf_counter

from delineate.core.errors import InputError
from delineate.core.rle import Rle
from delineate.data.cases import Case, LabeledScan, Target, Task, Use, rng_of
from delineate.data.layouts import read_dataset
from delineate.data.subjects import subject_of
from delineate.evaluation.protocol import Outcome, Protocol
from delineate.evaluation.slice_protocols import MEDSAM, sliced_outcome
from delineate.fewshot.parts import PARTS, part_middles, part_of
from delineate.io.readers.frame_folder import natural_order
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import Features, FramePredictor, Query, ReferenceFrame

FOLDS = 5
OPENED = 2  # supports that stay open


@dataclass(frozen=True)
class NextScan:
    """Volumes: the support is the first scan after the query's fold that shows the organ, three slices of it.

    The slices are those in the middle of each third of its slices; each slice of the query is compared with that of its
    own third. Only slices of the query that show the organ are asked for.
    """

    parts: int = PARTS
    folds: int = FOLDS

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        kept: dict[tuple[str, int], Features] = {}
        for target in targets:
            support, shown = _showing(after_fold(siblings(case.case), case.case, self.folds), target.name)
            middles = part_middles(slices_with(support, shown), self.parts)
            frames = slices_with(case, target)
            found: dict[int, Rle] = {}
            size = case.scan.height, case.scan.width
            start = perf_counter()
            for frame in frames:
                middle = middles[part_of(frame, frames[0], frames[-1], self.parts)]
                key = support.case.id, middle
                if key not in kept:
                    kept[key] = predictor.encode(support.scan.frame(middle))
                reference = ReferenceFrame(kept[key], support.truth(middle, shown))
                own = "", frame
                if own not in kept:
                    kept[own] = predictor.encode(case.scan.frame(frame))
                answers = decoded(predictor, kept[own], [Query(reference=reference)], size)
                found[frame] = Rle.encode(answers[0].mask)
            yield sliced_outcome(case, target, found, perf_counter() - start)


@dataclass(frozen=True)
class OnePicture:
    """Pictures: one picture that shows the structure, the same for all; of the training part where there is one.

    Where it is of the subject that is asked about, the next one drawn.
    """

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        for target in targets:
            alike = siblings(case.case, training=True)
            order = rng_of(seed, "one picture", target.name).permutation(len(alike))
            support, shown = _showing(of_others([alike[n] for n in order], case.case), target.name)
            start = perf_counter()
            (frame,) = case.frames
            (middle,) = support.frames
            known = predictor.encode(support.scan.frame(middle))
            reference = ReferenceFrame(known, support.truth(middle, shown))
            seen = case.scan.frame(frame)
            answer = decoded(predictor, predictor.encode(seen), [Query(reference=reference)], seen.size)[0]
            yield sliced_outcome(case, target, {frame: Rle.encode(answer.mask)}, perf_counter() - start)


def siblings(case: Case, training: bool = False) -> list[Case]:
    """The cases of a case's data set and modality, in order of their names.

    training  only those of the training part, if there is one

    Raises InputError for a case that belongs to no folder.
    """
    if not case.home.root.is_dir():
        raise InputError("E-EVAL-SUPPORT", f"{case.id} belongs to no data set.", "Name the folder: --data DIR")
    every = _all(case.home.root, case.home.follow_links)
    cases = [one for one in every if (one.task, one.modality) == (case.task, case.modality)]
    alike = [one for one in cases if one.dataset == case.dataset]
    if training:
        taught = [one for one in cases if one.use is Use.TRAIN]
        same = [one for one in taught if one.dataset == case.dataset]
        alike = same or ([one for one in taught if one.dataset == "TrainDataset"]) or alike
    return sorted(alike, key=lambda one: natural_order(Path(one.id)))


def after_fold(cases: Sequence[Case], case: Case, folds: int) -> list[Case]:
    """All cases, beginning with the first one after the fold a case is in, those of its own fold left out."""
    place = next(n for n, one in enumerate(cases) if one.id == case.id)
    borders = [round(fold * len(cases) / folds) for fold in range(folds + 1)]
    fold = next(n for n in range(folds) if borders[n] <= place < borders[n + 1])
    start, stop = borders[fold], borders[fold + 1]
    return of_others([*cases[stop:], *cases[:start]], case)


def of_others(cases: Sequence[Case], case: Case) -> list[Case]:
    """Those of other subjects: a person is no example for another scan of their own."""
    return [one for one in cases if subject_of(one) != subject_of(case)]


def slices_with(case: LabeledScan, target: Target) -> list[int]:
    """The frames that show a structure."""
    return [frame for frame in case.frames if case.truth(frame, target).any()]


def _showing(cases: Sequence[Case], name: str) -> tuple[LabeledScan, Target]:
    """The first of some cases that shows a structure, opened. Raises InputError where none does."""
    for case in cases:
        opened = _opened(case.home.root, case.home.follow_links, case.key)
        target = next((one for one in opened.targets(10_000, 0) if one.name == name), None)
        if target is not None:
            return opened, target
    raise InputError(
        "E-EVAL-SUPPORT", f"No other scan of the data set shows {name}, so nothing can be its example.", "Add scans."
    )


@lru_cache(maxsize=OPENED)
def _opened(root: Path, follow_links: bool, key: tuple[str, str]) -> LabeledScan:
    return next(case for case in _all(root, follow_links) if case.key == key).open()


@lru_cache(maxsize=1)
def _all(root: Path, follow_links: bool) -> tuple[Case, ...]:
    return tuple(read_dataset(root, follow_links)[1])


PROTOCOLS = (
    Protocol("one-shot-volume", getdoc(NextScan) or "", (Task.VOLUME,), MEDSAM, False, NextScan()),
    Protocol("one-shot-volume-1", "The same with one slice, the middle.", (Task.VOLUME,), MEDSAM, False, NextScan(1)),
    Protocol("one-shot-image", getdoc(OnePicture) or "", (Task.IMAGE,), MEDSAM, False, OnePicture()),
)
