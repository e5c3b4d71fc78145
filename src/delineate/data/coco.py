"""COCO instances: one JSON of images, annotations and categories; polygons and run lengths, one label an annotation.

Where annotations overlap, the smaller one is on top: a label image has one number a pixel. Crowds (``iscrowd`` 1)
are no instances and are left out. Source: the COCO data format page; the run-length code is our own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from delineate.core.errors import InputError
from delineate.core.json_file import parse_json, read_json
from delineate.core.polygons import filled_polygon
from delineate.core.reading import reason
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.subjects import subjects_in
from delineate.io.inputs import is_file
from delineate.io.opening import open_scan

Mask = NDArray[np.bool_]
HEAD = 1 << 16  # characters of a JSON looked at to tell whether it may be COCO
LARGEST = 64 << 20  # bytes of a JSON whose end is looked at as well
LONGEST_NUMBER = 7  # characters of one number in run lengths
TESTING = ("val", "valid", "validation", "test")


class Picture(BaseModel):
    """An item of ``images``; ``frame`` of those this package writes of a video."""

    id: int | str
    file_name: str
    frame: int | None = None


class Annotation(BaseModel):
    """An item of ``annotations``; its outline is read when its picture is opened."""

    image_id: int | str
    category_id: int | str | None = None
    segmentation: Any = None
    iscrowd: bool = False


class Category(BaseModel):
    """An item of ``categories``."""

    id: int | str
    name: str


class Instances(BaseModel):
    """What is read of a COCO file."""

    images: list[Picture]
    annotations: list[Annotation]
    categories: list[Category]


@dataclass(frozen=True)
class CocoReader:
    """Draws one image's annotations, each of them (polygons or run lengths), label 1 first.

    frame  of the file, for the images this package writes of a video
    """

    outlines: tuple[Any, ...]
    frame: int | None = None

    def __call__(self, case: Case) -> OpenedFiles:
        scan = open_scan(case.image)
        if self.frame is not None and len(scan) > 1:
            scan = Scan.from_image(scan.pixels(self.frame))
        size = scan.height, scan.width
        masks = [drawn(outline, *size, f"annotation {n} of {case.id}") for n, outline in enumerate(self.outlines, 1)]
        labels = np.zeros(size, dtype=np.int32)
        for n in sorted(range(len(masks)), key=lambda n: -int(masks[n].sum())):
            labels[masks[n]] = n + 1
        return OpenedFiles(scan, Scan.from_image(labels))


def fits(home: DataFolder) -> bool:
    """Whether a COCO JSON lies in a folder, its ``annotations``, or the folders of a split."""
    return next(_files(home.root), None) is not None


def read(home: DataFolder) -> Iterator[Case]:
    """One case an image that has annotations, of every COCO JSON there.

    Raises InputError for a JSON whose annotations are no instances, OutsideError for one that lies elsewhere.
    """
    files = [home.require_inside(file) for file in _files(home.root)]
    for file in files:
        content = read_json(
            file, Instances, "E-COCO", "a COCO file", "docs/reference/datasets.md says what is read of it."
        )
        yield from _cases(content, file, home, several=len(files) > 1)


def drawn(outline: Any, height: int, width: int, what: str) -> Mask:
    """A ``segmentation`` as a mask (height, width): polygons, or run lengths as numbers or as COCO's short text.

    Raises InputError where it is neither, or belongs to another size.
    """
    try:
        if isinstance(outline, Mapping):
            size = tuple(int(v) for v in outline["size"])
            counts = outline["counts"]
            if len(size) != 2:
                raise ValueError(f"a size of {len(size)} numbers")
            if size != (height, width):
                raise InputError(
                    "E-COCO-SIZE",
                    f"{what} is for {size[1]} x {size[0]} pixels, its image has {width} x {height}.",
                    "Say the true width and height of the image in its entry.",
                )
            runs = short_runs(counts) if isinstance(counts, str) else [int(v) for v in counts]
            return Rle(height, width, np.array(runs, dtype=np.int64)).decode()
        return _filled(outline, height, width)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise InputError(
            "E-COCO-OUTLINE",
            f"{what} is neither polygons nor run lengths: {reason(error)}.",
            "A segmentation is a list of polygons [x, y, x, y, ...], or {size, counts}.",
        ) from error


def short_runs(text: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character from ``0`` up, the sixth says that more follow.

    From the fourth number on each is the difference to the one two before it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in run lengths")
        if shift >= 5 * LONGEST_NUMBER:
            raise ValueError("a number without an end in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _filled(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Pixels whose middles lie in one of the polygons; coordinates count from the first pixel's corner."""
    whole = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers")
        corners = np.asarray(polygon, dtype=float).reshape(-1, 2)
        if not np.isfinite(corners).all():
            raise ValueError("a corner that is not a number")
        low = np.clip(np.floor(corners.min(0)), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(corners.max(0)), 0, (width, height)).astype(int)
        if (high > low).all():
            inside = filled_polygon(corners - low - 0.5, int(high[1] - low[1]), int(high[0] - low[0]))
            whole[low[1] : high[1], low[0] : high[0]] |= inside
    return whole


