"""Folders of MedSAM's and its challenges' npz files, and of its training pairs of npy files.

An npz holds ``imgs`` (D, H, W) or (H, W, 3), ``gts`` with one number an object, ``spacing`` (mm) and ``boxes``
(K, 4) or (K, 6) as x0, y0, z0, x1, y1, z1, the k-th for object k + 1. The truth of a validation file may lie in a
folder ``gts`` beside ``imgs``. A training pair is ``imgs/NAME.npy``, ``gts/NAME.npy``, one slice each.
Source: MedSAM, arXiv 2304.12306; the CVPR 2024 laptop challenge, arXiv 2412.16085.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.scan import Scan, ScanKind
from delineate.core.terminal_text import excerpt
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.subjects import subjects_in
from delineate.io.opening import open_scan
from delineate.io.options import SpacingOrder
from delineate.io.readers.array_archive import array_archive, read_npy

IMAGES, TRUTHS = "imgs", "gts"
MODALITIES = {
    "CT": "CT", "MR": "MR", "PET": "PET", "US": "ultrasound", "XRay": "X-ray", "OCT": "OCT", "Dermoscopy": "dermoscopy",
    "Endoscopy": "endoscopy", "Fundus": "fundus", "Mammography": "X-ray", "Mammo": "X-ray", "Microscopy": "microscopy",
    "Microscope": "microscopy",
}  # fmt: skip


@dataclass(frozen=True)
class NpzReader:
    """Reads ``imgs`` of the image's file and ``gts`` of the label's."""

    def __call__(self, case: Case) -> OpenedFiles:
        scan = _scan(case.image)
        truth = stored(case.label, TRUTHS)
        labels = _labels(truth, scan, case.label)
        boxes = stored(case.image, "boxes", missing=np.zeros((0, 4)))
        return OpenedFiles(scan, labels, tuple(range(len(scan))), _boxes(boxes, case.image))


@dataclass(frozen=True)
class NpyReader:
    """Reads a training pair: pixels (H, W[, 3]) and labels (H, W), shrunk labels brought to the picture's size."""

    def __call__(self, case: Case) -> OpenedFiles:
        pixels, labels = (read_npy(path) for path in (case.image, case.label))
        if (
            labels.ndim != 2
            or pixels.ndim not in (2, 3)
            or not labels.size
            or pixels.shape[0] % labels.shape[0]
            or pixels.shape[1] % labels.shape[1]
        ):
            raise InputError(
                "E-CASE-LABEL",
                f"{case.label.name} has the shape {labels.shape}, its picture {pixels.shape}.",
                "A label image has one whole number a pixel, on the grid of its scan, and the name of its frame.",
            )
        repeated = labels.repeat(pixels.shape[0] // labels.shape[0], 0).repeat(pixels.shape[1] // labels.shape[1], 1)
        return OpenedFiles(Scan.from_image(pixels), Scan.from_image(_whole(repeated, case.label)))


def fits(home: DataFolder) -> bool:
    """Whether a folder, or folders in it, hold npz files with ``imgs``, or pairs of npy files."""
    first = next((path for path in home.search("*.npz") if path.parent.name != TRUTHS), None)
    return (first is not None and _holds(first, IMAGES)) or next(_pairs(home), None) is not None


def read(home: DataFolder) -> Iterator[Case]:
    """Every file that has a truth, in its own file or under the same name in ``gts``."""
    root = home.root
    archives = [path for path in home.search("*.npz") if path.parent.name != TRUTHS]
    subjects = subjects_in([path.stem for path in archives])
    for path in archives:
        beside = path.parent.parent / TRUTHS / path.name
        label = beside if beside.is_file() else path
        modality, volume = _modality(path, root), _is_volume(path)
        task = Task.VOLUME if volume else Task.IMAGE
        subject = re.sub(r"-\d{3,4}$", "", path.stem) if not volume else subjects[path.stem]
        about = _id(path, root), _dataset(path, root), modality, task, path, label
        yield Case(*about, {0: "structure"}, Use.TRAIN, subject, NpzReader())
    for image, label in _pairs(home):
        subject = re.sub(r"-\d{3,4}$", "", image.stem)
        about = _id(image, root), _dataset(image, root), _modality(image, root), Task.IMAGE, image, label
        yield Case(*about, {0: "structure"}, Use.TRAIN, subject, NpyReader())


def stored(path: Path, name: str, missing: NDArray[Any] | None = None) -> NDArray[Any]:
    """One array of an npz file, never a pickle; ``missing`` where there is none of that name.

    Raises InputError if it cannot be read, or is missing and has to be there.
    """
    with array_archive(path) as archive:
        if name in archive.names:
            return archive[name]
        names = ", ".join(excerpt(one, 30) for one in archive.names[:8]) or "nothing"
    if missing is not None:
        return missing
    raise InputError(
        "E-NPZ-GTS",
        f"{path.name} has no {name}, only {names}.",
        f"The truth is the array {TRUTHS} in the same file, or a file of the same name in a folder {TRUTHS} beside it.",
    )


def _scan(path: Path) -> Scan:
    """A challenge file; its spacing is x, y, z, as SimpleITK gave it to the authors, unless the file says otherwise."""
    said = _holds(path, "spacing_order")
    return open_scan(path) if said else open_scan(path, spacing_order=SpacingOrder.XYZ)


def _labels(truth: NDArray[Any], scan: Scan, path: Path) -> Scan:
    whole = _whole(truth, path)
    if scan.kind is ScanKind.IMAGE:
        if whole.ndim != 2:
            raise InputError(
                "E-CASE-LABEL",
                f"gts of {path.name} has the shape {whole.shape}, its picture two axes.",
                "A label image has one whole number a pixel, on the grid of its scan, and the name of its frame.",
            )
        return Scan.from_image(whole)
    if whole.ndim != 3 or whole.shape != scan.grid.shape[::-1]:
        raise InputError(
            "E-CASE-LABEL",
            f"gts of {path.name}: {whole.shape}, imgs {scan.grid.shape[::-1]}.",
            "A label image has one whole number a pixel, on the grid of its scan, and the name of its frame.",
        )
    return Scan.from_volume(whole.transpose(2, 1, 0), scan.grid, scan.slice_axis)


def _boxes(boxes: NDArray[Any], path: Path) -> Mapping[int, tuple[float, ...]]:
    if boxes.dtype.kind not in "uif" or (boxes.size and (boxes.ndim != 2 or boxes.shape[1] not in (4, 6))):
        raise InputError(
            "E-NPZ-BOXES",
            f"boxes in {path.name} has the shape {boxes.shape}; (K, 4) or (K, 6) is meant.",
            "Store boxes as (K, 4): x0, y0, x1, y1, or as (K, 6) for volumes.",
        )
    return {number: tuple(float(v) for v in box) for number, box in enumerate(boxes, 1)}


def _whole(labels: NDArray[Any], path: Path) -> NDArray[np.integer[Any]]:
    if labels.dtype.kind in "ui":
        return labels
    if labels.dtype.kind == "b" or (
        labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.round(labels)).all()
    ):
        return labels.astype(np.int32)
    raise InputError(
        "E-LABEL-FRACTION",
        f"gts of {path.name} holds fractions; labels are whole numbers.",
        "Store whole numbers: 0 for background, one number a structure.",
    )


