"""Which scans a model learned from: said in a file beside its weights, so that it is not measured on them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from delineate.checkpoints import store
from delineate.checkpoints.store import kept_sha256
from delineate.core.errors import InputError, ModelError
from delineate.core.json_file import read_json
from delineate.core.terminal_text import counted
from delineate.data.cases import Case
from delineate.data.contents import file_content, scan_content
from delineate.io.atomic import write_bytes

LEARNED_FROM = "learned_from.json"


class LearnedFrom(BaseModel):
    """What is read of the file; version 1 had names beside the hashes."""

    learned: list[str] | dict[str, str]
    held_out: int | list[str] = 0
    weights: str = ""

    @property
    def contents(self) -> frozenset[str]:
        return frozenset(self.learned.values() if isinstance(self.learned, dict) else self.learned)


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


@dataclass(frozen=True)
class LearningRecord:
    """What a run's folder says of what it learns from: scans by their contents alone, and how many it is measured on.

    The file goes along with the model, so it names nobody, and the order of the hashes says nothing either.

    weights  sha256 of those it began from, "" where nobody says
    """

    learned: frozenset[str]
    held_out: int
    weights: str = ""

    @classmethod
    def of(
        cls, learned: Iterable[Case], held_out: Collection[Case], models: Iterable[str] = (), weights: str = ""
    ) -> Self:
        """Of a run; ``models`` it begins from or is taught by, which learned from scans of their own.

        A scan that cannot be read teaches nothing.
        """
        contents = set[str]()
        for case in learned:
            with suppress(InputError, OSError):
                contents.add(content_of(case))
        return cls(frozenset(contents) | learned_by(models), len(held_out), weights)

    def write(self, folder: Path) -> None:
        said: dict[str, Any] = {"format": "delineate-learned-from/2", "learned": sorted(self.learned)}
        said |= {"held_out": self.held_out, "weights": self.weights}
        write_bytes(folder / LEARNED_FROM, (json.dumps(said, indent=1) + "\n").encode())

    def require_same(self, folder: Path) -> None:
        """Raise ModelError where the run in a folder began with other scans, or divided otherwise, or other weights."""
        path = folder / LEARNED_FROM
        if not path.is_file():
            return
        before = _read(path)
        if self.weights and before.weights and before.weights != self.weights:
            raise ModelError(
                "E-TRAIN-RESUME",
                f"The run in {folder} began from other weights (sha256 {before.weights[:12]}..., now "
                f"{self.weights[:12]}...).",
                "Give the weights of that run, or start anew with another -o.",
            )
        if (before.contents, before.held_out) == (self.learned, self.held_out):
            return
        other = len(before.contents ^ self.learned)
        raise ModelError(
            "E-TRAIN-RESUME",
            f"The run in {folder} divides its scans otherwise: {counted(other, 'scan')} of those to learn from "
            f"differ, and it is measured on {before.held_out}, not on {self.held_out}.",
            "Give the data, --held-out and --seed of that run, or start anew with another -o.",
        )


def learned_by(models: Iterable[str]) -> frozenset[str]:
    """Contents that any of these models learned from, as ``content_of`` gives them: files, SYSTEM=FILE, and systems.

    The file lies beside the weights, or a folder higher where a recipe has stages; of a system whose weights are kept
    on this machine where ``keep_with_import`` put it. Raises InputError if it is damaged.
    """
    found: set[str] = set()
    for name in models:
        for path in _beside(name):
            if path.is_file():
                found |= _read(path).contents
    return frozenset(found)


def keep_with_import(system: str, file: Path) -> None:
    """Remember what weights learned from that were just imported under a system's name."""
    if (learned := learned_by([str(file)])) and (folder := _of_kept(system)) is not None:
        folder.mkdir(parents=True, exist_ok=True)
        LearningRecord(learned, 0).write(folder)


def keep_with_export(model: str, folder: Path) -> None:
    """Say in an exported system's folder what its weights learned from."""
    if learned := learned_by([model]):
        LearningRecord(learned, 0).write(folder)


def _beside(name: str) -> Iterator[Path]:
    """Where it may be said what a model learned from."""
    weights = Path(name.rpartition("=")[2])
    if weights.is_dir():
        yield weights / LEARNED_FROM
    elif weights.is_file():
        yield from (folder / LEARNED_FROM for folder in (weights.parent, weights.parent.parent))
    else:
        for system in re.split(r"[+:]", name):
            if (folder := _of_kept(system)) is not None:
                yield folder / LEARNED_FROM


def _of_kept(system: str) -> Path | None:
    """Where it is said of a system's weights, whatever they are called; None where none are in the store."""
    with suppress(ModelError):
        if sha256 := kept_sha256(system):
            return store.folder() / "learned" / sha256
    return None


def _read(path: Path) -> LearnedFrom:
    return read_json(path, LearnedFrom, "E-LEARNED-FROM", "a list of what a model learned from")