def _cases(content: Instances, file: Path, home: DataFolder, several: bool) -> Iterator[Case]:
    root = home.root
    names = {one.id: one.name for one in content.categories}
    by_image: dict[int | str, list[Annotation]] = defaultdict(list)
    for one in content.annotations:
        if not one.iscrowd and one.segmentation:
            by_image[one.image_id].append(one)
    if content.annotations and not by_image:
        raise InputError(
            "E-COCO-BOXES", f"{file.name} holds boxes or crowds only, no outlines.", "It needs segmentations."
        )
    use = Use.TEST if any(word in TESTING for word in _words(file, root)) else Use.TRAIN
    subjects = subjects_in([Path(image.file_name).stem for image in content.images])
    prefix = f"{_split(file, root)}/" if several else ""
    for image in sorted(content.images, key=lambda image: image.file_name):
        annotations = by_image.get(image.id)
        if not annotations:
            continue
        name, frame = Path(image.file_name).stem, image.frame
        structures = {n: names.get(one.category_id or 0, "structure") for n, one in enumerate(annotations, 1)}
        reader = CocoReader(tuple(one.segmentation for one in annotations), frame)
        case_id = prefix + name + (f"/{frame}" if frame is not None else "")
        path = _picture(image.file_name, file, home)
        about = case_id, root.name, "unknown", Task.IMAGE, path, file, structures, use
        yield Case(*about, subjects[name], reader)


def _picture(name: str, file: Path, home: DataFolder) -> Path:
    """Where the picture of that name lies, within the data set if possible; the likeliest place if it lies nowhere.

    Some tools write absolute names, which lead to the original where a copy lies in the data set.
    """
    root = home.root
    split = _split(file, root)
    places = [file.parent / name]
    places += [
        base / folder / name for base in (root, file.parent) for folder in (split, "images", f"images/{split}", "")
    ]
    places += [root / Path(name).name]
    there = [place for place in places if is_file(place)] or places[:1]
    return next((place for place in there if home.holds(place)), there[0])


def _split(file: Path, root: Path) -> str:
    """``train2017`` of instances_train2017.json, ``valid`` of valid/_annotations.coco.json."""
    match = re.match(r"instances_(.+)$", file.stem)
    if match:
        return match[1]
    return file.parent.name if file.parent != root and file.parent.name != "annotations" else file.stem


def _words(file: Path, root: Path) -> list[str]:
    return re.split(r"[\d_\W]+", "/".join(file.relative_to(root).parts).lower())


def _files(root: Path) -> Iterator[Path]:
    """COCO files in the folder itself and in the folders in it."""
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        yield from (file for file in sorted(folder.glob("*.json")) if file.is_file() and _is_coco(file))


def _is_coco(file: Path) -> bool:
    """Whether a JSON has images, annotations and categories; a large one is told by what begins it."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        head = stream.read(HEAD)
    if not head.lstrip().startswith("{"):
        return False
    if file.stat().st_size > LARGEST:
        return '"images"' in head or '"annotations"' in head
    try:
        content = parse_json(file.read_bytes())
    except (ValueError, OSError):
        return False
    keys = "images", "annotations", "categories"
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in keys)
