"""Labeled scans as supports: read, checked, and the slices of volumes that show most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.core.alignment import Fit, fit_of
from delineate.core.errors import InputError
from delineate.core.origin import origin_notices
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation, SegmentedObject
from delineate.fewshot.matcher import Support
from delineate.fewshot.parts import support_slices
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.labels.grids import resampled
from delineate.labels.reading import LabelFile, open_segmentation
from delineate.oneshot.orientation import Turn, says_how_it_lies
from delineate.oneshot.scans import LOOKED_AT

WHITE = 255
MOST_LOOKED_AT = 48


@dataclass(frozen=True, eq=False)
class Example:
    """A scan and the structures that somebody outlined on it."""

    scan: Scan
    labels: Segmentation

    @property
    def path(self) -> str:
        return self.scan.file.path.name if self.scan.file else "the support"

    def supports(self, parts: int = 3) -> list[Support]:
        """The frames that stand for it: of a volume or video, slices at the middle of each part of every structure.

        A structure that is outlined on one slice alone is shown by that one.
        """
        shown: dict[int, float] = {}
        for one in self.labels.objects:
            frames = [n for n in one.frames if one.masks[n].area]
            shown |= dict(zip(support_slices(frames, parts), _positions(len(frames), parts), strict=True))
        return [self._support(number, part) for number, part in sorted(shown.items())]

    def _support(self, number: int, part: float) -> Support:
        masks = {one.name: one.masks[number].decode() for one in self.labels.objects if number in one.masks}
        masks = {name: mask for name, mask in masks.items() if mask.any()}
        return Support(self.scan.frame(number), masks, part if len(self.scan) > 1 else None)


def read_example(image: Path, mask: Path, options: ReadOptions | None = None, wanted: Sequence[str] = ()) -> Example:
    """A labeled scan from an image and a file of labels.

    Parameters
    ----------
    image, mask
        A picture, volume or video, and labels on its grid in any format that holds labels.
    wanted
        Structures that count, by name or label value; none: all there are.

    Raises
    ------
    InputError
        For a mask of another grid, an empty one, and one without any structure that is wanted.
    """
    scan = open_scan(image, options)
    file = open_segmentation(mask)
    scan = scan.with_notices(*origin_notices(file.scan, scan, mask.name))
    labels = _on_grid(file, scan, mask)
    labels = replace(labels, objects=tuple(one for one in labels.objects if one.area))
    if not labels.objects:
        raise InputError(
            "E-SUPPORT-EMPTY", f"{mask.name} is empty: it shows no structure.", "Outline one on the support first."
        )
    if wanted:
        kept = tuple(one for one in labels.objects if any(one is _called(labels.objects, name) for name in wanted))
        if not kept:
            raise _not_shown(wanted[0], f"{mask.name} does not show", labels.objects)
        labels = replace(labels, objects=kept)
    return Example(scan, labels)


def read_examples(
    pairs: Sequence[tuple[Path, Path]], options: ReadOptions | None = None, wanted: Sequence[str] = ()
) -> list[Example]:
    """All supports of a run, each with what is wanted of it, so that they mean the same by the same (``together``).

    Raises InputError as ``read_example`` does, and for a structure that none of them shows.
    """
    examples = [read_example(image, mask, options, wanted) for image, mask in pairs]
    shown = [one for example in examples for one in example.labels.objects]
    for name in wanted:
        if _called(shown, name) is None:
            raise _not_shown(name, "No mask shows", shown)
    return together(examples)


def frames_needed(examples: Sequence[Example]) -> int:
    """How many slices of a volume to look at, so that two or more show each structure where it is as long as here.

    A structure on one slice alone was drawn as an example, and says nothing of its length.
    """
    volumes = [example for example in examples if example.scan.kind is ScanKind.VOLUME]
    shown = [(sorted(one.frames), len(example.scan)) for example in volumes for one in example.labels.objects]
    shares = [(frames[-1] - frames[0] + 1) / count for frames, count in shown if len(frames) > 1]
    return int(np.clip(np.ceil(2 / min(shares, default=1.0)), LOOKED_AT, MOST_LOOKED_AT))


def lying_volume(examples: Sequence[Example]) -> Scan | None:
    """The first volume that says how it lies: all others are looked at as it is."""
    return next((one.scan for one in examples if says_how_it_lies(one.scan)), None)


def together(examples: Sequence[Example]) -> list[Example]:
    """Examples that mean the same by the same: volumes lie as the first one, and black and white masks have its name.

    A mask of black and white alone says where, not what; what it shows is the one structure that all others show.
    """
    lying = lying_volume(examples)
    turned = [one if lying is None else _turned(one, lying) for one in examples]
    others = {one.name: one for example in turned if not _is_white(example) for one in example.labels.objects}
    if len(others) != 1:
        return turned
    ((name, meant),) = others.items()
    return [_named_as(one, name, meant) if _is_white(one) else one for one in turned]


def require_alike(examples: Sequence[Example], target: Scan) -> None:
    """Raise InputError for a target that is not the kind of picture the supports are, as far as files say."""
    for example in examples:
        one, other = example.scan.modality.name, target.modality.name
        known = "unknown" not in (one.value, other.value)
        if known and one is not other:
            raise InputError(
                "E-SUPPORT-MODALITY",
                f"{target.file.path.name if target.file else 'The target'} is {other.value}, and {example.path} that "
                f"shows the structure is {one.value}.",
                "Give a support of the same modality, or --any-modality.",
            )


def _turned(example: Example, lying: Scan) -> Example:
    turn = Turn.between(example.scan, lying)
    if turn is None:
        return example
    scan = turn.scan(example.scan)
    return Example(scan, turn.outlines(example.labels, scan))


def _is_white(example: Example) -> bool:
    return [(one.label, one.name) for one in example.labels.objects] == [(WHITE, f"label {WHITE}")]


def _named_as(example: Example, name: str, meant: SegmentedObject) -> Example:
    (one,) = example.labels.objects
    renamed = replace(one, name=name, label=meant.label, color=meant.color)
    return Example(example.scan, replace(example.labels, objects=(renamed,)))


def _on_grid(file: LabelFile, scan: Scan, mask: Path) -> Segmentation:
    """Labels on the scan's own grid, brought there where both say where they lie."""
    labels = file.segmentation
    same_frames = len(labels) == len(scan) and labels.frame_shape == (scan.height, scan.width)
    if scan.kind is not ScanKind.VOLUME or labels.kind is not ScanKind.VOLUME:
        if not same_frames:
            raise _other_grid(mask, labels, scan)
        return replace(Segmentation.empty(scan), objects=labels.objects)
    fit = fit_of(labels.grid, scan.grid)
    if fit is Fit.UNKNOWN:
        raise _other_grid(mask, labels, scan)
    if fit is Fit.SAME and same_frames and labels.slice_axis == scan.slice_axis:
        return replace(labels, grid=scan.grid)
    there = resampled(labels, scan)
    if any(one.area for one in labels.objects) and not any(one.area for one in there.objects):
        raise InputError(
            "E-SUPPORT-ELSEWHERE", f"{mask.name} does not overlap its image.", "Check that both are of one study."
        )
    return there


def _other_grid(mask: Path, labels: Segmentation, scan: Scan) -> InputError:
    return InputError(
        "E-SUPPORT-GRID",
        f"{mask.name} has another grid ({len(labels)} of {labels.frame_shape[1]} x {labels.frame_shape[0]}) than its "
        f"image ({len(scan)} of {scan.width} x {scan.height}).",
        "Give the mask that was drawn on this image: --support IMAGE MASK.",
    )


def _called(objects: Sequence[SegmentedObject], wanted: str) -> SegmentedObject | None:
    """The structure of a name, else of a label value."""
    named = (one for one in objects if one.name == wanted)
    return next(named, next((one for one in objects if str(one.label) == wanted), None))


def _not_shown(wanted: str, where: str, objects: Sequence[SegmentedObject]) -> InputError:
    there = ", ".join(dict.fromkeys(f"{one.label} ({one.name})" for one in objects))
    return InputError("E-SUPPORT-LABEL", f'{where} "{wanted}".', f"There is: {there}.")


def _positions(count: int, parts: int) -> list[float]:
    """Where the slices of ``support_slices`` lie among all, 0 to 1."""
    return [0.5] if count < parts else [(n + 0.5) / parts for n in range(parts)]
