"""What structures are called in the files they are saved in, so that they come back with their names and colors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from PIL import Image

from delineate.core.segmentation import Color, Segmentation
from delineate.io.naming import COMPANIONS, beside

KEY: Final = "delineate_labels"  # in headers: JSON, {"1": {"name": "liver", "color": [230, 75, 53]}}
LONGEST: Final = 1 << 20  # characters of it


@dataclass(frozen=True)
class LabelName:
    """What a file says of a label value; None for what it does not say."""

    name: str | None = None
    color: Color | None = None


LabelNames = Mapping[int, LabelName]


def names_text(segmentation: Segmentation) -> str:
    """Names and colors by label value, as JSON in ASCII."""
    return json.dumps({str(one.label): {"name": one.name, "color": one.color} for one in segmentation.objects})


def parsed_names(text: str) -> LabelNames:
    """The reverse; nothing for a text that is no such JSON, as anybody may have written it."""
    try:
        found = json.loads(text[:LONGEST])
        return {
            int(value): LabelName(_name(said.get("name")), _color(said.get("color"))) for value, said in found.items()
        }
    except (ValueError, AttributeError, TypeError):
        return {}


def label_names(path: Path, format: str) -> LabelNames:
    """What a file of a format calls its label values; of its record beside it where it has no names itself.

    Nothing where neither says anything.
    """
    read = _READ.get(format)
    try:
        found = dict(read(path)) if read is not None else {}
    except Exception:  # names are no more than names: whatever a library says of them, the labels are read
        found = {}
    if any(one.name is not None for one in found.values()):
        return found
    return {**found, **{v: LabelName(n, found.get(v, LabelName()).color) for v, n in _recorded(path).items()}}


def _name(said: Any) -> str | None:
    """A name that is one, of characters that there are: numpy reads others too."""
    try:
        return "".join(list(said)) if isinstance(said, str) and said.strip() else None
    except SystemError:
        return None


def _color(said: Any) -> Color | None:
    try:
        red, green, blue = (min(255, max(0, int(part))) for part in said)
    except (ValueError, TypeError, OverflowError):
        return None
    return red, green, blue


def _recorded(path: Path) -> dict[int, str]:
    """Names in the manifest of the run that wrote a file."""
    record = beside(path, COMPANIONS[0])
    try:
        content = json.loads(record.read_bytes())
        if path.name not in {one["name"] for one in content["outputs"]}:
            return {}
        return {int(one["label"]): str(one["name"]) for one in content["objects"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _of_nifti(path: Path) -> LabelNames:
    from delineate.io.options import ReadOptions
    from delineate.io.readers.nifti_file import whole_header

    for extension in getattr(whole_header(path, ReadOptions(max_voxels=2**62)), "extensions", ()):
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        if KEY in text[:LONGEST]:
            return parsed_names(json.dumps(json.loads(text[:LONGEST].rstrip("\0 "))[KEY]))
    return {}


def _of_nrrd(path: Path) -> LabelNames:
    from delineate.io.readers.nrrd_header import NrrdHeader

    header = NrrdHeader.read(path)
    if KEY in header.pairs:
        return parsed_names(_unescaped(header.pairs[KEY]))
    return {
        int(said.get("LabelValue", "1")): LabelName(_name(said.get("Name")), slicer_color(said.get("Color", "")))
        for said in header.segments.values()
    }


def slicer_color(text: str) -> Color | None:
    """Three shares of 1, as 3D Slicer writes colors."""
    try:
        return _color([round(float(part) * 255) for part in text.split()])
    except (ValueError, OverflowError):
        return None


def _unescaped(text: str) -> str:
    """The value of a NRRD key, whose line ends and backslashes are escaped."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")


def _of_metaimage(path: Path) -> LabelNames:
    from delineate.io.readers.metaimage import header_fields

    prefix = f"{KEY}_"
    found: dict[int, LabelName] = {}
    for key, text in header_fields(path).items():
        if key.startswith(prefix) and key.removeprefix(prefix).isdecimal():
            found.update(parsed_names(f'{{"{key.removeprefix(prefix)}": {text}}}'))
    return found


def _of_tiff(path: Path) -> LabelNames:
    with tifffile.TiffFile(path, _multifile=False) as file:
        tags = (file.pages[0].tags.get("ImageDescription"), file.pages[0].tags.get("ImageJ"))
        text = "\n".join(str(tag.value) for tag in tags if tag is not None)
    start = text.find("{", text.find(KEY))
    if KEY not in text or start < 0:
        return {}
    found, _ = json.JSONDecoder().raw_decode(text[start : start + LONGEST])
    return parsed_names(json.dumps(found))


def _of_png(path: Path) -> LabelNames:
    with Image.open(path) as picture:
        text = str(picture.info.get(KEY, ""))
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
    colors = dict(enumerate(np.reshape(palette, (-1, 3)).tolist())) if palette else {}
    said = parsed_names(text)
    values = said or {value: LabelName() for value in colors}
    return {value: LabelName(one.name, one.color or _color(colors.get(value))) for value, one in values.items()}


def _of_npz(path: Path) -> LabelNames:
    from delineate.io.readers.array_archive import array_archive

    with array_archive(path) as archive:
        arrays = {name: archive[name] for name in ("names", "labels", "colors") if name in archive.names}
    values, names = arrays["labels"].ravel(), arrays["names"].ravel()
    colors = arrays.get("colors", np.full((len(values), 0), 0))
    return {int(v): LabelName(_name(str(n)), _color(c)) for v, n, c in zip(values, names, colors, strict=True)}


def _of_folder(path: Path) -> LabelNames:
    tracks = json.loads((path / "tracks.json").read_bytes())["objects"]
    return {int(one["label"]): LabelName(_name(one["name"]), _color(one.get("color"))) for one in tracks}


def _of_dicom(path: Path) -> LabelNames:
    from delineate.io.readers.dicom import tags_of
    from delineate.io.readers.dicom_seg import segment_names

    return {number: LabelName(_name(name)) for number, name in segment_names(tags_of(path)).items()}


_READ: Final[dict[str, Callable[[Path], LabelNames]]] = {
    "NIfTI": _of_nifti,
    "NRRD": _of_nrrd,
    "MetaImage": _of_metaimage,
    "TIFF": _of_tiff,
    "DICOM SEG": _of_dicom,
    "PNG": _of_png,
    "npz": _of_npz,
    "folder of frames": _of_folder,
}
