"""EndoVis-style folders: frames of a sequence, with one mask folder a class, or color-coded masks.

EndoVis 2017   ``SEQUENCE/left_frames/frame000.png``, ``SEQUENCE/ground_truth/NAME_labels/frame000.png``
EndoVis 2018   ``SEQUENCE/left_frames``, ``SEQUENCE/labels/frame000.png`` in the colors of ``labels.json``
color-coded   ``frames`` or ``images``, ``labels`` or ``masks``, and ``labels.json`` or ``class_dict.csv``

``labels.json`` is a list of {name, color: [r, g, b], classid}, ``class_dict.csv`` has name, r, g, b in its rows; both
may lie with the sequence or above it. A class's number is its place in the list, background left out. Instrument
folders (Left_Prograsp_Forceps_labels) count as the instrument's type, as ISINet and the challenge do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from delineate.core.errors import InputError
from delineate.core.json_file import read_json
from delineate.core.reading import reason
from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.label_pictures import pictures, read_labels
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.readers.picture import read_pixels

FRAMES = ("left_frames", "left_frame", "frames", "images")
CLASSES = ("ground_truth", "GT")
COLORED = ("labels", "masks", "annotations")
KEYS = ("labels.json", "class_dict.csv", "label_colors.csv")
KEY_HINT = 'It is a list of {"name": ..., "color": [r, g, b]}, or rows of name,r,g,b.'
DEEP = 3  # folders between the root and a sequence, at most
INSTRUMENTS = (  # EndoVis 2017: type numbers 1 to 7
    "bipolar forceps", "prograsp forceps", "large needle driver", "vessel sealer", "grasping retractor",
    "monopolar curved scissors", "other",
)  # fmt: skip
BACKGROUND = ("background", "background-tissue", "unlabeled", "unlabeled", "void")

Level = Annotated[int, Field(ge=0, le=255)]
Color = tuple[Level, Level, Level]
Labels = NDArray[np.uint8]


class ColoredClass(BaseModel):
    """An item of ``labels.json``."""

    name: str
    color: Color


@dataclass(frozen=True, eq=False)
class ClassFolders:
    """Labels of frames from one folder of masks a class: a class's number wherever its mask is not black."""

    masks: tuple[tuple[int, Path], ...]
    names: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def read(self, index: int) -> Labels:
        labels = np.zeros(self.shape[1:], dtype=np.uint8)
        for number, folder in self.masks:
            path = folder / self.names[index]
            if not path.is_file():
                continue
            mask = read_labels(path)
            if mask.shape != labels.shape:
                raise InputError(
                    "E-FRAMES-MIXED",
                    f"{path} has the shape {mask.shape}, the frames {labels.shape}.",
                    "Frames and labels of one video have one size and one kind of pixels: move what differs elsewhere.",
                )
            labels[mask > 0] = number
        return labels


@dataclass(frozen=True, eq=False)
class ColorCoded:
    """Labels of frames from colored masks; a color of no class is background."""

    paths: tuple[Path, ...]
    colors: Mapping[int, Color]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def read(self, index: int) -> Labels:
        pixels = read_pixels(self.paths[index], ReadOptions())[0]
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if pixels.shape[:2] != self.shape[1:]:
            raise InputError(
                "E-FRAMES-MIXED",
                f"{self.paths[index]} has the shape {pixels.shape[:2]}, the frames {self.shape[1:]}.",
                "Frames and labels of one video have one size and one kind of pixels: move what differs elsewhere.",
            )
        labels = np.zeros(pixels.shape[:2], dtype=np.uint8)
        for number, color in self.colors.items():
            labels[(pixels == np.array(color, dtype=pixels.dtype)).all(axis=2)] = number
        return labels


@dataclass(frozen=True)
class EndovisReader:
    """Reads a sequence; ``colors`` of the classes, or None where each class has its own folder."""

    colors: tuple[tuple[int, Color], ...] | None = None

    def __call__(self, case: Case) -> OpenedFiles:
        scan = open_scan(case.image)
        size = scan.height, scan.width
        position = {path.stem: n for n, path in enumerate(pictures(case.image))}
        if self.colors is not None:
            paths = tuple(path for path in pictures(case.label) if path.stem in position)
            labels: Any = ColorCoded(paths, dict(self.colors), (len(paths), *size))
            stems = [path.stem for path in paths]
        else:
            masks = tuple((_type(folder, case.structures), folder) for folder in _class_folders(case.label))
            names = {path.name for _, folder in masks for path in pictures(folder) if path.stem in position}
            ordered = tuple(sorted(names, key=lambda name: position[Path(name).stem]))
            labels = ClassFolders(masks, ordered, (len(ordered), *size))
            stems = [Path(name).stem for name in ordered]
        if not stems:
            raise InputError(
                "E-CASE-LABEL",
                f"No mask in {case.label} has the name of a frame in {case.image}.",
                "A label image has one whole number a pixel, on the grid of its scan, and the name of its frame.",
            )
        return OpenedFiles(scan, Scan.from_frames(labels), tuple(position[stem] for stem in stems))


