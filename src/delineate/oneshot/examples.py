"""Labeled scans as supports: read, checked, and the slices of volumes that show most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delineate.core.alignment import Fit, fit_of, moved
from delineate.core.errors import InputError
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.fewshot.matcher import Support
from delineate.fewshot.parts import support_slices
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.labels.reading import LabelFile, open_segmentation, segmentation_of


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
        For a mask of another grid, an empty one, and one without a structure that is wanted.
    """
    scan = open_scan(image, options)
    labels = _on_grid(open_segmentation(mask), scan, mask)
    labels = replace(labels, objects=tuple(one for one in labels.objects if one.area))
    if not labels.objects:
        raise InputError(
            "E-SUPPORT-EMPTY", f"{mask.name} is empty: it shows no structure.", "Outline one on the support first."
        )
    if wanted:
        kept = [_named(labels, one, mask) for one in wanted]
        labels = replace(labels, objects=tuple(one for one in labels.objects if one.name in kept))
    return Example(scan, labels)


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


def _on_grid(file: LabelFile, scan: Scan, mask: Path) -> Segmentation:
    """Labels on the scan's own grid, brought there where both say where they lie."""
    labels = file.segmentation
    same_frames = len(labels) == len(scan) and labels.frame_shape == (scan.height, scan.width)
    if scan.kind is not ScanKind.VOLUME or labels.kind is not ScanKind.VOLUME:
        if not same_frames:
            raise _other_grid(mask, labels, scan)
        return replace(Segmentation.empty(scan), objects=labels.objects)
    fit = fit_of(labels.grid, scan.grid)
    if fit is Fit.SAME and same_frames and labels.slice_axis == scan.slice_axis:
        return replace(labels, grid=scan.grid)
    if fit is Fit.UNKNOWN:
        raise _other_grid(mask, labels, scan)
    voxels = np.asarray(file.scan.voxels())
    there = voxels if fit is Fit.SAME else moved(voxels, labels.grid, scan.grid)
    if voxels.any() and not there.any():
        raise InputError(
            "E-SUPPORT-ELSEWHERE", f"{mask.name} does not overlap its image.", "Check that both are of one study."
        )
    found = segmentation_of(Scan.from_volume(there, scan.grid, scan.slice_axis))
    names = {one.label: one.name for one in labels.objects}
    return replace(found, objects=tuple(replace(one, name=names.get(one.label, one.name)) for one in found.objects))


def _other_grid(mask: Path, labels: Segmentation, scan: Scan) -> InputError:
    return InputError(
        "E-SUPPORT-GRID",
        f"{mask.name} has another grid ({len(labels)} of {labels.frame_shape[1]} x {labels.frame_shape[0]}) than its "
        f"image ({len(scan)} of {scan.width} x {scan.height}).",
        "Give the mask that was drawn on this image: --support IMAGE MASK.",
    )


def _named(labels: Segmentation, wanted: str, mask: Path) -> str:
    for one in labels.objects:
        if wanted in (one.name, str(one.label)):
            return one.name
    there = ", ".join(f"{one.label} ({one.name})" for one in labels.objects)
    raise InputError("E-SUPPORT-LABEL", f'{mask.name} shows no "{wanted}".', f"It shows: {there}.")


def _positions(count: int, parts: int) -> list[float]:
    """Where the slices of ``support_slices`` lie among all, 0 to 1."""
    return [0.5] if count < parts else [(n + 0.5) / parts for n in range(parts)]
