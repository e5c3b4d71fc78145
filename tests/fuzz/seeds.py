"""Small valid files of every format that is read, made from scratch: what mutations start from."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit

VOXELS = (np.arange(6 * 5 * 4, dtype=np.int16) * 7 % 101).reshape(6, 5, 4)
GRAY = (np.add.outer(np.arange(20), np.arange(24)) * 5).astype(np.uint8)
COLORS = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)
RAW = VOXELS.tobytes(order="F")


@dataclass(frozen=True)
class Seed:
    """A valid input.

    files  by path relative to an empty folder
    entry  the path that is opened; "" is the folder
    """

    name: str
    files: Mapping[str, bytes]
    entry: str


def single(name: str, content: bytes) -> Seed:
    """A file of its own."""
    return Seed(name, {name: content}, name)


def read_back(name: str, folder: Path, entry: str) -> Seed:
    """What lies in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return Seed(name, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}, entry)


def volumes() -> Iterator[Seed]:
    """NIfTI, NRRD, MetaImage and npz."""
    affine = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    scaled = nib.Nifti1Image(VOXELS, affine)
    scaled.header.set_slope_inter(0.5, -3)
    scaled.set_qform(affine, 1)
    yield single("plain.nii", nib.Nifti1Image(VOXELS, affine).to_bytes())
    yield single("scaled.nii.gz", gzip.compress(scaled.to_bytes()))
    yield single("second.nii", nib.Nifti2Image(VOXELS.astype(np.float32), affine).to_bytes())
    yield single("times.nii.gz", gzip.compress(nib.Nifti1Image(np.stack([VOXELS, VOXELS], -1), affine).to_bytes()))
    colors = np.zeros(VOXELS.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield single("colors.nii", nib.Nifti1Image(colors, affine).to_bytes())
    pair = nib.Nifti1Pair(VOXELS, affine)
    holders = nib.Nifti1Pair.make_file_map({"header": io.BytesIO(), "image": io.BytesIO()})
    pair.to_file_map(holders)
    yield Seed(
        "pair",
        {f"a.{end}": holders[key].fileobj.getvalue() for end, key in (("hdr", "header"), ("img", "image"))},
        "a.hdr",
    )
    yield from _nrrd()
    yield from _metaimage()
    yield single("image.npz", _npz(imgs=GRAY))
    arrays = {"imgs": VOXELS.T, "gts": (VOXELS.T > 50).astype(np.uint8), "spacing": np.array([1.0, 1, 3])}
    yield single("volume.npz", _npz(**arrays, boxes=np.array([[0, 0, 0, 3, 3, 2]])))
    yield single("packed.npz", _npz(np.savez_compressed, **arrays, spacing_order=np.array("xyz")))


def _nrrd() -> Iterator[Seed]:
    place = "space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nspace origin: (1,-2,3.5)\n"
    head = "NRRD0005\n# made from scratch\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\n"
    text = " ".join(map(str, VOXELS.ravel(order="F"))).encode()
    yield single("raw.nrrd", (head + place + "encoding: raw\n\n").encode() + RAW)
    yield single("gzip.nrrd", (head + place + "encoding: gzip\n\n").encode() + gzip.compress(RAW))
    yield single("bzip.nrrd", (head + place + "encoding: bzip2\n\n").encode() + bz2.compress(RAW))
    yield single("text.nrrd", (head + "spacings: 1 1 2.5\nencoding: ascii\n\n").encode() + text)
    yield Seed(
        "detached", {"a.nhdr": (head + place + "encoding: raw\ndata file: a.raw\n").encode(), "a.raw": RAW}, "a.nhdr"
    )
    four = head.replace("dimension: 3\nsizes: 6", "dimension: 4\nsizes: 2 6") + "kinds: list domain domain domain\n"
    yield single("list.nrrd", (four + place.replace(": (2", ": none (2") + "encoding: raw\n\n").encode() + RAW * 2)
    parts = (
        "Segment0_ID:=a\nSegment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
        "Segment0_Extent:=0 5 0 4 0 3\nSegment0_Color:=0.5 0.2 0.1\n"
    )
    yield single("a.seg.nrrd", (head + place + "encoding: gzip\n" + parts + "\n").encode() + gzip.compress(RAW))
    flat = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 24 20\nspacings: 0.5 0.5\nencoding: raw\n\n"
    yield single("flat.nrrd", flat.encode() + GRAY.tobytes())


def _metaimage() -> Iterator[Seed]:
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    place = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 -2 3.5\nElementSpacing = 2 2 3\nDimSize = 6 5 4\n"
    kind = "ElementType = MET_SHORT\n"
    packed = zlib.compress(RAW)
    more = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
    yield single("plain.mha", (head + place + kind + "ElementDataFile = LOCAL\n").encode() + RAW)
    yield single("packed.mha", (head + more + place + kind + "ElementDataFile = LOCAL\n").encode() + packed)
    beside = (head + place + kind + "HeaderSize = -1\nElementDataFile = a.raw\n").encode()
    yield Seed("beside", {"a.mhd": beside, "a.raw": RAW}, "a.mhd")
    listed = (head + place + kind + "ElementDataFile = LIST\n0.raw\n1.raw\n2.raw\n3.raw\n").encode()
    slices = {f"{k}.raw": VOXELS[..., k].tobytes(order="F") for k in range(4)}
    yield Seed("listed", {"a.mhd": listed, **slices}, "a.mhd")
    colors = head.replace("= 3", "= 2") + "DimSize = 24 20\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\n"
    yield single("colors.mha", (colors + "ElementDataFile = LOCAL\n").encode() + COLORS.tobytes())


def _npz(save: Callable[..., None] = np.savez, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def pictures() -> Iterator[Seed]:
    """PNG, JPEG, GIF, BMP and TIFF; a folder of frames."""
    made = {
        "gray.png": Image.fromarray(GRAY), "colors.png": Image.fromarray(COLORS),
        "deep.png": Image.fromarray(GRAY.astype(np.uint16) * 200), "bits.png": Image.fromarray(GRAY > 90),
        "palette.png": Image.fromarray(COLORS).quantize(8), "alpha.png": Image.fromarray(COLORS).convert("RGBA"),
        "gray.jpg": Image.fromarray(GRAY), "inks.jpg": Image.fromarray(COLORS).convert("CMYK"),
        "a.bmp": Image.fromarray(COLORS), "a.gif": Image.fromarray(COLORS).quantize(8),
    }  # fmt: skip
    for name, picture in made.items():
        yield single(name, _saved(picture, name))
    exif = Image.Exif()
    exif[274] = 6
    yield single("turned.jpg", _saved(Image.fromarray(COLORS), "a.jpg", exif=exif))
    moving = [Image.fromarray(np.roll(GRAY, n, 1)) for n in range(4)]
    for name in ("moving.gif", "moving.png"):
        yield single(name, _saved(moving[0], name, save_all=True, append_images=moving[1:], duration=40))
    stack = np.stack([GRAY + n for n in range(3)])
    tiffs = {
        "gray.tif": (GRAY, {}), "colors.tif": (COLORS, {"photometric": "rgb"}),
        "deflate.tif": (stack, {"compression": "zlib", "photometric": "minisblack"}),
        "float.tif": (GRAY.astype(np.float32), {"tile": (16, 16)}), "big.tif": (stack, {"bigtiff": True}),
        "imagej.tif": (stack, {"imagej": True}), "words.tif": (GRAY.astype(np.uint16), {"byteorder": ">"}),
        "a.ome.tif": (stack, {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}}),
    }  # fmt: skip
    for name, (values, options) in tiffs.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **options)
        yield single(name, stream.getvalue())
    palette = Image.fromarray(COLORS).quantize(8)
    yield single("palette.tif", _saved(palette, "palette.tif"))
    frames = {f"{n}.png": _saved(Image.fromarray(np.roll(COLORS, n, 1)), "a.png") for n in range(3)}
    yield Seed("frames", frames, "")
    mixed = {f"f{n}.{end}": _saved(picture.convert("L"), f"a.{end}") for n, end, picture in (
        (0, "jpg", moving[0]), (1, "png", moving[1]), (2, "bmp", moving[2]))}  # fmt: skip
    yield Seed("mixed", mixed, "")