def fits(home: DataFolder) -> bool:
    """Whether sequences lie in a folder, a few levels down at most."""
    return next(_sequences(home.root), None) is not None


def read(home: DataFolder) -> Iterator[Case]:
    """One case a sequence.

    Raises InputError where the key to the colors is damaged, OutsideError where it lies elsewhere.
    """
    root = home.root
    for sequence, frames, masks, key in _sequences(root):
        inside = sequence.relative_to(root).as_posix()
        name = inside if inside != "." else root.name
        if key is None:
            structures = _class_names(_class_folders(masks))
            reader = EndovisReader()
        else:
            classes = _classes(home.require_inside(key))
            structures = {number: said for number, said, _ in classes}
            reader = EndovisReader(tuple((number, color) for number, _, color in classes))
        testing = any(part.lower().startswith(("test", "val")) for part in sequence.relative_to(root).parts)
        use = Use.TEST if testing else Use.TRAIN
        yield Case(name, root.name, "endoscopy", Task.VIDEO, frames, masks, structures, use, name, reader)


def _sequences(root: Path) -> Iterator[tuple[Path, Path, Path, Path | None]]:
    """(sequence, its frames, its masks, the key to their colors or None) of every sequence."""
    level = [root]
    for _ in range(DEEP + 1):
        deeper: list[Path] = []
        for folder in level:
            inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
            frames = next((inside[name] for name in FRAMES if name in inside), None)
            found = None if frames is None else _masks(folder, inside, root)
            if frames is not None and found is not None:
                yield folder, frames, *found
            else:
                deeper += [path for path in inside.values() if not path.name.startswith(".")]
        level = deeper


def _masks(folder: Path, inside: Mapping[str, Path], root: Path) -> tuple[Path, Path | None] | None:
    classes = next((inside[name] for name in CLASSES if name in inside and _class_folders(inside[name])), None)
    if classes is not None:
        return classes, None
    key = _key(folder, root)
    colored = next((inside[name] for name in COLORED if name in inside), None)
    return (colored, key) if key is not None and colored is not None else None


def _key(folder: Path, root: Path) -> Path | None:
    """The key to the colors, with the sequence or above it, within the data set."""
    while True:
        found = next((folder / name for name in KEYS if (folder / name).is_file()), None)
        if found is not None or folder == root:
            return found
        folder = folder.parent


def _class_folders(masks: Path) -> list[Path]:
    return sorted(path for path in masks.iterdir() if path.is_dir() and path.name.lower().endswith("_labels"))


def _class_names(folders: list[Path]) -> dict[int, str]:
    """Numbers of the classes: the challenge's where these are its instruments, else in order of their names."""
    said = [folder.name[: -len("_labels")].replace("_", " ").lower() for folder in folders]
    numbers = [_instrument(name) for name in said]
    if any(numbers):
        return {number or len(INSTRUMENTS): INSTRUMENTS[(number or len(INSTRUMENTS)) - 1] for number in numbers}
    return dict(enumerate(said, 1))


def _type(folder: Path, structures: Mapping[int, str]) -> int:
    name = folder.name[: -len("_labels")].replace("_", " ").lower()
    exact = next((number for number, said in structures.items() if said == name), None)
    return exact or _instrument(name) or len(INSTRUMENTS)


def _instrument(name: str) -> int:
    """The number of the instrument a folder's name speaks of; 0 for none of them."""
    words = ("bipolar", "prograsp", "needle driver", "vessel sealer", "grasping retractor", "scissors")
    return next((number for number, word in enumerate(words, 1) if word in name), 0)


def _classes(key: Path) -> list[tuple[int, str, Color]]:
    try:
        rows = _rows(key)
    except (ValueError, IndexError, csv.Error, OSError) as error:
        raise InputError(
            "E-DATA-COLORS", f"{key} does not say which class each color is: {reason(error)}.", KEY_HINT
        ) from error
    named = [(name, color) for name, color in rows if name.lower() not in BACKGROUND]
    return [(number, name, color) for number, (name, color) in enumerate(named, 1)]


def _rows(key: Path) -> list[tuple[str, Color]]:
    if key.suffix == ".json":
        listed = read_json(key, list[ColoredClass], "E-DATA-COLORS", "a list of classes with colors", KEY_HINT)
        return [(one.name, one.color) for one in listed]
    with key.open(newline="") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    return [(row[0], _color(row[1:4])) for row in rows if len(row) >= 4 and row[1].isdigit()]


def _color(values: Any) -> Color:
    red, green, blue = (int(v) for v in values)
    if not all(0 <= level <= 255 for level in (red, green, blue)):
        raise ValueError(f"a color of {red}, {green}, {blue}")
    return red, green, blue
