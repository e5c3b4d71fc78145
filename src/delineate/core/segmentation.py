"""What was outlined: named objects with masks on the scan's own grid, and a score for every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.terminal_text import excerpt, is_active

Color = tuple[int, int, int]
PIECE_BYTES = 1 << 25  # of a label map written piece by piece
MOST_LABELS = 65535  # what 16 bits of a file can tell apart
SHOWN = 12  # objects in a message
IN_RANGE = f"Choose a label between 1 and {MOST_LABELS}."
ANOTHER = "Choose another name or label, or remove the first one."

# Distinct on gray and on tissue colors, in the order objects are added.
PALETTE: tuple[Color, ...] = (
    (230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127), (132, 145, 180), (145, 209, 194),
    (254, 217, 82), (126, 97, 72), (176, 156, 250), (102, 194, 102), (238, 130, 188), (60, 84, 136),
)  # fmt: skip


class Overlap(StrEnum):
    """Which object keeps a voxel that several objects claim, where a file has room for one."""

    LATER = "later"  # the object added last
    EARLIER = "earlier"  # the object added first
    SCORE = "score"  # the object with the higher score on that frame


@dataclass(frozen=True, eq=False)
class SegmentedObject:
    """One named structure.

    label   the value it has in a label map, 1 to 65535
    masks   frame index to outline; a frame that is missing has none
    scores  frame index to confidence, 0 to 1
    """

    name: str
    label: int
    color: Color
    locked: bool = False
    masks: Mapping[int, Rle] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = excerpt(self.name)
        object.__setattr__(self, "label", _label(self.label, name))
        if len(self.color) != 3 or not all(0 <= value <= 255 for value in self.color):
            raise PromptError(
                "E-LABEL-COLOR",
                f'{self.color} of "{name}" is no color.',
                "A color is red, green and blue, 0 to 255.",
            )
        object.__setattr__(self, "masks", MappingProxyType(dict(self.masks)))
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        size = f"{len(self.frames)} frames, {self.area} pixels{', locked' if self.locked else ''}"
        return f"SegmentedObject({excerpt(self.name)!r}, label {self.label}, {size})"

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames the structure is seen on."""
        return tuple(sorted(index for index, mask in self.masks.items() if mask.area))

    @property
    def area(self) -> int:
        """Pixels (voxels) in all frames."""
        return sum(mask.area for mask in self.masks.values())


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Outlines of named objects on the grid of one scan. A change gives a new value; nothing is altered in place."""

    kind: ScanKind
    grid: Grid
    frame_shape: tuple[int, int]  # height, width
    slice_axis: int = 2
    objects: tuple[SegmentedObject, ...] = ()

    @classmethod
    def empty(cls, scan: Scan) -> Segmentation:
        """No objects yet, on the scan's grid."""
        return cls(scan.kind, scan.grid, (scan.height, scan.width), scan.slice_axis)

    def __post_init__(self) -> None:
        for what in ("name", "label"):
            if len({getattr(o, what) for o in self.objects}) < len(self.objects):
                values = [getattr(o, what) for o in self.objects]
                twice = next(value for n, value in enumerate(values) if value in values[:n])
                raise PromptError("E-OBJECT-TWICE", f"Two objects share the {what} {excerpt(twice)}.", ANOTHER)

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        shown = ", ".join(f"{one.label} {excerpt(one.name)}" for one in self.objects[:SHOWN])
        more = f", and {len(self.objects) - SHOWN} more" if len(self.objects) > SHOWN else ""
        return f"Segmentation({self.kind}, {self.grid!r}: {shown or 'no objects'}{more})"

    def __len__(self) -> int:
        """Frames of the scan."""
        return 1 if self.kind is ScanKind.IMAGE else self.grid.shape[self.slice_axis]

    def __getitem__(self, name: str) -> SegmentedObject:
        for one in self.objects:
            if one.name == name:
                return one
        known = ", ".join(excerpt(o.name) for o in self.objects[:SHOWN]) or "none yet"
        more = ", …" if len(self.objects) > SHOWN else ""
        close = get_close_matches(str(name).casefold(), [o.name.casefold() for o in self.objects], 1)
        meant = next((o.name for o in self.objects if o.name.casefold() in close), None)
        raise PromptError(
            "E-OBJECT-UNKNOWN",
            f'There is no object "{excerpt(name)}" (there are: {known}{more}).',
            "Name one of these, or add it first." if meant is None else f'Did you mean "{excerpt(meant)}"?',
        )

    def __contains__(self, name: str) -> bool:
        return any(o.name == name for o in self.objects)

    def changeable(self, name: str) -> SegmentedObject:
        """An object that is to be changed or taken away. Raises PromptError where it is not there, or locked."""
        one = self[name]
        if one.locked:
            raise PromptError("E-OBJECT-LOCKED", f'"{excerpt(name)}" is locked.', "Unlock it first, or choose another.")
        return one

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.objects)

    def only(self, name: str) -> Segmentation:
        """One object alone, with its label value."""
        return replace(self, objects=(self[name],))

    def adding(self, name: str, color: Color | None = None, label: int | None = None) -> Segmentation:
        """With a new, empty object; label values are never reused or renumbered.

        Raises PromptError for a name that is taken, or that holds line breaks or other control characters.
        """
        if not isinstance(name, str) or not name.strip() or any(is_active(c) for c in name):
            raise PromptError(
                "E-LABEL-NAME",
                f"{excerpt(repr(name))} is no name: it is empty, or holds line breaks or hidden characters.",
                "Use letters, digits and blanks.",
            )
        if name in self:
            raise PromptError("E-OBJECT-TWICE", f'There is an object "{excerpt(name)}" already.', ANOTHER)
        value = self._free_label() if label is None else _label(label, name)
        shade = color or PALETTE[(value - 1) % len(PALETTE)]
        return replace(self, objects=(*self.objects, SegmentedObject(name, value, shade)))

    def _free_label(self) -> int:
        """One more than the greatest; where that is the last there is, the least that is free."""
        used = {o.label for o in self.objects}
        following = max(used, default=0) + 1
        if following <= MOST_LABELS:
            return following
        return next((value for value in range(1, MOST_LABELS + 1) if value not in used), following)

    def removing(self, name: str) -> Segmentation:
        gone = self[name]
        return replace(self, objects=tuple(o for o in self.objects if o is not gone))

    def replacing(self, changed: SegmentedObject) -> Segmentation:
        """With the object of the same name replaced."""
        old = self[changed.name]
        return replace(self, objects=tuple(changed if o is old else o for o in self.objects))

    def with_masks(
        self, name: str, masks: Mapping[int, Rle | None], scores: Mapping[int, float] | None = None
    ) -> Segmentation:
        """With masks of one object set on some frames (None clears a frame). A locked object is refused."""
        one = self.changeable(name)
        for index, rle in masks.items():
            if rle is not None and (rle.height, rle.width) != self.frame_shape:
                raise ValueError(f"Mask of {rle.height} x {rle.width} on frames of {self.frame_shape}.")
            if not 0 <= index < len(self):
                raise ValueError(f"No frame {index}.")
        kept = {**one.masks, **masks}
        return self.replacing(
            replace(
                one,
                masks={i: m for i, m in kept.items() if m is not None},
                scores={i: s for i, s in {**one.scores, **(scores or {})}.items() if kept.get(i) is not None},
            )
        )

    def mask(self, name: str, frame: int = 0) -> NDArray[np.bool_]:
        """One object's outline on one frame: (height, width)."""
        rle = self[name].masks.get(frame)
        return np.zeros(self.frame_shape, dtype=bool) if rle is None else rle.decode()

    def locked_pixels(self, frame: int, except_for: str | None = None) -> NDArray[np.bool_]:
        """Pixels of a frame that belong to locked objects: (height, width)."""
        taken = np.zeros(self.frame_shape, dtype=bool)
        for one in self.objects:
            if one.locked and one.name != except_for and frame in one.masks:
                taken |= one.masks[frame].decode()
        return taken

    def frame_labels(
        self, frame: int, overlap: Overlap = Overlap.LATER, rows: slice = slice(None)
    ) -> NDArray[np.uint16]:
        """One frame, or some of its rows, as a label map (height, width).

        Locked objects keep their pixels whatever the policy.
        """
        labels = np.zeros(self.frame_shape, dtype=np.uint16)[rows]
        drawn = list(self.objects)
        if overlap is Overlap.EARLIER:
            drawn.reverse()
        elif overlap is Overlap.SCORE:
            drawn.sort(key=lambda o: o.scores.get(frame, 0.0))
        drawn.sort(key=lambda o: o.locked)
        for one in drawn:
            box = one.masks[frame].box if frame in one.masks else None
            if box is not None:
                x0, x1 = box[0], box[2]
                labels[:, x0:x1][one.masks[frame].columns(x0, x1)[rows]] = one.label
        return labels

    def voxels(self, name: str) -> NDArray[np.bool_]:
        """One object as a volume (i, j, k) on the scan's grid."""
        return self._stacked(((i, m.decode()) for i, m in self[name].masks.items()), np.dtype(bool))

    def label_map(self, overlap: Overlap = Overlap.LATER) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """All objects as one volume (i, j, k) of label values; uint8 unless a label is above 255."""
        return self._stacked(((i, self.frame_labels(i, overlap)) for i in self._used_frames), self.label_dtype)

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """What label values are stored as: uint8 unless one is above 255."""
        return np.dtype(np.uint8 if max((o.label for o in self.objects), default=0) < 256 else np.uint16)

    def label_planes(self, overlap: Overlap = Overlap.LATER, piece_bytes: int = PIECE_BYTES) -> Iterator[NDArray[Any]]:
        """The label map (k, j, i) in pieces of a few planes, in the order in which files hold it, ``i`` fastest.

        An image is one plane. A piece has at most ``piece_bytes``, or one plane where that is more.
        """
        if self.kind is not ScanKind.VOLUME or self.slice_axis == 2:
            for index in range(len(self)):
                yield self.frame_labels(index, overlap).astype(self.label_dtype)[None]
            return
        width, height, depth = self.grid.shape
        step = max(1, piece_bytes // (width * height * self.label_dtype.itemsize))
        for first in range(0, depth, step):
            planes = slice(first, min(first + step, depth))  # rows of each frame
            piece = np.zeros((planes.stop - first, height, width), self.label_dtype)
            across = piece.transpose(2, 0, 1) if self.slice_axis == 0 else piece.swapaxes(0, 1)
            for index in self._used_frames:
                across[index] = self.frame_labels(index, overlap, planes)
            yield piece

    @property
    def _used_frames(self) -> list[int]:
        return sorted({index for o in self.objects for index in o.masks})

    def _stacked(self, frames: Iterable[tuple[int, NDArray]], dtype: np.dtype) -> NDArray:
        if self.kind is not ScanKind.VOLUME:
            raise ValueError(f"Only a volume is stacked into voxels, not {self.kind}.")
        out = np.zeros(self.grid.shape, dtype=dtype)
        for index, values in frames:
            cut = tuple(index if axis == self.slice_axis else slice(None) for axis in range(3))
            out[cut] = values.T
        return out

    def volume_mm3(self, name: str) -> float:
        """Size of one object: mm3 of a volume, mm2 of an image (voxels where no spacing is known)."""
        return self[name].area * self.grid.voxel_volume


def _label(label: object, name: str) -> int:
    """A label value as a number. Raises PromptError for what is none."""
    if isinstance(label, bool) or not isinstance(label, int | np.integer):
        raise PromptError("E-LABEL-RANGE", f'Label {label!r} of "{excerpt(name)}" is no whole number.', IN_RANGE)
    if not 1 <= label <= MOST_LABELS:
        raise PromptError(
            "E-LABEL-RANGE", f'Label {label} of "{excerpt(name)}" is not between 1 and {MOST_LABELS}.', IN_RANGE
        )
    return int(label)
