"""A labelled scan as the files of one sample of a shard, and back; what comes back is what went in."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Modality, ModalityName, Scan, ScanKind
from delineate.data.cases import LabelledScan, OpenedFiles

Pixels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class MemberFrames:
    """Frames among the files of a sample, decoded when they are asked for."""

    members: Mapping[str, bytes]
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, index: int) -> Pixels:
        return decoded(self.members[self.names[index]], self.names[index])


def about(scan: LabelledScan, subject: str) -> dict[str, Any]:
    """Everything but pixels."""
    case, grid = scan.case, scan.scan.grid
    return {
        "id": case.id,
        "dataset": case.dataset,
        "modality": case.modality,
        "task": str(case.task),
        "subject": subject,
        "structures": {str(value): name for value, name in case.structures.items()},
        "kind": str(scan.scan.kind),
        "scan_modality": str(scan.scan.modality.name),
        "window": scan.scan.window,
        "slice_axis": scan.scan.slice_axis,
        "grid": {"shape": grid.shape, "affine": grid.affine.tolist(), "axes": grid.axes, "placement": grid.placement},
        "frames": list(scan.frames),
        "boxes": {str(value): list(box) for value, box in scan.boxes.items()},
    }


def encoded(scan: LabelledScan) -> Iterator[tuple[str, bytes]]:
    """The files of a sample: (name without the key, content)."""
    if scan.scan.kind is ScanKind.VOLUME:
        yield "image.npz", _npz(scan.scan.voxels())
        yield "label.npz", _npz(scan.labels.voxels())
        return
    position = {frame: number for number, frame in enumerate(scan.frames)}
    for frame in range(len(scan.scan)):
        before = f"{frame:06d}." if scan.scan.kind is ScanKind.VIDEO else ""
        yield _picture(f"{before}image", scan.scan.pixels(frame))
        if frame in position:
            yield _picture(f"{before}label", scan.labels.pixels(position[frame]))


def opened(members: Mapping[str, bytes]) -> OpenedFiles:
    """A sample's scan and labels.

    Raises InputError where a file of it is missing or damaged.
    """
    told = json.loads(members["json"])
    kind, grid = ScanKind(told["kind"]), _grid(told["grid"])
    window = None if told["window"] is None else (float(told["window"][0]), float(told["window"][1]))
    modality = Modality(ModalityName(told["scan_modality"]), "the shard says so")
    frames = tuple(int(v) for v in told["frames"])
    boxes = {int(value): tuple(box) for value, box in told["boxes"].items()}
    if kind is ScanKind.VOLUME:
        axis = int(told["slice_axis"])
        image, label = (decoded(members[f"{name}.npz"], f"{name}.npz") for name in ("image", "label"))
        scan = Scan.from_volume(image, grid, axis, window=window, modality=modality)
        return OpenedFiles(scan, Scan.from_volume(label, grid, axis), frames, boxes)
    images, labels = (_frames(members, name) for name in ("image", "label"))
    if kind is ScanKind.IMAGE:
        scan = Scan.from_image(images.read(0), grid, window=window, modality=modality)
        return OpenedFiles(scan, Scan.from_image(labels.read(0), grid), frames, boxes)
    scan = Scan.from_frames(images, window=window, modality=modality)
    return OpenedFiles(scan, Scan.from_frames(labels), frames, boxes)


def decoded(data: bytes, name: str) -> Pixels:
    """The array of one file.

    Raises InputError if it is damaged.
    """
    try:
        if name.endswith(".npz"):
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return np.asarray(archive["voxels"])
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            pixels = np.array(picture)
            return pixels.astype(np.uint16) if picture.mode.startswith("I") else pixels
    except (OSError, ValueError, KeyError, EOFError, SyntaxError) as error:
        raise InputError("E-SHARD-DAMAGED", f"{name} of a shard is damaged: {error}.", "Copy it again.") from None


def _frames(members: Mapping[str, bytes], what: str) -> MemberFrames:
    names = tuple(sorted(name for name in members if name.rpartition(".")[0].endswith(what)))
    if not names:
        raise InputError("E-SHARD-SHORT", f"A sample of a shard has no {what}.", "Write the shards again.")
    first = decoded(members[names[0]], names[0])
    return MemberFrames(members, names, (len(names), *first.shape), first.dtype)


def _picture(name: str, pixels: Pixels) -> tuple[str, bytes]:
    """PNG where that keeps every number, else npz."""
    plain = pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3)
    whole = pixels.dtype.kind in "ui" and pixels.ndim == 2
    low, high = (int(pixels.min()), int(pixels.max())) if whole and pixels.size else (0, 0)
    if name.endswith("label") and whole and low >= 0 and high < 65536:
        pixels, plain = (pixels.astype(np.uint8), True) if high < 256 else (pixels.astype(np.uint16), False)
    if not plain and not (pixels.dtype == np.uint16 and pixels.ndim == 2):
        return f"{name}.npz", _npz(pixels)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return f"{name}.png", stream.getvalue()


def _npz(voxels: Pixels) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, voxels=voxels)
    return stream.getvalue()


def _grid(told: Mapping[str, Any]) -> Grid:
    return Grid(tuple(told["shape"]), np.array(told["affine"]), tuple(told["axes"]), Placement(told["placement"]))
