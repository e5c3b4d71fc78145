"""Files that are known and not read, and what to do with them instead."""

from __future__ import annotations

from typing import Final

from delineate.io.iso_brands import is_avif, is_heif

_UNPACK: Final = "Unpack it first."
_MICROSCOPE: Final = "Export it as OME-TIFF."
_PICTURE: Final = "Save it as PNG or TIFF first."
UNREAD: Final[tuple[tuple[bytes, str, str], ...]] = (  # how a file begins, what it is, the way out
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as MINC 2",
     "Convert MINC first: mnc2nii FILE.mnc FILE.nii. Of others, save the array as .npy or NIfTI."),
    (b"MATLAB ", "a MATLAB file", "Save the array as .npy or NIfTI first."),
    (b"\x80\x02", "a Python pickle, which is never loaded", "Save the array as .npy first."),
    (b"\x80\x03", "a Python pickle, which is never loaded", "Save the array as .npy first."),
    (b"\x80\x04", "a Python pickle, which is never loaded", "Save the array as .npy first."),
    (b"\x80\x05", "a Python pickle, which is never loaded", "Save the array as .npy first."),
    (b"7z\xbc\xaf'\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"%PDF-", "a PDF document", "Save the picture in it as PNG first."),
    (b"\xff\x0a", "a JPEG XL picture", _PICTURE),
    (b"\0\0\0\x0cJXL \r\n", "a JPEG XL picture", _PICTURE),
    (b"8BPS", "a Photoshop document", _PICTURE),
    (b"ZISRAWFILE", "a Zeiss CZI file", _MICROSCOPE),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", _MICROSCOPE),
)  # fmt: skip


def unread(head: bytes) -> tuple[str, str] | None:
    """What a file is and the way out, by its first bytes; None where it is not known either."""
    for begins, what, way in UNREAD:
        if head.startswith(begins):
            return what, way
    if is_heif(head) and not is_avif(head):
        return "a HEIF picture (HEIC), as telephones take them", _PICTURE
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    return None
