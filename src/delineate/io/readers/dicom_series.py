"""Which series, and which volume of a series, is meant: distinguished and listed, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.core.errors import InputError, Notice
from delineate.core.terminal_text import counted, printable
from delineate.io.options import ReadOptions
from delineate.io.readers.dicom_slices import Slice, placed
from delineate.io.readers.dicom_volumes import volumes_of

MOST_LISTED = 30


@dataclass(frozen=True, eq=False)
class Choice:
    """Slices that can be opened together, and what they are called.

    position  among all of the folder or file, from 1
    """

    position: int
    number: str
    uid: str
    description: str
    volume: str
    slices: list[Slice]

    @property
    def is_localizer(self) -> bool:
        return any("LOCALIZER" in word.upper() for one in self.slices for word in one.tags.words("ImageType"))

    @property
    def line(self) -> str:
        columns, rows = self.slices[0].size
        modality = self.slices[0].tags.text("Modality")
        count = counted(len(self.slices), "slice")
        parts = [self.description or "no description", modality, f"{count} of {columns} x {rows}", self.volume]
        return printable(f"  #{self.position}  series {self.number or '?'}: {', '.join(p for p in parts if p)}"[:160])


def choices_of(slices: Sequence[Slice]) -> list[Choice]:
    """All that can be opened by itself, ordered by series number."""
    groups: dict[tuple[str, ...], list[Slice]] = {}
    for one in slices:
        tags = one.tags
        key = (
            *(tags.text(name) for name in ("SeriesNumber", "SeriesInstanceUID", "SeriesDescription")),
            *(() if placed([one]) else map(str, one.size)),
        )
        groups.setdefault(key, []).append(one)
    found: list[tuple[tuple[str, ...], str, list[Slice]]] = []
    for key in sorted(groups, key=lambda key: (key[0].zfill(8), key)):
        group = groups[key]
        parts = [(part.label, part.slices) for part in volumes_of(group)] if placed(group) else [("", group)]
        found += [(key, label, part) for label, part in parts]
    return [Choice(n, key[0], key[1], key[2], label, part) for n, (key, label, part) in enumerate(found, 1)]


def chosen(place: Path, choices: list[Choice], options: ReadOptions) -> tuple[Choice, tuple[Notice, ...]]:
    """The one meant by ``options.series``, or the only one that is no localizer.

    Raises InputError that lists them if there are several, or none.
    """
    fitting, notices = choices, tuple[Notice, ...]()
    if options.series is not None:
        wanted = options.series.lower()
        exact = [c for c in choices if wanted in (c.number.lower(), f"#{c.position}")]
        named = [c for c in choices if any(wanted in t.lower() for t in (c.uid, c.description, c.volume))]
        fitting = exact or named
    elif len(choices) > 1:
        plain = [c for c in choices if not c.is_localizer]
        if 0 < len(plain) < len(choices):
            notices = (Notice("W-DICOM-LOCALISER", f"{len(choices) - len(plain)} localizer series were left out."),)
            fitting = plain
    if len(fitting) == 1:
        return fitting[0], notices
    listed = fitting or choices
    lines = [c.line for c in listed[:MOST_LISTED]]
    if len(listed) > MOST_LISTED:
        lines.append(f"  … and {len(listed) - MOST_LISTED} more, to #{listed[-1].position}")
    what = "several volumes" if len({c.uid for c in listed}) == 1 else "several series"
    raise InputError(
        "E-DICOM-SERIES",
        f"{place.name} {'holds' if fitting else 'has no such series; it holds'} {what}:\n" + "\n".join(lines),
        'Choose one with --series, by number, "#position" or description.',
    )
