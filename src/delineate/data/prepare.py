"""Public sets brought to the size and intensities that one-shot papers evaluate on, with superpixels to train from.

BTCV    soft tissue from -125 to 275 HU as 0 to 255, 32 pixels of border cut off, slices resampled to one size
CHAOS   the brightest 0.5 % cut, 1.25 x 1.25 x 7.70 mm, cut or filled up to 256 x 256, then resampled to one size
polyps  filled up to squares

As SSL-ALPNet, DINOv2-SSL and ProtoSAM prepare them (arXiv 2007.09886, 2403.03273, 2407.07042). Slices lie in order of
their position; organs are resampled one by one, so that no border becomes another organ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.data.cases import MANIFEST, Case, LabeledScan, refuse_outside
from delineate.data.layouts import read_dataset
from delineate.data.superpixels import FAINT, MR_FAINT, Superpixels, body
from delineate.io.outputs import Outputs

CT_RANGE = (-125.0, 275.0)
CT_BORDER = 32
MR_SPACING = (1.25, 1.25, 7.70)
MR_SIDE = 256
MR_BRIGHTEST = 99.5  # percentile that the rest is cut to
Progress = Callable[[int, int], None]
Voxels = NDArray[np.float32]
ShownSlices = dict[str, dict[str, list[int]]]  # slices by structure and case


class PublicSet(StrEnum):
    CHAOS = "chaos"
    BTCV = "btcv"
    POLYPS = "polyps"


LAYOUT_OF = {PublicSet.CHAOS: "CHAOS", PublicSet.BTCV: "BTCV", PublicSet.POLYPS: "polyps"}


@dataclass(frozen=True)
class Preparation:
    """How a set is prepared.

    size         pixels along a side of a slice
    superpixels  how slices are divided; None: not at all
    sequence     of CHAOS: T2SPIR, T1DUAL/InPhase, T1DUAL/OutPhase or CT
    without      test sets of polyps that are left out (ProtoSAM leaves out CVC-300)
    """

    size: int = 256
    superpixels: Superpixels | None = field(default_factory=Superpixels)
    sequence: str = "T2SPIR"
    without: tuple[str, ...] = ()


def prepare(
    kind: PublicSet, folder: Path, output: Path, how: Preparation | None = None, progress: Progress | None = None
) -> int:
    """Prepare a set as it was unpacked, into a new folder with a ``manifest.json``; returns how many cases there are.

    Volumes are ``image_ID.nii.gz``, ``label_ID.nii.gz``, ``superpix-MIDDLE_ID.nii.gz``, ``fgmask_ID.nii.gz`` and
    ``classmap_1.json``, as the authors' programs name them.
    Raises InputError for a folder that is laid out otherwise or a case that cannot be read, OutputError for an output
    that is there; nothing is left behind then.
    """
    how = how or Preparation()
    layout, cases = read_dataset(folder)
    if layout != LAYOUT_OF[kind]:
        raise InputError(
            "E-DATA-LAYOUT",
            f"{folder} is laid out as {layout}, not as {LAYOUT_OF[kind]}.",
            "Name the folder as it was unpacked (docs/reference/datasets.md).",
        )
    cases = [case for case in cases if _wanted(kind, case, how)]
    if not cases:
        raise InputError("E-DATA-EMPTY", f"{folder} has no case that is wanted.", "Name another --sequence.")
    refuse_outside(cases)
    with Outputs([output], [path for case in cases for path in (case.image, case.label)]) as outputs:
        home = outputs.stage(output)
        home.mkdir(parents=True, exist_ok=True)
        items: list[dict[str, Any]] = []
        shown: ShownSlices = {}
        write = _write_picture if kind is PublicSet.POLYPS else _write_volume
        for number, case in enumerate(cases):
            items.append(write(case, case.open(), home, how, shown))
            if progress is not None:
                progress(number + 1, len(cases))
        (home / MANIFEST).write_text(json.dumps(items, indent=1))
        if shown:
            (home / "classmap_1.json").write_text(json.dumps(shown))
    return len(cases)


def _wanted(kind: PublicSet, case: Case, how: Preparation) -> bool:
    if kind is PublicSet.CHAOS:
        return case.id.startswith("CT/") if how.sequence == "CT" else case.id.endswith(how.sequence)
    return case.dataset not in how.without


def _write_volume(case: Case, opened: LabeledScan, home: Path, how: Preparation, shown: ShownSlices) -> dict[str, Any]:
    """A volume's files; the item of the manifest. Slices that show each organ are noted in ``shown``."""
    name = case.subject.replace(" ", "_").replace("/", "_")
    scan, ct = opened.scan, case.modality == "CT"
    voxels = np.stack([np.asarray(scan.pixels(n), np.float32) for n in opened.frames])  # (n, y, x)
    labels = np.stack([opened.labels_on(n) for n in range(len(opened.frames))])
    voxels, labels = (_upright(one, scan) for one in (voxels, labels))
    spacing = np.array([*scan.frame_spacing, scan.grid.spacing[scan.slice_axis]])
    voxels, labels, spacing = (_ct if ct else _mr)(voxels, labels, spacing, how.size)
    inside = np.stack([body(one, FAINT if ct else MR_FAINT) for one in voxels])
    files: dict[str, NDArray[Any]] = {
        "image": voxels,
        "label": labels.astype(np.uint8),
        "fgmask": inside.astype(np.uint8),
    }
    if how.superpixels is not None:
        divided = [how.superpixels.of(one, mask) for one, mask in zip(voxels, inside, strict=True)]
        files["superpix-MIDDLE"] = np.stack(divided).astype(np.int16)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])  # rows run to the back, columns to the left
    for kind, values in files.items():
        nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), affine), home / f"{kind}_{name}.nii.gz")
    for label, structure in case.structures.items():
        shown.setdefault(structure, {})[name] = np.flatnonzero((labels == label).any(axis=(1, 2))).tolist()
    about = {"id": name, "dataset": case.dataset, "modality": case.modality, "task": "3d"}
    paths = {"image": f"image_{name}.nii.gz", "label": f"label_{name}.nii.gz"}
    structures = {str(label): structure for label, structure in case.structures.items()}
    return about | paths | {"labels": structures, "use": case.use.value, "subject": case.subject}