def _holds(path: Path, name: str) -> bool:
    try:
        with array_archive(path) as archive:
            return name in archive.names
    except InputError:
        return False


def _is_volume(path: Path) -> bool:
    """Told by the array's shape, which is in the file's first bytes; the name's 2D or 3D need not be right."""
    try:
        with array_archive(path) as archive:
            shape = archive.header(IMAGES)[0] if IMAGES in archive.names else ()
    except InputError:
        return False  # said when it is opened
    return len(shape) == 4 or (len(shape) == 3 and shape[2] != 3)


def _pairs(home: DataFolder) -> Iterator[tuple[Path, Path]]:
    for image in home.search("*.npy"):
        label = image.parent.parent / TRUTHS / image.name
        if image.parent.name == IMAGES and label.is_file():
            yield image, label


def _id(path: Path, root: Path) -> str:
    inside = [part for part in path.relative_to(root).parts[:-1] if part != IMAGES]
    return "/".join((*inside, path.stem))


def _dataset(path: Path, root: Path) -> str:
    inside = [part for part in path.relative_to(root).parts[:-1] if part not in (IMAGES, TRUTHS)]
    return "/".join(inside) or root.name


def _modality(path: Path, root: Path) -> str:
    words = re.split(r"[_\W]+", " ".join(path.relative_to(root).parts))
    return next((MODALITIES[word] for word in words if word in MODALITIES), "unknown")
