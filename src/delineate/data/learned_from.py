"""Which scans a model learned from: said in a file beside its weights, so that it is not measured on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from delineate.data.cases import Case
from delineate.io.atomic import write_bytes

LEARNED_FROM = "learned_from.json"


def content_of(case: Case) -> str:
    """What tells a scan from others, wherever it lies: of a file its sha256, of a folder its names and sizes."""
    digest = hashlib.sha256()
    if case.image.is_file() and case.reader is None:
        digest.update(case.image.read_bytes())
    elif case.image.is_dir():
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

    The file lies beside the weights, or a folder higher where a recipe has stages.
    """
    found: set[str] = set()
    for name in models:
        weights = Path(name.rpartition("=")[2])
        for folder in (weights.parent, weights.parent.parent):
            path = folder / LEARNED_FROM
            if weights.is_file() and path.is_file():
                learned = json.loads(path.read_text())["learned"]
                found.update(learned.values() if isinstance(learned, dict) else learned)  # /1 had names beside them
    return frozenset(found)
