"""Entry points that nobody reads, as their group is none of this package's: most likely it is misspelled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import distributions
from typing import Final

PACKAGE: Final = "delineate"
GROUPS: Final = (  # of the tables that other distributions can add to
    "delineate.systems", "delineate.formats", "delineate.metrics", "delineate.memory_policies", "delineate.recipes",
)  # fmt: skip


def unread_entry_points(groups: Iterable[str] = GROUPS) -> list[str]:
    """A sentence for each distribution and group that begins as ``groups`` do and is none of them."""
    known, told = tuple(groups), dict[str, None]()
    for one in distributions():
        for point in one.entry_points:
            if point.group in known or not re.match(rf"{PACKAGE}s?([^a-z]|$)", point.group.lower()):
                continue
            close = get_close_matches(_letters(point.group), [_letters(group) for group in known], 1, 0.6)
            meant = next((f": {group} may be meant" for group in known if [_letters(group)] == close), "")
            told[f"{one.name} has entry points in the group {point.group}, which nothing reads{meant}"] = None
    return list(told)


def _letters(group: str) -> str:
    """A group without capitals and separators, in which spellings differ."""
    return re.sub(r"[^a-z]", "", group.lower()).removeprefix(PACKAGE)
