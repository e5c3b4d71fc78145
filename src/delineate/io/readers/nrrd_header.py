"""The header of a NRRD file: its fields, its key/value pairs, and where the voxels lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from delineate.core.errors import InputError
from delineate.io.readers.detached import numbered_names, require_some
from delineate.io.readers.header_fields import whole_numbers

LONGEST: Final = 1 << 20  # bytes of a header
_CODE: Final = "E-NRRD-DATA"
_SPELLINGS: Final = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "blocksize": "block size",
    "oldmin": "old min", "oldmax": "old max", "axismins": "axis mins", "axismaxs": "axis maxs", "centerings": "centers",
    "sampleunits": "sample units",
}  # fmt: skip
KNOWN: Final = {
    "dimension", "type", "block size", "encoding", "endian", "content", "old min", "old max", "min", "max", "data file",
    "line skip", "byte skip", "number", "sample units", "sizes", "spacings", "thicknesses", "axis mins", "axis maxs",
    "centers", "labels", "units", "kinds", "space", "space dimension", "space units", "space origin",
    "space directions", "measurement frame",
}  # fmt: skip
_NUMBERED: Final = re.compile(r"(\S*%\d*d\S*)((?:\s+-?\d{1,9}){3})(?:\s+\d+)?$")
_SEGMENT: Final = re.compile(r"Segment(\d{1,6})_(\w+)$")


@dataclass(frozen=True)
class NrrdHeader:
    """What a header says.

    fields   by lower-case name, in the format's first spelling
    pairs    key/value pairs (``key:=value``)
    listed   lines behind the fields, which name data files after ``data file: LIST``
    offset   where the voxels begin, if they are in the same file
    """

    path: Path
    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    listed: tuple[str, ...]
    offset: int

    @classmethod
    def read(cls, path: Path) -> NrrdHeader:
        """The header up to the first blank line."""
        with path.open("rb") as stream:
            raw = stream.read(LONGEST)
        gaps = ((at, len(gap)) for gap in (b"\n\n", b"\r\n\r\n") if (at := raw.find(gap)) >= 0)
        at, size = min(gaps, default=(len(raw), 0))
        fields: dict[str, str] = {}
        pairs: dict[str, str] = {}
        lines = raw[:at].decode("utf-8", "replace").splitlines()[1:]
        for number, line in enumerate(lines):
            key, colon, value = line.partition(":=") if ":=" in line else line.partition(":")
            name = key.strip().lower()
            if line.startswith("#") or not colon:
                continue
            if colon == ":=":
                pairs[key.strip()] = value.strip()
                continue
            name = _SPELLINGS.get(name, name)
            fields[name] = value.strip()
            if name == "data file" and value.split()[:1] == ["LIST"]:
                return cls(path, fields, pairs, tuple(one for one in lines[number + 1 :] if one.strip()), at + size)
        return cls(path, fields, pairs, (), at + size)

    def required(self, name: str) -> str:
        """The text of a field. Raises InputError where there is none."""
        if not self.fields.get(name):
            raise InputError(
                "E-NRRD-HEADER", f'{self.path.name}: the header has no field "{name}".', "Export the file again."
            )
        return self.fields[name]

    def kind(self, axis: int) -> str:
        """What ``kinds`` says of an axis, in lower case; "" where it says nothing."""
        kinds = self.fields.get("kinds", "").lower().split()
        return kinds[axis] if axis < len(kinds) else ""

    @property
    def unknown(self) -> list[str]:
        """Fields that the format does not have."""
        return sorted(set(self.fields) - KNOWN)

    @cached_property
    def data_files(self) -> tuple[str, ...]:
        """Names of the files that hold the voxels, in order; none where they are in the header's own file."""
        told = self.fields.get("data file", "")
        if not told:
            return ()
        if told.split()[0] == "LIST":
            return tuple(require_some(self.path, [name.strip() for name in self.listed], _CODE))
        numbered = _NUMBERED.match(told)
        if numbered is None:
            return (told,)
        first, last, step = whole_numbers(self.path, "data file", numbered[2], 3, least=-(10**9))
        return tuple(numbered_names(self.path, numbered[1], first, last, step, _CODE))

    @cached_property
    def segments(self) -> dict[int, dict[str, str]]:
        """What 3D Slicer says of each segment, by its number: ``Segment0_Name`` and so on."""
        found: dict[int, dict[str, str]] = {}
        for key, value in self.pairs.items():
            if match := _SEGMENT.match(key):
                found.setdefault(int(match[1]), {})[match[2]] = value
        return {number: said for number, said in sorted(found.items()) if {"ID", "Name"} & said.keys()}
