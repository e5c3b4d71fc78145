"""Pictures and label pictures by name: in two folders, or side by side.

two folders   ``images/X.png``, ``masks/X.png`` or ``X_mask.png``, there or in ``train``, ``val``, ``test``; DRIVE and
              HRF too, whose labels are in ``1st_manual`` and ``manual1``, beside masks of the field of view
side by side  ``X.png`` and ``X_label.png`` in one folder; CHASE_DB1 too (``X_1stHO.png``, the first reader's)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from delineate.data.cases import Case, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.nnunet import VOLUMES
from delineate.data.subjects import subjects_in
from delineate.io.opening import PICTURE_SUFFIXES

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = (
    "1st_manual", "manual1", "manual", "masks", "mask", "labels", "label", "annotations", "gt", "gts", "ground_truth",
    "seg", "segs", "segmentation", "segmentations",
)  # fmt: skip
SCAN_WORDS = (*IMAGE_FOLDERS, "JPEGImages", "DICOM_anon", "left_frames")  # beside labels, whatever the layout
LABEL_WORDS = (*MASK_FOLDERS, "Ground")
_LABEL_WORD = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(LABEL_WORDS, key=len, reverse=True))})(?=(tr|ts|val)$|[^a-z]|$)", re.IGNORECASE
)
MASK_ENDING = re.compile(r"[_-](mask|labels?|gt|seg|segmentation|manual1?|1stHO|vessels?|annotation)$", re.IGNORECASE)
IMAGE_ENDING = re.compile(r"[_-](training|test|image|img)$", re.IGNORECASE)
READ = (*PICTURE_SUFFIXES, ".gif", *VOLUMES, ".gz", ".npy", ".npz")


def two_folders(home: DataFolder) -> bool:
    """Whether a folder, or folders of splits in it, have pictures in one folder and masks in another."""
    return bool(_pairs_of_folders(home.root))


def read_two_folders(home: DataFolder) -> Iterator[Case]:
    """One case a mask."""
    root = home.root
    for base, images, masks in _pairs_of_folders(root):
        by_stem = _by_stem(path for path in sorted(images.iterdir()) if not path.name.startswith("."))
        for label in sorted(path for path in masks.iterdir() if not path.name.startswith(".")):
            stem = label.name if label.is_dir() else stem_of(label)
            image = by_stem.get(stem) or by_stem.get(MASK_ENDING.sub("", stem)) or images / label.name
            task = Task.VOLUME if label.name.endswith(VOLUMES) else Task.VIDEO if label.is_dir() else Task.IMAGE
            yield Case(
                _id(base, root, stem), root.name, "unknown", task, image, label, {0: "structure"}, _use(base, root)
            )


def side_by_side(home: DataFolder) -> bool:
    """Whether a folder, or a folder of a split in it, has a picture and its labels side by side."""
    return any(_pairs_beside(base) for base in _places(home.root))


def read_side_by_side(home: DataFolder) -> Iterator[Case]:
    """One case a pair."""
    root = home.root
    for base in _places(root):
        pairs = _pairs_beside(base)
        subjects = subjects_in(list(pairs))
        for stem, (image, label) in pairs.items():
            task = Task.VOLUME if label.name.endswith(VOLUMES) else Task.IMAGE
            about = _id(base, root, stem), root.name, "unknown", task, image, label, {0: "structure"}, _use(base, root)
            yield Case(*about, subjects[stem])


def beside_scans(path: Path, scans: Collection[str]) -> bool:
    """Whether a file or folder is named as labels, or lies in a folder that is, and scans are named alike beside that.

    ``labelsTr`` is beside ``imagesTr``, ``train_masks`` beside ``train_images``, ``gt/a.png`` beside ``gt/../img``.

    scans  their paths and all folders these lie in, as ``lower_case`` has them
    """
    for place in (path, *path.parents):
        for word in _LABEL_WORD.finditer(place.name):
            before, after = place.name[: word.start()], place.name[word.end() :]
            if any(lower_case(place.with_name(before + one + after)) in scans for one in SCAN_WORDS):
                return True
    return False


def lower_case(path: Path) -> str:
    """A path for comparing names: folders are called images and Images."""
    return str(path).casefold()


def stem_of(path: Path) -> str:
    """A file's name without its endings."""
    return re.sub(r"(\.nii)?\.[^.]+$", "", path.name)


def _pairs_of_folders(root: Path) -> list[tuple[Path, Path, Path]]:
    """(folder, its images, its masks): the folder itself, or its splits."""
    found = _image_and_mask_folders(root)
    if found:
        return [(root, *found)]
    return [(path, *pair) for path in _places(root)[1:] if (pair := _image_and_mask_folders(path))]


def _image_and_mask_folders(root: Path) -> tuple[Path, Path] | None:
    found = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    images = next((found[name] for name in IMAGE_FOLDERS if name in found), None)
    masks = next((found[name] for name in MASK_FOLDERS if name in found), None)
    return (images, masks) if images and masks else None


def _pairs_beside(folder: Path) -> dict[str, tuple[Path, Path]]:
    """A picture and its labels, by the picture's stem."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    there = [path for path in files if path.suffix.lower() in READ]
    by_stem = {stem_of(path): path for path in there}
    labels = ((MASK_ENDING.sub("", stem), path) for stem, path in by_stem.items() if MASK_ENDING.search(stem))
    return {stem: (by_stem[stem], label) for stem, label in labels if stem in by_stem}


def _by_stem(paths: Iterable[Path]) -> Mapping[str, Path]:
    """Pictures by their stems, with and without an ending such as ``_training``."""
    stems = {path.name if path.is_dir() else stem_of(path): path for path in paths}
    return {IMAGE_ENDING.sub("", stem): path for stem, path in stems.items()} | stems


def _places(root: Path) -> list[Path]:
    """The folder, and the folders in it."""
    return [root, *sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))]


def _id(base: Path, root: Path, stem: str) -> str:
    return f"{base.name}/{stem}" if base != root else stem


def _use(base: Path, root: Path) -> Use:
    testing = base != root and base.name.lower().startswith(("test", "val"))
    return Use.TEST if testing else Use.TRAIN
