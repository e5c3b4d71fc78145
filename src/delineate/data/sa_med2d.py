"""SA-Med2D-20M: ``SAMed2D_v1.json`` lists the masks of each picture; names say all else (arXiv 2311.11969)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from delineate.core.errors import InputError
from delineate.core.json_file import read_json
from delineate.core.terminal_text import excerpt
from delineate.data.cases import Case, Task, Use
from delineate.data.confined import DataFolder

INDEX, CLASSES = "SAMed2D*v1.json", "SAMed2D*class_mapping_id.json"
STRUCTURE = re.compile(r"(\d{1,9})_(\d{1,9})$")


def fits(home: DataFolder) -> bool:
    """Whether the index lies in a folder."""
    return any(home.root.glob(INDEX))


def read(home: DataFolder) -> Iterator[Case]:
    """One case a mask. Raises InputError for an index that is none, OutsideError where it lies elsewhere."""
    root = home.root
    index = home.require_inside(next(root.glob(INDEX)))
    hint = 'The published index is {"images/NAME.png": ["masks/NAME--0001_000.png", ...]}.'
    listed = read_json(index, dict[str, list[str]], "E-DATA-INDEX", "SA-Med2D's index", hint)
    classes = next(iter(root.glob(CLASSES)), None)
    names: dict[str, dict[str, int | str]] = {}
    if classes is not None:
        kind = dict[str, dict[str, int | str]]
        names = read_json(home.require_inside(classes), kind, "E-DATA-INDEX", "SA-Med2D's table of classes")
    for image, masks in sorted(listed.items()):
        for mask in masks:
            told = parse_name(mask)
            known = {str(number): name for name, number in names.get(told["dataset"] or "", {}).items()}
            structure = known.get(str(int(told["label"] or 0)), f"class {told['label']}")
            about = Path(mask).name.removesuffix(".png"), told["dataset"] or "", told["modality"] or "unknown"
            files = root / image, root / mask
            yield Case(*about, Task.IMAGE, *files, {0: structure}, Use.TRAIN, told["case"] or "")


def parse_name(name: str) -> dict[str, str | None]:
    """The parts of a file name: modality, sub, dataset, case, slice, label, instance.

    Raises InputError for other names.
    """
    stem, ending = name.replace("\\", "/").rsplit("/", 1)[-1][:-4], name[-4:]
    parts = stem.split("--")
    structure = STRUCTURE.match(parts[-1]) if len(parts) > 4 else None
    plane = "--".join(parts[3 : -1 if structure else None])
    modality, _, sub = parts[0].partition("_")
    if ending != ".png" or len(parts) < 4 or not all((modality, parts[1], parts[2], plane)) or "-" in modality:
        raise InputError(
            "E-DATA-NAME",
            f"{excerpt(name)} is no name of SA-Med2D: modality--dataset--case--axis_slice.png.",
            "Name the file so, or describe the data set in a manifest.json (docs/reference/datasets.md).",
        )
    told = {"modality": modality, "sub": sub or None, "dataset": parts[1], "case": parts[2], "slice": plane}
    return told | {"label": structure[1] if structure else None, "instance": structure[2] if structure else None}
