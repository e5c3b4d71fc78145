"""A labeled scan as the files of one sample of a shard, and back; what comes back is what went in."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.json_file import parsed_json
from delineate.core.reading import reading
from delineate.core.scan import Modality, ModalityName, Scan, ScanKind
from delineate.data.cases import LabeledScan, OpenedFiles, Task
from delineate.echo.record import EchoRecord, View
from delineate.io.limits import check_picture
from delineate.io.options import ReadOptions
from delineate.io.readers.array_archive import array_archive

Pixels = NDArray[Any]


class GridRecord(BaseModel):
    """A grid as a sample keeps it."""

    shape: list[int]
    affine: list[list[float]]
    axes: list[str]
    placement: Placement


class EchoFacts(BaseModel):
    """What is known of a clip of the heart (``echo.record``)."""

    view: View
    diastole: int | None = None
    systole: int | None = None
    reported: dict[str, float] = {}


class SampleRecord(BaseModel):
    """What a sample says of itself: everything but pixels."""

    id: str
    dataset: str
    modality: str
    task: Task
    subject: str
    structures: dict[int, str]
    kind: ScanKind
    scan_modality: ModalityName
    window: tuple[float, float] | None
    slice_axis: int
    grid: GridRecord
    frames: list[int]
    boxes: dict[int, list[float]]
    echo: EchoFacts | None = None


@dataclass(frozen=True, eq=False)
class MemberFrames:
    """Frames among the files of a sample, decoded when they are asked for."""

    members: Mapping[str, bytes]
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, index: int) -> Pixels:
        return decoded(self.members[self.names[index]], self.names[index])


def about(scan: LabeledScan, subject: str) -> dict[str, Any]:
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
        "echo": None if scan.echo is None else asdict(scan.echo),
        "boxes": {str(value): list(box) for value, box in scan.boxes.items()},
    }


def encoded(scan: LabeledScan) -> Iterator[tuple[str, bytes]]:
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
    told = record_in(members)
    kind, grid, window = told.kind, _grid(told.grid), told.window
    modality = Modality(told.scan_modality, "the shard says so")
    frames = tuple(told.frames)
    boxes = {value: tuple(box) for value, box in told.boxes.items()}
    if kind is ScanKind.VOLUME:
        axis = told.slice_axis
        image, label = (decoded(members[f"{name}.npz"], f"{name}.npz") for name in ("image", "label"))
        scan = Scan.from_volume(image, grid, axis, window=window, modality=modality)
        return OpenedFiles(scan, Scan.from_volume(label, grid, axis), frames, boxes)
    images, labels = (_frames(members, name) for name in ("image", "label"))
    if kind is ScanKind.IMAGE:
        scan = Scan.from_image(images.read(0), grid, window=window, modality=modality)
        return OpenedFiles(scan, Scan.from_image(labels.read(0), grid), frames, boxes)
    scan = replace(Scan.from_frames(images, window=window, modality=modality), grid=grid, slice_axis=told.slice_axis)
    echo = None if told.echo is None else EchoRecord(**dict(told.echo))
    return OpenedFiles(scan, Scan.from_frames(labels), frames, boxes, echo)


def record_in(members: Mapping[str, bytes]) -> SampleRecord:
    """What the sample of these files says of itself. Raises InputError where that is missing or damaged."""
    if "json" not in members:
        raise InputError("E-SHARD-SHORT", "A sample of a shard does not say what it is.", "Write the shards again.")
    return parsed_json(members["json"], SampleRecord, "A sample", "E-SHARD-DAMAGED", "one that a shard holds")


def decoded(data: bytes, name: str) -> Pixels:
    """The array of one file.

    Raises InputError if it is damaged.
    """
    with reading(f"{name} of a shard", "E-SHARD-DAMAGED", what="is damaged"):
        if name.endswith(".npz"):
            with array_archive(Path(name), content=data) as archive:
                return archive["voxels"]
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            check_picture(Path(name), picture.width, picture.height, 4, ReadOptions())
            pixels = np.array(picture)
            return pixels.astype(np.uint16) if picture.mode.startswith("I") else pixels


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


def _grid(told: GridRecord) -> Grid:
    with reading("The grid of a sample", "E-SHARD-DAMAGED", what="is damaged"):
        return Grid(tuple(told.shape), np.array(told.affine), tuple(told.axes), told.placement)
