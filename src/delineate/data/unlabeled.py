"""A folder of scans without labels, as cases: what distillation learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.subjects import subjects_in
from delineate.io.formats import FORMATS
from delineate.io.opening import open_scan
from delineate.io.readers.frame_folder import PICTURE_SUFFIXES


class WithoutLabels:
    """Reads a scan alone (``CaseReader``); its labels are empty."""

    def __call__(self, case: Case) -> OpenedFiles:
        scan = open_scan(case.image)
        return OpenedFiles(scan, Scan.from_image(np.zeros((scan.height, scan.width), np.uint8)), (0,))


def read_unlabeled(root: Path, follow_links: bool = False) -> list[Case]:
    """Every scan in a folder and those below it, by the endings of their names, in a fixed order."""
    home = DataFolder(root, follow_links)
    endings = tuple({ending for one in FORMATS.values() for ending in one.suffixes if ending} | set(PICTURE_SUFFIXES))
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name.lower().endswith(endings))
    names = {path: path.relative_to(root).as_posix() for path in files}
    subjects = subjects_in(list(names.values()))
    return [
        Case(
            name, root.name, "", Task.IMAGE if path.suffix.lower() in PICTURE_SUFFIXES else Task.VOLUME, path, path, {},
            Use.TRAIN, subjects[name], WithoutLabels(), home,
        )
        for path, name in names.items()
    ]  # fmt: skip
