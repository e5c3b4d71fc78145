"""DICOM: one file, or the series in a folder. Only what pixels and geometry need is read; no patient tags are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_has_tag
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import VR

from delineate.core.errors import DelineateError, InputError, Notice
from delineate.core.hashing import sha256_of
from delineate.core.reading import reason
from delineate.core.scan import Scan, SourceFile
from delineate.core.terminal_text import counted, excerpt
from delineate.io.limits import check_frames, check_picture
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers import dicom_seg
from delineate.io.readers.dicom_origin import origin_of
from delineate.io.readers.dicom_pixels import compression_of, pixel_bytes
from delineate.io.readers.dicom_scan import clip, image, unplaced_volume, volume
from delineate.io.readers.dicom_series import Choice, choices_of, chosen
from delineate.io.readers.dicom_slices import ASSUMED, Slice, frame_count, placed, places_are_assumed, slices_of
from delineate.io.readers.dicom_stream import opened
from delineate.io.readers.dicom_tags import Tags
from delineate.io.readers.modality import DICOM_MODALITIES
from delineate.io.unpacking import DEFLATE_RATIO

NOT_IMAGES = {"SEG", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "FID", "RWV", "DOC"}
NOT_IN_SERIES = NOT_IMAGES | {"RTDOSE"}  # beside a scan
DICOMDIR = "1.2.840.10008.1.3.10"
_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}
MOST_FIRST = 1 << 12  # bytes of the first element of a file


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    tags: Tags

    @property
    def is_index(self) -> bool:
        """A DICOMDIR."""
        meta = getattr(self.tags.data, "file_meta", None)
        return DICOMDIR in (self.tags.text("SOPClassUID"), str((meta or {}).get("MediaStorageSOPClassUID", "")))

    @property
    def has_picture(self) -> bool:
        return self.tags.text("Modality") not in NOT_IMAGES and self.tags.whole("Rows") is not None

    @property
    def kind(self) -> str:
        """By its code, where it is a known one: whatever else the tag holds goes into no record."""
        code = self.tags.text("Modality")
        return code if code in NOT_IN_SERIES or code in DICOM_MODALITIES else "other"


def looks_like_dicom(head: bytes) -> bool:
    """DICM after the preamble, or a plausible first element of a file written without one."""
    if head[128:132] == b"DICM":
        return True
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    if len(head) < 8 or group not in (2, 8) or not (element == 0 or dictionary_has_tag((group << 16) + element)):
        return False
    return head[4:6] in _VRS or int.from_bytes(head[4:8], "little") <= MOST_FIRST


def read(path: Path, options: ReadOptions) -> Scan:
    """One DICOM file: an image, the frames of a volume, or a clip.

    Raises InputError listing the volumes if there are several and none was asked for.
    """
    one = _opened(path)
    if one is None:
        raise InputError("E-DICOM-DAMAGED", f"{path.name} is not a readable DICOM file.", "Copy or export it again.")
    if one.is_index:
        raise InputError(
            "E-DICOM-DICOMDIR", f"{path.name} is a DICOMDIR, an index.", "Name the folder of one study instead."
        )
    if dicom_seg.is_segmentation(one.tags) and options.palette_indices:
        return dicom_seg.read(path, one.tags, options)
    if not one.has_picture:
        kind = excerpt(one.tags.text("Modality"), 16) or "unknown"
        raise InputError("E-DICOM-NO-IMAGE", f"{path.name} holds no picture (modality {kind}).", _instead(kind))
    return replace(_opened_file(one, options), origin=origin_of(one.tags), compression=compression_of(one.tags))


def _opened_file(one: _File, options: ReadOptions) -> Scan:
    path, slices = one.path, _slices(one, options)
    if len(slices) == 1:
        return image(slices[0])
    if not placed(slices) or options.pages is Pages.VIDEO:
        return unplaced_volume(slices, options) if options.pages is Pages.STACK else clip(slices, options)
    choices = choices_of(slices)
    choice, notices = chosen(path, choices, options)
    scan, _ = volume(choice.slices, options)
    if places_are_assumed(one.tags):
        notices = (*notices, ASSUMED)
    file = SourceFile(path, "DICOM", sha256_of(path), f"#{choice.position}" if len(choices) > 1 else "")
    return replace(scan, file=file).with_notices(*notices)


def tags_of(path: Path) -> Tags:
    """All that a file says beside its pixels. Raises InputError where it cannot be read."""
    one = _opened(path)
    if one is None:
        raise InputError("E-DICOM-DAMAGED", f"{path.name} is not a readable DICOM file.", "Copy or export it again.")
    return one.tags


def _instead(kind: str) -> str:
    """What to do with a file that is no picture."""
    of = {"SEG": "--mask, or as labels", "RTSTRUCT": "--mask"}.get(kind)
    return "Name the image series it is of" + (f", and give this with {of}." if of else ".")


def read_files(folder: Path, files: Sequence[Path], options: ReadOptions) -> Scan:
    """The one image series among the files of a folder, ordered and checked by where its slices lie.

    A file that cannot be read is left out and told. Raises InputError listing the series if there are several and none
    was asked for; GeometryError for gaps, tilted gantries and contradictory slices.
    """
    notices: list[Notice] = []
    images = _images(folder, files, notices)
    slices, bad = [], list[DelineateError]()
    for one in images:
        try:
            slices += _slices(one, options)
        except DelineateError as error:
            bad.append(error)
    if bad and not slices:
        raise bad[0]
    if bad:
        notices.append(_left_out(bad))
    choice, said = chosen(folder, choices_of(slices), options)
    notices += said
    scan, used = _opened_choice(choice, options)
    file = SourceFile(folder, "DICOM series", sha256_of(*used), f"#{choice.position}")
    packed = ", ".join(dict.fromkeys(name for one in choice.slices if (name := compression_of(one.tags))))
    origin = origin_of(choice.slices[0].tags)
    return replace(scan, file=file, origin=origin, compression=packed).with_notices(*notices)


def _images(folder: Path, files: Sequence[Path], notices: list[Notice]) -> list[_File]:
    """The files that hold pictures; what the others are is reported."""
    found, damaged, strangers = [], list[DelineateError](), []
    for path in files:
        try:
            one = _opened(path)
        except DelineateError as error:
            damaged.append(error)
            continue
        if one is None:
            strangers.append(path)
        elif not one.is_index and path.name.upper() != "DICOMDIR":
            found.append(one)
    if not found:
        if damaged:
            raise damaged[0]
        names = ", ".join(f.name for f in files[:3])
        raise InputError(
            "E-FOLDER-NO-SCAN",
            f"{folder} holds no DICOM files and no pictures ({names}, …).",
            "Name a folder of DICOM files or of pictures of one video.",
        )
    if strangers:
        notices.append(
            Notice(
                "W-DICOM-SKIPPED",
                counted(
                    len(strangers), "file that is not DICOM was skipped.", "files that are not DICOM were skipped."
                ),
            )
        )
    if damaged:
        notices.append(_left_out(damaged))
    with_pictures = [one for one in found if one.has_picture]
    images = [one for one in with_pictures if one.tags.text("Modality") not in NOT_IN_SERIES] or with_pictures
    if len(images) < len(found):
        kinds = Counter(one.kind for one in found if one not in images)
        text = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        notices.append(Notice("W-DICOM-NO-IMAGE", f"Objects without pictures were left out: {text}."))
    if not images:
        raise InputError(
            "E-DICOM-NO-IMAGE",
            f"The DICOM files in {folder} hold no pictures.",
            "Name a file or folder with images; export the series again if there should be some.",
        )
    return images


def _left_out(errors: list[DelineateError]) -> Notice:
    return Notice(
        "W-DICOM-DAMAGED",
        counted(len(errors), "file that cannot be read was left out", "files that cannot be read were left out")
        + f", the first: {errors[0].message}",
    )


def _opened_choice(choice: Choice, options: ReadOptions) -> tuple[Scan, list[Path]]:
    slices = choice.slices
    if options.pages is not Pages.VIDEO and placed(slices) and len(slices) > 1:
        return volume(slices, options)
    if len(slices) == 1:
        return image(slices[0]), [slices[0].path]
    paths = list(dict.fromkeys(one.path for one in slices))
    if len(paths) > 1:
        slices = _in_order(slices)
        if options.pages is None:
            raise InputError(
                "E-DICOM-NO-POSITION",
                f"The place of {counted(len(slices), 'slice')} is not said "
                "(ImagePositionPatient, ImageOrientationPatient, PixelSpacing).",
                "Open one of the files by itself, or take them in order with --pages stack or --pages video.",
            )
    make = unplaced_volume if options.pages is Pages.STACK else clip
    return make(slices, options), list(dict.fromkeys(one.path for one in slices))


def _in_order(slices: Sequence[Slice]) -> list[Slice]:
    """By their numbers in the series, then by name."""
    return sorted(slices, key=lambda one: (one.tags.whole("InstanceNumber") or 0, one.path.name, one.frame))


def _opened(path: Path) -> _File | None:
    """All tags but the pixels; None if this is no DICOM file. Raises InputError for a damaged one."""
    try:
        with opened(path) as stream:
            tags = pydicom.dcmread(stream, stop_before_pixels=True)
    except InvalidDicomError:
        with path.open("rb") as stream:
            if not looks_like_dicom(stream.read(132)):
                return None
        try:
            tags = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        except Exception:  # what only might have been DICOM
            return None
    except Exception as error:  # pydicom raises whatever damaged bytes make it
        raise InputError(
            "E-DICOM-DAMAGED", f"{path.name} is a damaged DICOM file: {reason(error)}.", "Copy or export it again."
        ) from None
    return _File(path, Tags(tags, path)) if len(tags) else None


def _slices(one: _File, options: ReadOptions) -> list[Slice]:
    """The pictures of a file, after what can be told of it before any is decoded."""
    tags, path = one.tags, one.path
    if "MOSAIC" in [word.upper() for word in tags.words("ImageType")]:
        raise InputError("E-DICOM-MOSAIC", f"{path.name} is a mosaic of slices.", "Convert it with dcm2niix first.")
    if tags.whole("TotalPixelMatrixColumns") is not None:
        raise InputError(
            "E-DICOM-SLIDE", f"{path.name} is a tiled slide of {tags.whole('TotalPixelMatrixColumns')} x "
            f"{tags.whole('TotalPixelMatrixRows')} pixels.",
            "Export a region of it as TIFF or PNG, or name the files of another series.",
        )  # fmt: skip
    columns, rows = tags.whole("Columns") or 0, tags.whole("Rows") or 0
    if min(columns, rows) < 1:
        raise InputError(
            "E-DICOM-NO-IMAGE",
            f"{path.name} says its picture has {columns} x {rows} pixels.",
            "Name a file or folder with images; export the series again if there should be some.",
        )
    check_picture(path, columns, rows, pixel_bytes(tags), options)
    _require_held(path, tags, options)
    return slices_of(path, tags)


def _require_held(path: Path, tags: Tags, options: ReadOptions) -> None:
    """That so many frames can be in a file of its size: a frame takes a byte at least."""
    count, size = frame_count(tags), path.stat().st_size
    check_frames(path, count, options)
    syntax = getattr(tags.data, "file_meta", {}).get("TransferSyntaxUID", "")
    if count > size * (DEFLATE_RATIO if syntax == DeflatedExplicitVRLittleEndian else 1):
        raise InputError(
            "E-FILE-CUT", f"{path.name} says it holds {count} frames, which {size} bytes cannot hold.",
            "It is damaged or cut short: copy or download it again.",
        )  # fmt: skip
