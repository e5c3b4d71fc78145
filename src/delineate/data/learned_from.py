"""Which scans a model learned from: said in a file beside its weights, so that it is not measured on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from delineate.core.errors import InputError
from delineate.core.json_file import read_json
from delineate.data.cases import Case
from delineate.data.contents import file_content, scan_content
from delineate.io.atomic import write_bytes

LEARNED_FROM = "learned_from.json"


class LearnedFrom(BaseModel):
    """What is read of the file; version 1 had names beside the hashes."""

    learned: list[str] | dict[str, str]


def content_of(case: Case) -> str:
    """What tells a scan from others, wherever it lies: the hash of what is in its files (``contents``)."""
    return scan_content(case)


def was_learned(case: Case, learned: Collection[str]) -> bool:
    """Whether a scan is among what ``learned_by`` gives; as runs of earlier versions wrote it, too.

    A case that cannot be read is none: it fails by name when it is opened.
    """
    try:
        return bool(learned) and (content_of(case) in learned or _content_before(case) in learned)
    except (InputError, OSError):
        return False


def _content_before(case: Case) -> str:
    """What ``content_of`` was in version 0.1: of a folder names and sizes, of what needs a reader its name."""
    digest = hashlib.sha256()
    if case.image.is_file() and case.reader is None:
        return file_content(case.image)
    if case.image.is_dir():
        for path in sorted(case.image.iterdir()):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    else:
        digest.update(f"{case.dataset} {case.id}".encode())
    return digest.hexdigest()


def write_learned_from(folder: Path, learned: Sequence[Case], held_out: Sequence[Case]) -> None:
    """Say in a run's folder which scans it learned from, by their contents alone, and how many it only measured on.

    The file goes along with the model, so it names nobody, and the order of the hashes says nothing either.
    """
    said = {
        "format": "delineate-learned-from/2",
        "learned": sorted({content_of(case) for case in learned}),
        "held_out": len(held_out),
    }
    write_bytes(folder / LEARNED_FROM, (json.dumps(said, indent=1) + "\n").encode())


def learned_by(models: Iterable[str]) -> frozenset[str]:
    """Contents that any of these models learned from, as ``content_of`` gives them; SYSTEM=FILE is a file too.

    The file lies beside the weights, or a folder higher where a recipe has stages. Raises InputError if it is damaged.
    """
    found: set[str] = set()
    for name in models:
        weights = Path(name.rpartition("=")[2])
        for folder in (weights.parent, weights.parent.parent):
            path = folder / LEARNED_FROM
            if weights.is_file() and path.is_file():
                said = read_json(path, LearnedFrom, "E-LEARNED-FROM", "a list of what a model learned from").learned
                found.update(said.values() if isinstance(said, dict) else said)
    return frozenset(found)
