"""Opening a file of labels: its structures with names and colors, on its own grid, whatever it was saved as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from delineate.core.errors import InputError
from delineate.core.frame_source import ArrayFrames
from delineate.core.hashing import sha256_of
from delineate.core.reading import reading
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind, SourceFile
from delineate.core.segmentation import MOST_LABELS, PALETTE, Segmentation, SegmentedObject
from delineate.core.terminal_text import excerpt, is_active
from delineate.data.label_pictures import PICTURES, LabelPictures, open_labels, pictures, read_labels
from delineate.io.grid_record import GridRecord
from delineate.io.inputs import path_of
from delineate.io.label_names import LabelName, LabelNames, label_names, slicer_color
from delineate.io.opening import identify, open_scan
from delineate.io.options import ReadOptions
from delineate.labels.coco import read_coco

MOST_STRUCTURES: Final = 4096  # in one file; more different values are those of a scan
ARRAYS: Final = ("segs", "gts")  # of challenge archives
AN_ARRAY: Final = "Of an array make a scan and point at it: session.prompt(Mask.from_array(array))."
_WAY: Final = "A label map holds whole numbers: 0 for background, one for each structure, up to 65535."

Masks = dict[int, dict[int, Rle]]  # label value: frame: outline


@dataclass(frozen=True, eq=False)
class LabelFile:
    """A file of labels.

    scan          its values as pixels: grid, slice axis, geometry, times, and what was noticed while reading
    segmentation  its structures
    named         whether the file, or the record beside it, says what they are called
    """

    scan: Scan
    segmentation: Segmentation
    named: bool

    @property
    def path(self) -> Path:
        """The file, as it was named."""
        return self.scan.file.path if self.scan.file else Path("labels")


def open_segmentation(
    path: str | Path, options: ReadOptions | None = None, threshold: float | None = None
) -> LabelFile:
    """Open a label map, a segmentation of 3D Slicer, a folder of label pictures, a challenge archive or COCO JSON.

    Parameters
    ----------
    path
        Every format that this package writes outlines to comes back with its names and colors; of others, a structure
        without a name is called ``label 3``.
    options
        How the file is read, as for ``open_scan``.
    threshold
        For a map of probabilities: what is as high or higher is inside. None: such a map is refused.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no labels.
    """
    path, options = path_of(path, AN_ARRAY), options or ReadOptions()
    with reading(path):
        if path.suffix.lower() == ".json" and path.is_file():
            return _of_coco(path)
        if path.is_dir() and (path / "tracks.json").is_file():
            return _of_mask_folder(path)
        if path.suffix.lower() == ".npz" and path.is_file():
            scan = _of_archive(path, options)
        elif (path.is_dir() and options.pages is None and pictures(path)) or _is_picture(path):
            scan = open_labels(path)
        else:
            scan = open_scan(path, replace(options, palette_indices=True))
    if scan.file is None:
        scan = replace(scan, file=_source(path))
    assert scan.file is not None
    names = label_names(path, scan.file.format)
    if path.name.lower().endswith((".nrrd", ".nhdr")) and (found := _slicer_segments(path, scan, options)):
        said = tuple(notice for notice in scan.notices if notice.code != "W-SEGMENTS-OVERLAP")  # they stay whole here
        return LabelFile(replace(scan, notices=said), found, named=True)
    masks = _outlines(scan, path.name, threshold)
    return LabelFile(scan, _named(Segmentation.empty(scan), masks, names), any(n.name for n in names.values()))


def segmentation_of(scan: Scan, names: LabelNames | None = None) -> Segmentation:
    """The structures of a scan whose pixels are labels. Raises InputError where they are none."""
    return _named(Segmentation.empty(scan), _outlines(scan, "The scan", None), names or {})


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and path.is_file()


def _source(path: Path) -> SourceFile:
    if path.is_dir():
        return SourceFile(path, "folder of frames", sha256_of(*pictures(path)))
    return SourceFile(path, identify(path).name, sha256_of(path))


def _of_coco(path: Path) -> LabelFile:
    outlines, notices = read_coco(path)
    blank = _blank(outlines, path, "COCO").with_notices(*notices)
    return LabelFile(blank, outlines, named=True)


def _of_mask_folder(path: Path) -> LabelFile:
    """A folder that this package wrote: ``masks/00000.png`` and ``tracks.json``."""
    found = pictures(path / "masks") if (path / "masks").is_dir() else []
    if not found:
        raise InputError("E-LABELS-FOLDER", f"{path} has tracks.json, and no masks.", "Save the outlines again.")
    first = read_labels(found[0])
    frames = LabelPictures(tuple(found), (len(found), *first.shape), np.dtype(np.int32))
    scan = replace(Scan.from_frames(frames), file=SourceFile(path, "folder of frames", sha256_of(*found)))
    about = json.loads((path / "tracks.json").read_bytes())
    times = about.get("times")
    if isinstance(times, list) and len(times) == len(found):
        scan = replace(scan, times=tuple(float(t) for t in times))
    names = label_names(path, "folder of frames")
    masks = _outlines(scan, path.name, None)
    empty = _recorded_grid(about.get("grid"), scan)
    if empty.kind is not ScanKind.VIDEO:
        scan = replace(_blank(empty, path, "folder of frames"), file=scan.file)
    return LabelFile(scan, _named(empty, masks, names), named=True)


def _recorded_grid(record: Any, scan: Scan) -> Segmentation:
    """The grid that was written beside pictures, if it is theirs."""
    try:
        empty = GridRecord.model_validate(record).outlines
    except (ValidationError, InputError):
        return Segmentation.empty(scan)
    return empty if (len(empty), *empty.frame_shape) == tuple(scan.source.shape[:3]) else Segmentation.empty(scan)


def _blank(outlines: Segmentation, path: Path, format: str) -> Scan:
    """A scan without a picture, on the grid of outlines."""
    shape = (len(outlines), *outlines.frame_shape)
    file = SourceFile(path, format, sha256_of(path) if path.is_file() else "")
    if outlines.kind is ScanKind.VOLUME:
        voxels = np.broadcast_to(np.uint8(0), outlines.grid.shape)
        return Scan.from_volume(voxels, outlines.grid, outlines.slice_axis, file=file)
    return Scan(outlines.kind, ArrayFrames(np.broadcast_to(np.uint8(0), shape)), outlines.grid, file=file)


def _of_archive(path: Path, options: ReadOptions) -> Scan:
    """``segs`` or ``gts`` of a challenge archive: (D, H, W) or (H, W)."""
    from delineate.io.readers.array_archive import array_archive
    from delineate.io.readers.npz import array_scan

    with array_archive(path, options) as stored:
        name = next((one for one in ARRAYS if one in stored.names), None)
        if name is None:
            raise InputError(
                "E-LABELS-ARCHIVE",
                f"{path.name} holds no labels, but {', '.join(excerpt(n, 30) for n in stored.names[:8]) or 'nothing'}.",
                "Labels are the array segs, or gts.",
            )
        labels = stored[name]
        spacing = stored["spacing"] if "spacing" in stored.names else None
        order = str(stored["spacing_order"]) if "spacing_order" in stored.names else None
        is_clip = "kind" in stored.names and str(stored["kind"]) == ScanKind.VIDEO
    if is_clip and labels.ndim == 3:
        return Scan.from_frames(labels)
    return array_scan(path, labels, spacing, order, options)


def _slicer_segments(path: Path, scan: Scan, options: ReadOptions) -> Segmentation | None:
    """The segments of a .seg.nrrd each by itself, so that those that overlap stay whole; None if there are none."""
    from delineate.io.readers.nrrd import segments

    outlines, used = Segmentation.empty(scan), set[int]()
    found = False
    for number, one in enumerate(segments(path, options), 1):
        found = True
        stack = one.inside if scan.kind is ScanKind.VOLUME else one.inside[..., None]
        frames = np.moveaxis(stack, scan.slice_axis, 0)  # frame, x, y
        seen = np.flatnonzero(frames.any(axis=(1, 2)))
        masks = {int(n): Rle.encode(frames[n].T) for n in seen}
        value = one.value if 0 < one.value <= MOST_LABELS and one.value not in used else None
        name = _free_name(outlines, _safe_name(one.said.get("Name"), one.value or number))
        outlines = outlines.adding(name, slicer_color(one.said.get("Color", "")), value).with_masks(name, dict(masks))
        used.add(outlines[name].label)
    return outlines if found else None


def _outlines(scan: Scan, name: str, threshold: float | None) -> Masks:
    """The outline of every value but 0, frame by frame."""
    if scan.channels > 1:
        raise InputError(
            "E-LABEL-COLOR",
            f"{name} is colored; nothing says which structure each color is.",
            "Store whole numbers or a palette.",
        )
    masks: Masks = {}
    for index in range(len(scan)):
        labels = _whole(np.asarray(scan.pixels(index)), name, threshold)
        height, width = labels.shape
        for number, box in enumerate(ndimage.find_objects(labels), 1):
            if box is None:
                continue
            part = Rle.encode(labels[box] == number)
            masks.setdefault(number, {})[index] = part.placed(box[1].start, box[0].start, height, width)
        if len(masks) > MOST_STRUCTURES:
            raise InputError(
                "E-LABELS-SCAN",
                f"{name} holds more than {MOST_STRUCTURES} different values: it looks like a scan, not like labels.",
                _WAY,
            )
    return dict(sorted(masks.items()))


def _whole(values: NDArray[Any], name: str, threshold: float | None) -> NDArray[np.int32]:
    """Label values of one frame. Raises InputError for what is none."""
    if threshold is not None:
        return np.asarray(np.nan_to_num(values.astype(np.float64), nan=-np.inf) >= threshold, np.int32)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), 0, values)
        if np.isinf(values).any():
            raise InputError("E-LABELS-VALUES", f"{name} holds infinite values: it is no label map.", _WAY)
        if (values != np.rint(values)).any():
            raise InputError(
                "E-LABELS-FRACTIONS",
                f"{name} holds fractions ({values.min():g} to {values.max():g}), such as probabilities.",
                f"Make labels of it first: delineate convert {name} --threshold 0.5 -o labels.nii.gz",
            )
    if values.size and (values.min() < 0 or values.max() > MOST_LABELS):
        text = f"{name} holds values from {values.min():g} to {values.max():g}: it is no label map."
        raise InputError("E-LABELS-VALUES", text, _WAY)
    return values.astype(np.int32)


def _named(empty: Segmentation, masks: Masks, names: LabelNames) -> Segmentation:
    """Objects for the values there are, and for those that have a name but no pixel."""
    objects: list[SegmentedObject] = []
    taken: set[str] = set()
    said = {value: one for value, one in names.items() if one.name is not None and 0 < value <= MOST_LABELS}
    for value in sorted(masks.keys() | said.keys()):
        about = names.get(value, LabelName())
        name = _safe_name(about.name, value)
        while name in taken:
            name = f"{name} ({value})"
        taken.add(name)
        color = about.color or PALETTE[(value - 1) % len(PALETTE)]
        objects.append(SegmentedObject(name, value, color, masks=masks.get(value, {})))
    return replace(empty, objects=tuple(objects))


def _safe_name(said: str | None, value: int) -> str:
    """A name from a file as one can be shown; ``label 3`` where it says none."""
    shown = "".join(c for c in said or "" if not is_active(c)).strip()[:200]
    return shown or f"label {value}"


def _free_name(outlines: Segmentation, name: str) -> str:
    numbers: Iterator[str] = (name if n == 1 else f"{name} ({n})" for n in range(1, MOST_LABELS))
    return next(one for one in numbers if one not in outlines)
