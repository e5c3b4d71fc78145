"""DICOM: one file, or the series in a folder. Only what pixels and geometry need is read; no patient tags are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from delineate.core.errors import InputError, Notice
from delineate.core.scan import Scan, SourceFile
from delineate.io.limits import check_picture, check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers import dicom_multiframe
from delineate.io.readers.dicom_geometry import SliceStack, stack_slices
from delineate.io.readers.dicom_pixels import pixel_bytes, pixels_of, window_of
from delineate.io.readers.dicom_stream import opened
from delineate.io.readers.modality import DICOM_MODALITIES, from_dicom

NOT_IMAGES = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "FID", "RWV", "DOC"}


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    tags: Dataset

    def get(self, name: str, default: Any = "") -> Any:
        value = self.tags.get(name, default)
        return default if value is None else value


def looks_like_dicom(head: bytes) -> bool:
    """DICM after the preamble, or a plausible first element of a file written without one."""
    if head[128:132] == b"DICM":
        return True
    return head[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x02\x00\x00\x00")


def read(path: Path, options: ReadOptions) -> Scan:
    """One DICOM file: an image, the frames of an enhanced volume, or a cine clip."""
    tags = _header(path)
    if tags is None:
        raise InputError("E-DICOM-DAMAGED", f"{path.name} is not a readable DICOM file.", "Copy or export it again.")
    if str(tags.get("SOPClassUID", "")) == "1.2.840.10008.1.3.10":
        raise InputError(
            "E-DICOM-DICOMDIR", f"{path.name} is a DICOMDIR, an index.", "Name the folder of one study instead."
        )
    modality = str(tags.get("Modality", ""))
    if modality in NOT_IMAGES or "Rows" not in tags:
        raise InputError(
            "E-DICOM-NO-IMAGE", f"{path.name} holds no picture (modality {modality or 'unknown'}).",
            "Name the image series it belongs to.",
        )  # fmt: skip
    check_picture(path, int(tags.get("Columns", 0)), int(tags.get("Rows", 0)), pixel_bytes(tags), options)
    if int(tags.get("NumberOfFrames", 1) or 1) > 1:
        return dicom_multiframe.read(path, tags, options)
    return _one_image(_File(path, tags))


def read_files(folder: Path, files: Sequence[Path], options: ReadOptions) -> Scan:
    """The one image series among the files of a folder, ordered and checked by where its slices lie.

    Raises InputError listing the series if there are several and none was asked for; GeometryError for gaps,
    tilted gantries and contradictory slices.
    """
    found = [_File(path, tags) for path in files if path.name.upper() != "DICOMDIR" if (tags := _header(path))]
    if not found:
        names = ", ".join(f.name for f in files[:3])
        raise InputError("E-FOLDER-NO-SCAN", f"{folder} holds no DICOM files and no pictures ({names}, …).")
    notices = []
    if len(found) < len(files):
        notices.append(Notice("W-DICOM-SKIPPED", f"{len(files) - len(found)} files that are not DICOM were skipped."))
    images = [f for f in found if str(f.get("Modality")) not in NOT_IMAGES and "Rows" in f.tags]
    if len(images) < len(found):
        kinds = Counter(_kind(f) for f in found if f not in images)
        text = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        notices.append(Notice("W-DICOM-NO-IMAGE", f"Objects without pictures were left out: {text}."))
    if not images:
        raise InputError("E-DICOM-NO-IMAGE", f"The DICOM files in {folder} hold no pictures.")
    chosen, position = _chosen_series(folder, images, options, notices)
    if len(chosen) == 1:
        scan = read(chosen[0].path, options)
        used = [chosen[0].path]
    else:
        scan, used = _series(chosen, options, notices)
    from delineate.core.hashing import sha256_of

    return replace(scan, file=SourceFile(folder, "DICOM series", sha256_of(*used), f"#{position}")).with_notices(
        *notices
    )


def _kind(one: _File) -> str:
    """A kind of object by its code, where it is a known one: whatever else the tag holds goes into no record."""
    code = str(one.get("Modality"))
    return code if code in NOT_IMAGES or code in DICOM_MODALITIES else "other"


def _header(path: Path) -> Dataset | None:
    """All tags but the pixels; None if this is no DICOM file."""
    try:
        with opened(path) as stream:
            tags = pydicom.dcmread(stream, stop_before_pixels=True)
    except InvalidDicomError:
        with path.open("rb") as stream:
            if not looks_like_dicom(stream.read(132)):
                return None
        try:
            tags = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        except Exception:
            return None
    except Exception as error:
        raise InputError("E-DICOM-DAMAGED", f"{path.name} is a damaged DICOM file: {error}.") from None
    return tags if len(tags) else None


def _one_image(file: _File) -> Scan:
    pixels, notices = pixels_of(file.path)
    tags = file.tags
    stack = stack_slices([tags], [file.path], resample=False) if "ImagePositionPatient" in tags else None
    return Scan.from_image(
        pixels,
        dicom_multiframe.flat_grid(tags, stack.grid if stack else None),
        modality=from_dicom(str(file.get("Modality"))),
        window=window_of(tags),
        notices=notices,
    )


def _chosen_series(
    folder: Path, images: list[_File], options: ReadOptions, notices: list[Notice]
) -> tuple[list[_File], int]:
    """The files of the one series meant, and its position among all."""
    groups: dict[tuple[Any, ...], list[_File]] = {}
    for one in images:
        groups.setdefault(_series_key(one), []).append(one)
    ordered = keys = sorted(groups, key=lambda k: (str(k[1]).zfill(8), str(k)))
    if options.series is not None:
        wanted = options.series.lower()
        exact = [k for n, k in enumerate(keys, 1) if wanted in (str(k[1]), f"#{n}")]
        keys = exact or [k for k in keys if wanted in str(k[0]).lower() or wanted in str(k[2]).lower()]
    elif len(keys) > 1:
        plain = [k for k in keys if not _is_localiser(groups[k])]
        if 0 < len(plain) < len(keys):
            notices.append(Notice("W-DICOM-LOCALISER", f"{len(keys) - len(plain)} localiser series were left out."))
            keys = plain
    if len(keys) != 1:
        listed = keys or sorted(groups, key=str)
        lines = "\n".join(
            f"  #{n}  series {k[1] or '?'}: {k[2] or 'no description'}, {groups[k][0].get('Modality')}, "
            f"{len(groups[k])} slices of {k[4]} x {k[3]}"
            for n, k in enumerate(listed, 1)
        )
        what = "matches no or several series" if options.series else "holds several series"
        raise InputError(
            "E-DICOM-SERIES",
            f"{folder} {what}:\n{lines}",
            "Choose one with --series, by number, #position or description.",
        )
    return groups[keys[0]], ordered.index(keys[0]) + 1


def _series_key(one: _File) -> tuple[Any, ...]:
    """What the slices of one volume share."""
    cosines = one.get("ImageOrientationPatient", ())
    direction = tuple(round(float(v), 2) + 0.0 for v in cosines) if cosines else ()
    volume = str(one.get("DiffusionBValue")), str(one.get("TemporalPositionIdentifier")), str(one.get("EchoNumbers"))
    return (
        str(one.get("SeriesInstanceUID")), str(one.get("SeriesNumber")), str(one.get("SeriesDescription")),
        int(one.get("Rows", 0)), int(one.get("Columns", 0)), direction, volume,
    )  # fmt: skip


def _is_localiser(files: list[_File]) -> bool:
    return any("LOCALIZER" in [str(v).upper() for v in one.get("ImageType", ())] for one in files)


def _series(files: list[_File], options: ReadOptions, notices: list[Notice]) -> tuple[Scan, list[Path]]:
    _require_consistent(files)
    if not all("ImagePositionPatient" in f.tags for f in files):
        raise InputError(
            "E-DICOM-NO-POSITION", f"{len(files)} slices do not say where they lie (ImagePositionPatient).",
            "Open one of the files by itself.",
        )  # fmt: skip
    stack = stack_slices([f.tags for f in files], [f.path for f in files], options.resample_irregular)
    notices.extend(stack.notices)
    ordered = [files[n] for n in stack.order]
    check_volume(files[0].path.parent, stack.grid.shape, pixel_bytes(files[0].tags), options)
    voxels = _voxels(ordered, stack, notices)
    scan = Scan.from_volume(
        voxels,
        stack.grid,
        modality=from_dicom(str(files[0].get("Modality"))),
        window=window_of(files[0].tags),
    )
    return scan, [f.path for f in ordered]


def _require_consistent(files: list[_File]) -> None:
    for name in ("Rows", "Columns", "PhotometricInterpretation", "SamplesPerPixel"):
        values = Counter(str(f.get(name)) for f in files)
        if len(values) > 1:
            common = values.most_common(1)[0][0]
            odd = next(f for f in files if str(f.get(name)) != common)
            raise InputError(
                "E-DICOM-MIXED",
                f"{odd.path.name} differs from the rest of the series: {name} is {odd.get(name)}, not {common}.",
            )


def _voxels(files: list[_File], stack: SliceStack, notices: list[Notice]) -> np.ndarray:
    """(i, j, k[, 3]): columns, rows, slices."""
    slices = []
    for one in files:
        pixels, said = pixels_of(one.path)
        notices.extend(n for n in said if n not in notices)
        slices.append(pixels)
    kind = np.result_type(*slices)
    volume = np.stack([s.astype(kind) for s in slices], axis=-1 if slices[0].ndim == 2 else 2)
    volume = volume.swapaxes(0, 1)
    return volume if stack.resample is None else stack.resample(volume)
