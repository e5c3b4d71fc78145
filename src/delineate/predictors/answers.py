"""What predictors answer, asked for and checked in one place: whoever wrote one, it is what its protocol says.

A model of another distribution may give arrays of another shape or type, numbers that are none, or classes it has not
named. It is told so by its name, rather than failing somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import DelineateError, ModelError
from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors.frame_predictor import (
    AutomaticPredictor,
    Candidates,
    Features,
    FramePredictor,
    Predictor,
    Query,
)
from delineate.predictors.scan_predictors import DensePredictor, VolumePredictor

WRITE_TO: Final = (
    "Tell those who made the model; what a predictor answers is in docs/concepts/predictors-and-trackers.md."
)
AnyCandidates = TypeVar("AnyCandidates", bound=Candidates)
Size = tuple[int, int]


def decoded(
    predictor: FramePredictor, features: Features, queries: Sequence[Query], size: Size | None = None
) -> list[Candidates]:
    """``predictor.decode``, checked: an answer a query, on frames of ``size`` (height, width) where that is known.

    Raises ModelError, naming the model and what is wrong.
    """
    return outlined(predictor, lambda: predictor.decode(features, queries), len(queries), size)


def outlined(
    predictor: Predictor, ask: Callable[[], Sequence[AnyCandidates]], count: int, size: Size | None = None
) -> list[AnyCandidates]:
    """What ``ask`` gives, checked: ``count`` answers. Raises ModelError as ``decoded`` does."""
    with _its_own_fault(predictor):
        answers = list(ask())
    if len(answers) != count:
        _refuse(predictor.record.name, f"{len(answers)} answers to {count} queries")
    for answer in answers:
        _check(predictor.record.name, answer, size)
    return answers


def clicked(
    predictor: AutomaticPredictor, ask: Callable[[], tuple[Any, Any, Any]], count: int, size: Size
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """``predictor.decode_clicks`` of ``count`` clicks, checked. Raises ModelError as ``decoded`` does."""
    with _its_own_fault(predictor):
        masks, iou, stability = ask()
    name = predictor.record.name
    _check_masks(name, masks, size)
    if len(masks) % count:
        _refuse(name, f"{len(masks)} masks to {count} clicks")
    for what, values in (("predicted IoU", iou), ("stability", stability)):
        if np.shape(values) != (len(masks),) or np.isnan(np.asarray(values, float)).any():
            _refuse(name, f"{what} {_shown(values)}, where {len(masks)} numbers are meant")
    return masks, iou, stability


def followed(name: str, answer: Candidates, size: Size | None = None) -> Candidates:
    """What the model ``name`` found of one structure on the next frame, checked. Raises ModelError."""
    _check(name, answer, size)
    return answer


def segmented(
    predictor: VolumePredictor, scan: Scan, queries: Mapping[str, VolumePrompts]
) -> Mapping[str, Mapping[int, Candidates]]:
    """``predictor.segment``, checked. Raises ModelError, naming the model and what is wrong."""
    with _its_own_fault(predictor):
        answers = predictor.segment(scan, queries)
    if not isinstance(answers, Mapping) or not all(isinstance(one, Mapping) for one in answers.values()):
        _refuse(predictor.record.name, f"a {type(answers).__name__} that is no outlines by name and frame")
    for name, outlines in answers.items():
        if name not in queries:
            _refuse(predictor.record.name, f'outlines of "{name}", which it was not asked for')
        for frame, answer in outlines.items():
            _check_frame(predictor, scan, frame)
            _check(predictor.record.name, answer, (scan.height, scan.width))
    return answers


def classified(predictor: DensePredictor, scan: Scan) -> Iterator[tuple[int, NDArray[Any]]]:
    """``predictor.predict``, checked frame by frame. Raises ModelError, naming the model and what is wrong."""
    classes, seen = len(class_names(predictor)), set[int]()
    with _its_own_fault(predictor):
        frames = iter(predictor.predict(scan))
    while True:
        with _its_own_fault(predictor):
            found = next(frames, None)
        if found is None:
            return
        if not isinstance(found, tuple) or len(found) != 2:
            _refuse(predictor.record.name, f"{type(found).__name__}, where a frame and its labels are meant")
        frame, values = found
        _check_frame(predictor, scan, frame)
        if frame in seen:
            _refuse(predictor.record.name, f"frame {frame} twice")
        seen.add(frame)
        _check_classes(predictor, values, classes, (scan.height, scan.width))
        yield frame, values


def class_names(predictor: DensePredictor) -> tuple[str, ...]:
    """Its classes. Raises ModelError where they are no names, or not distinct."""
    with _its_own_fault(predictor):
        names = tuple(predictor.classes)
    if not names or not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(names):
        _refuse(predictor.record.name, f"the classes {names!r}, where distinct names are meant")
    return names


def _check(name: str, answer: Any, size: Size | None) -> None:
    if not isinstance(answer, Candidates):
        _refuse(name, f"{type(answer).__name__}, where Candidates are meant")
    masks, scores = answer.masks, answer.scores
    _check_masks(name, masks, size)
    if np.shape(scores) != (len(masks),) or not np.isfinite(np.asarray(scores, float)).all():
        _refuse(name, f"scores {_shown(scores)}, where {len(masks)} numbers are meant")
    if not 0 <= int(answer.best) < len(masks):
        _refuse(name, f"best = {answer.best} of {len(masks)} masks")
    if not np.isfinite(answer.presence):
        _refuse(name, f"presence = {answer.presence}")


def _check_masks(name: str, masks: Any, size: Size | None) -> None:
    if not isinstance(masks, np.ndarray) or masks.dtype != bool:
        _refuse(name, f"masks of {getattr(masks, 'dtype', type(masks).__name__)}, where bool is meant")
    if masks.ndim != 3 or not len(masks) or (size is not None and masks.shape[1:] != size):
        where = "(K, height, width)" if size is None else f"(K, {size[0]}, {size[1]})"
        _refuse(name, f"masks of shape {masks.shape}, where {where} is meant")


def _check_frame(predictor: Predictor, scan: Scan, frame: Any) -> None:
    if not isinstance(frame, int | np.integer) or not 0 <= frame < len(scan):
        _refuse(predictor.record.name, f"{scan.frame_word} {frame!r}, and they go from 0 to {len(scan) - 1}")


def _check_classes(predictor: Predictor, values: Any, classes: int, size: Size) -> None:
    shape, dtype = np.shape(values), getattr(values, "dtype", None)
    labels = f"whole numbers {size} or logits {(1 + classes, *size)}"
    if not isinstance(values, np.ndarray) or shape not in (size, (1 + classes, *size)):
        _refuse(predictor.record.name, f"an array of shape {shape}, where {labels} are meant")
    if values.dtype.kind not in ("biu" if values.ndim == 2 else "fiu"):
        _refuse(predictor.record.name, f"an array of {dtype}, where {labels} are meant")
    if values.ndim == 2 and values.size and not 0 <= int(values.min()) <= int(values.max()) <= classes:
        unknown = int(values.max()) if values.max() > classes else int(values.min())
        _refuse(predictor.record.name, f"class {unknown}, where 0 is background and {classes} the last of its classes")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        _refuse(predictor.record.name, "logits that are not finite")


def _shown(value: Any) -> str:
    return f"of shape {np.shape(value)}" if np.size(value) > 8 else str(np.asarray(value))


def _refuse(name: str, what: str) -> NoReturn:
    raise ModelError("E-PREDICTOR-ANSWER", f"{name} answered with {what}.", WRITE_TO)


@contextmanager
def _its_own_fault(predictor: Predictor | AutomaticPredictor) -> Iterator[None]:
    """Name the model of which an exception comes; memory that runs out is not its fault."""
    try:
        yield
    except (DelineateError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(
            "E-PREDICTOR-FAILED", f"{predictor.record.name} failed: {type(error).__name__}: {error}", WRITE_TO
        ) from error
