"""Compressed data are unpacked once, a piece at a time, and never beyond what the header promises."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import DelineateError
from delineate.io.opening import open_scan
from delineate.io.unpacking import PIECE, Packing, unpacked
from peak_memory import linux_only, peak_mib

RNG = np.random.default_rng(0)
CONTENT = RNG.integers(0, 50, 3 * PIECE + 17, dtype=np.uint8).tobytes()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.RAW: bytes,
    Packing.GZIP: gzip.compress,
    Packing.ZLIB: zlib.compress,
    Packing.DEFLATE: deflated,
    Packing.BZIP2: bz2.compress,
}


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, len(CONTENT) - 1, len(CONTENT)])
def test_what_is_promised_comes_out(packing: Packing, size: int) -> None:
    found = unpacked(io.BytesIO(PACKED[packing](CONTENT)), packing, size)
    assert found.stream.getvalue() == CONTENT[:size]
    assert found.surplus == (size < len(CONTENT))


@pytest.mark.parametrize("packing", list(Packing))
def test_less_than_promised_is_told(packing: Packing) -> None:
    with pytest.raises(ValueError, match=f"{len(CONTENT)} of {len(CONTENT) + 1} bytes"):
        unpacked(io.BytesIO(PACKED[packing](CONTENT)), packing, len(CONTENT) + 1)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.BZIP2])
def test_members_one_after_the_other_are_one_content(packing: Packing) -> None:
    pack, half = PACKED[packing], PIECE + 5
    found = unpacked(io.BytesIO(pack(CONTENT[:half]) + pack(CONTENT[half:])), packing, len(CONTENT))
    assert found.stream.getvalue() == CONTENT and not found.surplus


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZLIB, Packing.BZIP2])
def test_a_wrong_checksum_is_told(packing: Packing) -> None:
    packed = bytearray(PACKED[packing](CONTENT))
    packed[-6 if packing is Packing.GZIP else -2] ^= 255
    with pytest.raises(ValueError, match="damaged"):
        unpacked(io.BytesIO(bytes(packed)), packing, len(CONTENT))


@pytest.mark.parametrize(("tail", "count"), [(b"", 0), (b"\0" * 9, 0), (b"rubbish", 7)], ids=["none", "zeros", "words"])
def test_what_follows_the_compressed_data_is_counted(tail: bytes, count: int) -> None:
    assert unpacked(io.BytesIO(gzip.compress(CONTENT) + tail), Packing.GZIP, len(CONTENT)).tail == count


BOMB = 90 << 20  # bytes the files below unpack to; their headers promise 960


def zeros(pack: str) -> bytes:
    packer = (
        bz2.BZ2Compressor(9) if pack == "bz2" else zlib.compressobj(9, wbits={"gzip": 31, "zlib": 15, "raw": -15}[pack])
    )
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(BOMB >> 20)) + packer.flush()


NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 16 12 5\nencoding: {}\n\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 16 12 5\nElementType = MET_UCHAR\nCompressedData = True\n"


def nrrd(pack: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "a.nrrd").write_bytes(NRRD.format(pack).encode() + zeros(pack))
        return folder / "a.nrrd"

    return make


def nhdr(folder: Path) -> Path:
    (folder / "a.raw.gz").write_bytes(zeros("gzip"))
    (folder / "a.nhdr").write_text(NRRD.format("gzip").rstrip() + "\ndata file: a.raw.gz\n\n")
    return folder / "a.nhdr"


def mha(folder: Path) -> Path:
    (folder / "a.mha").write_bytes(META.encode() + b"ElementDataFile = LOCAL\n" + zeros("zlib"))
    return folder / "a.mha"


def mha_channels(folder: Path) -> Path:
    head = META + "ElementNumberOfChannels = 900000\nElementDataFile = LOCAL\n"
    (folder / "a.mha").write_bytes(head.encode() + zeros("zlib"))
    return folder / "a.mha"


def small_nifti(**fields: object) -> bytes:
    image = nib.Nifti1Image(np.zeros((16, 12, 5), np.uint8), np.eye(4))
    head = bytearray(image.to_bytes()[:352])
    for at, value in fields.items():
        data = value if isinstance(value, bytes) else b""
        head[int(at[1:]) : int(at[1:]) + len(data)] = data
    return bytes(head)


def nii(**fields: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        packer = zlib.compressobj(9, wbits=31)
        data = packer.compress(small_nifti(**fields))
        data += b"".join(packer.compress(bytes(1 << 20)) for _ in range(BOMB >> 20)) + packer.flush()
        (folder / "a.nii.gz").write_bytes(data)
        return folder / "a.nii.gz"

    return make


def npz(folder: Path) -> Path:
    """imgs of a few voxels, and another array that nobody reads."""
    np.savez_compressed(folder / "a.npz", imgs=np.zeros((5, 12, 16), np.uint8), other=np.zeros(BOMB, np.uint8))
    return folder / "a.npz"


def tiff(folder: Path) -> Path:
    """One strip of 16 x 12 pixels."""
    data, count = zeros("zlib"), 9
    tags = [(256, 16), (257, 12), (258, 8), (259, 8), (262, 1), (273, 8 + 2 + 12 * count + 4), (277, 1), (278, 12)]
    tags.append((279, len(data)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    (folder / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4) + data)
    return folder / "a.tif"


def dicom(folder: Path) -> Path:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    tags = FileDataset(str(folder / "a.dcm"), {}, file_meta=meta, preamble=bytes(128))
    tags.Rows, tags.Columns, tags.BitsAllocated, tags.BitsStored, tags.HighBit = 12, 16, 8, 8, 7
    tags.SamplesPerPixel, tags.PixelRepresentation, tags.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    tags.Modality, tags.PixelData = "CT", bytes(192)
    tags.save_as(folder / "plain.dcm", enforce_file_format=True)
    plain = (folder / "plain.dcm").read_bytes()
    body = 132 + 12 + int.from_bytes(plain[140:144], "little")
    head = plain[:body].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    grown = len(head) - body
    head = head[:140] + struct.pack("<I", body - 144 + grown) + head[144:]
    at = head.index(b"1.2.840.10008.1.2.1.99") - 2
    head = head[:at] + struct.pack("<H", 22) + head[at + 2 :]
    packer = zlib.compressobj(9, wbits=-15)
    data = packer.compress(plain[body:] + struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, BOMB))
    data += b"".join(packer.compress(bytes(1 << 20)) for _ in range(BOMB >> 20)) + packer.flush()
    (folder / "a.dcm").write_bytes(head + data)
    return folder / "a.dcm"


FILES = [
    pytest.param(nrrd("gzip"), None, id="nrrd-gzip"),
    pytest.param(nrrd("bz2"), None, id="nrrd-bzip2"),
    pytest.param(nhdr, None, id="nrrd-detached"),
    pytest.param(mha, None, id="metaimage-zlib"),
    pytest.param(mha_channels, "E-META-CHANNELS", id="metaimage-channels"),
    pytest.param(nii(), None, id="nifti-gzip"),
    pytest.param(nii(_112=np.float32([2.5, 0]).tobytes()), None, id="nifti-scaled"),
    pytest.param(nii(_0=b"\0\0\1\0", _70=b"\xff\x7f"), "E-NIFTI-HEADER", id="nifti-bad-header"),
    pytest.param(nii(_108=np.float32([3e9]).tobytes()), "E-NIFTI-HEADER", id="nifti-far-offset"),
    pytest.param(npz, None, id="npz-other-array"),
    pytest.param(tiff, "E-TIFF-DAMAGED", id="tiff-deflate"),
    pytest.param(dicom, None, id="dicom-deflated"),
]


@linux_only
@pytest.mark.parametrize(("make", "error"), FILES)
def test_a_small_file_takes_the_memory_its_header_promises(
    make: Callable[[Path], Path], error: str | None, tmp_path: Path
) -> None:
    """Declared are 960 bytes; 90 MiB would come out. Some pieces are allowed, and what reading code itself takes."""
    path = make(tmp_path)
    assert path.stat().st_size < 1 << 20
    if error is None:
        scan = open_scan(path)
        assert scan.width * scan.height == 192 and not scan.pixels(0).any()
    else:
        with pytest.raises(DelineateError) as caught:
            open_scan(path)
        assert caught.value.code == error
    code = f"""