def _saved(picture: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    kinds = {"jpg": "JPEG", "tif": "TIFF"}
    end = name.rpartition(".")[2]
    picture.save(stream, format=kinds.get(end, end.upper()), **options)
    return stream.getvalue()


def dicoms() -> Iterator[Seed]:
    """Single files, a series, frames in one file."""
    yield single("slice.dcm", dicom(GRAY.astype(np.uint16), 0))
    yield single("inverted.dcm", dicom(GRAY, 0, PhotometricInterpretation="MONOCHROME1", RescaleSlope="0.5"))
    color = dicom(COLORS, 0, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    yield single("colors.dcm", color)
    yield single("jpeg.dcm", dicom(GRAY, 0, syntax=JPEGBaseline8Bit, jpeg=_saved(Image.fromarray(GRAY), "a.jpg")))
    slices = {f"{n}.dcm": dicom(GRAY.astype(np.int16) + n, 3.0 * n, number=n) for n in range(4)}
    yield Seed("series", slices, "")
    clip = np.stack([np.roll(GRAY, n, 1) for n in range(4)])
    yield single("clip.dcm", dicom(clip, None, NumberOfFrames=4, FrameTime="40", Modality="US"))
    yield single("enhanced.dcm", _enhanced(clip.astype(np.uint16)))


def dicom(
    pixels: np.ndarray, z: float | None, number: int = 0, syntax: str = ExplicitVRLittleEndian,
    jpeg: bytes | None = None, sop: str = CTImageStorage, **tags: object,
) -> bytes:  # fmt: skip
    """A DICOM file; without ``z`` it does not say where it lies."""
    made, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, sop
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = f"1.2.3.4.{number + 1}"
    made.file_meta, made.SOPClassUID = meta, sop
    made.SeriesInstanceUID, made.StudyInstanceUID, made.Modality = "1.2.3", "1.2", "CT"
    made.SeriesNumber, made.InstanceNumber, made.SeriesDescription = 1, number, "made from scratch"
    color = pixels.ndim == 3 and pixels.shape[-1] == 3
    made.Rows, made.Columns = pixels.shape[:2] if color else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.WindowCenter, made.WindowWidth, made.RescaleIntercept, made.RescaleSlope = 60, 100, -10, 1
    if z is not None:
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness = [0.5, 0.5], 3
    made.PixelData = pixels.tobytes() if jpeg is None else encapsulate([jpeg])
    for name, value in tags.items():
        setattr(made, name, value)
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _enhanced(pixels: np.ndarray) -> bytes:
    groups = []
    for k in range(len(pixels)):
        group, place, turn, step = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turn.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
        step.PixelSpacing, step.SliceThickness = [0.5, 0.5], 3
        group.PlanePositionSequence, group.PlaneOrientationSequence = Sequence([place]), Sequence([turn])
        group.PixelMeasuresSequence = Sequence([step])
        groups.append(group)
    tags = {"NumberOfFrames": len(pixels), "PerFrameFunctionalGroupsSequence": Sequence(groups), "Modality": "MR"}
    return dicom(pixels, None, sop=EnhancedMRImageStorage, **tags)


def videos() -> Iterator[Seed]:
    """H.264 in MP4, Motion JPEG in AVI, VP8 in WebM."""
    for name, codec, kind in (
        ("a.mp4", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.webm", "libvpx", "yuv420p"),
    ):
        stream = io.BytesIO()
        with av.open(stream, "w", format={"mp4": "mp4", "avi": "avi", "webm": "webm"}[name[2:]]) as film:
            track = film.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 64, 48, kind
            for n in range(6):
                picture = np.full((48, 64, 3), 20 * n, np.uint8)
                picture[10:30, 5 + 4 * n : 25 + 4 * n] = 200
                film.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            film.mux(track.encode())
        yield single(name, stream.getvalue())
