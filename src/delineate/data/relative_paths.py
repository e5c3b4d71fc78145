"""Texts for files that others will see: no folder of this machine is named in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_BEFORE = r"""(?:^|(?<=[\s"'`(\[{<=,;:|])|(?<=file://))"""
_ABSOLUTE = r"(?:~[\w.-]*)?/(?=[^\s/])|[A-Za-z]:[\\/]|\\\\(?=\w)|\.\.[\\/]"  # or beginning with the folder above
_SEPARATOR = re.compile(r"[\\/]+")
_FOLDER = re.compile(r"""[^\s"'`<>|\\/]+[\\/]+""")  # of a path that is not there a name has no blanks


def without_folders(text: str, root: Path) -> str:
    """A text with its paths shortened: in the data set ``root`` relative to it, elsewhere the file's name alone.

    Paths are found wherever they stand, such as in an error's message; names with blanks, by their folders being there.
    """
    return "\n".join(_shortened(line, root) for line in text.split("\n"))


def _shortened(line: str, root: Path) -> str:
    given = rf"|(?<![\w.\\/-]){re.escape(str(root))}(?!\w)" if root.name else ""
    begins = re.compile(f"{_BEFORE}(?:{_ABSOLUTE}){given}")
    parts, at = [], 0
    while found := begins.search(line, at):
        start, end = found.start(), _end_of_folders(line, found.start())
        parts += [line[at:start], _within(line[start:end], root) if end > start else found[0]]
        at = max(end, found.end()) if end == start else end
    return "".join([*parts, line[at:]])


def _end_of_folders(line: str, start: int) -> int:
    """Where the folders of a path end that begins at ``start``: behind its last separator."""
    ends = [separator.end() for separator in _SEPARATOR.finditer(line, start)]
    there = (end for end in reversed(ends) if os.path.isdir(line[start:end]))  # noqa: PTH112 - bears any text
    end = next(there, start)
    if end == start and (first := _SEPARATOR.match(line, start)):
        end = first.end()
    while folder := _FOLDER.match(line, end):
        end = folder.end()
    return end


def _within(folder: str, root: Path) -> str:
    """A folder relative to the data set, with a separator behind it; nothing where it is elsewhere."""
    for of in (os.path.abspath, os.path.realpath):
        path, base = Path(of(folder)), Path(of(root))
        if path != base and path.is_relative_to(base):
            return path.relative_to(base).as_posix() + "/"
    return ""
