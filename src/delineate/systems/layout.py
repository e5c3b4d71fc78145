"""How a system's published checkpoint is recognized: by names and shapes of its tensors, then by its file name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CheckpointLayout:
    """What the tensors of a system's published checkpoint look like, after wrappers and their prefixes are removed.

    Parameters
    ----------
    title
        Name of the layout in messages. Several systems may share a layout.
    shapes
        Shape of some tensors by name; None stands for any length of an axis.
    holds, lacks
        Parts of names: some tensor's name contains each of ``holds``, and no tensor's name any of ``lacks``.
    file_names
        Parts of published file names in lower case, by which systems with one layout are distinguished.
    """

    title: str
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()

    def mismatches(self, shapes: Mapping[str, Shape]) -> list[str]:
        """What in a checkpoint (shape of each tensor by name) differs from this layout, in words."""
        found = [
            f"{name} is {shapes.get(name, 'missing')}, not {_words(wanted)}"
            for name, wanted in self.shapes.items()
            if not _fits(shapes.get(name), wanted)
        ]
        found += [f"no tensor is named ...{part}..." for part in self.holds if not any(part in name for name in shapes)]
        extra = ((part, next((name for name in shapes if part in name), None)) for part in self.lacks)
        return found + [f"{name} is there" for _, name in extra if name is not None]

    def matches_file(self, file: str) -> int:
        """Length of the longest part of a published name that a file's name contains; 0 if there is none."""
        return max((len(part) for part in self.file_names if part in file.lower()), default=0)


def _fits(shape: Shape | None, wanted: tuple[int | None, ...]) -> bool:
    if shape is None or len(shape) != len(wanted):
        return False
    return all(want is None or length == want for length, want in zip(shape, wanted, strict=True))


def _words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"
