"""Folders of labelled scans, recognised by what lies in them. Nothing is decoded before it is needed.

layout            what it looks like
manifest          ``manifest.json`` (docs/evaluation.md)
nnU-Net raw       ``dataset.json``, ``imagesTr/NAME_0000.nii.gz``, ``labelsTr/NAME.nii.gz`` (and ``imagesTs``)
VOS               ``JPEGImages/VIDEO/*.jpg``, ``Annotations/VIDEO/*.png``
SA-Med2D          ``SAMed2D_v1.json``, ``images``, ``masks``; names as modality--dataset--case--axis_slice
CAMUS             ``patient0001_2CH_ED.nii.gz`` beside ``..._gt.nii.gz``, in folders or not
images and masks  two folders (images and masks, labels, annotations or gt), files of the same name
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from delineate.data.cases import MANIFEST, Case, Task, Use, load_cases
from delineate.errors import InputError

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt", "gts", "ground_truth")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
SA_MED2D = re.compile(
    r"(?P<modality>[^_-]+)(?:_(?P<sub>.+?))?--(?P<dataset>.+?)--(?P<case>.+?)--(?P<slice>.+?)"
    r"(?:--(?P<label>\d+)_(?P<instance>\d+))?\.png$"
)


@dataclass(frozen=True)
class Layout:
    name: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Case]]


def read_dataset(root: Path) -> tuple[str, list[Case]]:
    """The name of a folder's layout, and its labelled cases in a fixed order.

    Raises InputError if there is no such folder, or no layout fits it.
    """
    if not root.is_dir():
        raise InputError("E-DATA-FOLDER", f"There is no folder {root}.")
    for layout in LAYOUTS:
        if layout.fits(root):
            return layout.name, list(layout.read(root))
    seen = ", ".join(sorted(p.name for p in root.iterdir())[:6])
    raise InputError(
        "E-DATA-LAYOUT",
        f"{root} is laid out as nothing that is known here; it holds: {seen}.",
        f"Known: {', '.join(layout.name for layout in LAYOUTS)}. A manifest.json can describe anything "
        "(docs/evaluation.md).",
    )


def _manifest(root: Path) -> Iterator[Case]:
    yield from load_cases(root, uses=tuple(Use))


def _nnunet(root: Path) -> Iterator[Case]:
    about = json.loads((root / "dataset.json").read_text())
    ending = about.get("file_ending", ".nii.gz")
    names = _label_names(about["labels"])
    channel = next(iter((about.get("channel_names") or about.get("modality") or {"0": "unknown"}).values()))
    for images, labels, use in (("imagesTr", "labelsTr", Use.TRAIN), ("imagesTs", "labelsTs", Use.TEST)):
        for label in sorted((root / labels).glob(f"*{ending}")):
            stem = label.name.removesuffix(ending)
            task = Task.VOLUME if ending in VOLUMES else Task.IMAGE
            image = root / images / f"{stem}_0000{ending}"
            yield Case(stem, root.name, str(channel), task, image, label, names, use)


def _label_names(labels: dict) -> dict[int, str]:
    """nnU-Net writes {name: value} since version 2, {value: name} before; a region of several values is left out."""
    turned = {str(v): k for k, v in labels.items()} if "background" in labels else labels
    return {int(v): str(name) for v, name in turned.items() if str(v).isdigit() and int(v) > 0}


def _vos(root: Path) -> Iterator[Case]:
    for labels in sorted(p for p in (root / "Annotations").iterdir() if p.is_dir()):
        frames = root / "JPEGImages" / labels.name
        yield Case(labels.name, root.name, "video", Task.VIDEO, frames, labels, {0: "object"}, Use.TEST)


def _sa_med2d(root: Path) -> Iterator[Case]:
    listed = json.loads(next(root.glob("SAMed2D*v1.json")).read_text())
    classes = next(iter(root.glob("SAMed2D*class_mapping_id.json")), None)
    names = json.loads(classes.read_text()) if classes else {}
    for image, masks in sorted(listed.items()):
        for mask in masks:
            told = parse_sa_med2d(mask)
            known = {str(number): name for name, number in names.get(told["dataset"], {}).items()}
            structure = known.get(str(int(told["label"] or 0)), f"class {told['label']}")
            case_id = Path(mask).name.removesuffix(".png")
            modality = told["modality"] or "unknown"
            yield Case(
                case_id,
                told["dataset"] or "",
                modality,
                Task.IMAGE,
                root / image,
                root / mask,
                {0: structure},
                Use.TRAIN,
            )


def parse_sa_med2d(name: str) -> dict[str, str | None]:
    """The parts of an SA-Med2D-20M file name: modality, sub, dataset, case, slice, label, instance.

    Raises InputError for other names.
    """
    match = SA_MED2D.match(name.replace("\\", "/").rsplit("/", 1)[-1])
    if match is None:
        raise InputError("E-DATA-NAME", f"{name} is no name of SA-Med2D: modality--dataset--case--axis_slice.png.")
    return match.groupdict()


def _camus(root: Path) -> Iterator[Case]:
    names = {1: "left ventricle", 2: "myocardium", 3: "left atrium"}
    for label in sorted(root.rglob("*_gt.nii.gz")):
        image = label.with_name(label.name.replace("_gt.nii.gz", ".nii.gz"))
        task = Task.VIDEO if "sequence" in label.name else Task.IMAGE
        yield Case(label.name.removesuffix("_gt.nii.gz"), "CAMUS", "ultrasound", task, image, label, names, Use.TRAIN)


def _folders(root: Path) -> Iterator[Case]:
    pair = _image_and_mask_folders(root)
    assert pair is not None
    images, masks = pair
    by_stem = {_stem(path): path for path in sorted(images.iterdir()) if path.is_file()}
    for label in sorted(path for path in masks.iterdir() if path.is_file() and not path.name.startswith(".")):
        stem = _stem(label)
        image = by_stem.get(stem) or by_stem.get(re.sub(r"_(mask|label|gt|seg|segmentation)$", "", stem))
        task = Task.VOLUME if label.name.endswith(VOLUMES) else Task.IMAGE
        missing = images / label.name
        yield Case(stem, root.name, "unknown", task, image or missing, label, {0: "structure"}, Use.TRAIN)


def _image_and_mask_folders(root: Path) -> tuple[Path, Path] | None:
    found = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    images = next((found[name] for name in IMAGE_FOLDERS if name in found), None)
    masks = next((found[name] for name in MASK_FOLDERS if name in found), None)
    return (images, masks) if images and masks else None


def _stem(path: Path) -> str:
    return re.sub(r"(\.nii)?\.[^.]+$", "", path.name)


LAYOUTS = (
    Layout("manifest", lambda root: (root / MANIFEST).is_file(), _manifest),
    Layout("nnU-Net raw", lambda root: (root / "dataset.json").is_file() and (root / "labelsTr").is_dir(), _nnunet),
    Layout("VOS", lambda root: (root / "Annotations").is_dir() and (root / "JPEGImages").is_dir(), _vos),
    Layout("SA-Med2D", lambda root: any(root.glob("SAMed2D*v1.json")), _sa_med2d),
    Layout("images and masks", lambda root: _image_and_mask_folders(root) is not None, _folders),
    Layout("CAMUS", lambda root: any(root.rglob("*_gt.nii.gz")), _camus),
)