def _upright(stack: NDArray[Any], scan: Scan) -> NDArray[Any]:
    """Slices (n, y, x) from below, rows to the back, columns to the left, whichever way the file stores them."""
    ways = [scan.grid.axis_codes[axis] for axis in (scan.slice_axis, *reversed(scan.frame_axes))]
    against = tuple(axis for axis, (way, other) in enumerate(zip(ways, "IAR", strict=True)) if way == other)
    return np.flip(stack, against)


def _ct(voxels: Voxels, labels: NDArray[Any], spacing: NDArray[Any], size: int) -> tuple[Voxels, NDArray[Any], Any]:
    low, high = CT_RANGE
    voxels = (np.clip(np.nan_to_num(voxels, nan=low), low, high) - low) * np.float32(255 / (high - low))
    if min(voxels.shape[1:]) > 4 * CT_BORDER:
        inner = slice(CT_BORDER, -CT_BORDER)
        voxels, labels = voxels[:, inner, inner], labels[:, inner, inner]
    return _resampled(voxels, labels, spacing, (1.0, size / voxels.shape[1], size / voxels.shape[2]))


def _mr(voxels: Voxels, labels: NDArray[Any], spacing: NDArray[Any], size: int) -> tuple[Voxels, NDArray[Any], Any]:
    voxels = np.nan_to_num(voxels)
    voxels = np.minimum(voxels, np.percentile(voxels, MR_BRIGHTEST)).astype(np.float32)
    factors = tuple((spacing / np.array(MR_SPACING))[[2, 1, 0]])
    voxels, labels, spacing = _resampled(voxels, labels, spacing, factors)
    voxels, labels = (_centered(one, MR_SIDE) for one in (voxels, labels))
    return _resampled(voxels, labels, spacing, (1.0, size / MR_SIDE, size / MR_SIDE))


def _resampled(
    voxels: Voxels, labels: NDArray[Any], spacing: NDArray[Any], factors: Sequence[float]
) -> tuple[Voxels, NDArray[Any], Any]:
    """Voxels linearly; each organ on its own, where it has at least half of a voxel."""
    if np.allclose(factors, 1):
        return voxels, labels, spacing
    resized = ndimage.zoom(voxels, factors, order=1, mode="nearest", grid_mode=True)
    best, found = np.full(resized.shape, 0.5, np.float32), np.zeros(resized.shape, labels.dtype)
    for value in np.unique(labels[labels > 0]):
        share = ndimage.zoom((labels == value).astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
        found[share >= best] = value
        best = np.maximum(best, share)
    real = np.array(resized.shape) / np.array(voxels.shape)
    return resized, found, spacing / real[[2, 1, 0]]


def _centered(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Slices (n, y, x) cut or filled up with zeros to squares about their middle."""
    for axis in (1, 2):
        length = values.shape[axis]
        if length > side:
            start = (length - side) // 2
            values = np.take(values, np.arange(start, start + side), axis)
        elif length < side:
            before = (side - length) // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, side - length - before)
            values = np.pad(values, widths)
    return values


def _write_picture(case: Case, opened: LabeledScan, home: Path, how: Preparation, shown: ShownSlices) -> dict[str, Any]:
    """A polyp's picture and mask, filled up with black at the right and below; the item of the manifest."""
    pixels = np.asarray(opened.scan.pixels(0))
    height, width = pixels.shape[:2]
    side = max(height, width)
    image, label = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
    image[:height, :width] = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]
    label[:height, :width] = opened.labels_on(0).astype(np.uint8)
    paths = {"image": f"images/{case.id}.png", "label": f"masks/{case.id}.png"}
    written = dict(zip(paths.values(), (image, label), strict=True))
    if how.superpixels is not None and case.use.value == "train":
        written[f"superpixels/{case.id}.png"] = how.superpixels.of(image.mean(axis=2)).astype(np.uint16)
    for path, values in written.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(home / path)
    about = {"id": case.id, "dataset": case.dataset, "modality": case.modality, "task": "2d"}
    return about | paths | {"labels": {"1": "polyp"}, "use": case.use.value, "subject": case.subject}
