"""Volumes turned so that their slices lie as those of the supports: files store the axes of a patient in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame_source import VolumeFrames
from delineate.core.grid import Grid, Placement, patient_axis
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation, SegmentedObject
from delineate.outlines.stacks import stack_of, with_stack


def says_how_it_lies(scan: Scan) -> bool:
    """Whether it is a volume whose axes are known in the patient."""
    return scan.kind is ScanKind.VOLUME and scan.grid.placement is Placement.WORLD


@dataclass(frozen=True)
class Turn:
    """From a volume's axes to those of another.

    order       its axis that each of the turned one is
    flips       whether that runs the other way
    slice_axis  of the turned one
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]
    slice_axis: int

    @classmethod
    def between(cls, scan: Scan, shown: Scan) -> Turn | None:
        """What lays a volume as another one lies; None where nothing is to be done, or one does not say how it lies."""
        if not says_how_it_lies(scan) or not says_how_it_lies(shown):
            return None
        codes, wanted = scan.grid.axis_codes, shown.grid.axis_codes
        if codes == wanted and scan.slice_axis == shown.slice_axis:
            return None
        axes = {patient_axis(code): axis for axis, code in enumerate(codes)}
        order = tuple(axes[patient_axis(code)] for code in wanted)
        flips = tuple(codes[axis] != code for axis, code in zip(order, wanted, strict=True))
        return cls(order, flips, shown.slice_axis)

    def scan(self, scan: Scan) -> Scan:
        """The volume turned; its voxels are a view."""
        voxels = scan.voxels()
        turned = voxels.transpose(*self.order, *range(3, voxels.ndim))[self._steps]
        to_old = np.eye(4)[:, [*self.order, 3]]  # column n: the old axis along which the new axis n runs
        for axis, flip in enumerate(self.flips):
            if flip:
                to_old[:3, 3] += to_old[:3, axis] * (turned.shape[axis] - 1)
                to_old[:3, axis] *= -1
        grid = Grid(tuple(turned.shape[:3]), scan.grid.affine @ to_old)
        frames = VolumeFrames(turned, self.slice_axis)
        return replace(scan, source=frames, grid=grid, slice_axis=self.slice_axis, geometry=None)

    def outlines(self, outlines: Segmentation, scan: Scan) -> Segmentation:
        """Outlines of a volume, on the turned one ``scan``."""
        return _on(outlines, scan, lambda stack: stack.transpose(self.order)[self._steps])

    def back(self, outlines: Segmentation, scan: Scan) -> Segmentation:
        """Outlines of a turned volume, on the volume ``scan`` as it was."""
        return _on(outlines, scan, lambda stack: stack[self._steps].transpose(np.argsort(self.order)))

    def frame(self, number: int, scan: Scan, outlined: SegmentedObject) -> int:
        """The slice of ``scan`` that one of the turned volume is; in another plane that with most of a structure."""
        if self.order[self.slice_axis] == scan.slice_axis:
            return len(scan) - 1 - number if self.flips[self.slice_axis] else number
        return max(outlined.masks, key=lambda n: outlined.masks[n].area, default=len(scan) // 2)

    @property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)


def _on(outlines: Segmentation, scan: Scan, turned: Any) -> Segmentation:
    found = Segmentation.empty(scan)
    for one in outlines.objects:
        stack: NDArray[np.bool_] = turned(stack_of(outlines, one.name))
        found = with_stack(found.adding(one.name, one.color, one.label), one.name, stack)
    return found