try: open_scan(Path({str(path)!r})).pixels(0)
except DelineateError: pass
"""
    prepare = f"""
from pathlib import Path
from delineate.core.errors import DelineateError
from delineate.io.opening import identify, open_scan
__import__(identify(Path({str(path)!r})).module)
"""
    assert peak_mib(code, prepare) < 45


@linux_only
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bz2", "ascii"])
def test_an_honest_volume_takes_a_small_multiple_of_its_size(encoding: str, tmp_path: Path) -> None:
    """64 MiB of voxels: at most 2.2 times that; two MiB of voxels as text."""
    shape = (256, 256, 16 if encoding == "ascii" else 512)
    raw = (np.arange(np.prod(shape), dtype=np.int16) % 7).tobytes()
    packed = {
        "raw": lambda: raw, "gzip": lambda: gzip.compress(raw, 1), "bz2": lambda: bz2.compress(raw, 1),
        "ascii": lambda: " ".join(map(str, np.frombuffer(raw, np.int16))).encode(),
    }[encoding]()  # fmt: skip
    sizes = " ".join(map(str, shape))
    head = f"NRRD0004\ntype: short\nendian: little\ndimension: 3\nsizes: {sizes}\nencoding: {encoding}\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + packed)
    prepare = """
from pathlib import Path
from delineate.io.opening import open_scan
from delineate.io.readers import dicom, nrrd
"""
    peak = peak_mib(f"scan = open_scan(Path({str(tmp_path / 'a.nrrd')!r}))", prepare)
    assert peak < (2.2 * 64 if encoding != "ascii" else 110)
