"""Scans of every format that is read, with a made-up patient's name in every text that the format has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pydicom.dataset import Dataset

from bad_inputs.dicom import slice_file

NAME = "MADEUPJANE"
NUMBER = "31415926535897"  # where only digits may stand
WIDTH, HEIGHT, FRAMES = 48, 40, 4
BOX = "10,8,34,30"


@dataclass
class Texts:
    """The texts put into a file, so that it can be seen that they are in it."""

    said: list[str] = field(default_factory=list)

    def __call__(self, where: str) -> str:
        self.said.append(f"{NAME} {where}")
        return self.said[-1]

    def number(self) -> str:
        self.said.append(NUMBER)
        return f"1.2.826.0.1.{NUMBER}.{len(self.said)}"


Maker = Callable[[Path, Texts], Path]


def frames() -> NDArray[np.uint8]:
    """(frames, height, width): a bright block that moves a little."""
    pixels = np.full((FRAMES, HEIGHT, WIDTH), 30, np.uint8)
    for n in range(FRAMES):
        pixels[n, 12:26, 14 + n : 28 + n] = 200
    return pixels


def voxels() -> NDArray[np.int16]:
    """The same as (i, j, k)."""
    return frames().transpose(2, 1, 0).astype(np.int16)


def crammed_nifti(kind: type[nib.Nifti1Image], path: Path, texts: Texts) -> Path:
    image = kind(voxels(), np.diag([1.0, 1, 3, 1]))
    for name in ("descrip", "aux_file", "intent_name"):
        image.header[name] = texts(name[:5]).encode()
    if "db_name" in image.header:
        image.header["db_name"] = texts("db").encode()
    tags = Dataset()
    tags.PatientName, tags.PatientID = texts("PatientName"), texts("PatientID")
    image.header.extensions += [
        nib.nifti1.Nifti1DicomExtension(2, tags),
        nib.nifti1.Nifti1Extension(4, texts("AFNI").encode()),
        nib.nifti1.Nifti1Extension(6, texts("comment").encode()),
        nib.nifti1.Nifti1Extension(44, texts("MIND").encode()),
    ]
    nib.save(image, path)
    return path


def nifti(folder: Path, texts: Texts) -> Path:
    return crammed_nifti(nib.Nifti1Image, folder / "scan.nii.gz", texts)


def nifti2(folder: Path, texts: Texts) -> Path:
    return crammed_nifti(nib.Nifti2Image, folder / "scan.nii", texts)


def nifti_pair(folder: Path, texts: Texts) -> Path:
    return crammed_nifti(nib.Nifti1Pair, folder / "scan.hdr", texts)


def nrrd(folder: Path, texts: Texts) -> Path:
    header = (
        f"NRRD0005\n# {texts('comment')}\ntype: int16\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {WIDTH} {HEIGHT} {FRAMES}\nspace directions: (1,0,0) (0,1,0) (0,0,3)\nspace origin: (0,0,0)\n"
        f'content: {texts("content")}\nsample units: {texts("units")}\nlabels: "{texts("axis")}" "j" "k"\n'
        f"endian: little\nencoding: raw\n{texts('key')}:={texts('value')}\nDICOM_0010_0010:={texts('DICOM')}\n\n"
    )
    (folder / "scan.nrrd").write_bytes(header.encode() + voxels().tobytes(order="F"))
    return folder / "scan.nrrd"


def metaimage(folder: Path, texts: Texts) -> Path:
    header = (
        f"ObjectType = Image\nNDims = 3\nComment = {texts('comment')}\nName = {texts('name')}\n"
        f"DimSize = {WIDTH} {HEIGHT} {FRAMES}\nElementType = MET_SHORT\nElementSpacing = 1 1 3\n"
        f"0010|0010 = {texts('0010|0010')}\nBinaryDataByteOrderMSB = False\nElementDataFile = LOCAL\n"
    )
    (folder / "scan.mha").write_bytes(header.encode() + voxels().tobytes(order="F"))
    return folder / "scan.mha"


def npz(folder: Path, texts: Texts) -> Path:
    arrays: dict[str, Any] = {"imgs": frames(), "spacing": np.ones(3), "patient": np.array(texts("array"))}
    arrays[texts("key")] = np.zeros(1)
    np.savez_compressed(folder / "scan.npz", **arrays)
    return folder / "scan.npz"


def tagged(texts: Texts) -> Callable[[Dataset], None]:
    """Puts texts into the tags of a DICOM file."""

    def change(tags: Dataset) -> None:
        for keyword in ("PatientName", "PatientID", "InstitutionName", "AccessionNumber", "ReferringPhysicianName",
                        "SeriesDescription", "StudyDescription", "ProtocolName", "PatientComments", "StationName",
                        "OperatorsName", "ImageComments", "DerivationDescription"):  # fmt: skip
            setattr(tags, keyword, texts(keyword[:5]).replace(" ", "^" if keyword.endswith("Name") else " "))
            texts.said[-1] = str(getattr(tags, keyword))
        tags.PatientBirthDate, tags.StudyID = "19000101", texts("study")
        private = tags.private_block(0x0019, texts("creator"), create=True)
        private.add_new(1, "LT", texts("private"))
        tags.Modality = "CT"
        tags.RequestAttributesSequence = [Dataset()]
        tags.RequestAttributesSequence[0].RequestedProcedureDescription = texts("request")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(tags, keyword, f"1.2.826.0.1.{NUMBER}.1")
        tags.Rows, tags.Columns, tags.RescaleIntercept = HEIGHT, WIDTH, 0
        tags.SOPInstanceUID = tags.file_meta.MediaStorageSOPInstanceUID = texts.number()
        number = int(tags.ImagePositionPatient[2])
        tags.PixelData = frames()[number].astype(np.uint16).tobytes()

    return change


def dicom(folder: Path, texts: Texts) -> Path:
    return slice_file(folder, "scan.dcm", 0, tagged(texts))


def dicom_series(folder: Path, texts: Texts) -> Path:
    """Slices, and an object without pixels, whose kind is reported."""

    def without_pixels(tags: Dataset) -> None:
        tagged(texts)(tags)
        del tags.Rows, tags.PixelData
        tags.Modality = NAME

    (folder / "series").mkdir()
    for n in range(FRAMES):
        slice_file(folder / "series", f"{n}.dcm", n, tagged(texts))
    slice_file(folder / "series", "other.dcm", 0, without_pixels)
    return folder / "series"


def dicom_of_unknown_kind(folder: Path, texts: Texts) -> Path:
    def change(tags: Dataset) -> None:
        tagged(texts)(tags)
        tags.Modality = NAME

    return slice_file(folder, "scan.dcm", 0, change)


def dicom_cine(folder: Path, texts: Texts) -> Path:
    def change(tags: Dataset) -> None:
        tagged(texts)(tags)
        tags.Modality, tags.NumberOfFrames, tags.FrameTime = "US", FRAMES, 40
        tags.PixelData = frames().astype(np.uint16).tobytes()

    return slice_file(folder, "scan.dcm", 0, change)


def dicom_enhanced(folder: Path, texts: Texts) -> Path:
    def change(tags: Dataset) -> None:
        tagged(texts)(tags)
        tags.NumberOfFrames, tags.PixelData = FRAMES, frames().astype(np.uint16).tobytes()
        tags.PerFrameFunctionalGroupsSequence = [_placed(n, texts) for n in range(FRAMES)]

    return slice_file(folder, "scan.dcm", 0, change)


def _placed(number: int, texts: Texts) -> Dataset:
    group, place, turn, measures, content = (Dataset() for _ in range(5))
    place.ImagePositionPatient, turn.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, content.FrameComments = [1, 1], texts("frame")
    group.PlanePositionSequence, group.PlaneOrientationSequence = [place], [turn]
    group.PixelMeasuresSequence, group.FrameContentSequence = [measures], [content]
    return group


def png(folder: Path, texts: Texts) -> Path:
    info = PngInfo()
    info.add_text("Author", texts("tEXt"))
    info.add_text("Comment", texts("zTXt"), zip=True)
    info.add_itxt("Description", texts("iTXt"))
    info.add_itxt("XML:com.adobe.xmp", f"<x>{texts('XMP')}</x>", zip=True)
    path = folder / "scan.png"
    Image.fromarray(frames()[0]).save(path, pnginfo=info, exif=_exif(texts))
    return path


def png_transparent(folder: Path, texts: Texts) -> Path:
    gray = frames()[0]
    info = PngInfo()
    info.add_text("Author", texts("tEXt"))
    Image.fromarray(np.dstack([gray, gray, gray, gray])).save(folder / "scan.png", pnginfo=info)
    return folder / "scan.png"


def jpeg(folder: Path, texts: Texts) -> Path:
    path = folder / "scan.jpg"
    exif = _exif(texts)
    exif[ExifTags.Base.Orientation] = 1
    xmp = f"<x>{texts('XMP')}</x>".encode()
    Image.fromarray(frames()[0]).save(path, exif=exif, comment=texts("comment").encode(), xmp=xmp, quality=95)
    return path


def _exif(texts: Texts) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Artist] = texts("description"), texts("artist")
    exif[ExifTags.Base.Software], exif[ExifTags.Base.Copyright] = texts("software"), texts("copyright")
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = texts("user").encode()
    return exif


def tiff(folder: Path, texts: Texts) -> Path:
    return _tiff(folder / "scan.tif", 1, f"<OME><Experimenter>{texts('OME')}</Experimenter></OME>", texts)


def tiff_stack(folder: Path, texts: Texts) -> Path:
    description = f"ImageJ=1.53t\nimages={FRAMES}\nslices={FRAMES}\nInfo={texts('ImageJ')}\n"
    return _tiff(folder / "scan.tif", FRAMES, description, texts)


def _tiff(path: Path, count: int, description: str, texts: Texts) -> Path:
    tags = ImageFileDirectory_v2()
    tags[270], tags[315], tags[305], tags[316] = description, texts("artist"), texts("software"), texts("host")
    tags[700], tags.tagtype[700] = f"<x>{texts('XMP')}</x>".encode(), 1
    tags[50839], tags.tagtype[50839] = texts("ImageJ metadata").encode(), 1
    first, *others = (Image.fromarray(frame) for frame in frames()[:count])
    first.save(path, tiffinfo=tags, save_all=True, append_images=others)
    return path


def gif(folder: Path, texts: Texts) -> Path:
    first, *others = (Image.fromarray(frame) for frame in frames())
    first.save(folder / "scan.gif", save_all=True, append_images=others, comment=texts("comment").encode())
    return folder / "scan.gif"


def mp4(folder: Path, texts: Texts) -> Path:
    return _video(folder / "scan.mp4", ("title", "artist", "comment", "description", "copyright"), texts)


def matroska(folder: Path, texts: Texts) -> Path:
    return _video(folder / "scan.mkv", ("title", "artist", "comment", "patient"), texts)


def _video(path: Path, keys: tuple[str, ...], texts: Texts) -> Path:
    with av.open(str(path), "w") as film:
        film.metadata.update({key: texts(key) for key in keys})
        film.set_chapters(
            [{"id": 1, "start": 0, "end": 3, "time_base": Fraction(1, 25), "metadata": {"title": texts("chapter")}}]
        )
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.metadata["handler_name" if path.suffix == ".mp4" else "title"] = texts("track")
        for frame in frames():
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.dstack([frame] * 3), format="rgb24")))
        film.mux(stream.encode())
    return path


def frame_folder(folder: Path, texts: Texts) -> Path:
    (folder / "clip").mkdir()
    for n, frame in enumerate(frames()):
        info = PngInfo()
        info.add_text("Author", texts("tEXt"))
        Image.fromarray(np.dstack([frame] * 4)).save(folder / "clip" / f"{n}.png", pnginfo=info)
    return folder / "clip"


VOLUMES: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "nifti": (nifti, ()),
    "nifti-2": (nifti2, ()),
    "nifti pair": (nifti_pair, ()),
    "nrrd": (nrrd, ()),
    "metaimage": (metaimage, ()),
    "npz": (npz, ()),
    "dicom series": (dicom_series, ()),
    "enhanced dicom": (dicom_enhanced, ()),
    "tiff stack": (tiff_stack, ("--pages", "stack")),
}
IMAGES: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "png": (png, ()),
    "transparent png": (png_transparent, ()),
    "jpeg": (jpeg, ()),
    "tiff": (tiff, ()),
    "dicom": (dicom, ()),
    "dicom of an unknown kind": (dicom_of_unknown_kind, ()),
}
VIDEOS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "mp4": (mp4, ()),
    "matroska": (matroska, ()),
    "gif": (gif, ("--pages", "video")),
    "dicom cine": (dicom_cine, ()),
    "folder of frames": (frame_folder, ()),
}
