"""Small valid files of formats and variants beside the usual ones: containers, colors, tables, archives."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

from fuzz.seeds import COLORS, GRAY, VOXELS, Seed, single
from small_dicom import UPRIGHT, dicom, enhanced, item, levels


def formats() -> Iterator[Seed]:
    """FreeSurfer volumes, pictures of newer formats, TIFF variants, DICOM variants, video containers, archives."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for make in (_freesurfer, _pictures, _tiffs, _dicoms, _videos):
            yield from make(folder)
        yield single("study.zip", _archive(folder))


def _freesurfer(folder: Path) -> Iterator[Seed]:
    data = nib.MGHImage(VOXELS, np.diag([2, 2, 3, 1])).to_bytes()
    yield single("a.mgh", data)
    yield single("a.mgz", gzip.compress(data))


def _pictures(folder: Path) -> Iterator[Seed]:
    for ending in ("jp2", "webp"):
        stream = io.BytesIO()
        Image.fromarray(COLORS).save(stream, "JPEG2000" if ending == "jp2" else "WEBP")
        yield single(f"a.{ending}", stream.getvalue())


def _tiffs(folder: Path) -> Iterator[Seed]:
    for mode, compression in (
        ("P", None),
        ("CMYK", None),
        ("LAB", None),
        ("L", "tiff_lzw"),
        ("RGB", "jpeg"),
        ("1", "group4"),
    ):
        stream = io.BytesIO()
        Image.fromarray(COLORS).convert(mode).save(stream, "TIFF", compression=compression, tiffinfo={274: 6})
        yield single(f"{mode}.tif", stream.getvalue())
    stack = np.zeros((3, 2, 20, 24), np.uint8) + GRAY
    ome = {"axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Channel": {"Name": ["a", "b"]}}
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, ome=True, metadata=ome, photometric="minisblack")
    yield single("channels.ome.tif", stream.getvalue())
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack[:, 0], imagej=True, truncate=True, metadata={"axes": "ZYX", "unit": "um"})
    yield single("behind-one-header.tif", stream.getvalue())


def _dicoms(folder: Path) -> Iterator[Seed]:
    one = levels(1)[0]
    table = {"LUTDescriptor": [3, 0, 16], "LUTData": np.array([5, 9, 400], "<u2").tobytes(), "ModalityLUTType": "HU"}
    place = {"PixelSpacing": [0.3, 0.3], "SpacingBetweenSlices": "0.4", "ImagePositionPatient": [0, 0, 0]}
    several = [(0.0, 0.0, 3.0 * (n % 2)) for n in range(4)]
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "0.5", "WindowWidth": 9, "WindowCenter": 4}
    detector = item(ImageOrientationPatient=UPRIGHT, ImagePositionPatient=[0, 0, 0])
    nuclear = {"SliceVector": [1, 2, 3], "EnergyWindowVector": [1, 1, 1], "PixelSpacing": [4, 4]}
    nuclear |= {"SpacingBetweenSlices": 3, "DetectorInformationSequence": detector}
    files = {
        "inverted": dicom(folder / "a", one, **inverted),
        "table": dicom(folder / "b", one % 3, ModalityLUTSequence=item(**table), VOILUTSequence=item(**table)),
        "padding": dicom(folder / "c", one, PixelPaddingValue=0, PixelPaddingRangeLimit=4),
        "cone-beam": dicom(folder / "d", levels(3), None, ImageOrientationPatient=UPRIGHT, **place),
        "nuclear": dicom(folder / "e", levels(3), None, **nuclear),
        "echoes": enhanced(folder / "f", levels(4), several, _echo),
    }
    for name, path in files.items():
        yield single(f"{name}.dcm", path.read_bytes())
    series = {}
    for n in range(4):
        about = {"AcquisitionNumber": n // 2, "InstanceNumber": n}
        series[f"{n}.dcm"] = dicom(folder / f"s{n}", levels(4)[n], z=3 * (n % 2), **about).read_bytes()
    yield Seed("two-volumes", series, "")


def _echo(frame: int) -> dict[str, Any]:
    return {"MREchoSequence": item(EffectiveEchoTime=float(frame // 2))}


def _videos(folder: Path) -> Iterator[Seed]:
    for name, codec, form in (
        ("a.ts", "libx264", None),
        ("a.mpg", "mpeg2video", None),
        ("a.wmv", "wmv2", "asf"),
        ("a.avi", "libx264", None),
    ):
        with av.open(str(folder / name), "w", format=form) as film:
            stream = film.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            for n in range(4):
                picture = np.full((16, 32, 3), 30 * n, np.uint8)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            film.mux(stream.encode())
        yield single(name, (folder / name).read_bytes())


def _archive(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for n in range(3):
            out.write(dicom(folder / f"z{n}", levels(3)[n], z=3 * n), f"study/{n}.dcm")
    return stream.getvalue()
