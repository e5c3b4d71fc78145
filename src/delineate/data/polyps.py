"""The polyp bundle that PraNet made usual: Kvasir, CVC-ClinicDB, ColonDB, ETIS, CVC-300.

``TrainDataset/{images, masks}`` and ``TestDataset/SET/{images, masks}``, there or in ``PolypDataset``; ``image`` and
``mask`` are known too. Masks are white where more than half of white.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.readers.picture import read_pixels

TRAIN, TEST = "TrainDataset", "TestDataset"
IMAGES, MASKS = ("images", "image"), ("masks", "mask")
POLYP = {1: "polyp"}


@dataclass(frozen=True)
class PolypReader:
    """A picture, and a mask of grays that is cut in the middle."""

    def __call__(self, case: Case) -> OpenedFiles:
        shown = read_pixels(case.label, ReadOptions())[0]
        white = shown[..., :3].mean(axis=2) if shown.ndim == 3 else shown
        bright = white > (0.5 if white.max() <= 1 else 127)
        return OpenedFiles(open_scan(case.image), Scan.from_image(bright.astype(np.uint8)))


def fits(home: DataFolder) -> bool:
    """Whether there are both parts."""
    base = _base(home.root)
    return (base / TRAIN).is_dir() and (base / TEST).is_dir()


def read(home: DataFolder) -> Iterator[Case]:
    """One case a picture; the data set of a test picture is its set's name."""
    base = _base(home.root)
    yield from _folder(base / TRAIN, "TrainDataset", Use.TRAIN)
    for folder in sorted(path for path in (base / TEST).iterdir() if path.is_dir()):
        yield from _folder(folder, folder.name, Use.TEST)


def _base(root: Path) -> Path:
    return root / "PolypDataset" if (root / "PolypDataset").is_dir() else root


def _folder(folder: Path, name: str, use: Use) -> Iterator[Case]:
    images, masks = (next((folder / n for n in names if (folder / n).is_dir()), None) for names in (IMAGES, MASKS))
    if images is None or masks is None:
        return
    by_stem = {path.stem: path for path in sorted(masks.iterdir()) if not path.name.startswith(".")}
    for image in sorted(path for path in images.iterdir() if not path.name.startswith(".")):
        label = by_stem.get(image.stem, masks / image.name)
        about = f"{name}/{image.stem}", name, "endoscopy", Task.IMAGE, image, label
        yield Case(*about, POLYP, use, f"{name}/{image.stem}", PolypReader())
