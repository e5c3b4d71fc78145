"""The scans that ``batch`` runs over: named, in folders, by pattern, or in a list with prompts of their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Final

from delineate.core.errors import InputError, Notice, PromptError
from delineate.core.written_prompts import WrittenStructures
from delineate.oneshot.targets import place_of, targets_in
from delineate.verbs.targets import SegmentTarget, written_targets

COLUMNS: Final = ("file", "label", "frame", "box", "point", "neg", "scribble", "neg_scribble", "lasso", "text", "limit")
LISTS: Final = (".csv", ".tsv", ".txt")
HINT: Final = f"A list has a path a line, or is a table with the columns {', '.join(COLUMNS)}; file alone has to be."


@dataclass(frozen=True)
class BatchFile:
    """A scan, what its outputs are called, and the structures a list asks for on it; none: what is asked on all."""

    path: Path
    name: str
    targets: tuple[SegmentTarget, ...] = ()


def batch_files(
    inputs: Sequence[Path], listing: Path | None, frames: bool
) -> tuple[tuple[BatchFile, ...], tuple[Notice, ...]]:
    """Every scan once, and what should be known of those that are left out.

    frames  a folder of pictures is one video

    Raises InputError for what is not there, and where nothing is left; PromptError for prompts that are none.
    """
    listed = {} if listing is None else read_list(listing)
    named = [file for path in inputs for file in _matching(path)]
    found = targets_in([*named, *listed], frames, asked={*listed, *inputs})
    prompts = {place_of(path): targets for path, targets in listed.items()}
    files = tuple(BatchFile(one.path, one.name, prompts.get(place_of(one.path), ())) for one in found.files)
    return files, found.notices


def read_list(file: Path) -> dict[Path, tuple[SegmentTarget, ...]]:
    """The scans of a list, each with the structures it asks for; paths are beside the list, or from here.

    Raises InputError for what is no list, and PromptError for prompts that are none.
    """
    if not file.is_file():
        raise InputError("E-FILE-MISSING", f"There is no file {file}.", "Check the spelling of the path.")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise InputError("E-BATCH-LIST", f"{file.name} is no list: {error}.", HINT) from None
    if file.suffix.lower() not in (".csv", ".tsv"):
        paths = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        return {_beside(path, file): () for path in paths}
    rows: dict[Path, dict[str, list[dict[str, Any]]]] = {}
    table = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
    unknown = sorted(set(table.fieldnames or ()) - set(COLUMNS))
    if "file" not in (table.fieldnames or ()) or unknown:
        what = f"has no column {unknown[0]!r} to be known" if unknown else 'has no column "file"'
        raise InputError("E-BATCH-LIST", f"{file.name} {what}.", HINT)
    for number, row in enumerate(table, 2):
        if None in row or not row["file"]:
            raise InputError("E-BATCH-LIST", f"{file.name}, line {number}: as many cells as columns are meant.", HINT)
        structures = rows.setdefault(_beside(row["file"], file), {})
        prompts = {name: _value(name, cell, f"{file.name}, line {number}") for name, cell in row.items() if cell}
        prompts.pop("file")
        name = prompts.pop("label", SegmentTarget().name)
        if prompts:
            structures.setdefault(name, []).append(prompts)
    return {path: _targets(structures, path.name) for path, structures in rows.items()}


def _targets(structures: dict[str, list[dict[str, Any]]], name: str) -> tuple[SegmentTarget, ...]:
    if not structures:
        return ()
    return written_targets(WrittenStructures.parse(json.dumps(structures), f"The list, for {name}"))


def _value(column: str, cell: str, where: str) -> Any:
    """A cell as the short JSON of prompts has it: ``x,y`` or, of lines, ``x,y x,y``."""
    if column in ("file", "label", "text"):
        return cell
    try:
        if column == "frame":
            return int(cell)
        if column == "limit":
            return [int(end) for end in cell.split("-")]
        places = [[float(number) for number in place.split(",")] for place in cell.split()]
    except ValueError:
        raise PromptError("E-BATCH-LIST", f'{where}: {column} "{cell}" is not understood.', HINT) from None
    return [places] if column in ("scribble", "neg_scribble", "lasso") else places


def _beside(path: str, file: Path) -> Path:
    beside = file.parent / path
    return beside if beside.exists() or not Path(path).exists() else Path(path)


def _matching(path: Path) -> list[Path]:
    """The file, or all that a pattern such as ``scans/*.png`` matches, where the shell left it as it was."""
    if path.exists() or not set(str(path)) & set("*?["):
        return [path]
    found = sorted(Path(one) for one in glob(str(path), recursive=True))  # noqa: PTH207 - of a whole path
    if not found:
        raise InputError("E-FILE-MISSING", f"Nothing matches {path}.", "Check the pattern.")
    return found
