"""The formats that are read, and how each is known by what a file holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from delineate.core.registry import Registry
from delineate.io.iso_brands import is_avif, is_heif

HEAD_BYTES = 1024


@dataclass(frozen=True)
class FileFormat:
    """A format this package reads.

    name      as shown to people
    suffixes  the names its files usually end in; only for telling that a name misleads
    matches   decides from the first HEAD_BYTES bytes of a file (ungzipped if they were gzip)
    module    the reader: a module with ``read(path, options) -> Scan``
    detached  whether voxels may lie in files beside the header: the module's ``detached_data(path)`` names them
    gzipped   whether it is read with gzip around it
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    module: str
    detached: bool = False
    gzipped: bool = False


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


_ZIP = b"PK\x03\x04"
_MOVIES = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\0\0\x01\xba", b"\0\0\x01\xb3",  # MPEG program stream, MPEG video
    b"\0\0\0\x01\x67", b"\0\0\0\x01\x27", b"\0\0\x01\x67", b"\0\0\0\x01\x09",  # H.264
    b"\0\0\0\x01\x40\x01",  # H.265
    b"0&\xb2u\x8ef\xcf\x11", b"FLV\x01", b"\x06\x0e+4\x02\x05\x01\x01", b"\x1f\x07\0", b"OggS", b"YUV4MPEG2",
)  # fmt: skip


def _is_movie(head: bytes) -> bool:
    if is_heif(head):
        return False
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return True
    if head.startswith(_MOVIES) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    packets = [head[at::step][:3] for at, step in ((0, 188), (4, 192))]  # of an MPEG transport stream
    return b"GGG" in packets


def _is_npz(head: bytes) -> bool:
    """An archive whose first member is an array."""
    end = 30 + int.from_bytes(head[26:28], "little")
    return head.startswith(_ZIP) and head[30:end].endswith(b".npy")


def _is_mgh(head: bytes) -> bool:
    from delineate.io.readers.mgh import looks_like_mgh

    return looks_like_mgh(head)


def _is_analyze(head: bytes) -> bool:
    if head[:4] not in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return False
    from delineate.io.readers.nifti_file import is_analyze

    return is_analyze(head)


def _is_dicom(head: bytes) -> bool:
    from delineate.io.readers.dicom import looks_like_dicom

    return looks_like_dicom(head)


_MOVIE_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf",
    ".flv", ".mxf", ".dv", ".ogv", ".h264", ".264", ".h265", ".hevc", ".y4m",
)  # fmt: skip
_JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")

BUILT_IN = (
    # first: the 128 bytes before DICM may look like another format, TIFF for one
    FileFormat("DICOM", (".dcm", ".ima", ""), _is_dicom, "delineate.io.readers.dicom"),
    FileFormat("PNG", (".png",), _starts(b"\x89PNG\r\n\x1a\n"), "delineate.io.readers.picture"),
    FileFormat("JPEG", (".jpg", ".jpeg"), _starts(b"\xff\xd8\xff"), "delineate.io.readers.picture"),
    FileFormat("WebP", (".webp",), lambda h: h[:4] == b"RIFF" and h[8:12] == b"WEBP", "delineate.io.readers.picture"),
    FileFormat("AVIF", (".avif",), is_avif, "delineate.io.readers.picture"),
    FileFormat("JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx"), _starts(*_JPEG_2000), "delineate.io.readers.picture"),
    FileFormat("GIF", (".gif",), _starts(b"GIF87a", b"GIF89a"), "delineate.io.readers.picture"),
    FileFormat("BMP", (".bmp",), _starts(b"BM"), "delineate.io.readers.picture"),
    FileFormat("TIFF", (".tif", ".tiff"), _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "delineate.io.readers.tiff"),
    FileFormat("NRRD", (".nrrd", ".nhdr"), _starts(b"NRRD000"), "delineate.io.readers.nrrd", detached=True),
    FileFormat(
        "NIfTI",
        (".nii", ".nii.gz", ".hdr", ".img"),
        _is_nifti,
        "delineate.io.readers.nifti",
        detached=True,
        gzipped=True,
    ),
    FileFormat("Analyze", (".hdr", ".img"), _is_analyze, "delineate.io.readers.nifti", detached=True, gzipped=True),
    FileFormat("MGH", (".mgh", ".mgz"), _is_mgh, "delineate.io.readers.mgh", gzipped=True),
    FileFormat(
        "MetaImage",
        (".mha", ".mhd"),
        lambda h: b"ObjectType" in h or b"ElementDataFile" in h,
        "delineate.io.readers.metaimage",
        detached=True,
    ),
    FileFormat(
        "PAR/REC",
        (".par",),
        lambda h: b"# === DATA DESCRIPTION FILE" in h[:200],
        "delineate.io.readers.nibabel_volume",
        detached=True,
    ),
    FileFormat(
        "AFNI",
        (".head", ".brik"),
        lambda h: re.match(rb"\s*type\s*=\s*(string|integer|float)-attribute\s", h) is not None,
        "delineate.io.readers.nibabel_volume",
        detached=True,
        gzipped=True,
    ),
    FileFormat("MINC", (".mnc",), _starts(b"CDF\x01", b"CDF\x02"), "delineate.io.readers.nibabel_volume"),
    FileFormat("npz", (".npz",), _is_npz, "delineate.io.readers.npz"),
    FileFormat("npy", (".npy",), _starts(b"\x93NUMPY"), "delineate.io.readers.npy"),
    FileFormat("zip", (".zip",), _starts(_ZIP), "delineate.io.readers.zipped"),
    FileFormat("video", _MOVIE_SUFFIXES, _is_movie, "delineate.io.readers.video"),
)
FORMATS: Registry[FileFormat] = Registry("delineate.formats", FileFormat, (f"{__name__}:BUILT_IN",))
